//! The reading of HTTP/1.1 requests that comes before hyper's: which bytes are a head, whether it
//! can be read in one way only, and where its body ends (RFC 9112, RFC 9110). It reads strictly
//! and changes nothing: what it lets through, hyper reads alike; what it does not, hyper never sees.

pub mod chunked;
mod field;
mod grammar;
pub mod head;
pub mod stream;
mod target;

#[cfg(test)]
mod tests;

use std::fmt;

use gateway_common::Reason;

pub(crate) use self::field::check;

/// How much of a head, or of trailers, there may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub bytes: usize,
    pub fields: usize,
}

/// Why a request has no single reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    /// For operators only.
    pub detail: &'static str,
}

impl Fault {
    pub(crate) const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)
    }
}

impl std::error::Error for Fault {}
