//! Percent coding of URLs, plain and with the `%uHHHH` that only some servers read.

use std::borrow::Cow;

use super::digits::{hex_pair, hex_quad, narrow, push_hex};

/// `%HH` and `+`; what is no valid code stays as it is.
pub(in crate::proxy::inspection) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    decode_by(value, true, |_| None)
}

/// `%HH` alone: outside of arguments a plus is a plus.
pub(in crate::proxy::inspection) fn unescape(value: &[u8]) -> Cow<'_, [u8]> {
    decode_by(value, false, |_| None)
}

/// A `%` without two hexadecimal digits behind it.
pub(in crate::proxy::inspection) fn is_broken(value: &[u8]) -> bool {
    memchr::memchr_iter(b'%', value).any(|at| {
        let digits = value.get(at + 1..at + 3).unwrap_or_default();
        digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit)
    })
}

/// The same, and `%uHHHH` by its low byte, full width forms as the ASCII they are read as.
pub(super) fn decode_unicode(value: &[u8]) -> Cow<'_, [u8]> {
    decode_by(value, true, |code| match code {
        [b'u' | b'U', digits @ ..] => hex_quad(digits).map(|code| (narrow(code), 5)),
        _ => None,
    })
}

/// `plus` is a blank; `other` reads further codes behind `%`: the byte and how long the code is.
fn decode_by(
    value: &[u8],
    plus: bool,
    other: impl Fn(&[u8]) -> Option<(u8, usize)>,
) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'%', b'+', value) else { return Cow::Borrowed(value) };
    let (before, mut rest) = value.split_at(first);
    let mut out = Vec::with_capacity(value.len());
    out.extend_from_slice(before);
    while let [byte, after @ ..] = rest {
        let plain = hex_pair(after).map(|byte| (byte, 2));
        let code = (*byte == b'%').then(|| plain.or_else(|| other(after))).flatten();
        let (decoded, length) =
            code.unwrap_or((if plus && *byte == b'+' { b' ' } else { *byte }, 0));
        out.push(decoded);
        rest = after.get(length..).unwrap_or_default();
    }
    Cow::Owned(out)
}

/// Everything but letters, digits and `*`; a blank is `+`.
pub(super) fn encode(value: &[u8]) -> Cow<'_, [u8]> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'*';
    if value.iter().all(|byte| plain(*byte)) {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len() * 3);
    for byte in value {
        match byte {
            b' ' => out.push(b'+'),
            byte if plain(*byte) => out.push(*byte),
            byte => {
                out.push(b'%');
                push_hex(&mut out, *byte);
            }
        }
    }
    Cow::Owned(out)
}
