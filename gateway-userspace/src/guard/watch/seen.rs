//! A drop with the time and the name that people read, and how it is told.

use std::sync::Arc;

use crate::{
    guard::kernel::{DropEvent, Transport},
    sampled::{Bytes, Icmp, Ports, Sampled, to_hex},
};

/// One drop.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) event: DropEvent,
    /// Nanoseconds since 1970.
    pub(super) wall_ns: u64,
    pub(super) interface: Arc<str>,
}

impl Seen {
    /// Cut where the kernel says that headers end: nobody here reads what a stranger sent.
    pub(super) fn told(&self, bytes: Bytes) -> Sampled {
        let DropEvent { transport, ref snippet, .. } = self.event;
        let most = match bytes {
            Bytes::Nothing => 0,
            Bytes::Headers => usize::from(self.event.header_length),
            Bytes::Payload => usize::MAX,
        };
        Sampled {
            at_ns: self.wall_ns,
            reason: self.event.reason.name().to_owned(),
            shadow: self.event.shadow,
            interface: self.interface.as_ref().to_owned(),
            source: self.event.source,
            destination: self.event.destination,
            protocol: self.event.protocol,
            ports: ports(transport),
            icmp: icmp(transport),
            tcp_flags: tcp_flags(transport),
            ether_type: self.event.ether_type,
            frame_length: self.event.frame_length,
            header_length: self.event.header_length,
            bytes: to_hex(snippet.first(most)),
        }
    }
}

fn ports(transport: Transport) -> Option<Ports> {
    match transport {
        Transport::Tcp { source, destination, .. } | Transport::Udp { source, destination } => {
            Some(Ports { source, destination })
        }
        Transport::Icmp { .. } | Transport::Unknown => None,
    }
}

fn icmp(transport: Transport) -> Option<Icmp> {
    match transport {
        Transport::Icmp { kind, code } => Some(Icmp { kind, code }),
        Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Unknown => None,
    }
}

fn tcp_flags(transport: Transport) -> Option<u8> {
    match transport {
        Transport::Tcp { flags, .. } => Some(flags),
        Transport::Udp { .. } | Transport::Icmp { .. } | Transport::Unknown => None,
    }
}
