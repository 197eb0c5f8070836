//! Base64: strict as `mbedtls` reads it, and forgiving, which skips whatever is no digit.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(super) fn encode(value: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(STANDARD.encode(value).into_bytes())
}

/// Strict: line ends and blanks before them are allowed, the padding is at the end, digits beyond
/// the last whole group fall away, a NUL byte ends it. What is not Base64 becomes nothing.
pub(super) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(
        digits_and_padding(value)
            .map(|(digits, pads)| whole_groups(&digits, pads))
            .unwrap_or_default(),
    )
}

/// The six-bit digits, and how many `=` follow them.
fn digits_and_padding(value: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut digits, mut pads, mut blanks) = (Vec::with_capacity(value.len()), 0, false);
    let end = memchr::memchr(0, value).unwrap_or(value.len());
    let mut rest = value.get(..end).unwrap_or_default();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, after) {
            (b' ', _) => blanks = true,
            (b'\r', [b'\n', beyond @ ..]) => (rest, blanks) = (beyond, false),
            (b'\n', _) => blanks = false,
            // A blank inside a line, a third pad or a digit behind a pad is no Base64.
            _ if blanks => return None,
            (b'=', _) if pads < 2 => pads += 1,
            (digit, _) if pads == 0 => digits.push(strict_digit(digit)?),
            _ => return None,
        }
    }
    Some((digits, pads))
}

fn whole_groups(digits: &[u8], pads: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (groups, tail) = digits.as_chunks::<4>();
    for [a, b, c, d] in groups {
        out.extend([a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
    }
    match (tail, pads) {
        ([a, b, c], 1..) => out.extend([a << 2 | b >> 4, b << 4 | c >> 2]),
        ([a, b], 2..) => out.push(a << 2 | b >> 4),
        _ => {}
    }
    out
}

fn strict_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Forgiving: both alphabets, anything else skipped, an unfinished group gives its whole bytes.
pub(super) fn decode_forgiving(value: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(value.len() / 4 * 3 + 2);
    let (mut count, mut carry) = (0_u8, 0_u8);
    let mut rest = value;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'=' && count == 1 && after.first() != Some(&b'=') {
            return Cow::Owned(Vec::new());
        }
        let Some(digit) = forgiving_digit(*byte) else { continue };
        match count {
            0 => carry = digit << 2,
            1 => {
                out.push(carry | digit >> 4);
                carry = digit << 4;
            }
            2 => {
                out.push(carry | digit >> 2);
                carry = digit << 6;
            }
            _ => out.push(carry | digit),
        }
        count = (count + 1) % 4;
    }
    Cow::Owned(out)
}

fn forgiving_digit(byte: u8) -> Option<u8> {
    match byte {
        b'-' => Some(62),
        b'_' => Some(63),
        _ => strict_digit(byte),
    }
}
