//! `[kernel.answers]`: pass or drop, a row each, by the name of its reason.

use gateway_common::Reason;

use super::model::Answer;

/// The answer to every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// Bit by number of a reason: set where the answer is to drop.
    drops: u64,
}

impl Answers {
    /// The rows that have an answer.
    pub const ROWS: [Reason; 26] = [
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
        Reason::UdpAmplification,
        Reason::LimitInserts,
    ];

    /// The same answer to every row.
    #[must_use]
    pub const fn all(answer: Answer) -> Self {
        let mut answers = Self { drops: 0 };
        let mut rows = Self::ROWS.as_slice();
        while let [row, rest @ ..] = rows {
            answers = answers.with(*row, answer);
            rows = rest;
        }
        answers
    }

    /// The answer to a row.
    #[must_use]
    pub const fn of(&self, row: Reason) -> Answer {
        if self.drops >> (row.number() & 63) & 1 == 1 { Answer::Drop } else { Answer::Pass }
    }

    /// The same with another answer to one row.
    #[must_use]
    pub const fn with(self, row: Reason, answer: Answer) -> Self {
        let bit = 1 << (row.number() & 63);
        match answer {
            Answer::Drop => Self { drops: self.drops | bit },
            Answer::Pass => Self { drops: self.drops & !bit },
        }
    }

    /// The rows that drop, as the kernel holds them.
    #[must_use]
    pub const fn drops(&self) -> u64 {
        self.drops
    }
}
