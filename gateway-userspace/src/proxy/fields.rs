//! Header fields that are lists, and those that are there once (RFC 9110 section 5.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, header::VARY};

/// The members of every field of this name, blanks trimmed; empty ones too.
pub(crate) fn members<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> {
    let values = headers.get_all(name).iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// Whether a member is this word, in any letter case.
pub(crate) fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    members(headers, name).any(|member| member.eq_ignore_ascii_case(word.as_bytes()))
}

/// The value of a field that is there once.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Adds a field to those that caches tell answers apart by.
pub(crate) fn vary(headers: &mut HeaderMap, field: &'static str) {
    if !says(headers, &VARY, "*") && !says(headers, &VARY, field) {
        headers.append(VARY, HeaderValue::from_static(field));
    }
}
