//! Backslash escapes: of JavaScript, of CSS and of ANSI C.

use std::borrow::Cow;

use super::cleaning::is_space;
use super::digits::{hex, hex_pair, hex_quad, narrow, octal};

/// An escape read: what it means, and how many bytes behind the backslash it takes.
type Escape = (Option<u8>, usize);

pub(super) fn js_decode(value: &[u8]) -> Cow<'_, [u8]> {
    // A backslash at the very end stays.
    unescape(value, js_escape, Some(b'\\'))
}

pub(super) fn css_decode(value: &[u8]) -> Cow<'_, [u8]> {
    unescape(value, css_escape, None)
}

pub(super) fn escape_sequences(value: &[u8]) -> Cow<'_, [u8]> {
    unescape(value, c_escape, Some(b'\\'))
}

/// `lone` is what a backslash becomes that has nothing behind it.
fn unescape(value: &[u8], read: fn(u8, &[u8]) -> Escape, lone: Option<u8>) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', value) else { return Cow::Borrowed(value) };
    let (before, mut rest) = value.split_at(first);
    let mut out = Vec::with_capacity(value.len());
    out.extend_from_slice(before);
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, after.first()) {
            (b'\\', Some(kind)) => {
                let (decoded, length) = read(*kind, after);
                out.extend(decoded);
                rest = after.get(length..).unwrap_or_default();
            }
            (b'\\', None) => out.extend(lone),
            (plain, _) => out.push(plain),
        }
    }
    Cow::Owned(out)
}

/// `\uHHHH`, `\xHH`, octal up to one byte, the letters, and any other byte for itself.
fn js_escape(kind: u8, text: &[u8]) -> Escape {
    let digits = text.get(1..).unwrap_or_default();
    let coded = match kind {
        b'u' => hex_quad(digits).map(|code| (narrow(code), 5)),
        b'x' => hex_pair(digits).map(|byte| (byte, 3)),
        // Three digits above \377 are two and a plain one.
        _ => octal(text).map(|(length, value)| match u8::try_from(value) {
            Ok(byte) => (byte, length),
            Err(_) => (low(value >> 3), length - 1),
        }),
    };
    let (byte, length) = coded.unwrap_or_else(|| (letter(kind).unwrap_or(kind), 1));
    (Some(byte), length)
}

/// `\xHH`, octal cut to a byte, the letters, and any other byte for itself.
fn c_escape(kind: u8, text: &[u8]) -> Escape {
    let coded = match kind {
        b'x' | b'X' => hex_pair(text.get(1..).unwrap_or_default()).map(|byte| (byte, 3)),
        _ => octal(text).map(|(length, value)| (low(value), length)),
    };
    let (byte, length) = coded.unwrap_or_else(|| (letter(kind).unwrap_or(kind), 1));
    (Some(byte), length)
}

/// Up to six hexadecimal digits by their low byte and one white space behind them; a line break
/// that is nothing; any other byte for itself.
fn css_escape(kind: u8, text: &[u8]) -> Escape {
    let count = text.iter().take(6).take_while(|byte| hex(**byte).is_some()).count();
    let (digits, behind) = text.split_at(count.min(text.len()));
    if digits.is_empty() {
        return ((kind != b'\n').then_some(kind), 1);
    }
    let space = behind.first().is_some_and(|byte| is_space(*byte));
    (Some(css_code(digits)), count + usize::from(space))
}

fn css_code(digits: &[u8]) -> u8 {
    let code = digits.iter().filter_map(|digit| hex(*digit));
    let code = code.fold(0_u32, |code, digit| code << 4 | u32::from(digit));
    let [above, beyond, high, low] = code.to_be_bytes();
    // Full width only if written with four digits or more, and nothing above them.
    match (above, beyond) {
        (0, 0) => narrow([high, low]),
        _ => low,
    }
}

fn letter(kind: u8) -> Option<u8> {
    match kind {
        b'a' => Some(0x07),
        b'b' => Some(0x08),
        b'f' => Some(0x0c),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(0x0b),
        _ => None,
    }
}

fn low(value: u16) -> u8 {
    let [_, low] = value.to_be_bytes();
    low
}
