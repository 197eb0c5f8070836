//! The messages. One message is one `SOCK_SEQPACKET` datagram: a version byte, then postcard.
//!
//! # A proxy that was just started (descriptor 3)
//!
//! ```text
//! proxy  Hello { pid, make: all zero }
//! guard  Welcome { make }
//! guard  Configuration { digest }            + sealed memory file
//! guard  Listener { address, role, worker }  + socket, one message a socket
//! guard  Secret { path }                     + open file, one message a path
//! guard  AccessLog                           + open file; left out where `log.access` is off
//! guard  Time { ahead }
//! guard  Keys { reset: true, .. }, then Keys { reset: false, .. } while `more` follow
//! guard  Start
//! proxy  Serving                             when every worker accepts
//! ```
//!
//! # A serving proxy whose guard is gone (connects to `<guard.run>/worker.sock`)
//!
//! They meet in the messages of `handover`, which are the same in every version:
//!
//! ```text
//! proxy  Hello { ipc, pid, make: what it was made of last }
//! guard  Welcome { ipc }
//! proxy  Holding { address, role }           + socket; of one address in the order of workers
//! proxy  Done
//! guard  Adopt                               where version and make are the guard's own:
//! guard  Time, Keys { reset: true, .. } ...  from here on in these messages
//! guard  Drain                               else, as soon as another proxy serves from the
//!                                            sockets that were handed over
//! ```
//!
//! After `Serving` both send what they have, in any order. A proxy that gets a frame of another
//! version drains by itself.
//!
//! # Another configuration for a serving proxy
//!
//! ```text
//! guard  Reload { id, make }
//! guard  Configuration, Listener ..., Secret ...   as at a start; all sockets, also those it has
//! guard  Apply { id }
//! proxy  Applied { id }                      when every worker goes by it
//! proxy  NotApplied { id, why, fresh }       everything is as it was
//! ```

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Raised with any change of a message. Of different versions only `handover` is understood.
pub const VERSION: u8 = 7;

/// Bytes of one frame, at most. Longer things travel as descriptors or in several messages.
pub const FRAME_BYTES: usize = 64 * 1024;

/// Descriptors of one frame, at most.
pub const FRAME_DESCRIPTORS: usize = 8;

/// What the proxy says. It asks; the guard decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromProxy {
    /// First message of a connection.
    Hello { pid: u32, make: Make },
    /// All sockets are accepted from.
    Serving,
    /// A refusal of a source that completed a handshake. `at_ns` is `CLOCK_MONOTONIC`.
    Strike { source: IpAddr, reason: u16, at_ns: u64, behind_proxy: bool },
    /// `source` authenticated a moment ago.
    Trust { source: IpAddr },
    /// The addresses behind the host of a supplier's target, replacing the last set. The guard protects them.
    Resolved { name: String, addresses: Vec<IpAddr> },
    /// Asks for the kernel's counters.
    KernelCounters { id: u64 },
    /// The answer to `Renew`: what was not taken, and why. All else is in use, unless there is `more`.
    Renewed { id: u64, refused: Vec<RefusedFile>, more: bool },
    /// The answer to `Query`: JSON, cut to fit a frame.
    Answer { id: u64, json: String },
    /// The configuration of `Reload` is what requests are served by.
    Applied { id: u64 },
    /// It is not, and nothing has changed. `fresh`: a proxy that starts with it could serve.
    NotApplied { id: u64, why: String, fresh: bool },
    /// Something for the state folder, to be read by the next proxy. Said again until it is answered.
    Keep { id: u64, what: Kept, content: Vec<u8> },
}

