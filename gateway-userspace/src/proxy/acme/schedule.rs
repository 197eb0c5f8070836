//! When to renew, and when to try again. Pure: the time comes in.

use std::time::Duration;

use aws_lc_rs::rand;

use crate::clock::Wall;

/// After a first failure. The hour's five failed validations that a large authority allows a name
/// are not used up by four times as long after each.
const FIRST: u64 = 60;
const LONGEST: u64 = 6 * 60 * 60;

/// From the begin of a certificate to its renewal, whatever the authority suggests.
const SOONEST: u64 = 2 * 60 * 60;

/// As long as an authority may ask us to stay away.
pub(super) const AWAY: Duration = Duration::from_hours(7 * 24);

/// Between two questions for renewal information (RFC 9773 section 4.3), whatever is asked.
const OFTEN: Duration = Duration::from_mins(1);
const SELDOM: Duration = Duration::from_hours(24);

/// From 0 to below `most`, evenly but for what no one could tell.
pub(super) fn random(most: u64) -> u64 {
    let mut bytes = [0; 8];
    if rand::fill(&mut bytes).is_err() {
        // Everybody would renew at once, which is no reason not to renew.
        tracing::warn!("there is no randomness to spread renewals by");
    }
    u64::from_le_bytes(bytes).checked_rem(most).unwrap_or(0)
}

/// Without a word of the authority: at two thirds of the life, give or take a thirtieth, so that a
/// fleet that was set up together does not stay together. `dice` is evenly from `u64`.
pub(super) fn by_life(from: Wall, until: Wall, dice: u64) -> Wall {
    let life = until.0.saturating_sub(from.0);
    let earliest = from.0.saturating_add(life / 3 * 2).saturating_sub(life / 30);
    Wall(earliest.saturating_add(dice.checked_rem(life / 15).unwrap_or(0)))
}

/// A moment of the window that the authority suggests (RFC 9773 section 4.2). Within what is
/// reasonable: it neither lets a certificate end nor has it issued again and again.
pub(super) fn by_window(
    (start, end): (i64, i64),
    (from, until): (Wall, Wall),
    dice: u64,
) -> Option<Wall> {
    let (start, end) = (u64::try_from(start).ok()?, u64::try_from(end).ok()?);
    let wide = end.checked_sub(start).filter(|wide| *wide > 0)?;
    let life = until.0.saturating_sub(from.0);
    let (earliest, latest) = (from.0 + (life / 20).min(SOONEST), until.0 - life / 6);
    let at = start.saturating_add(dice.checked_rem(wide).unwrap_or(0));
    Some(Wall(at.clamp(earliest, latest)))
}

/// When to ask again for renewal information.
pub(super) fn ask_again(now: Wall, retry_after: Duration) -> Wall {
    now.plus(retry_after.clamp(OFTEN, SELDOM))
}

/// When to try again after so many failures: later each time, a fifth more or less, and not before
/// the authority allows.
pub(super) fn try_again(now: Wall, failures: u32, away: Option<Duration>, dice: u64) -> Wall {
    let power = failures.saturating_sub(1).min(8);
    let wait = FIRST.saturating_mul(4_u64.saturating_pow(power)).min(LONGEST);
    let jitter = dice.checked_rem(wait / 5 * 2).unwrap_or(0);
    let wait = wait - wait / 5 + jitter;
    let away = away.map_or(0, |away| away.min(AWAY).as_secs());
    Wall(now.0.saturating_add(wait.max(away)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;
    const DICE: [u64; 4] = [0, 1, u64::MAX / 2, u64::MAX];

    #[test]
    fn a_certificate_is_renewed_around_two_thirds_of_its_life() {
        for dice in DICE {
            let at = by_life(Wall(0), Wall(90 * DAY), dice).0;
            assert!((57 * DAY..=63 * DAY).contains(&at), "{at}");
        }
        // Of no life at all.
        assert_eq!(by_life(Wall(7), Wall(7), 9), Wall(7));
    }

    #[test]
    fn the_authoritys_window_holds_unless_it_is_none() {
        let life = (Wall(0), Wall(1200));
        for dice in DICE {
            let at = by_window((500, 600), life, dice).unwrap();
            assert!((500..600).contains(&at.0), "{at:?}");
        }
        assert_eq!(by_window((600, 500), life, 3), None);
        assert_eq!(by_window((-5, 500), life, 3), None);
        // One that would let it end, and one that would have it issued for ever.
        assert_eq!(by_window((5000, 6000), life, 3), Some(Wall(1000)));
        assert_eq!(by_window((0, 1), life, 3), Some(Wall(60)));
    }

    #[test]
    fn failures_are_tried_again_later_each_time_and_not_before_it_is_allowed() {
        let mut before = 0;
        for failures in 1..5 {
            let least = try_again(Wall(0), failures, None, 0).0;
            assert!(least > before, "{failures}");
            before = try_again(Wall(0), failures, None, u64::MAX).0.max(least);
        }
        for dice in DICE {
            assert!(try_again(Wall(0), u32::MAX, None, dice).0 <= LONGEST / 5 * 6);
        }
        let away = try_again(Wall(5), 1, Some(Duration::from_hours(3)), 0);
        assert_eq!(away, Wall(5 + 3 * 3600));
        let forever = try_again(Wall(0), 1, Some(Duration::MAX), 0);
        assert_eq!(forever, Wall(AWAY.as_secs()));
    }
}
