//! What a world is about, and by which way its policy came into force.

use super::dice::Dice;

/// What a world is about. Those with a limit used up need a filter of their own: what a limit
/// remembers outlives a change of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Plain,
    Panic,
    AllowOver,
    /// The limit of this reason is used up.
    Limited(u8),
    /// SYNs are answered with cookies; perhaps no more of them are granted.
    Cookies {
        capped: bool,
    },
}

/// The limit that guards the exact table.
const INSERTS: u8 = 13;

impl Theme {
    const ORDER: [Self; 20] = [
        Self::Plain,
        Self::Limited(12),
        Self::Plain,
        Self::AllowOver,
        Self::Cookies { capped: false },
        Self::Plain,
        Self::Limited(14),
        Self::Plain,
        Self::Panic,
        Self::Plain,
        Self::Limited(INSERTS),
        Self::Plain,
        Self::Limited(15),
        Self::Plain,
        Self::Cookies { capped: true },
        Self::Plain,
        Self::Limited(16),
        Self::Plain,
        Self::Cookies { capped: false },
        Self::Plain,
    ];

    /// After so many they begin anew.
    pub(super) const TURNS: usize = Self::ORDER.len();

    pub(super) fn of(number: usize) -> Self {
        Self::ORDER.get(number % Self::TURNS).copied().unwrap_or(Self::Plain)
    }

    /// Whether such worlds are for packets counted under a reason.
    pub(super) const fn is_about(self, reason: u8) -> bool {
        match self {
            Self::Panic => reason == 3,
            Self::AllowOver => reason == 4,
            Self::Limited(limited) => reason == limited,
            Self::Cookies { capped: true } => reason == 54,
            Self::Cookies { capped: false } => matches!(reason, 50..=53),
            Self::Plain => !matches!(reason, 3 | 4 | 12..=16 | 50..=54),
        }
    }

    pub(super) const fn uses_up(self) -> bool {
        !matches!(self, Self::Plain | Self::Panic)
    }

    /// The guard of the exact table opens again with the clock.
    pub(super) const fn is_guarded(self) -> bool {
        matches!(self, Self::Limited(INSERTS))
    }
}

/// How the policy of a world came into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Course {
    #[default]
    Confirmed,
    /// It is on trial still.
    OnTrial,
    /// Its opposite was on trial, and the deadline is over.
    Lapsed,
    /// Its opposite was on trial, and was taken back.
    RolledBack,
}

impl Course {
    pub(super) fn draw(theme: Theme, dice: &mut Dice) -> Self {
        if theme.is_guarded() {
            return Self::Confirmed;
        }
        dice.pick(&[Self::Confirmed, Self::OnTrial, Self::Lapsed, Self::RolledBack])
    }
}
