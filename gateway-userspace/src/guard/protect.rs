//! Addresses that are never banned, whoever asks: XDP drops by source, so a ban on the
//! operator's network, on ourselves or on a supplier would cut our own lines.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::address::{canonical, canonical_net, overlap};
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
        }
    }
}

/// All protected addresses.
#[derive(Debug, Default)]
pub(crate) struct Protected {
    fixed: Vec<(IpNet, Protection)>,
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
        fixed.extend(nets(&config.kernel.protect, &Protection::Management));
        fixed.extend(nets(&config.kernel.trusted_proxies, &Protection::TrustedProxy));
        let listeners = config.listeners.iter().map(|listener| listener.address);
        fixed.extend(listeners.chain(config.admin.metrics).filter_map(listener));
        let mut protected = Self { fixed, ..Self::default() };
        protected.interfaces(own);
        protected
    }

    /// Replaces the addresses of this machine: they come and go.
    pub(crate) fn interfaces(&mut self, own: &[IpAddr]) {
        self.own = own.iter().map(|address| (single(*address), Protection::Interface)).collect();
    }

    /// The protected prefix that has an address in common with `net`, and why it is protected.
    pub(crate) fn covering(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        let mut listed = self.fixed.iter().chain(&self.own);
        let found = listed.find(|(protected, _)| overlap(*protected, net));
        found.cloned().or_else(|| self.supplier(net))
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

    fn supplier(&self, net: IpNet) -> Option<(IpNet, Protection)> {
        self.suppliers.iter().find_map(|(name, nets)| {
            let protected = nets.iter().find(|protected| overlap(**protected, net))?;
            Some((*protected, Protection::Supplier(name.clone())))
        })
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
