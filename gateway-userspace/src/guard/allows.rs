//! Prefixes that no ban and no policy touches: those the operator added, and the management
//! ranges of the configuration.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{
    address::canonical_net,
    kernel::{KernelError, PacketFilter, filter::is_too_wide},
    store::Change,
};
use crate::clock::Wall;

/// A prefix the operator allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allow {
    pub(crate) since: Wall,
    pub(crate) note: String,
}

/// Why the list was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AllowError {
    #[error("{net} is not on the allow list")]
    Unknown { net: IpNet },
    #[error("{net} is allowed by kernel.protect; take it out of the configuration")]
    Configured { net: IpNet },
    #[error(
        "the allow list holds {capacity} prefixes, as many as it can; remove some or raise kernel.capacity.allow"
    )]
    Full { capacity: usize },
    #[error(
        "{net} is too wide to allow: it would void every ban inside; the shortest IPv4 prefix is /8, the shortest IPv6 prefix /16; `gateway panic pass` lets everything through"
    )]
    TooWide { net: IpNet },
    #[error("changing the allow list for {net}")]
    Kernel {
        net: IpNet,
        #[source]
        source: KernelError,
    },
}

/// The allow list.
#[derive(Debug)]
pub(crate) struct AllowList {
    configured: Vec<IpNet>,
    /// What a policy on trial says besides.
    trial: Vec<IpNet>,
    allows: BTreeMap<IpNet, Allow>,
    capacity: usize,
    changes: Vec<Change>,
}

