//! What the guard asks of the packet filter, and the twin that stands in with `--kernel off`.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use gateway_common::{Class, Reason, cover::is_hashed6};
use ipnet::IpNet;

use super::drops::DropEvent;
use crate::{config::model::Kernel, control::KernelStatus, ipc::message::ReasonCount};

/// A ban as the kernel holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelBan {
    /// Time left; `None` for ever.
    pub left: Option<Duration>,
    pub reason: Reason,
    pub source: BanSource,
}

/// Who asked for a ban. The number is in the map value and in the store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BanSource {
    Cli = 1,
    Import = 2,
    Strike = 3,
    Feed = 4,
}

impl BanSource {
    pub const fn number(self) -> u8 {
        self as u8
    }

    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Cli),
            2 => Some(Self::Import),
            3 => Some(Self::Strike),
            4 => Some(Self::Feed),
            _ => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Import => "import",
            Self::Strike => "strike",
            Self::Feed => "feed",
        }
    }
}

/// What a ban met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// Packets.
    pub hits: u64,
    /// How long ago the last of them came, to about a second; `None` if none ever did.
    pub last_seen: Option<Duration>,
}

/// A ban that the packets of an address meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    pub net: IpNet,
    /// Of a list, not a single ban.
    pub bulk: bool,
    pub record: Record,
}

/// One generation of bulk bans: each vector ordered by address and length, without doubles.
#[derive(Debug, Default)]
pub struct Bulk {
    pub v4: Vec<BulkBan<u32>>,
    pub v6: Vec<BulkBan<u128>>,
    /// What entries name by number: who asked, why, until when.
    pub kinds: Vec<KernelBan>,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BulkBan<A> {
    pub address: A,
    pub length: u8,
    /// Index in [`Bulk::kinds`].
    pub kind: u8,
}

impl Bulk {
    pub fn push4(&mut self, address: u32, length: u8, kind: u8) {
        self.v4.push(BulkBan { address, length, kind });
    }

    /// Entries of the IPv4 hash, the IPv6 hash and the IPv6 trie.
    pub fn counts(&self) -> (usize, usize, usize) {
        let tail = self.v6.iter().filter(|ban| !is_hashed6(ban.length)).count();
        (self.v4.len(), self.v6.len() - tail, tail)
    }

    pub fn push6(&mut self, address: u128, length: u8, kind: u8) {
        self.v6.push(BulkBan { address, length, kind });
    }
}

/// What became of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    pub entries: usize,
    /// Exactly this was in force already.
    pub kept: bool,
}

/// The bulk bans in the kernel, in the hands of one thread.
pub trait BulkFilter: Send + std::fmt::Debug {
    /// Puts exactly these in force, at one moment. On an error what was in force stays.
    fn replace(&mut self, wanted: Arc<Bulk>) -> Result<Loaded, KernelError>;
    /// Removes a portion of what is no longer in force; true if there may be more.
    fn clear_some(&mut self) -> Result<bool, KernelError>;
}

