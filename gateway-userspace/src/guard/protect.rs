//! Addresses that are never banned, whoever asks: XDP drops by source, so a ban on the
//! operator's network, on ourselves, on a supplier or on who is just logged in would cut our own
//! lines.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    address::{canonical, canonical_net, overlap},
    surroundings::Surroundings,
};
use crate::config::model::Config;

/// Addresses of one supplier, at most.
pub(crate) const ADDRESSES_OF_A_SUPPLIER: usize = 256;

/// Why an address is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protection {
    /// `kernel.protect`.
    Management,
    /// `kernel.trusted_proxies`.
    TrustedProxy,
    Loopback,
    Unspecified,
    /// A `[[listener]]` or `admin.metrics` listens on it.
    Listener,
    /// An interface of this machine holds it.
    Interface,
    /// A supplier's name resolves to it.
    Supplier(String),
    /// This user is logged in from it, or was a moment ago.
    Login(String),
    /// The default route goes over it.
    Gateway,
    /// This machine asks it for names.
    Resolver,
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Management => f.write_str("it is in kernel.protect"),
            Self::TrustedProxy => f.write_str("it is in kernel.trusted_proxies"),
            Self::Loopback => f.write_str("it is the loopback"),
            Self::Unspecified => f.write_str("it is the unspecified address"),
            Self::Listener => f.write_str("the gateway listens on it"),
            Self::Interface => f.write_str("it is an address of this machine"),
            Self::Supplier(name) => write!(f, "it is an address of supplier {name}"),
            Self::Login(user) => write!(f, "{user} is logged in from it"),
            Self::Gateway => f.write_str("it is the default gateway"),
            Self::Resolver => f.write_str("it is a resolver of this machine"),
        }
    }
}

/// How long one counts in all: a forgotten terminal is no reason for ever.
const LONGEST: Duration = Duration::from_hours(24);

/// A login from one address.
#[derive(Debug)]
struct Seen {
    user: String,
    first: Instant,
    last: Instant,
}

/// All protected addresses.
#[derive(Debug, Default)]
pub(crate) struct Protected {
    fixed: Vec<(IpNet, Protection)>,
    /// Of the policies in force.
    management: Vec<(IpNet, Protection)>,
    /// Gateways and resolvers.
    neighbours: Vec<(IpNet, Protection)>,
    logins: BTreeMap<IpNet, Seen>,
    /// How long a login counts after it was seen last (`bans.login`).
    linger: Duration,
    own: Vec<(IpNet, Protection)>,
    suppliers: BTreeMap<String, Vec<IpNet>>,
}

impl Protected {
    /// From the configuration and the addresses of this machine.
    pub(crate) fn new(config: &Config, own: &[IpAddr]) -> Self {
        let nets = |nets: &[IpNet], why: &Protection| {
            nets.iter().map(|net| (canonical_net(*net), why.clone())).collect::<Vec<_>>()
        };
        let mut fixed = constant();
        fixed.extend(nets(&config.kernel.trusted_proxies, &Protection::TrustedProxy));
        let mut protected = Self { fixed, linger: config.bans.login, ..Self::default() };
        protected.listeners(config);
        protected.management(&config.kernel.protect);
        protected.interfaces(own);
        protected
    }

    /// Replaces the addresses that are listened on.
    pub(crate) fn listeners(&mut self, config: &Config) {
        let listeners = config.listeners.iter().map(|listener| listener.address);
        self.fixed.retain(|(_, why)| *why != Protection::Listener);
        self.fixed.extend(listeners.chain(config.admin.metrics).filter_map(listener));
    }

    /// Logins count for this long after they were seen last.
    pub(crate) fn remember_logins(&mut self, linger: Duration) {
        self.linger = linger;
    }

    /// Replaces the addresses of this machine: they come and go.
    pub(crate) fn interfaces(&mut self, own: &[IpAddr]) {
        self.own = own.iter().map(|address| (single(*address), Protection::Interface)).collect();
    }

    /// Replaces the management ranges.
    pub(crate) fn management(&mut self, nets: &[IpNet]) {
        let protection = |net: &IpNet| (canonical_net(*net), Protection::Management);
        self.management = nets.iter().map(protection).collect();
    }

    /// Notes what was seen around this machine. Returns what is protected since.
    pub(crate) fn seen(&mut self, around: &Surroundings, now: Instant) -> Vec<IpNet> {
        let before: Vec<IpNet> = self.of_the_moment(now).map(|(net, _, _)| net).collect();
        let neighbours = |addresses: &[IpAddr], why: Protection| {
            let nets = addresses.iter().map(|address| (single(*address), why.clone()));
            nets.collect::<Vec<_>>()
        };
        self.neighbours = neighbours(&around.gateways, Protection::Gateway);
        self.neighbours.extend(neighbours(&around.resolvers, Protection::Resolver));
        let linger = self.linger;
        self.logins.retain(|_, seen| now < seen.until(linger));
        for login in &around.logins {
            let fresh = Seen { user: login.user.clone(), first: now, last: now };
            let seen = self.logins.entry(single(login.from)).or_insert(fresh);
            seen.last = now;
        }
        let nets = self.of_the_moment(now).map(|(net, _, _)| net);
        nets.filter(|net| !before.contains(net)).collect()
    }

