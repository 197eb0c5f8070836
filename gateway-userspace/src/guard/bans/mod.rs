//! The ban list, and the one place that decides who is banned: by the operator, by a list, or by
//! strikes. A ban is in force when the kernel holds it; the store follows by [`Change`]s.

mod judge;
mod lists;
mod offenders;
mod score;
mod table;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use gateway_common::Reason;
use ipnet::IpNet;

use self::lists::{TooMuch, coverage};
pub(crate) use self::{
    judge::{Judge, Judgement, Sentence, Standing, Strike},
    lists::{
        Done, Header, ListError, Lists, Named, NamedList, NetSet, Reply, Unfit,
        is_name as is_list_name,
    },
    offenders::{Offender, Offenders},
    table::{Ban, BanTable},
};
use super::{
    address::{canonical_net, source},
    kernel::{BanSource, KernelBan, KernelError, PacketFilter},
    protect::{Protected, Protection},
    store::Change,
    surroundings::Surroundings,
};
use crate::{
    clock::Wall,
    config::model::{Bans, Capacity, Config, Coverage},
};

/// Expired bans and offences taken away in one go: the event loop has more to do.
const SWEEP: usize = 4096;

/// Why a ban was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BanError {
    #[error("{net} is not banned: {protected} is protected, because {why}")]
    Protected { net: IpNet, protected: IpNet, why: Protection },
    #[error(
        "{net} is not banned: the list holds {capacity} bans, as many as it can; remove some or raise dynamic in [kernel.capacity]"
    )]
    Full { net: IpNet, capacity: usize },
    #[error(
        "{net} is not banned: all bans by {by} would cover {percent} % of the {family} Internet, more than the {most} % of bans.coverage"
    )]
    TooMuch { net: IpNet, by: &'static str, family: &'static str, percent: u128, most: u32 },
    #[error("{net} is not banned: the time is zero")]
    NoTime { net: IpNet },
    #[error("{net} is not banned")]
    Kernel {
        net: IpNet,
        #[source]
        source: KernelError,
    },
}

impl BanError {
    /// A metric label.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Protected { .. } => "protected",
            Self::Full { .. } | Self::Kernel { source: KernelError::Full { .. }, .. } => "full",
            Self::TooMuch { .. } => "coverage",
            Self::NoTime { .. } => "no_time",
            Self::Kernel { .. } => "kernel",
        }
    }
}

/// Why a ban was not lifted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnbanError {
    #[error("{net} is not banned")]
    Unknown { net: IpNet },
    #[error("{net} has no ban of its own; it is covered by the one on {wide}: remove that one")]
    Covered { net: IpNet, wide: IpNet },
    #[error("lifting the ban on {net}")]
    Kernel {
        net: IpNet,
        #[source]
        source: KernelError,
    },
}

/// A ban that someone asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) net: IpNet,
    pub(crate) source: BanSource,
    pub(crate) reason: Reason,
    /// `None` for ever.
    pub(crate) ttl: Option<Duration>,
    pub(crate) note: Arc<str>,
}

/// What became of a wanted ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    New,
    Replaced,
    /// One at least as strong was there.
    Known,
}

/// What became of a strike.
#[derive(Debug)]
pub(crate) enum Struck {
    Judged(Judgement),
    Failed(BanError),
}

/// All bans.
#[derive(Debug)]
pub(crate) struct BanList {
    table: BanTable,
    judge: Judge,
    protected: Protected,
    capacity: usize,
    /// Of all bans of one source together.
    coverage: Coverage,
    changes: Vec<Change>,
    refused: BTreeMap<&'static str, u64>,
}

