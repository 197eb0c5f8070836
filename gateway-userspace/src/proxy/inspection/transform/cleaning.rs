//! Byte by byte: case, white space, NUL bytes, parity bits.

use std::borrow::Cow;

/// What C's `isspace` takes for white space; unlike Rust's, it knows the vertical tab.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

pub(super) fn lowercase(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(value.to_ascii_lowercase())
    } else {
        Cow::Borrowed(value)
    }
}

pub(super) fn uppercase(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().any(u8::is_ascii_lowercase) {
        Cow::Owned(value.to_ascii_uppercase())
    } else {
        Cow::Borrowed(value)
    }
}

/// Every run of white space as one blank.
pub(super) fn compress_whitespace(value: &[u8]) -> Cow<'_, [u8]> {
    let runs = |pair: &[u8]| matches!(pair, [a, b] if is_space(*a) && is_space(*b));
    let strange = |byte: &u8| *byte != b' ' && is_space(*byte);
    if !value.windows(2).any(runs) && !value.iter().any(strange) {
        return Cow::Borrowed(value);
    }
    let (mut out, mut inside) = (Vec::with_capacity(value.len()), false);
    for byte in value {
        let space = is_space(*byte);
        if !(space && inside) {
            out.push(if space { b' ' } else { *byte });
        }
        inside = space;
    }
    Cow::Owned(out)
}

/// Also the no-break space of Latin-1, which no other operation takes for white space.
pub(super) fn remove_whitespace(value: &[u8]) -> Cow<'_, [u8]> {
    without(value, |byte| is_space(byte) || byte == 0xa0)
}

pub(super) fn remove_nulls(value: &[u8]) -> Cow<'_, [u8]> {
    without(value, |byte| byte == 0)
}

pub(super) fn replace_nulls(value: &[u8]) -> Cow<'_, [u8]> {
    each(value, |byte| if byte == 0 { b' ' } else { byte })
}

pub(super) fn trim(value: &[u8]) -> Cow<'_, [u8]> {
    match trim_left(value) {
        Cow::Borrowed(left) => trim_right(left),
        Cow::Owned(left) => Cow::Owned(left),
    }
}

pub(super) fn trim_left(value: &[u8]) -> Cow<'_, [u8]> {
    let blanks = value.iter().take_while(|byte| is_space(**byte)).count();
    Cow::Borrowed(value.get(blanks..).unwrap_or_default())
}

pub(super) fn trim_right(value: &[u8]) -> Cow<'_, [u8]> {
    let blanks = value.iter().rev().take_while(|byte| is_space(**byte)).count();
    Cow::Borrowed(value.get(..value.len() - blanks).unwrap_or_default())
}

/// The eighth bit set so that the number of ones is even, judged by all eight as they came.
pub(super) fn parity_even(value: &[u8]) -> Cow<'_, [u8]> {
    each(value, |byte| if byte.count_ones() % 2 == 1 { byte | 0x80 } else { byte & 0x7f })
}

pub(super) fn parity_odd(value: &[u8]) -> Cow<'_, [u8]> {
    each(value, |byte| if byte.count_ones() % 2 == 0 { byte | 0x80 } else { byte & 0x7f })
}

pub(super) fn parity_zero(value: &[u8]) -> Cow<'_, [u8]> {
    each(value, |byte| byte & 0x7f)
}

fn each(value: &[u8], change: impl Fn(u8) -> u8) -> Cow<'_, [u8]> {
    if value.iter().any(|byte| change(*byte) != *byte) {
        Cow::Owned(value.iter().map(|byte| change(*byte)).collect())
    } else {
        Cow::Borrowed(value)
    }
}

fn without(value: &[u8], unwanted: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    if value.iter().any(|byte| unwanted(*byte)) {
        Cow::Owned(value.iter().copied().filter(|byte| !unwanted(*byte)).collect())
    } else {
        Cow::Borrowed(value)
    }
}