/// What the guard says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromGuard {
    /// Answers `Hello`, with what a proxy of this guard is made of.
    Welcome { make: Make },
    /// With one descriptor: a sealed memory file of the configuration text.
    Configuration { digest: [u8; 32] },
    /// With one descriptor: a listening socket. `worker` says whose it is.
    Listener { address: SocketAddr, role: ListenerRole, worker: u16 },
    /// With one descriptor: an open certificate, key or authority file, by its configured path. A
    /// serving proxy keeps it until `Renew`.
    Secret { path: String },
    /// Certificates, keys and lists have new contents, which came before. Those that could not be
    /// opened are named.
    Renew { id: u64, unreadable: Vec<RefusedFile> },
    /// With one descriptor: where access log lines go.
    AccessLog,
    /// How many seconds the guard's wall clock is ahead of `CLOCK_MONOTONIC`: what keys expire by.
    /// The system's own wall clock may have lost its time, or be set at any moment.
    Time { ahead: i64 },
    /// API keys. `reset` begins a list that replaces those known before; they hold until its last
    /// message, the one without `more`.
    Keys { reset: bool, more: bool, keys: Vec<ApiKey> },
    /// Everything is there: accept.
    Start,
    /// What the kernel counted, and what the guard knows of its own work.
    KernelCounters { id: u64, report: KernelReport },
    /// The answer to `Keep`: why it is not kept, if it is not.
    KeptAs { id: u64, fault: Option<String> },
    /// An operator wants the certificate of this name issued anew, now.
    Issue { name: String },
    /// A question of the command line about the proxy's state.
    Query { id: u64, query: Query },
    /// Another configuration follows, for this very process.
    Reload { id: u64, make: Make },
    /// All of it is there: serve by it, or say why not.
    Apply { id: u64 },
    /// Take no new connection, finish those open, exit. `succeeded`: another proxy accepts from the
    /// same sockets, so that nobody has to hurry.
    Drain { succeeded: bool },
}

/// What a proxy is made of, as SHA-256; part of `handover`, so never changed. One that is made of something else than the guard would
/// make it of, be it only a renewed certificate, is replaced and not adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Make {
    /// The program's file.
    pub program: [u8; 32],
    /// The configuration's text.
    pub configuration: [u8; 32],
    /// Authorities and certificates that suppliers are spoken to with, and their paths.
    pub files: [u8; 32],
}

/// What the guard keeps for its proxies without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// The account with the authority that issues certificates, and what was tried when.
    Account,
    /// The key and the chain of a name.
    Certificate(String),
    /// The last good keys of an identity's issuer.
    Keys(String),
}

/// A file that is not taken, and why; the last good one stays in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedFile {
    pub path: String,
    pub why: String,
}

/// What a listening socket is for. Part of `handover`: new ones go behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerRole {
    Public,
    Metrics,
    /// Without TLS: HTTP-01 and the way to https.
    Plain,
}

/// An API key as the proxy knows it: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The part of the key that names it, shown in listings and logs.
    pub id: String,
    /// SHA-256 of the whole key; a key is 256 random bits, so a fast hash is enough.
    pub hash: [u8; 32],
    pub identity: String,
    pub client: String,
    /// Wall-clock seconds; 0 never.
    pub expires: u64,
    pub revoked: bool,
}

/// Counters for a scrape.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KernelReport {
    /// One entry a packet reason that counted anything.
    pub reasons: Vec<ReasonCount>,
    /// The same for each interface that is filtered, by name.
    pub interfaces: Vec<(String, Vec<ReasonCount>)>,
    /// Gauges and counters of the guard by metric name (without prefix) and one label.
    pub guard: Vec<GuardMetric>,
}

/// Packets and bytes of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    pub reason: u16,
    pub packets: u64,
    pub bytes: u64,
    /// Would have been dropped, in shadow mode.
    pub shadow_packets: u64,
}

/// One number of the guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardMetric {
    /// A name of the table in `guard::status`, such as `bans` or `ban_refusals_total`.
    pub name: String,
    /// Label value, or empty.
    pub label: String,
    pub value: u64,
}

/// What the command line may ask a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Listeners, suppliers and their health, connections, requests in flight.
    Status,
    /// The last refusals of an address.
    WhyAddress(IpAddr),
    /// One request by its id.
    WhyRequest(String),
}