    /// What is protected because it was seen, why, and for how long it stays so by itself.
    pub(crate) fn of_the_moment(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (IpNet, Protection, Option<Duration>)> {
        let neighbours = self.neighbours.iter().map(|(net, why)| (*net, why.clone(), None));
        let logins = self.logins.iter().filter(move |(_, seen)| now < seen.until(self.linger));
        neighbours.chain(logins.map(move |(net, seen)| {
            let left = seen.until(self.linger).saturating_duration_since(now);
            (*net, Protection::Login(seen.user.clone()), Some(left))
        }))
    }

    /// The protected prefix that has an address in common with `net`, and why it is protected.
    pub(crate) fn covering(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        let listed = self.fixed.iter().chain(&self.management).chain(&self.own);
        let found = listed.chain(&self.neighbours).find(|(protected, _)| overlap(*protected, net));
        found.cloned().or_else(|| self.login(net)).or_else(|| self.supplier(net))
    }

    /// Everything that is protected, and why.
    pub(crate) fn all(&self) -> Vec<(IpNet, Protection)> {
        let suppliers = self.suppliers.iter().flat_map(|(name, nets)| {
            nets.iter().map(|net| (*net, Protection::Supplier(name.clone())))
        });
        self.fixed.iter().chain(&self.own).cloned().chain(suppliers).collect()
    }

    /// Replaces the addresses of a supplier, and returns those that are new.
    pub(crate) fn resolved(&mut self, name: &str, addresses: &[IpAddr]) -> Vec<IpNet> {
        let nets: Vec<IpNet> =
            addresses.iter().take(ADDRESSES_OF_A_SUPPLIER).map(|one| single(*one)).collect();
        let before = self.suppliers.insert(name.to_owned(), nets.clone()).unwrap_or_default();
        nets.into_iter().filter(|net| !before.contains(net)).collect()
    }

    /// One that was not seen for long is forgotten the next time we look.
    fn login(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        let (protected, seen) = self.logins.iter().find(|(login, _)| overlap(**login, net))?;
        Some((*protected, Protection::Login(seen.user.clone())))
    }

    fn supplier(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        self.suppliers.iter().find_map(|(name, nets)| {
            let protected = nets.iter().find(|protected| overlap(**protected, net))?;
            Some((*protected, Protection::Supplier(name.clone())))
        })
    }
}

impl Seen {
    fn until(&self, linger: Duration) -> Instant {
        (self.last + linger).min(self.first + LONGEST)
    }
}

fn constant() -> Vec<(IpNet, Protection)> {
    let v4 = |a, bits| Ipv4Net::new([a, 0, 0, 0].into(), bits).ok().map(IpNet::from);
    let v6 = |last| Ipv6Net::new([0, 0, 0, 0, 0, 0, 0, last].into(), 128).ok().map(IpNet::from);
    [
        (v4(127, 8), Protection::Loopback),
        (v6(1), Protection::Loopback),
        (v4(0, 32), Protection::Unspecified),
        (v6(0), Protection::Unspecified),
    ]
    .into_iter()
    .filter_map(|(net, why)| Some((net?, why)))
    .collect()
}

/// A listener on every address adds nothing: those addresses are the interfaces'.
fn listener(address: SocketAddr) -> Option<(IpNet, Protection)> {
    let specified = !address.ip().is_unspecified();
    specified.then(|| (single(address.ip()), Protection::Listener))
}

fn single(address: IpAddr) -> IpNet {
    canonical(address).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock,
        guard::{surroundings::Login, testing},
    };

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn around(from: &str) -> Surroundings {
        let login = Login { user: "alice".to_owned(), from: from.parse().unwrap() };
        Surroundings {
            logins: vec![login],
            gateways: vec![[10, 0, 0, 1].into()],
            resolvers: vec![[10, 0, 0, 53].into()],
        }
    }

    #[test]
    fn who_is_logged_in_is_protected_and_for_a_while_afterwards() {
        let mut protected = Protected::new(&testing::config(), &[]);
        let (start, linger) = (clock::now(), testing::config().bans.login);
        assert_eq!(protected.seen(&around("192.0.2.7"), start).len(), 3);
        assert!(protected.seen(&around("192.0.2.7"), start).is_empty(), "known already");
        let why = |protected: &Protected| protected.covering(net("192.0.2.0/24"));
        assert_eq!(why(&protected).unwrap().1, Protection::Login("alice".to_owned()));
        let gone = Surroundings::default();
        protected.seen(&gone, start + linger / 2);
        assert!(why(&protected).is_some());
        protected.seen(&gone, start + linger);
        assert_eq!(why(&protected), None);
    }

    #[test]
    fn a_terminal_left_open_is_no_protection_for_ever() {
        let mut protected = Protected::new(&testing::config(), &[]);
        let (start, linger) = (clock::now(), testing::config().bans.login);
        let mut passed = Duration::ZERO;
        while passed < LONGEST {
            protected.seen(&around("192.0.2.7"), start + passed);
            passed += linger / 2;
        }
        assert!(
            protected
                .of_the_moment(start + passed)
                .all(|(net, _, _)| net.addr().to_string() != "192.0.2.7")
        );
    }

    #[test]
    fn gateways_and_resolvers_are_protected_as_long_as_they_are_used() {
        let mut protected = Protected::new(&testing::config(), &[]);
        protected.seen(&around("2001:db8::7"), clock::now());
        for (one, why) in [
            ("10.0.0.1/32", Protection::Gateway),
            ("10.0.0.53/32", Protection::Resolver),
            ("2001:db8::/64", Protection::Login("alice".to_owned())),
        ] {
            assert_eq!(protected.covering(net(one)).unwrap().1, why);
        }
        protected.seen(&Surroundings::default(), clock::now());
        assert_eq!(protected.covering(net("10.0.0.1/32")), None);
    }
}
