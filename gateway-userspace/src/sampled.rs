//! What the command line asks of sampled drops, and what the guard tells of them: `gateway events`
//! over the control socket.

use std::net::IpAddr;

use gateway_common::{Class, Reason};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Drops that the guard remembers, of all sources together.
pub const LATEST: usize = 1024;

/// Which drops, and how much of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    pub filter: Filter,
    /// So many of those that were, at most.
    pub latest: usize,
    /// And those to come, until somebody hangs up.
    pub follow: bool,
    pub bytes: Bytes,
}

/// All that are set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Names; any if there is none.
    pub reasons: Vec<String>,
    pub source: Option<IpNet>,
    /// Source or destination, of TCP or UDP.
    pub port: Option<u16>,
    pub interface: Option<String>,
}

/// What is told of the frame itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bytes {
    #[default]
    Nothing,
    /// Up to the end of its headers.
    Headers,
    /// As much as was sampled.
    Payload,
}

/// A line of drops.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Portion {
    /// In the order in which they came.
    pub drops: Vec<Sampled>,
    /// Drops that this reader was too slow for, since it began.
    pub lost: u64,
}

/// One sampled drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    /// Nanoseconds since 1970 on the wall clock.
    pub at_ns: u64,
    /// Name of a [`Reason`].
    pub reason: String,
    /// Counted and passed.
    pub shadow: bool,
    /// Its name, or its index if it has none any longer.
    pub interface: String,
    /// What could not be read is left out, here and below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<IpAddr>,
    /// By its number; zero where it could not be read.
    pub protocol: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Ports>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Icmp>,
    /// As they stand in the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_flags: Option<u8>,
    pub ether_type: u16,
    pub frame_length: u32,
    pub header_length: u16,
    /// The frame's first bytes, in hexadecimal, as asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bytes: String,
}

/// Of TCP and UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    pub source: u16,
    pub destination: u16,
}

/// Of ICMP and `ICMPv6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
}

/// The reasons that packets are dropped for.
pub fn reasons() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| Class::of(*reason).is_some())
}

/// Two digits a byte.
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// `None` if it is no such text.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_hexadecimal() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        for wrong in ["0", "0g", "é", " 1"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