/// What went wrong between the guard and the kernel. Each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error(
        "map {map} is full at {capacity} entries; raise {key} in [kernel.capacity] or remove entries"
    )]
    Full { map: &'static str, capacity: u32, key: &'static str },
    #[error(
        "the lists come to {wanted} entries of map {map}, which has room for {capacity}; raise hosts or prefixes in [kernel.capacity], or take a list away"
    )]
    BulkFull { map: &'static str, wanted: usize, capacity: u32 },
    #[error(
        "{net} is too wide to ban: the shortest IPv4 prefix is /8, the shortest IPv6 prefix /16"
    )]
    TooWide { net: IpNet },
    #[error("loading the XDP program")]
    Load {
        #[source]
        source: Box<aya::EbpfError>,
    },
    #[error(
        "interface {name} does not exist; `ip link` lists those that do, kernel.interfaces names those to guard"
    )]
    NoInterface { name: String },
    #[error(
        "interface {name} already has XDP program {id} ({program}); detach it with `ip link set dev {name} xdp off`, or, where a link holds it, with `bpftool link detach id ID` (`bpftool link` lists them) or by removing the link's pin; or take {name} out of kernel.interfaces"
    )]
    Taken { name: String, id: u32, program: String },
    #[error("attaching XDP to {name}")]
    Attach {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not on a bpf file system; mount one with `mount -t bpf bpf /sys/fs/bpf`")]
    NoBpffs { path: PathBuf },
    #[error(
        "{path} is not a pin of ours ({why}); move it away or set kernel.pins to another folder"
    )]
    ForeignPin { path: PathBuf, why: String },
    #[error(
        "another gateway works with the pins in {path}; stop it, or give this one another folder in kernel.pins"
    )]
    PinsInUse { path: PathBuf },
    #[error(
        "the pins folder {path} was removed, so {name} is not filtered; restart gateway to attach again"
    )]
    PinsGone { path: PathBuf, name: String },
    #[error(
        "kernel.{key}: its burst must be {least} or more, two ticks of this kernel ({tick:?} each), or the rate would be cut"
    )]
    Burst { key: &'static str, least: u64, tick: Duration },
    #[error("no policy is on trial; `gateway policy show` tells which one holds")]
    NoTrial,
    #[error(
        "the time to confirm is over and the policy before is in force again; `gateway policy apply` tries once more"
    )]
    TrialOver,
    #[error("the packet filter is off: it has no policy; start without `--kernel off`")]
    IsOff,
    #[error("the kernel {release} is too old: 5.15 is the oldest supported")]
    TooOld { release: String },
    #[error("{doing}")]
    Map {
        doing: String,
        #[source]
        source: Box<aya::maps::MapError>,
    },
    #[error("{doing}")]
    System {
        doing: String,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "CAP_SYS_ADMIN and CAP_NET_ADMIN are needed; run as root, or without the kernel part: `gateway run --kernel off`"
    )]
    NotPermitted,
}

/// Wider bans and allows are taken for a slip of the finger: a /7 is 33 million addresses.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// Refuses a ban of half the world. Also without a kernel: what is stored must be restorable with
/// one.
pub(super) fn check_width(net: IpNet) -> Result<(), KernelError> {
    if is_too_wide(net) { Err(KernelError::TooWide { net }) } else { Ok(()) }
}

/// Whether a prefix covers more than any one ban or allow may.
pub(crate) fn is_too_wide(net: IpNet) -> bool {
    let widest = match net {
        IpNet::V4(_) => WIDEST_V4,
        IpNet::V6(_) => WIDEST_V6,
    };
    net.prefix_len() < widest
}

/// Drops since the filter was loaded that nobody is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Untold {
    /// The ring had no room.
    pub lost: u64,
    /// As many as `kernel.events` were sampled in that second already.
    pub unsampled: u64,
}

/// What a reconciliation changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    pub added: usize,
    pub removed: usize,
    pub kept: usize,
}

/// What the operator ordered about shadow mode, against or beside the policy: bits by number of
/// reason, none in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShadowOrders {
    /// Counted and passed, whatever the policy says.
    pub shadow: u64,
    /// Dropped, whatever the policy says.
    pub enforce: u64,
}

impl ShadowOrders {
    /// These, or none if nobody can have given them: they were read from a damaged map.
    pub(super) fn sound(self) -> Self {
        let known = Class::ALL.iter().fold(0, |bits, class| bits | class.bits());
        let sound = self.shadow & self.enforce == 0 && (self.shadow | self.enforce) & !known == 0;
        if sound { self } else { Self::default() }
    }
}

