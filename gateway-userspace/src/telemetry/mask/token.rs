//! Finds what may be a credential: our API keys, JWTs and long random tokens.

use super::{Span, decoded::ESCAPED_SLASH};

/// How our API keys begin.
const KEY_LEAD: &[u8] = b"gwk_";

/// How every JWT begins: `{"` in base64url (RFC 7519).
const JWT_LEAD: &[u8] = b"eyJ";

/// Shorter than this, `eyJ` is a coincidence.
const JWT_BYTES: usize = 12;

/// A run that mixes upper case, lower case and digits is a token from this length on. A UUID or a
/// slug does not mix them.
const MIXED_BYTES: usize = 32;

/// A run without a dash or underscore is a token from this length on, whatever its letters: a
/// digest or a session in hexadecimal.
const SOLID_BYTES: usize = 40;

/// Spans of all tokens found; they may overlap.
pub(super) fn find(bytes: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut read = 0;
    for run in bytes.split(|byte| !is_token_byte(*byte)) {
        let at = read;
        read += run.len() + 1;
        if is_long_token(run) {
            spans.push(at..at + run.len());
        } else if let Some(lead) = key_lead(run) {
            spans.push(at + lead..at + run.len());
        }
    }
    find_jwts(bytes, &mut spans);
    spans
}

/// Bytes of base64, base64url and our keys.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'=' | ESCAPED_SLASH)
}

fn is_long_token(run: &[u8]) -> bool {
    let has = |class: fn(&u8) -> bool| run.iter().any(class);
    let mixed =
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let longest = run.split(|byte| matches!(byte, b'-' | b'_')).map(<[u8]>::len).max();
    (mixed && run.len() >= MIXED_BYTES) || longest.is_some_and(|solid| solid >= SOLID_BYTES)
}

fn key_lead(run: &[u8]) -> Option<usize> {
    run.windows(KEY_LEAD.len()).position(|window| window.eq_ignore_ascii_case(KEY_LEAD))
}

/// From each lead on, over the dots between the parts of a JWT.
fn find_jwts(bytes: &[u8], spans: &mut Vec<Span>) {
    let mut from = 0;
    while let Some(rest) = bytes.get(from..) {
        let Some(lead) = rest.windows(JWT_LEAD.len()).position(|window| window == JWT_LEAD) else {
            return;
        };
        let start = from + lead;
        let body = bytes.get(start..).unwrap_or_default();
        let length = body
            .iter()
            .position(|byte| !is_token_byte(*byte) && *byte != b'.')
            .unwrap_or(body.len());
        if length >= JWT_BYTES {
            spans.push(start..start + length);
        }
        from = start + length;
    }
}
