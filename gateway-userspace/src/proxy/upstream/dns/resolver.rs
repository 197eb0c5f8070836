//! Which names are asked for, whom, and how often: the hosts file, then the name as it is and with
//! the search list, as the C library does; several servers in turn.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use super::{
    Failure,
    message::{Kind, Name, Reply, Said},
    route::leads_to_any,
    server::{Server, Traffic},
    system::System,
};
use crate::{clock, config::model::Dns};

/// Aliases that one name may lead over.
const ALIASES: usize = 8;
/// What the hosts file says is looked at again after this long.
const HOSTS: Duration = Duration::from_secs(5);

/// Finds addresses of names.
#[derive(Debug)]
pub(in super::super) struct Resolver {
    pub(in super::super) settings: Dns,
    system: System,
    pub(in super::super) traffic: Traffic,
}

/// What was found of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Finding {
    Found {
        addresses: Vec<IpAddr>,
        ttl: Duration,
    },
    /// `exists`: the name has other records.
    Absent {
        exists: bool,
        ttl: Option<Duration>,
    },
    Failed(Failure),
}

/// What was found of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Findings {
    pub(in super::super) v4: Finding,
    pub(in super::super) v6: Finding,
}

impl Resolver {
    pub(in super::super) fn new(settings: &Dns) -> Self {
        Self::at(settings, Path::new("/etc/resolv.conf"), Path::new("/etc/hosts"))
    }

    pub(super) fn at(settings: &Dns, conf: &Path, hosts: &Path) -> Self {
        let (settings, system) = (settings.clone(), System::at(conf, hosts));
        Self { settings, system, traffic: Traffic::default() }
    }

    /// Asks for both families of a name.
    pub(in super::super) async fn find(&self, name: &str) -> Findings {
        if let Some(known) = self.without_asking(name) {
            return known;
        }
        let mut last = Findings::failed(Failure::Name);
        for candidate in self.candidates(name) {
            let Some(asked) = Name::parse(&candidate) else { continue };
            let (v4, v6) =
                tokio::join!(self.family(&asked, Kind::V4), self.family(&asked, Kind::V6));
            last = Findings { v4, v6 };
            // A name that could not be asked for might be the right one: the next is another's.
            if !last.is_absent() {
                break;
            }
        }
        last.without_dead_family()
    }

    /// The hosts file, and names that no server is asked for (RFC 6761 6.3, 6.4).
    fn without_asking(&self, name: &str) -> Option<Findings> {
        let known = self.system.hosts(name);
        let is_below = |top: &str| name == top || name.ends_with(&format!(".{top}"));
        if !known.is_empty() {
            Some(Findings::of(&known))
        } else if is_below("localhost") {
            Some(Findings::of(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]))
        } else if is_below("invalid") {
            let nothing = Finding::Absent { exists: false, ttl: None };
            Some(Findings { v4: nothing.clone(), v6: nothing })
        } else {
            None
        }
    }

    /// The name and, unless it ends in a dot, the name within each domain that is searched.
    fn candidates(&self, name: &str) -> Vec<String> {
        let conf = self.system.conf();
        // Servers of our own come with a search list of our own.
        let ours = !self.settings.servers.is_empty() || !self.settings.search.is_empty();
        let (search, dots) =
            if ours { (&self.settings.search, 1) } else { (&conf.search, conf.dots) };
        let whole = name.to_owned();
        let mut within: Vec<String> =
            search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let first = name.matches('.').count() >= dots;
        within.insert(if first { 0 } else { within.len() }, whole);
        within
    }

    fn servers(&self) -> Vec<SocketAddr> {
        match self.settings.servers.as_slice() {
            [] => self.system.conf().servers.clone(),
            servers => servers.to_vec(),
        }
    }

    /// One family of one name, over its aliases.
    async fn family(&self, name: &Name, kind: Kind) -> Finding {
        let (mut name, mut least, mut aliases) = (name.clone(), u32::MAX, 0);
        loop {
            let reply = match self.ask(&name, kind).await {
                Ok(reply) => reply,
                Err(failure) => return Finding::Failed(failure),
            };
            match reply.about(&name, kind) {
                Said::Addresses(addresses, ttl) => {
                    return Finding::Found { addresses, ttl: seconds(least.min(ttl)) };
                }
                Said::Alias(next, ttl, steps) if reply.code == 0 && reply.absent.is_none() => {
                    (name, least, aliases) = (next, least.min(ttl), aliases + steps);
                    if aliases > ALIASES {
                        return Finding::Failed(Failure::Chain);
                    }
                }
                Said::Alias(..) | Said::Nothing => {
                    let (exists, ttl) = (reply.code == 0, reply.absent.map(seconds));
                    return Finding::Absent { exists, ttl };
                }
            }
        }
    }

    /// The first answer that says something of the name.
    async fn ask(&self, name: &Name, kind: Kind) -> Result<Reply, Failure> {
        let servers = self.servers();
        let mut failure = Failure::NoServer;
        for _ in 0..self.settings.attempts {
            for address in &servers {
                let server = Server { address: *address, traffic: &self.traffic };
                let until = clock::now() + self.settings.timeout;
                match server.ask(name, kind, until).await {
                    Ok(reply) => return Ok(reply),
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }
}

impl Findings {
    pub(in super::super) fn failed(failure: Failure) -> Self {
        Self { v4: Finding::Failed(failure), v6: Finding::Failed(failure) }
    }

    fn of(addresses: &[IpAddr]) -> Self {
        let family = |v4: bool| {
            let addresses: Vec<_> =
                addresses.iter().copied().filter(|one| one.is_ipv4() == v4).collect();
            if addresses.is_empty() {
                Finding::Absent { exists: true, ttl: Some(HOSTS) }
            } else {
                Finding::Found { addresses, ttl: HOSTS }
            }
        };
        Self { v4: family(true), v6: family(false) }
    }

    /// Of both families; a failure counts only where nothing was found.
    pub(in super::super) fn addresses(self) -> Result<Vec<IpAddr>, Failure> {
        let (mut all, mut failure) = (Vec::new(), None);
        for finding in [self.v4, self.v6] {
            match finding {
                Finding::Found { addresses, .. } => all.extend(addresses),
                Finding::Failed(why) => failure = Some(why),
                Finding::Absent { .. } => {}
            }
        }
        failure.filter(|_| all.is_empty()).map_or(Ok(all), Err)
    }

    fn is_absent(&self) -> bool {
        let absent = |one: &Finding| matches!(one, Finding::Absent { .. });
        absent(&self.v4) && absent(&self.v6)
    }

    /// Of two families the one that no route leads to says nothing, for as long as the other.
    fn without_dead_family(self) -> Self {
        let (
            Finding::Found { addresses: v4, ttl: ttl4 },
            Finding::Found { addresses: v6, ttl: ttl6 },
        ) = (&self.v4, &self.v6)
        else {
            return self;
        };
        let nothing = |ttl: &Duration| Finding::Absent { exists: true, ttl: Some(*ttl) };
        match (leads_to_any(v4), leads_to_any(v6)) {
            (true, false) => Self { v6: nothing(ttl4), ..self },
            (false, true) => Self { v4: nothing(ttl6), ..self },
            (true, true) | (false, false) => self,
        }
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}