/// The packet filter. Changes hold when the call returns.
pub trait PacketFilter {
    /// Adds or replaces a ban.
    fn put_ban(&mut self, net: IpNet, ban: &KernelBan) -> Result<(), KernelError>;
    /// Removes a ban; `false` if there was none.
    fn remove_ban(&mut self, net: IpNet) -> Result<bool, KernelError>;
    /// What the single ban on exactly `net` met; nothing if there is none.
    fn ban_record(&self, net: IpNet) -> Result<Record, KernelError>;
    /// Packets dropped by the ban on exactly `net`.
    fn ban_hits(&self, net: IpNet) -> Result<u64, KernelError> {
        Ok(self.ban_record(net)?.hits)
    }
    /// The same of the bulk bans in force.
    fn bulk_record(&self, net: IpNet) -> Result<Record, KernelError>;
    /// Every ban that covers an address, the longest first, single ones before those of lists.
    fn met_by(&self, address: IpAddr) -> Result<Vec<Met>, KernelError>;
    /// The bulk bans, for the one thread that loads them.
    fn bulk(&self) -> Box<dyn BulkFilter>;
    fn put_allow(&mut self, net: IpNet) -> Result<(), KernelError>;
    fn remove_allow(&mut self, net: IpNet) -> Result<bool, KernelError>;
    /// Makes the maps hold exactly these, adding before removing, in bulk. Hits of kept bans stay.
    fn reconcile(
        &mut self,
        bans: &[(IpNet, KernelBan)],
        allows: &[IpNet],
    ) -> Result<Reconciled, KernelError>;
    /// Attaches to the interfaces or takes over the links pinned there. Called after `reconcile`.
    fn attach(&mut self) -> Result<(), KernelError>;
    /// Attaches to interfaces that were made anew since, with no filter on them.
    fn tend(&mut self) -> Result<(), KernelError> {
        Ok(())
    }
    /// Everything passes (`true`), or back to the rules.
    fn set_panic(&mut self, pass: bool) -> Result<(), KernelError>;
    /// Whether SYNs are being answered with cookies.
    fn are_cookies_on(&self) -> Result<bool, KernelError> {
        Ok(false)
    }
    /// What the answers to SYNs offer from now on: with a scale, timestamps and what they carry.
    fn offer(&mut self, _scale: Option<u8>) -> Result<(), KernelError> {
        Ok(())
    }
    /// The addresses SYNs are answered for.
    fn answer_for(&mut self, _own: &[IpAddr]) -> Result<(), KernelError> {
        Ok(())
    }
    /// What this kernel lacks for SYN cookies.
    fn lacks_for_cookies(&self) -> Option<&str> {
        None
    }
    /// Puts the policy of `config` in force for `time`; if it is not confirmed by then, the kernel
    /// itself goes back to the one before.
    fn try_policy(&mut self, config: &Kernel, time: Duration) -> Result<(), KernelError>;
    /// Makes the policy on trial, that of `config`, the one that holds.
    fn confirm_policy(&mut self, config: &Kernel) -> Result<(), KernelError>;
    /// Goes back to the policy before the trial, or notes that the kernel has.
    fn roll_back_policy(&mut self) -> Result<(), KernelError>;
    /// What is left of the trial: nothing is left when it is over and the kernel has gone back;
    /// `None` when none is on.
    fn trial_left(&self) -> Result<Option<Duration>, KernelError>;
    /// Replaces the operator's orders about shadow mode.
    fn order_shadow(&mut self, orders: ShadowOrders) -> Result<(), KernelError>;
    fn shadow_orders(&self) -> ShadowOrders;
    /// What is only counted now that would be dropped else, as bits by reason.
    fn in_shadow(&self) -> Result<u64, KernelError> {
        Ok(0)
    }
    /// Whether what this host sends by each interface is seen.
    fn sight(&self) -> Vec<(String, bool)> {
        Vec::new()
    }
    fn counters(&self) -> Result<Vec<ReasonCount>, KernelError>;
    /// The same for each interface by name.
    fn interface_counters(&self) -> Result<Vec<(String, Vec<ReasonCount>)>, KernelError> {
        Ok(Vec::new())
    }
    /// Drops that were not sampled, or got lost on the way up.
    fn untold(&self) -> Result<Untold, KernelError> {
        Ok(Untold::default())
    }
    fn status(&self) -> KernelStatus;
    /// Readable when drop events wait; `None` without a kernel.
    fn events_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>>;
    /// The next waiting drop event.
    fn next_event(&mut self) -> Option<DropEvent>;
}

