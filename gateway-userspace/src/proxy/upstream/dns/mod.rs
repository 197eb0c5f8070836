//! Names to addresses, with their times to live: a stub resolver (RFC 1034 5.3.1) on connected
//! sockets, because the sandbox forbids `bind` and the C library tells no TTL. `system` says whom
//! to ask, `resolver` what and in which order, `server` asks, `message` reads, `record` remembers.

mod message;
mod record;
mod resolver;
mod route;
mod server;
mod system;

#[cfg(test)]
mod tests;

pub(super) use self::{record::Record, resolver::Resolver};

/// Why a name server gave no answer that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("no name server is known")]
    NoServer,
    #[error("no name server answered in time")]
    Timeout,
    #[error("the name server cannot be reached")]
    Unreachable,
    #[error("the name server failed (SERVFAIL)")]
    ServerFailed,
    #[error("the name server refused to answer")]
    Refused,
    #[error("the name server answered with code {0}")]
    Code(u8),
    #[error("the name server's answer cannot be read")]
    Malformed,
    #[error("the name is an alias of too many others")]
    Chain,
    #[error("this is no name that DNS can carry")]
    Name,
}
