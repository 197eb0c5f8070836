//! `[kernel.answers]`: pass or drop, a row each, by the name of its reason.

use gateway_common::{Reason, packet::ROWS};

use super::model::Answer;

/// The answer to every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// Bit by number of a reason: set where the answer is to drop.
    drops: u64,
}

impl Answers {
    /// The rows that have an answer: those of the parser but for sound ARP, which always passes,
    /// and what policy and limits ask.
    pub fn rows() -> impl Iterator<Item = Reason> {
        let found = ROWS.into_iter().filter(|row| *row != Reason::Arp);
        found.chain([Reason::UdpAmplification, Reason::LimitInserts])
    }

    /// The same answer to every row.
    #[must_use]
    pub fn all(answer: Answer) -> Self {
        Self::rows().fold(Self { drops: 0 }, |answers, row| answers.with(row, answer))
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
