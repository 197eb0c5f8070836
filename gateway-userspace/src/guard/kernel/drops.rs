//! One sampled drop, as it came up from the kernel: fields of fixed size, and bytes that nobody
//! here reads.

use std::{fmt, net::IpAddr};

use gateway_common::{
    Reason,
    event::{self, Event, SNIPPET},
    packet::protocol,
};

/// One sampled drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropEvent {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub at_ns: u64,
    pub reason: Reason,
    /// Counted and passed, in shadow mode.
    pub shadow: bool,
    /// Index of the interface it came in by.
    pub interface: u32,
    /// `None` where it could not be read.
    pub source: Option<IpAddr>,
    pub destination: Option<IpAddr>,
    /// IP protocol of the payload; zero where it could not be read.
    pub protocol: u8,
    pub transport: Transport,
    /// Type behind the VLAN tags.
    pub ether_type: u16,
    /// Bytes of the frame.
    pub frame_length: u32,
    /// Where the headers end.
    pub header_length: u16,
    pub snippet: Snippet,
}

/// What the header behind IP says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// There is none that could be read.
    Unknown,
    Tcp {
        source: u16,
        destination: u16,
        flags: u8,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
}

/// The frame's first bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Snippet {
    bytes: [u8; SNIPPET],
    length: usize,
}

impl Snippet {
    /// As many of `bytes` as there is room for.
    pub fn new(bytes: &[u8]) -> Self {
        let mut snippet = Self { bytes: [0; SNIPPET], length: bytes.len().min(SNIPPET) };
        for (to, from) in snippet.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        snippet
    }

    /// As many as there are, and no more than `most`.
    pub fn first(&self, most: usize) -> &[u8] {
        self.bytes.get(..self.length.min(most)).unwrap_or_default()
    }
}

/// Never the bytes: what is logged shows nobody's payload.
impl fmt::Debug for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

impl Transport {
    /// Whether a port is one of its two.
    pub fn has_port(self, port: u16) -> bool {
        match self {
            Self::Tcp { source, destination, .. } | Self::Udp { source, destination } => {
                source == port || destination == port
            }
            Self::Icmp { .. } | Self::Unknown => false,
        }
    }

    fn of(event: &Event) -> Self {
        if event.flags & event::TRANSPORT == 0 {
            return Self::Unknown;
        }
        let (source, destination) = (event.source_port, event.destination_port);
        match event.protocol {
            protocol::TCP => Self::Tcp { source, destination, flags: event.tcp_flags },
            protocol::UDP => Self::Udp { source, destination },
            protocol::ICMP | protocol::ICMPV6 => {
                let [kind, code] = destination.to_be_bytes();
                Self::Icmp { kind, code }
            }
            _ => Self::Unknown,
        }
    }
}

impl DropEvent {
    /// `None` for a reason that this version does not know.
    pub(super) fn of(event: &Event) -> Option<Self> {
        Some(Self {
            at_ns: event.at_ns,
            reason: Reason::from_number(event.reason)?,
            shadow: event.flags & event::SHADOW != 0,
            interface: event.interface,
            source: address(event.family, event.source),
            destination: address(event.version, event.destination),
            protocol: event.protocol,
            transport: Transport::of(event),
            ether_type: event.ether_type,
            frame_length: event.frame_length,
            header_length: event.header_length,
            snippet: Snippet::new(event.bytes()),
        })
    }
}

fn address(version: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, ..] = bytes;
    match version {
        4 => Some(IpAddr::from([a, b, c, d])),
        6 => Some(IpAddr::from(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            reason: Reason::BanHost.number(),
            source: [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            destination: [0xfd; 16],
            family: 4,
            version: 6,
            protocol: 58,
            destination_port: 0x8000,
            flags: event::TRANSPORT | event::SHADOW,
            captured: 3,
            snippet: [[0x55; 4]; 32],
            ..Event::EMPTY
        }
    }

    #[test]
    fn icmp_has_a_type_and_no_port() {
        let drop = DropEvent::of(&event()).unwrap();
        assert_eq!(drop.transport, Transport::Icmp { kind: 128, code: 0 });
        assert!(!drop.transport.has_port(0x8000));
        assert_eq!(drop.source, Some([192, 0, 2, 1].into()), "mapped into IPv6");
        assert_eq!(drop.destination, Some([0xfd; 16].into()));
        assert!(drop.shadow);
    }

    #[test]
    fn what_was_not_read_is_not_told() {
        let unread = Event { family: 0, version: 0, flags: 0, protocol: 6, ..event() };
        let drop = DropEvent::of(&unread).unwrap();
        assert_eq!((drop.source, drop.destination), (None, None));
        assert_eq!(drop.transport, Transport::Unknown);
        assert_eq!(DropEvent::of(&Event { reason: 9999, ..unread }), None);
    }

    #[test]
    fn a_log_shows_no_byte_of_it() {
        let drop = DropEvent::of(&event()).unwrap();
        assert_eq!(drop.snippet.first(2), [0x55; 2]);
        assert_eq!(drop.snippet.first(200), [0x55; 3]);
        assert_eq!(format!("{:?}", drop.snippet), "3 bytes");
    }
}