/// No kernel: bans are kept by the guard alone and enforce nothing at the NIC.
#[derive(Debug, Default)]
pub struct Off;

impl PacketFilter for Off {
    fn put_ban(&mut self, net: IpNet, _ban: &KernelBan) -> Result<(), KernelError> {
        check_width(net)
    }

    fn remove_ban(&mut self, _net: IpNet) -> Result<bool, KernelError> {
        Ok(true)
    }

    fn ban_record(&self, _net: IpNet) -> Result<Record, KernelError> {
        Ok(Record::default())
    }

    fn bulk_record(&self, _net: IpNet) -> Result<Record, KernelError> {
        Ok(Record::default())
    }

    fn met_by(&self, _address: IpAddr) -> Result<Vec<Met>, KernelError> {
        Ok(Vec::new())
    }

    fn bulk(&self) -> Box<dyn BulkFilter> {
        Box::new(Off)
    }

    fn put_allow(&mut self, _net: IpNet) -> Result<(), KernelError> {
        Ok(())
    }

    fn remove_allow(&mut self, _net: IpNet) -> Result<bool, KernelError> {
        Ok(true)
    }

    fn reconcile(
        &mut self,
        bans: &[(IpNet, KernelBan)],
        _allows: &[IpNet],
    ) -> Result<Reconciled, KernelError> {
        Ok(Reconciled { kept: bans.len(), ..Reconciled::default() })
    }

    fn attach(&mut self) -> Result<(), KernelError> {
        Ok(())
    }

    fn set_panic(&mut self, _pass: bool) -> Result<(), KernelError> {
        Ok(())
    }

    fn try_policy(&mut self, _config: &Kernel, _time: Duration) -> Result<(), KernelError> {
        Err(KernelError::IsOff)
    }

    fn confirm_policy(&mut self, _config: &Kernel) -> Result<(), KernelError> {
        Err(KernelError::IsOff)
    }

    fn roll_back_policy(&mut self) -> Result<(), KernelError> {
        Err(KernelError::IsOff)
    }

    fn trial_left(&self) -> Result<Option<Duration>, KernelError> {
        Ok(None)
    }

    fn order_shadow(&mut self, _orders: ShadowOrders) -> Result<(), KernelError> {
        Err(KernelError::IsOff)
    }

    fn shadow_orders(&self) -> ShadowOrders {
        ShadowOrders::default()
    }

    fn counters(&self) -> Result<Vec<ReasonCount>, KernelError> {
        Ok(Vec::new())
    }

    fn status(&self) -> KernelStatus {
        KernelStatus { mode: "off".to_owned(), ..KernelStatus::default() }
    }

    fn events_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn next_event(&mut self) -> Option<DropEvent> {
        None
    }
}

impl BulkFilter for Off {
    fn replace(&mut self, wanted: Arc<Bulk>) -> Result<Loaded, KernelError> {
        Ok(Loaded { entries: wanted.v4.len() + wanted.v6.len(), kept: false })
    }

    fn clear_some(&mut self) -> Result<bool, KernelError> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ban_is_stored_that_a_kernel_would_refuse_later() {
        let ban = KernelBan { left: None, reason: Reason::Operator, source: BanSource::Cli };
        for (net, taken) in
            [("0.0.0.0/0", false), ("10.0.0.0/8", true), ("2000::/3", false), ("2001::/16", true)]
        {
            assert_eq!(Off.put_ban(net.parse().unwrap(), &ban).is_ok(), taken, "{net}");
        }
    }
}
