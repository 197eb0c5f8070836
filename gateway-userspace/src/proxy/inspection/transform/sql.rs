//! Hexadecimal strings of SQL: `0x414243` is `ABC`.

use std::borrow::Cow;

use super::digits::hex_pair;

/// The byte behind a decoded run is copied unread, as v3 does.
pub(super) fn hex_decode(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'x', b'X', value) else { return Cow::Borrowed(value) };
    let mut out = Vec::with_capacity(value.len());
    let (before, mut rest) = value.split_at(first.saturating_sub(1));
    out.extend_from_slice(before);
    while let [byte, after @ ..] = rest {
        rest = after;
        match rest {
            [b'x' | b'X', digits @ ..] if *byte == b'0' && hex_pair(digits).is_some() => {
                rest = digits;
                while let Some(decoded) = hex_pair(rest) {
                    out.push(decoded);
                    rest = rest.get(2..).unwrap_or_default();
                }
                out.extend(rest.first());
                rest = rest.get(1..).unwrap_or_default();
            }
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}
