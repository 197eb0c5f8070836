//! HTML entities: numbers by their low byte, and the five names that v3 knows.

use std::borrow::Cow;

pub(super) fn entities(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'&', value) else { return Cow::Borrowed(value) };
    let (before, mut rest) = value.split_at(first);
    let mut out = before.to_vec();
    while let [byte, after @ ..] = rest {
        if *byte == b'&'
            && let Some((decoded, length)) = entity(after)
        {
            out.push(decoded);
            let beyond = after.get(length..).unwrap_or_default();
            rest = beyond.strip_prefix(b";").unwrap_or(beyond);
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    Cow::Owned(out)
}

/// What stands behind `&`: the byte it means, and its length without the semicolon.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16).map(|(byte, len)| (byte, len + 2)),
        [b'#', digits @ ..] => number(digits, 10).map(|(byte, len)| (byte, len + 1)),
        _ => named(text),
    }
}

/// `strtol` cut to a byte: past what a C `long` holds it stays at the largest, whose low byte is ff.
fn number(digits: &[u8], base: u8) -> Option<(u8, usize)> {
    let value = |byte: &u8| char::from(*byte).to_digit(u32::from(base));
    let length = digits.iter().take_while(|byte| value(byte).is_some()).count();
    let sum = digits.iter().map_while(value).fold(0_i64, |sum, digit| {
        sum.saturating_mul(i64::from(base)).saturating_add(i64::from(digit))
    });
    let [.., low] = sum.to_be_bytes();
    (length > 0).then_some((low, length))
}

fn named(text: &[u8]) -> Option<(u8, usize)> {
    const NAMES: [(&[u8], u8); 5] =
        [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xa0)];
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = text.get(..length)?;
    let meant = NAMES.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
    Some((meant.1, length))
}
