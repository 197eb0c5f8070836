//! How times, sizes and rates are written, in the file and on the command line.

use std::time::Duration;

/// The longest time anything is configured for.
const LONGEST: Duration = Duration::from_hours(24 * 3660);

/// Milliseconds of each unit of time.
const TIMES: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Why a written quantity is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("not a time; write a whole number and a unit: 250ms, 30s, 15m, 1h or 7d")]
    Time,
    #[error("longer than ten years; write a shorter time")]
    TooLong,
    #[error("not a size; write a whole number and a unit: 512B, 64KiB, 1MiB or 1GiB")]
    Size,
    #[error("not a rate; write a whole number above 0 and a unit of time: 50/s, 100/m or 10/h")]
    Rate,
}

/// `250ms`, `30s`, `15m`, `1h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let milliseconds = quantity(text, TIMES).ok_or(UnitError::Time)?;
    let duration = Duration::from_millis(milliseconds);
    if duration > LONGEST { Err(UnitError::TooLong) } else { Ok(duration) }
}

/// A time as [`duration`] reads it: in the largest unit that loses nothing.
pub fn write_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let whole = TIMES.iter().rev().find(|(_, size)| milliseconds.is_multiple_of(*size));
    match whole {
        Some((unit, size)) if milliseconds > 0 => format!("{}{unit}", milliseconds / size),
        Some(_) | None => "0s".to_owned(),
    }
}

/// `512B`, `64KiB`, `1MiB`, `1GiB`.
pub fn size(text: &str) -> Result<u64, UnitError> {
    quantity(text, SIZES).ok_or(UnitError::Size)
}

/// A size as [`size`] reads it.
pub fn write_size(bytes: u64) -> String {
    let whole = SIZES.iter().rev().find(|(_, size)| bytes.is_multiple_of(*size));
    match whole {
        Some((unit, size)) if bytes > 0 => format!("{}{unit}", bytes / size),
        Some(_) | None => "0B".to_owned(),
    }
}

/// `50/s`, `100/m`, `10/h`: a number and the time it is counted over.
pub fn rate(text: &str) -> Result<(u32, Duration), UnitError> {
    let (count, unit) = text.split_once('/').ok_or(UnitError::Rate)?;
    let count = digits(count).and_then(|count| u32::try_from(count).ok());
    let count = count.filter(|count| *count > 0).ok_or(UnitError::Rate)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(UnitError::Rate),
    };
    Ok((count, Duration::from_secs(seconds)))
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    digits(number)?.checked_mul(*scale)
}

/// Digits only: `str::parse` would also take a plus sign.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(168)));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(rate("100/m"), Ok((100, Duration::from_mins(1))));
    }

    #[test]
    fn refuses_what_could_be_misread() {
        for text in ["", "5", "s", "+5s", "-5s", "5 s", "1.5s", "5S", "5sec", "1h30m", "٣s"] {
            assert_eq!(duration(text), Err(UnitError::Time), "{text}");
        }
        for text in ["", "1", "1MB", "1mib", "1 MiB", "99999999999999999999B", "17179869184GiB"] {
            assert_eq!(size(text), Err(UnitError::Size), "{text}");
        }
        for text in ["", "/", "5", "0/s", "5/", "5/sec", "/s", "-1/s", "4294967296/s", "5/s/s"] {
            assert_eq!(rate(text), Err(UnitError::Rate), "{text}");
        }
        assert_eq!(duration("3661d"), Err(UnitError::TooLong));
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            drop((duration(&text), size(&text), rate(&text)));
        }

        #[test]
        fn durations_round_trip(milliseconds in 0..316_224_000_000_u64) {
            let time = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&write_duration(time)), Ok(time));
        }

        #[test]
        fn sizes_round_trip(bytes in any::<u64>()) {
            prop_assert_eq!(size(&write_size(bytes)), Ok(bytes));
        }
    }
}
