//! What the command line and the guard say to each other over the control socket: one JSON
//! object a line in each direction, bounded, one answer a request.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::sampled::{Icmp, Portion, Query};

/// Bytes of one line, at most. Imports are sent in portions.
pub const LINE_BYTES: usize = 4 * 1024 * 1024;

/// Entries of one `ImportPart`, at most: adding them holds nobody up.
pub const IMPORT_PORTION: usize = 4_000;

/// Entries of one listing, but for several bans on one prefix: they fit a line even if all their
/// texts need escapes, and gathering them holds nobody up.
pub const LIST_PORTION: usize = 500;

/// Bytes of a note, at most.
pub const NOTE_BYTES: usize = 256;

/// A command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Status,
    BlockAdd {
        net: IpNet,
        ttl: Option<Duration>,
        note: String,
    },
    BlockRemove {
        net: IpNet,
    },
    /// The bans behind `after` in the order of `IpNet`; from the first if left out.
    BlockList {
        #[serde(default)]
        after: Option<IpNet>,
    },
    /// A list is to come, in parts; nothing of it is in force before its commit, and then all.
    ImportBegin {
        /// The list of this name is replaced.
        name: String,
        ttl: Option<Duration>,
        note: String,
        /// Leave out entries that may not be banned instead of refusing the list.
        skip_invalid: bool,
    },
    ImportPart {
        ticket: u64,
        nets: Vec<IpNet>,
    },
    ImportAbort {
        ticket: u64,
    },
    ImportCommit {
        ticket: u64,
    },
    ListRemove {
        name: String,
    },
    Lists,
    AllowAdd {
        net: IpNet,
        note: String,
    },
    AllowRemove {
        net: IpNet,
    },
    /// As for bans.
    AllowList {
        #[serde(default)]
        after: Option<IpNet>,
    },
    WhyAddress {
        address: IpAddr,
    },
    WhyRequest {
        id: String,
    },
    KeyNew {
        identity: String,
        client: String,
        ttl: Option<Duration>,
    },
    /// The keys behind the id `after`, in the order of ids.
    KeyList {
        #[serde(default)]
        after: Option<String>,
    },
    KeyRevoke {
        id: String,
    },
    /// Answered by one `Events`; to follow, by one after the other until either side hangs up.
    Events(Query),
    PanicPass,
    PanicRestore,
    PolicyShow,
    /// Puts the `[kernel]` of `text` on trial.
    PolicyApply {
        text: String,
        /// Where the text came from.
        origin: String,
        /// Without one as long as the present policy says.
        confirm: Option<Duration>,
    },
    PolicyConfirm,
    PolicyRollback,
    Reload,
    /// The running configuration.
    Configuration,
    /// Goes over to the program that the guard's file holds by then.
    Upgrade,
    /// Reads certificates, keys and lists of revoked ones again.
    Renew,
    /// Issue the certificate of this name anew.
    Issue {
        name: String,
    },
    /// All classes if none is named.
    Shadow {
        on: bool,
        classes: Vec<String>,
    },
    ShadowReset,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    Done {
        message: String,
    },
    /// What was refused, why, and what to do next.
    Refused {
        message: String,
    },
    Status(Box<Status>),
    /// A portion of the list, ordered. `more` if there are others behind the last one.
    Bans {
        bans: Vec<Ban>,
        #[serde(default)]
        more: bool,
    },
    /// What the parts of a list are sent with.
    Staged {
        ticket: u64,
    },
    /// A list is in force.
    Imported {
        given: u64,
        /// After merging.
        entries: usize,
        /// Left out.
        refused: Vec<RefusedEntry>,
        /// Further ones of these.
        untold: usize,
    },
    /// A list is not in force, because of these entries.
    Unfit {
        refused: Vec<RefusedEntry>,
        untold: usize,
    },
    Lists {
        lists: Vec<List>,
    },
    Allows {
        allows: Vec<Allow>,
        #[serde(default)]
        more: bool,
    },
    Events(Portion),
    Why(Box<Why>),
    /// The only time the key is seen.
    KeyCreated {
        id: String,
        key: String,
    },
    Keys {
        keys: Vec<Key>,
        #[serde(default)]
        more: bool,
    },
    Policy(Box<PolicyReport>),
    /// What runs, as it was read.
    Configuration {
        file: String,
        text: String,
    },
}

