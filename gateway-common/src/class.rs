//! Classes of packet reasons: what shadow mode is switched by.

use crate::reason::{PACKET_REASONS, Reason};

/// Reasons of one kind. What a class in shadow mode would drop is counted and passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Banned sources.
    Bans,
    /// Rates: of hosts, of neighbourhoods, of allowed sources.
    Limits,
    /// What `[kernel.answers]` has a row for.
    Malformed,
    /// Ports and protocols that are not served.
    Policy,
    /// What is refused while SYNs are answered with cookies.
    Syns,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] =
        [Self::Bans, Self::Limits, Self::Malformed, Self::Policy, Self::Syns];

    /// The word for it in the configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bans => "bans",
            Self::Limits => "limits",
            Self::Malformed => "malformed",
            Self::Policy => "policy",
            Self::Syns => "syns",
        }
    }

    /// The class of a reason that packets are dropped for.
    pub const fn of(reason: Reason) -> Option<Self> {
        Self::of_number(reason.number())
    }

    /// The bits of its reasons, by their numbers.
    pub fn bits(self) -> u64 {
        let numbers = (0..64).filter(|number| Self::of_number(*number) == Some(self));
        numbers.fold(0, |bits, number| bits | 1 << number)
    }

    /// The numbers are in groups.
    const fn of_number(number: u16) -> Option<Self> {
        match number {
            10 | 11 => Some(Self::Bans),
            4 | 12..=19 => Some(Self::Limits),
            20..=46 => Some(Self::Malformed),
            47..=49 => Some(Self::Policy),
            50..=59 => Some(Self::Syns),
            _ => None,
        }
    }
}

const _: () = assert!(PACKET_REASONS == 64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plane;

    /// Numbers below 10 are of packets that pass, but for the limit of allowed sources.
    #[test]
    fn every_reason_to_drop_a_packet_has_a_class_and_no_other_has() {
        for reason in Reason::ALL {
            let drops = reason.info().plane == Plane::Packet
                && (reason.number() >= 10 || *reason == Reason::AllowLimit);
            assert_eq!(Class::of(*reason).is_some(), drops, "{reason}");
        }
    }

    #[test]
    fn classes_share_no_bit() {
        let all = Class::ALL.iter().fold(0, |bits, class| {
            assert_eq!(bits & class.bits(), 0, "{class:?}");
            bits | class.bits()
        });
        assert_eq!(all & (1 << Reason::Passed.number()), 0);
        assert_ne!(all & (1 << Reason::BanHost.number()), 0);
    }
}
