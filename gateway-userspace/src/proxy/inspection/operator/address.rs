//! `@ipMatch`: is the value an address within one of these networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{OperatorError, Outcome, Undecided};

#[derive(Debug)]
pub(super) struct Networks(Vec<IpNet>);

impl Networks {
    /// Separated by commas. With a macro it is read anew each time.
    pub(super) fn of_list(argument: &str) -> Result<Self, OperatorError> {
        if argument.contains("%{") {
            return Ok(Self(Vec::new()));
        }
        let parts = argument.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }

    /// One a line, `#` begins a comment.
    pub(super) fn of_lines(bytes: &[u8]) -> Result<Self, OperatorError> {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().filter_map(|line| line.split('#').next()).map(str::trim);
        lines.filter(|line| !line.is_empty()).map(network).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn matches(&self, value: &[u8], expanded: Option<&[u8]>) -> Outcome {
        let address = str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
        let Some(address) = address else { return Outcome::NoMatch };
        match expanded.map(|list| Self::of_list(&String::from_utf8_lossy(list))) {
            None => Outcome::from(self.contains(address)),
            Some(Ok(list)) => Outcome::from(list.contains(address)),
            Some(Err(_)) => Outcome::Undecided(Undecided::Addresses),
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, OperatorError> {
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = text.parse::<IpNet>().ok().or_else(alone);
    network.ok_or_else(|| OperatorError::Address(text.to_owned()))
}