/// An entry of an import that was not taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedEntry {
    pub net: IpNet,
    pub why: String,
}

/// One ban.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ban {
    pub net: IpNet,
    /// Name of a `Reason`.
    pub reason: String,
    /// `cli`, `strike` or `import`.
    pub source: String,
    /// Wall-clock seconds.
    pub since: u64,
    /// Seconds left; `None` for ever.
    pub left: Option<u64>,
    /// Packets dropped by it.
    pub hits: u64,
    /// Seconds since the last of them; `None` if none was.
    #[serde(default)]
    pub last_seen: Option<u64>,
    /// Name of the list it is of; empty for a single ban.
    #[serde(default)]
    pub list: String,
    pub note: String,
}

/// One list of bans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List {
    pub name: String,
    pub source: String,
    /// Wall-clock seconds.
    pub since: u64,
    /// Seconds left; `None` for ever.
    pub left: Option<u64>,
    /// Entries it was given with.
    pub given: u64,
    /// Entries after merging.
    pub entries: u64,
    pub ipv4_addresses: u64,
    pub note: String,
}

/// One allowed prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allow {
    pub net: IpNet,
    pub since: u64,
    /// `cli` or the configuration key it came from.
    pub source: String,
    pub note: String,
}

/// One API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    pub id: String,
    pub identity: String,
    pub client: String,
    pub since: u64,
    /// Wall-clock seconds; `None` never.
    pub expires: Option<u64>,
    pub revoked: bool,
}

/// `gateway status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub guard_pid: u32,
    pub uptime_seconds: u64,
    /// When this guard started, on the clock that runs since the machine did. A guard that was
    /// upgraded has the process number of the one before, and another start.
    #[serde(default)]
    pub started_ns: u64,
    pub kernel: KernelStatus,
    #[serde(default)]
    pub configuration: ConfigurationStatus,
    #[serde(default)]
    pub policy: PolicyStatus,
    /// What no ban may touch and no configuration names.
    #[serde(default)]
    pub protected: Vec<ProtectedStatus>,
    pub proxy: ProxyStatus,
    pub bans: Usage,
    pub strikes: Usage,
    pub warnings: Vec<String>,
}

/// Which configuration runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    pub file: String,
    /// The beginning of its SHA-256.
    pub digest: String,
    /// How long it has been the running one.
    pub seconds: u64,
    /// How often another one was loaded since the guard started.
    pub reloads: u64,
    /// Whether a changed file is loaded by itself.
    pub watched: bool,
    /// The last one that was not loaded, if none was since.
    pub refused: Option<RefusedReload>,
}

/// A configuration that was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RefusedReload {
    pub seconds_ago: u64,
    pub why: String,
}

/// Which `[kernel]` holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// The configured file.
    pub file: String,
    /// Where the one confirmed last came from.
    pub origin: String,
    /// The beginning of the SHA-256 of its table.
    pub digest: String,
    /// True if the configured file has another.
    pub differs: bool,
    /// The one on trial, which is in force until it is over.
    pub trial: Option<TrialStatus>,
}

/// A policy on trial.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrialStatus {
    pub origin: String,
    pub digest: String,
    pub seconds_left: u64,
}

/// `gateway policy show`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyReport {
    pub status: PolicyStatus,
    /// TOML of the one confirmed last.
    pub confirmed: String,
    /// TOML of the one on trial.
    pub trial: Option<String>,
}

/// A prefix that is protected because of what the machine does just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedStatus {
    pub net: IpNet,
    pub why: String,
    /// Seconds it stays so if it is not seen again; `None` as long as it is there.
    pub left: Option<u64>,
}