impl BanList {
    pub(crate) fn new(judge: Judge, protected: Protected, capacity: Capacity, bans: &Bans) -> Self {
        let both_families = 2 * u64::from(capacity.dynamic);
        Self {
            table: BanTable::default(),
            judge,
            protected,
            capacity: usize::try_from(both_families).unwrap_or(usize::MAX),
            coverage: bans.coverage,
            changes: Vec::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Takes the stored bans over, without those that are over or on addresses protected since.
    /// Returns the latter.
    pub(crate) fn restore(
        &mut self,
        stored: impl IntoIterator<Item = (IpNet, Ban)>,
        wall: Wall,
    ) -> Vec<BanError> {
        let mut refused = Vec::new();
        for (net, ban) in stored {
            if ban.expires.is_some_and(|expires| expires <= wall) {
                self.changes.push(Change::Ban(net, None));
                continue;
            }
            match self.permitted(net) {
                Ok(()) => self.table.put(net, ban),
                Err(why) => refused.push(why),
            }
        }
        refused
    }

    /// What the kernel has to hold at `wall`.
    pub(crate) fn kernel_bans(&self, wall: Wall) -> Vec<(IpNet, KernelBan)> {
        self.table.iter().map(|(net, ban)| (*net, kernel_ban(ban, ban.left(wall)))).collect()
    }

    /// Bans, unless the address is protected or a stronger ban stands.
    pub(crate) fn add(
        &mut self,
        kernel: &mut dyn PacketFilter,
        wanted: Wanted,
        wall: Wall,
    ) -> Result<Added, BanError> {
        let added = self.try_add(kernel, wanted, wall);
        if let Err(error) = &added {
            *self.refused.entry(error.name()).or_default() += 1;
        }
        added
    }

    /// Lifts the ban on exactly `net`, and forgets what it was for.
    pub(crate) fn remove(
        &mut self,
        kernel: &mut dyn PacketFilter,
        net: IpNet,
    ) -> Result<Ban, UnbanError> {
        let net = canonical_net(net);
        if self.table.get(net).is_none() {
            return Err(match self.table.covering(net) {
                Some((wide, _)) => UnbanError::Covered { net, wide },
                None => UnbanError::Unknown { net },
            });
        }
        kernel.remove_ban(net).map_err(|source| UnbanError::Kernel { net, source })?;
        self.judge.pardon(net);
        self.dropped(net).ok_or(UnbanError::Unknown { net })
    }

    /// Weighs a strike and bans if it is one too many.
    pub(crate) fn strike(
        &mut self,
        kernel: &mut dyn PacketFilter,
        strike: Strike,
        now: Instant,
        wall: Wall,
    ) -> Struck {
        let net = source(strike.source);
        let standing = Standing {
            protected: self.protected.covering(net).is_some(),
            banned: self.table.covering(net).is_some(),
        };
        let judged = self.judge.weigh(strike, standing, now, wall);
        let Judgement::Ban(sentence) = judged else { return Struck::Judged(judged) };
        let wanted = Wanted {
            net,
            source: BanSource::Strike,
            reason: sentence.reason,
            ttl: Some(sentence.ttl),
            note: "".into(),
        };
        match self.add(kernel, wanted, wall) {
            Ok(_) => {
                self.judge.sentenced(&sentence, wall);
                Struck::Judged(judged)
            }
            Err(error) => Struck::Failed(error),
        }
    }

    /// Takes away what is over, from kernel and store. Returns how many, and the first failure;
    /// what failed is tried again next time and drops nothing meanwhile.
    pub(crate) fn sweep(
        &mut self,
        kernel: &mut dyn PacketFilter,
        wall: Wall,
    ) -> (usize, Option<KernelError>) {
        let forget = self.judge.settings().forget;
        self.judge.offenders_mut().sweep(forget, wall, SWEEP);
        let (mut swept, mut failed) = (0, None);
        for net in self.table.expired(wall, SWEEP) {
            match kernel.remove_ban(net) {
                Ok(_) => swept += usize::from(self.dropped(net).is_some()),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        (swept, failed)
    }

    /// The clock was set: all stored times move with it.
    pub(crate) fn shift(&mut self, seconds: i64) {
        self.judge.offenders_mut().shift(seconds);
        for net in self.table.shift(seconds) {
            if let Some(ban) = self.table.get(net) {
                self.changes.push(Change::Ban(net, Some(ban.clone())));
            }
        }
    }

    /// A supplier has new addresses. Strike bans on them are lifted; others stay, because the
    /// proxy may not undo what it did not cause, and are returned.
    pub(crate) fn resolved(
        &mut self,
        kernel: &mut dyn PacketFilter,
        name: &str,
        addresses: &[IpAddr],
    ) -> Vec<IpNet> {
        let mut standing = Vec::new();
        for net in self.protected.resolved(name, addresses) {
            let Some((wide, ban)) = self.table.covering(net) else { continue };
            if ban.source != BanSource::Strike || self.remove(kernel, wide).is_err() {
                standing.push(wide);
            }
        }
        standing
    }

    /// What was seen around this machine. Strike bans on it are lifted, and returned first; others
    /// stay, because somebody ordered them, and are returned second.
    pub(crate) fn look_around(
        &mut self,
        kernel: &mut dyn PacketFilter,
        around: &Surroundings,
        now: Instant,
    ) -> (Vec<IpNet>, Vec<IpNet>) {
        let (mut lifted, mut standing) = (Vec::new(), Vec::new());
        for net in self.protected.seen(around, now) {
            let Some((wide, ban)) = self.table.covering(net) else { continue };
            if ban.source == BanSource::Strike && self.remove(kernel, wide).is_ok() {
                lifted.push(wide);
            } else {
                standing.push(wide);
            }
        }
        (lifted, standing)
    }

    /// What the store has to follow since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        let offenders = self.judge.offenders_mut().take_changes();
        changes.extend(offenders.into_iter().map(|(net, past)| Change::Offender(net, past)));
        changes
    }

    pub(crate) fn table(&self) -> &BanTable {
        &self.table
    }

    pub(crate) fn judge(&self) -> &Judge {
        &self.judge
    }

    pub(crate) fn judge_mut(&mut self) -> &mut Judge {
        &mut self.judge
    }

    pub(crate) fn protected(&self) -> &Protected {
        &self.protected
    }

    /// These are the management ranges now.
    pub(crate) fn protect_management(&mut self, nets: &[IpNet]) {
        self.protected.management(nets);
    }

    /// These are the listeners now.
    pub(crate) fn protect_listeners(&mut self, config: &Config) {
        self.protected.listeners(config);
    }

    /// Logins are protected for this long after they were seen last.
    pub(crate) fn remember_logins(&mut self, linger: Duration) {
        self.protected.remember_logins(linger);
    }

    /// This machine has these addresses now.
    pub(crate) fn protect_own(&mut self, own: &[IpAddr]) {
        self.protected.interfaces(own);
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many bans were refused, by why.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.refused.iter().map(|(why, count)| (*why, *count))
    }

    fn try_add(
        &mut self,
        kernel: &mut dyn PacketFilter,
        wanted: Wanted,
        wall: Wall,
    ) -> Result<Added, BanError> {
        let net = canonical_net(wanted.net);
        self.permitted(net)?;
        if wanted.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(BanError::NoTime { net });
        }
        self.within_coverage(net, wanted.source)?;
        let ban = Ban {
            source: wanted.source,
            reason: wanted.reason,
            since: wall,
            expires: wanted.ttl.map(|ttl| wall.plus(ttl)),
            note: wanted.note,
        };
        let present = self.table.get(net);
        if present.is_some_and(|present| stands_against(present, &ban)) {
            return Ok(Added::Known);
        }
        let added = if present.is_some() { Added::Replaced } else { self.room(net)? };
        kernel
            .put_ban(net, &kernel_ban(&ban, wanted.ttl))
            .map_err(|source| BanError::Kernel { net, source })?;
        self.changes.push(Change::Ban(net, Some(ban.clone())));
        self.table.put(net, ban);
        Ok(added)
    }

    fn permitted(&self, net: IpNet) -> Result<(), BanError> {
        match self.protected.covering(net) {
            Some((protected, why)) => Err(BanError::Protected { net, protected, why }),
            None => Ok(()),
        }
    }

    /// All bans of a source together, overlaps counted once. Not asked for a single host, whose
    /// share no list of this length can add up to much: a strike bans one in microseconds.
    fn within_coverage(&self, net: IpNet, source: BanSource) -> Result<(), BanError> {
        if is_host(net) {
            return Ok(());
        }
        let others = self.table.iter().filter(|(_, ban)| ban.source == source);
        let nets: Vec<IpNet> = others.map(|(net, _)| *net).chain([net]).collect();
        coverage(&NetSet::of(&nets), self.coverage).map_err(|TooMuch { family, percent, most }| {
            BanError::TooMuch { net, by: source.name(), family, percent, most }
        })
    }

    fn room(&self, net: IpNet) -> Result<Added, BanError> {
        let room = self.table.len() < self.capacity;
        room.then_some(Added::New).ok_or(BanError::Full { net, capacity: self.capacity })
    }

    fn dropped(&mut self, net: IpNet) -> Option<Ban> {
        let ban = self.table.remove(net)?;
        self.changes.push(Change::Ban(net, None));
        Some(ban)
    }
}

/// One address, or the network of one.
const fn is_host(net: IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() == 32,
        IpNet::V6(net) => net.prefix_len() >= 64,
    }
}

/// Whether `present` may not give way to `wanted`: the operator's word is only changed by the
/// operator, and no list or strike shortens a ban.
fn stands_against(present: &Ban, wanted: &Ban) -> bool {
    if wanted.source == BanSource::Cli {
        return false;
    }
    let lasts = match (present.expires, wanted.expires) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(present), Some(wanted)) => present >= wanted,
    };
    present.source == BanSource::Cli || lasts
}

fn kernel_ban(ban: &Ban, left: Option<Duration>) -> KernelBan {
    KernelBan { left, reason: ban.reason, source: ban.source }
}

#[cfg(test)]
mod tests;
