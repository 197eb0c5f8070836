//! UTF-8 spelled as `%uHHHH`, so that rules see code points where servers do.

use std::borrow::Cow;
use std::io::Write as _;

/// Overlong forms and surrogates are spelled and followed by their first byte; first bytes whose
/// continuation is missing fall away; NUL bytes fall away. That is v3's reading.
pub(super) fn utf8_to_unicode(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().all(|byte| byte.is_ascii() && *byte != 0) {
        return Cow::Borrowed(value);
    }
    let (mut out, mut rest) = (Vec::with_capacity(value.len() * 2), value);
    while let [first, after @ ..] = rest {
        rest = match sequence(*first, after) {
            Sequence::Plain => {
                out.extend(Some(*first).filter(|byte| *byte != 0));
                after
            }
            Sequence::Broken => {
                // v3 copies what can begin nothing at all.
                out.extend(Some(*first).filter(|byte| *byte >= 0xf5));
                after
            }
            Sequence::Code { code, length } => {
                spell(&mut out, *first, code, length);
                after.get(length - 1..).unwrap_or_default()
            }
        };
    }
    Cow::Owned(out)
}

enum Sequence {
    Plain,
    Broken,
    Code { code: u32, length: usize },
}

fn sequence(first: u8, after: &[u8]) -> Sequence {
    let (length, mask) = match first {
        0xc0..=0xdf => (2, 0x1f),
        0xe0..=0xef => (3, 0x0f),
        0xf0..=0xf7 => (4, 0x07),
        _ => return Sequence::Plain,
    };
    let continuing = after.iter().take(length - 1).take_while(|byte| *byte & 0xc0 == 0x80);
    let (count, code) = continuing.fold((1, u32::from(first & mask)), |(count, code), byte| {
        (count + 1, code << 6 | u32::from(byte & 0x3f))
    });
    if count == length { Sequence::Code { code, length } } else { Sequence::Broken }
}

fn spell(out: &mut Vec<u8>, first: u8, code: u32, length: usize) {
    if first >= 0xf5 {
        out.push(first);
    }
    // Writing to a vector cannot fail.
    write!(out, "%u{code:04x}").unwrap_or_default();
    if (0xd800..=0xdfff).contains(&code) {
        out.push(first);
    }
    let least = match length {
        2 => 0x80,
        3 => 0x800,
        _ => 0x1_0000,
    };
    if code < least {
        out.push(first);
    }
}
