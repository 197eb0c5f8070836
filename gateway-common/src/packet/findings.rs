//! The rows a packet meets: a bit for each, by the number of its reason, so that what is asked of
//! all of them at once is one instruction.

use crate::Reason;

/// A set of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings(u64);

/// Every row, in the order in which one is named if several apply.
pub const ROWS: [Reason; 25] = [
    Reason::Arp,
    Reason::EthernetTruncated,
    Reason::VlanDepth,
    Reason::EtherTypeUnknown,
    Reason::Ipv4Malformed,
    Reason::Ipv6Malformed,
    Reason::ExtensionDepth,
    Reason::ExtensionMalformed,
    Reason::LaterFragment,
    Reason::TransportMalformed,
    Reason::Encapsulated,
    Reason::ArpMalformed,
    Reason::MartianSource,
    Reason::Land,
    Reason::PrivateSource,
    Reason::ReservedSource,
    Reason::Ipv4Options,
    Reason::ExtensionUnknown,
    Reason::RoutingHeader,
    Reason::FirstFragment,
    Reason::FragmentInvalid,
    Reason::TcpFlags,
    Reason::PortZero,
    Reason::NeighbourInvalid,
    Reason::EchoRequest,
];

impl Findings {
    /// No row.
    pub const NONE: Self = Self(0);

    /// Behind these the protocol or its header is not known.
    pub const BLIND: Self = Self::of(Reason::Arp)
        .and(Reason::EthernetTruncated)
        .and(Reason::VlanDepth)
        .and(Reason::EtherTypeUnknown)
        .and(Reason::Ipv4Malformed)
        .and(Reason::Ipv6Malformed)
        .and(Reason::ExtensionDepth)
        .and(Reason::ExtensionMalformed)
        .and(Reason::LaterFragment)
        .and(Reason::TransportMalformed)
        .and(Reason::Encapsulated)
        .and(Reason::ArpMalformed);

    /// Looked for only where they drop.
    pub const OPT_IN: Self =
        Self::of(Reason::PrivateSource).and(Reason::ReservedSource).and(Reason::EchoRequest);

    /// One row.
    #[inline(always)]
    pub const fn of(row: Reason) -> Self {
        Self(bit(row))
    }

    /// This row too.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, row: Reason) -> Self {
        Self(self.0 | bit(row))
    }

    /// Adds a row the packet meets.
    #[inline(always)]
    pub const fn meet(&mut self, row: Reason) {
        self.0 |= bit(row);
    }

    /// Adds a row if the packet meets it.
    #[inline(always)]
    pub const fn meet_if(&mut self, met: bool, row: Reason) {
        self.0 |= (met as u64) << row.number();
    }

    /// Adds what is in `other`.
    #[inline(always)]
    pub const fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The rows whose bits are set in `mask`.
    #[inline(always)]
    #[must_use]
    pub const fn within(self, mask: u64) -> Self {
        Self(self.0 & mask)
    }

    /// The bits.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// True without any row.
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if the row is among them.
    #[inline(always)]
    pub const fn has(self, row: Reason) -> bool {
        self.0 & bit(row) != 0
    }

    /// True if any row of `others` is among them.
    #[inline(always)]
    pub const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// The row with the lowest number.
    #[inline(always)]
    pub fn first(self) -> Option<Reason> {
        ROWS.into_iter().find(|row| self.has(*row))
    }
}

#[inline(always)]
const fn bit(row: Reason) -> u64 {
    1 << (row.number() & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_is_named() {
        assert_eq!(Findings::NONE.first(), None);
        for pair in ROWS.windows(2) {
            assert!(pair[0].number() < pair[1].number());
            let both = Findings::of(pair[1]).and(pair[0]);
            assert_eq!(both.first(), Some(pair[0]));
        }
    }

    #[test]
    fn a_mask_leaves_what_it_names() {
        let both = Findings::of(Reason::Land).and(Reason::TcpFlags);
        let one = both.within(1 << Reason::TcpFlags.number());
        assert_eq!(one.first(), Some(Reason::TcpFlags));
        assert!(!one.meets(Findings::of(Reason::Land)));
        assert!(both.within(0).is_empty());
    }
}
