//! Takes card numbers and credentials out of what a stranger sent, and makes the rest printable.
//!
//! Stops: 13 to 19 digits that pass the check digit (ISO/IEC 7812-1), our API keys, JWTs and long
//! tokens, also percent-encoded, to any depth. Does not stop: a short password, a number spelled
//! in words or spread over path segments. A lawful long identifier may be masked with them.

mod card;
mod decoded;
mod token;

use std::{borrow::Cow, ops::Range};

use decoded::Decoded;

/// Stands for everything that was taken out.
const MARK: &str = "[masked]";

/// Ends a text that was cut.
const CUT: &str = "…";

/// Bytes that are looked at for each that may be shown. A head may have many times more, and a
/// stranger would choose whose log line costs a millisecond.
const READ_PER_SHOWN: usize = 4;

/// `raw`, masked, in at most about `cap` bytes of printable text.
///
/// Invalid UTF-8, control characters and the backslash become `\xNN` a byte, so that what was
/// received can be told from the text and nothing in it can steer a terminal. Masked before it is
/// cut: a cut in the middle of a card number would leave too few digits to recognise.
pub(super) fn printable(raw: &[u8], cap: usize) -> Cow<'_, str> {
    match std::str::from_utf8(raw) {
        Ok(text) if raw.len() <= cap && is_plain(raw) => Cow::Borrowed(text),
        Ok(_) | Err(_) => Cow::Owned(masked(raw, cap)),
    }
}

/// Whether nothing can need masking or escaping, decided without an allocation: almost all paths.
fn is_plain(raw: &[u8]) -> bool {
    let printable = raw.iter().all(|byte| matches!(byte, b' '..=b'~') && !b"\\%".contains(byte));
    let digits = raw.iter().filter(|byte| byte.is_ascii_digit()).count();
    printable && digits < card::DIGITS.start && token::find(raw).is_empty()
}

fn masked(raw: &[u8], cap: usize) -> String {
    let whole = raw;
    let raw = shorten(raw, cap.saturating_mul(READ_PER_SHOWN));
    let decoded = Decoded::new(raw);
    let mut spans = card::find(decoded.bytes());
    spans.extend(token::find(decoded.bytes()));
    spans.sort_unstable_by_key(|span| span.start);

    let mut text = String::with_capacity(raw.len().min(cap) + CUT.len());
    let mut read = 0;
    for span in spans {
        let origin = decoded.origin(span);
        // Overlapping finds share one mark.
        if origin.start >= read {
            escape(raw.get(read..origin.start).unwrap_or_default(), &mut text);
            text.push_str(MARK);
        }
        read = read.max(origin.end);
    }
    escape(raw.get(read..).unwrap_or_default(), &mut text);
    cut(&mut text, cap, raw.len() < whole.len());
    text
}

/// At most `limit` bytes, which end with a segment: a number or token that the limit divides could
/// not be recognised by its first half.
fn shorten(raw: &[u8], limit: usize) -> &[u8] {
    if raw.len() <= limit {
        return raw;
    }
    let head = raw.get(..limit).unwrap_or_default();
    let end = head.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    head.get(..end).unwrap_or_default()
}

fn escape(raw: &[u8], text: &mut String) {
    for chunk in raw.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' || is_steering(character) {
                let mut buffer = [0; 4];
                escape_bytes(character.encode_utf8(&mut buffer).as_bytes(), text);
            } else {
                text.push(character);
            }
        }
        escape_bytes(chunk.invalid(), text);
    }
}

/// Control characters, and those that turn the direction of the text around them.
fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape_bytes(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        text.push_str("\\x");
        for nibble in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
}

fn cut(text: &mut String, cap: usize, shortened: bool) {
    if text.len() > cap || shortened {
        text.truncate(text.floor_char_boundary(cap));
        text.push_str(CUT);
    }
}

/// A place in decoded text that must not be written.
type Span = Range<usize>;

#[cfg(test)]
mod tests;
