//! Hexadecimal and octal digits, and the two transformations that are nothing else.

use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The value of one hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The byte that the first two of these spell, if both are hexadecimal digits.
pub(super) fn hex_pair(digits: &[u8]) -> Option<u8> {
    let (high, low) = (hex(*digits.first()?)?, hex(*digits.get(1)?)?);
    Some(high << 4 | low)
}

/// The code that the first four of these spell, if all are hexadecimal digits.
pub(super) fn hex_quad(digits: &[u8]) -> Option<[u8; 2]> {
    Some([hex_pair(digits)?, hex_pair(digits.get(2..)?)?])
}

/// Full width ASCII (U+FF01 to U+FF5E) as the ASCII it is read as; any other code by its low byte.
pub(super) fn narrow([high, low]: [u8; 2]) -> u8 {
    if high == 0xff && (0x01..0x5f).contains(&low) { low + 0x20 } else { low }
}

/// Up to three octal digits: how many, and their value.
pub(super) fn octal(digits: &[u8]) -> Option<(usize, u16)> {
    let count = digits.iter().take(3).take_while(|digit| matches!(digit, b'0'..=b'7')).count();
    let value =
        digits.iter().take(count).fold(0, |value, digit| value << 3 | u16::from(digit - b'0'));
    (count > 0).then_some((count, value))
}

/// Pairs of digits to bytes. A byte that is no digit counts as what C arithmetic makes of it, and
/// a lone last one falls away: so v3 does, and rules count on the length.
pub(super) fn hex_decode(value: &[u8]) -> Cow<'_, [u8]> {
    let loose = |digit: u8| match digit {
        b'A'.. => (digit & 0xdf).wrapping_sub(b'A').wrapping_add(10),
        _ => digit.wrapping_sub(b'0'),
    };
    let (pairs, _) = value.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| {
        loose(*high).wrapping_mul(16).wrapping_add(loose(*low)) //
    });
    Cow::Owned(bytes.collect())
}

pub(super) fn hex_encode(value: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(value.len() * 2);
    for byte in value {
        push_hex(&mut out, *byte);
    }
    Cow::Owned(out)
}

/// A byte as two lower case digits.
pub(super) fn push_hex(out: &mut Vec<u8>, byte: u8) {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
    out.extend([digit(byte >> 4), digit(byte & 0x0f)]);
}