impl AllowList {
    pub(crate) fn new(
        configured: &[IpNet],
        stored: impl IntoIterator<Item = (IpNet, Allow)>,
        capacity: u32,
    ) -> Self {
        Self {
            configured: configured.iter().copied().map(canonical_net).collect(),
            trial: Vec::new(),
            allows: stored.into_iter().collect(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            changes: Vec::new(),
        }
    }

    /// Everything the kernel has to allow.
    pub(crate) fn kernel_allows(&self) -> Vec<IpNet> {
        let added = self.allows.keys().filter(|net| !self.configured.contains(net));
        self.configured.iter().chain(added).copied().collect()
    }

    /// Allows; `false` if it was allowed already.
    pub(crate) fn add(
        &mut self,
        kernel: &mut dyn PacketFilter,
        net: IpNet,
        allow: Allow,
    ) -> Result<bool, AllowError> {
        let net = canonical_net(net);
        if is_too_wide(net) {
            return Err(AllowError::TooWide { net });
        }
        if self.configured.contains(&net) || self.allows.contains_key(&net) {
            return Ok(false);
        }
        if self.configured.len() + self.allows.len() >= self.capacity {
            return Err(AllowError::Full { capacity: self.capacity });
        }
        kernel.put_allow(net).map_err(|source| AllowError::Kernel { net, source })?;
        self.changes.push(Change::Allow(net, Some(allow.clone())));
        self.allows.insert(net, allow);
        Ok(true)
    }

    pub(crate) fn remove(
        &mut self,
        kernel: &mut dyn PacketFilter,
        net: IpNet,
    ) -> Result<(), AllowError> {
        let net = canonical_net(net);
        if self.configured.contains(&net) {
            return Err(AllowError::Configured { net });
        }
        if !self.allows.contains_key(&net) {
            return Err(AllowError::Unknown { net });
        }
        kernel.remove_allow(net).map_err(|source| AllowError::Kernel { net, source })?;
        self.allows.remove(&net);
        self.changes.push(Change::Allow(net, None));
        Ok(())
    }

    /// Allows what a policy on trial wants allowed besides what is: nobody is locked out by trying.
    pub(crate) fn widen(
        &mut self,
        kernel: &mut dyn PacketFilter,
        wanted: &[IpNet],
    ) -> Result<(), AllowError> {
        for net in wanted.iter().copied().map(canonical_net) {
            if self.configured.contains(&net) || self.trial.contains(&net) {
                continue;
            }
            kernel.put_allow(net).map_err(|source| AllowError::Kernel { net, source })?;
            self.trial.push(net);
        }
        Ok(())
    }

    /// The trial is over: exactly `configured` is allowed besides what the operator added.
    pub(crate) fn settle(
        &mut self,
        kernel: &mut dyn PacketFilter,
        configured: &[IpNet],
    ) -> Result<(), AllowError> {
        let configured: Vec<IpNet> = configured.iter().copied().map(canonical_net).collect();
        let before = std::mem::replace(&mut self.configured, configured);
        let mut failed = None;
        for net in before.into_iter().chain(std::mem::take(&mut self.trial)) {
            if self.configured.contains(&net) || self.allows.contains_key(&net) {
                continue;
            }
            if let Err(source) = kernel.remove_allow(net) {
                failed = Some(AllowError::Kernel { net, source });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The allowed prefix that covers `net`, and whether the configuration says so.
    pub(crate) fn covering(&self, net: IpNet) -> Option<(IpNet, bool)> {
        let configured = self.configured.iter().chain(&self.trial).map(|net| (*net, true));
        let added = self.allows.keys().map(|net| (*net, false));
        configured.chain(added).find(|(allowed, _)| allowed.contains(&net))
    }

    /// Everything allowed behind `after`, ordered; from the first without it. What the
    /// configuration allows comes without an entry.
    pub(crate) fn after(
        &self,
        after: Option<IpNet>,
    ) -> impl Iterator<Item = (IpNet, Option<&Allow>)> {
        let configured = self.configured.iter().map(|net| (*net, None));
        let added = self.allows.iter().map(|(net, allow)| (*net, Some(allow)));
        let all: BTreeMap<IpNet, Option<&Allow>> = added.chain(configured).collect();
        all.into_iter().filter(move |(net, _)| Some(*net) > after)
    }

    /// What the store has to follow since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::FakeKernel;

    #[test]
    fn management_ranges_are_allowed_and_cannot_be_removed() {
        let mut kernel = FakeKernel::default();
        let mut list = AllowList::new(&[net("10.20.0.0/16")], [], 10);
        assert_eq!(list.kernel_allows(), [net("10.20.0.0/16")]);
        let error = list.remove(&mut kernel, net("10.20.0.0/16")).unwrap_err();
        assert!(matches!(error, AllowError::Configured { .. }));
    }

    #[test]
    fn an_allowed_prefix_is_in_kernel_and_store_until_it_is_removed() {
        let mut kernel = FakeKernel::default();
        let mut list = AllowList::new(&[], [], 1);
        assert!(list.add(&mut kernel, net("192.0.2.9/24"), allow()).unwrap());
        assert!(!list.add(&mut kernel, net("192.0.2.0/24"), allow()).unwrap());
        let full = list.add(&mut kernel, net("198.51.100.0/24"), allow()).unwrap_err();
        assert!(matches!(full, AllowError::Full { capacity: 1 }));
        assert_eq!(kernel.allows, [net("192.0.2.0/24")]);

        list.remove(&mut kernel, net("192.0.2.0/24")).unwrap();
        assert!(kernel.allows.is_empty());
        assert_eq!(list.take_changes().len(), 2);
    }

    #[test]
    fn half_the_world_is_not_allowed_by_a_slip_of_the_finger() {
        let mut kernel = FakeKernel::default();
        let mut list = AllowList::new(&[], [], 10);
        for wide in ["0.0.0.0/0", "128.0.0.0/7", "::/0", "2000::/15"] {
            let error = list.add(&mut kernel, net(wide), allow()).unwrap_err();
            assert!(matches!(error, AllowError::TooWide { .. }), "{wide}: {error}");
        }
        assert!(kernel.allows.is_empty());
        assert!(list.add(&mut kernel, net("10.0.0.0/8"), allow()).unwrap());
    }

    #[test]
    fn during_a_trial_both_are_allowed_and_afterwards_the_one_that_holds() {
        let (old, new, added) = (net("10.20.0.0/16"), net("10.30.0.0/16"), net("10.40.0.0/16"));
        for (holds, expected) in [(old, [added, old]), (new, [added, new])] {
            let mut kernel = FakeKernel::default();
            let mut list = AllowList::new(&[old], [], 10);
            kernel.put_allow(old).unwrap();
            list.add(&mut kernel, added, allow()).unwrap();
            list.widen(&mut kernel, &[new, added]).unwrap();
            assert!(list.covering(net("10.30.1.1/32")).is_some());
            list.settle(&mut kernel, &[holds]).unwrap();
            kernel.allows.sort();
            kernel.allows.dedup();
            assert_eq!(kernel.allows, {
                let mut nets = expected;
                nets.sort();
                nets
            });
            assert_eq!(list.kernel_allows().len(), 2);
        }
    }

    fn allow() -> Allow {
        Allow { since: Wall(1), note: String::new() }
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }
}
