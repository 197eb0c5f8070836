//! How names of suppliers are found.

use std::{net::SocketAddr, time::Duration};

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Whom to ask; empty are those of `/etc/resolv.conf`, with its search list.
    pub servers: Vec<SocketAddr>,
    /// Domains in which a name is searched.
    pub search: Vec<String>,
    /// For one question to one server.
    pub timeout: Duration,
    /// Times every server is asked.
    pub attempts: u32,
    /// Bounds on times to live.
    pub ttl_min: Duration,
    pub ttl_max: Duration,
    /// How long it may be taken for granted that a name is not there.
    pub negative_max: Duration,
    /// How long addresses stay in use after their time, while no server answers.
    pub stale: Duration,
}