/// The filter.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KernelStatus {
    pub enabled: bool,
    /// `enforce`, `shadow` or `panic pass`.
    pub mode: String,
    /// The slot of the policy in force, `A` or `B`.
    #[serde(default)]
    pub slot: String,
    /// Classes of reasons in shadow mode: what they would drop is counted and passes.
    #[serde(default)]
    pub shadow: Vec<String>,
    pub layout: String,
    pub pins: String,
    pub interfaces: Vec<InterfaceStatus>,
    pub maps: Vec<MapStatus>,
    pub counters: Vec<Counter>,
    pub memory_bytes: u64,
    /// Drop events the ring had no room for.
    pub events_lost: u64,
    #[serde(default)]
    pub syn_cookies: CookieStatus,
}

/// SYN cookies.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CookieStatus {
    /// `off`, `on`, `disabled`, or why there are none.
    pub state: String,
    /// The kernel's settings that they are made under.
    pub sysctls: Vec<SysctlStatus>,
    /// What went wrong last.
    pub problem: Option<String>,
}

/// One setting of the kernel.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SysctlStatus {
    pub name: String,
    pub value: u64,
    /// What it is put back to.
    pub was: Option<u64>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InterfaceStatus {
    pub name: String,
    /// `native`, `generic` or why it is not attached.
    pub attached: String,
    pub program_id: u32,
    /// `seen`, or why what this host sends by it is not: then answers to unconnected UDP sockets
    /// and to pings are taken for unasked.
    pub egress: String,
    /// Programs and filters of others that what this host sends meets before it is seen.
    #[serde(default)]
    pub before_egress: Vec<String>,
    /// Packets that came in by it, by reason.
    pub counters: Vec<Counter>,
}

/// One map.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MapStatus {
    pub name: String,
    pub used: u64,
    pub capacity: u64,
    pub bytes: u64,
}

/// Packets of one reason.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Counter {
    pub reason: String,
    pub packets: u64,
    pub bytes: u64,
    pub shadow_packets: u64,
}

/// The worker.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// `serving`, `starting`, `draining` or `down: why`.
    pub state: String,
    pub pid: u32,
    pub restarts: u64,
    /// What the proxy itself says (`Query::Status`).
    pub detail: Told,
}

/// What the proxy says, as JSON. The guard hands the text on unread: a proxy that was taken over
/// says what a stranger wants, and the guard holds every capability. The command line, which has
/// dropped its own by then, reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Told {
    /// Also what turned out to be no JSON.
    Unread(String),
    Read(serde_json::Value),
}

impl Default for Told {
    fn default() -> Self {
        Self::Read(serde_json::Value::Null)
    }
}

impl Told {
    /// Reads it, if it can be read. Nesting is bounded by the parser, length by the line.
    pub fn read(&mut self) {
        let Self::Unread(text) = self else { return };
        if let Ok(value) = serde_json::from_str(text) {
            *self = Self::Read(value);
        }
    }

    /// Whether there is nothing to show.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Read(serde_json::Value::Null))
    }
}

/// Used of total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub used: u64,
    pub capacity: u64,
    /// Turned away for want of room.
    pub refused: u64,
}

/// `gateway why`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Why {
    pub subject: String,
    /// One sentence a finding, the decisive one first.
    pub findings: Vec<String>,
    pub ban: Option<Ban>,
    /// Latest strikes, newest first.
    pub strikes: Vec<StrikeRecord>,
    /// Latest drops the kernel sampled, newest first.
    pub drops: Vec<DropRecord>,
    /// What the proxy remembers.
    pub proxy: Told,
}

/// One strike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StrikeRecord {
    pub reason: String,
    pub weight: u32,
    pub seconds_ago: u64,
}

/// One sampled drop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DropRecord {
    pub reason: String,
    pub protocol: u8,
    /// Where to, of TCP and UDP.
    #[serde(default)]
    pub destination_port: Option<u16>,
    #[serde(default)]
    pub icmp: Option<Icmp>,
    /// Counted and passed.
    #[serde(default)]
    pub shadow: bool,
    pub seconds_ago: u64,
}
