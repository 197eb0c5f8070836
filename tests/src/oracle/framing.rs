//! In which wrapping a packet came, and which reasons a wrapping can have.

use super::Numbers;

/// Tags and network header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Framing {
    /// VLAN tags read through.
    pub tags: u8,
    pub network: Network,
}

/// What stands behind the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    V4,
    V4Options,
    V4First,
    V4Later,
    /// Row 23.
    V4Unread,
    V6,
    /// With extension headers, none of them a fragment header.
    V6Extended,
    /// With a fragment header, but whole.
    V6Atomic,
    V6First,
    V6Later,
    /// Source in `::ffff:0:0/96`, whatever else.
    V6Mapped,
    /// Row 24.
    V6Unread,
    Arp,
    Encapsulated,
    Unknown,
    /// A third tag, or half of one.
    Tags,
    /// Not even an Ethernet header.
    Truncated,
}

impl Network {
    pub const ALL: [Self; 17] = [
        Self::V4,
        Self::V4Options,
        Self::V4First,
        Self::V4Later,
        Self::V4Unread,
        Self::V6,
        Self::V6Extended,
        Self::V6Atomic,
        Self::V6First,
        Self::V6Later,
        Self::V6Mapped,
        Self::V6Unread,
        Self::Arp,
        Self::Encapsulated,
        Self::Unknown,
        Self::Tags,
        Self::Truncated,
    ];

    pub const fn is_v4(self) -> bool {
        matches!(self, Self::V4 | Self::V4Options | Self::V4First | Self::V4Later | Self::V4Unread)
    }

    pub const fn is_v6(self) -> bool {
        matches!(
            self,
            Self::V6
                | Self::V6Extended
                | Self::V6Atomic
                | Self::V6First
                | Self::V6Later
                | Self::V6Mapped
                | Self::V6Unread
        )
    }

    /// The header was read, and so addresses and what follows them.
    const fn is_read(self) -> bool {
        self.has_source() && !matches!(self, Self::V4Unread | Self::V6Unread)
    }

    const fn has_source(self) -> bool {
        self.is_v4() || self.is_v6()
    }

    const fn is_later(self) -> bool {
        matches!(self, Self::V4Later | Self::V6Later)
    }

    const fn is_first(self) -> bool {
        matches!(self, Self::V4First | Self::V6First)
    }

    /// Meets a row whatever else it is, so that it never passes as the exception of a policy.
    const fn always_meets_a_row(self) -> bool {
        self.is_first() || self.is_later() || matches!(self, Self::V4Options | Self::V6Mapped)
    }
}

/// Reasons that no frame of these tests can have, and why.
pub const UNREACHABLE: [(u8, &str); 1] =
    [(20, "the kernel takes no test frame below 14 bytes: the parser's own tests have them")];

/// Why no packet of this wrapping can be counted under a reason; `None` if one can.
pub fn impossible(reason: u8, network: Network) -> Option<&'static str> {
    if network == Network::Truncated {
        return Some("no frame below 14 bytes reaches the program");
    }
    if let Some((_, why)) = UNREACHABLE.iter().find(|(number, _)| *number == reason) {
        return Some(why);
    }
    let lawful = match reason {
        3 => return None,
        2 | 31 => network == Network::Arp,
        21 => network == Network::Tags,
        22 => network == Network::Unknown,
        23 => network == Network::V4Unread,
        24 => network == Network::V6Unread,
        30 => network == Network::Encapsulated,
        1 | 4 | 10..=13 | 15 => return (!network.has_source()).then_some("has no source"),
        _ if !network.is_read() => return Some("has no IP header that was read"),
        _ => return impossible_when_read(reason, network),
    };
    (!lawful).then_some("is a finding of another framing")
}

const BEHIND_EXTENSIONS: &str = "has no extension header";
const NO_TRANSPORT: &str = "has no transport header";
const OTHER_VERSION: &str = "is of the other IP version";
const LOWER_ROW: &str = "always meets a row, under which it is counted when it passes";

fn impossible_when_read(reason: u8, network: Network) -> Option<&'static str> {
    let is_v6 = network.is_v6();
    let later = network.is_later().then_some(NO_TRANSPORT);
    match reason {
        // An IGMP report with its router alert has options and meets no row.
        0 if network == Network::V4Options => None,
        0 | 5..=8 if network.always_meets_a_row() => Some(LOWER_ROW),
        6 | 25 | 26 | 37 | 38 | 44 if !is_v6 => Some(OTHER_VERSION),
        25 | 26 | 38 if network == Network::V6 => Some(BEHIND_EXTENSIONS),
        25 | 26 if network.is_later() => Some("parsing ended at the fragment header"),
        27 => {
            (!network.is_later() && network != Network::V6Mapped).then_some("is no later fragment")
        }
        34 | 35 => (network == Network::V6Mapped).then_some("mapped addresses are row 32's alone"),
        36 if is_v6 => Some(OTHER_VERSION),
        36 => (network == Network::V4).then_some("has no options"),
        39 | 40 => has_fragment(reason, network),
        // In shadow mode every SYN that would be answered, or left to the stack, is counted under 50.
        14 | 16 | 28 | 37 | 42..=51 => later,
        52..=54 => (!matches!(network, Network::V4 | Network::V6))
            .then_some("is left to the stack as a SYN"),
        _ => None,
    }
}

/// A later fragment of IPv6 may follow a first one's header in the same chain; of IPv4 it cannot.
fn has_fragment(reason: u8, network: Network) -> Option<&'static str> {
    let lawful = matches!(
        network,
        Network::V4First | Network::V6First | Network::V6Later | Network::V6Mapped
    ) || (network == Network::V4Later && reason == 40);
    (!lawful).then_some("is no such fragment")
}

/// Every reason a packet can be counted under.
pub fn reasons() -> impl Iterator<Item = u8> {
    let numbers = Numbers::between(0, 8).0
        | Numbers::between(10, 16).0
        | Numbers::between(20, 28).0
        | Numbers::between(30, 40).0
        | Numbers::between(42, 54).0;
    (0..64).filter(move |number| Numbers(numbers).has(*number))
}
