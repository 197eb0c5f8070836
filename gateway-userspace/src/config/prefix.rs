//! Addresses and prefixes as people write them, in the file, in lists and on the command line.

use std::net::IpAddr;

use ipnet::IpNet;

/// Why a written prefix is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    #[error("is not an address or prefix; write one such as 192.0.2.1 or 2001:db8::/32")]
    Form,
    #[error("has bits set beyond its length; write {0}")]
    HostBits(IpNet),
    #[error("is an IPv4-mapped prefix shorter than /96; write the IPv4 prefix that is meant")]
    Mapped,
}

impl PrefixError {
    pub fn what(&self) -> String {
        self.halves().0
    }

    pub fn instead(&self) -> String {
        self.halves().1
    }

    fn halves(self) -> (String, String) {
        let text = self.to_string();
        let halves = text.split_once("; ").map(|(a, b)| (a.to_owned(), b.to_owned()));
        halves.unwrap_or((text, String::new()))
    }
}

/// Reads an address or prefix. An IPv4-mapped IPv6 one becomes the IPv4 one it stands for: on the
/// wire it is IPv4.
pub fn parse(text: &str) -> Result<IpNet, PrefixError> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok().ok_or(PrefixError::Form)?,
    };
    let net = canonical(net)?;
    let whole = net.trunc();
    if whole == net { Ok(net) } else { Err(PrefixError::HostBits(whole)) }
}

/// A single address as itself, anything else with its length: as [`parse`] reads it.
pub fn write(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

fn canonical(net: IpNet) -> Result<IpNet, PrefixError> {
    let IpNet::V6(v6) = net else { return Ok(net) };
    let Some(v4) = v6.addr().to_ipv4_mapped() else { return Ok(net) };
    let length = v6.prefix_len().checked_sub(96).ok_or(PrefixError::Mapped)?;
    IpNet::new(IpAddr::V4(v4), length).ok().ok_or(PrefixError::Form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_addresses_and_prefixes_of_both_families() {
        let same = ["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32", "0.0.0.0/0"];
        for text in same {
            assert_eq!(write(parse(text).unwrap()), text);
        }
        assert_eq!(write(parse("192.0.2.1/32").unwrap()), "192.0.2.1");
    }

    #[test]
    fn takes_a_mapped_address_for_the_ipv4_address_it_is() {
        assert_eq!(write(parse("::ffff:192.0.2.1").unwrap()), "192.0.2.1");
        assert_eq!(write(parse("::ffff:192.0.2.0/120").unwrap()), "192.0.2.0/24");
        assert_eq!(parse("::ffff:0.0.0.0/95"), Err(PrefixError::Mapped));
    }

    #[test]
    fn names_the_prefix_that_was_probably_meant() {
        let error = parse("192.0.2.7/24").unwrap_err();
        assert_eq!(error.to_string(), "has bits set beyond its length; write 192.0.2.0/24");
        for text in ["", "192.0.2", "192.0.2.1/33", "2001:db8::/129", "example.com", "1.2.3.4 "] {
            assert_eq!(parse(text), Err(PrefixError::Form), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_itself(address in any::<IpAddr>(), length in 0_u8..=128) {
            let length = length.min(if address.is_ipv4() { 32 } else { 128 });
            let net = IpNet::new(address, length).unwrap().trunc();
            if let Ok(net) = canonical(net) {
                prop_assert_eq!(parse(&write(net)), Ok(net));
            }
        }

        #[test]
        fn never_panics(text in any::<String>(), near in "[0-9a-f:./]{0,24}") {
            let (Ok(_) | Err(_)) = parse(&text);
            let (Ok(_) | Err(_)) = parse(&near);
        }
    }
}
