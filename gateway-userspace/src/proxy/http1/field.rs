//! One field line: its syntax, and which of the few names it has that a gateway must understand.

use gateway_common::Reason;
use http::HeaderMap;

use super::{
    Fault,
    grammar::{is_value, token_length, trim},
};

/// Names that decide about framing, or that one request has once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Expect,
    /// One value by its definition, which nothing here reads. The number tells them apart.
    Single(u8),
    /// What CGI heirs read as a framing field: the underscore becomes a hyphen, or both an
    /// underscore.
    Twin,
}

/// A field line, taken apart.
pub(super) struct Field<'l> {
    pub(super) name: &'l [u8],
    pub(super) value: &'l [u8],
}

/// `line` without its end. Anything between name and colon is a fault: servers disagree about it
/// (RFC 9112 section 5.1).
pub(super) fn read(line: &[u8]) -> Result<Field<'_>, Fault> {
    if let Some(b' ' | b'\t') = line.first() {
        return Err(Fault::new(Reason::FieldFolded, "a line that begins with white space"));
    }
    let split = line.split_at_checked(token_length(line));
    let Some((name @ [_, ..], [b':', value @ ..])) = split else { return Err(wrong_name(line)) };
    if !is_value(value) {
        return Err(control("a control byte in a field value", value));
    }
    Ok(Field { name, value: trim(value) })
}

fn wrong_name(line: &[u8]) -> Fault {
    let name = line.split(|byte| *byte == b':').next().unwrap_or(line);
    match name {
        [] => Fault::new(Reason::FieldInvalid, "an empty field name"),
        _ if name.len() == line.len() => control("a field line without a colon", line),
        [.., b' ' | b'\t'] => Fault::new(Reason::FieldInvalid, "white space before a colon"),
        _ => control("a field name that is no token", name),
    }
}

/// A CR inside a line is a line's end to lenient readers, and said to be one.
fn control(detail: &'static str, bytes: &[u8]) -> Fault {
    if bytes.contains(&b'\r') {
        return Fault::new(Reason::LineEnding, "a CR inside a line");
    }
    Fault::new(Reason::FieldInvalid, detail)
}

/// Which of the known names this is, whatever its case.
pub(super) fn known(name: &[u8]) -> Option<Known> {
    let candidates: &[(&[u8], Known)] = match name.len() {
        4 => &[(b"host", Known::Host), (b"date", Known::Single(0)), (b"from", Known::Single(1))],
        5 => &[(b"range", Known::Single(2))],
        6 => &[(b"expect", Known::Expect), (b"origin", Known::Single(3))],
        7 => &[(b"upgrade", Known::Upgrade), (b"referer", Known::Single(4))],
        8 => &[(b"if-range", Known::Single(5))],
        10 => &[(b"connection", Known::Connection), (b"user-agent", Known::Single(6))],
        12 => &[(b"content-type", Known::Single(7)), (b"max-forwards", Known::Single(8))],
        13 => &[(b"authorization", Known::Single(9)), (b"content-range", Known::Single(10))],
        14 => &[(b"content-length", Known::ContentLength), (b"content_length", Known::Twin)],
        16 => &[(b"content-location", Known::Single(11))],
        17 => &[
            (b"transfer-encoding", Known::TransferEncoding),
            (b"transfer_encoding", Known::Twin),
            (b"if-modified-since", Known::Single(12)),
            (b"sec-websocket-key", Known::Single(13)),
        ],
        19 => &[
            (b"proxy-authorization", Known::Single(14)),
            (b"if-unmodified-since", Known::Single(15)),
        ],
        21 => &[(b"sec-websocket-version", Known::Single(16))],
        _ => &[],
    };
    let found = candidates.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    found.map(|(_, known)| *known)
}

/// The rules for single fields, for heads that came as fields and not as lines: in h2 the library
/// knows of lengths alone, and a supplier in HTTP/1.1 gets these as lines.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Fault> {
    let repeats = headers.keys_len() < headers.len();
    let twice = |name| repeats && headers.get_all(name).iter().nth(1).is_some();
    for name in headers.keys() {
        match known(name.as_str().as_bytes()) {
            Some(Known::Single(_)) if twice(name) => return Err(repeated()),
            Some(Known::Expect) => {
                if twice(name) {
                    return Err(repeated());
                }
                headers.get(name).map_or(Ok(()), |value| expect(value.as_bytes()))?;
            }
            Some(Known::Twin) => return Err(twin()),
            // Of those that are left, the reader of hosts and the library know.
            Some(
                Known::Single(_)
                | Known::Host
                | Known::ContentLength
                | Known::TransferEncoding
                | Known::Connection
                | Known::Upgrade,
            )
            | None => {}
        }
    }
    Ok(())
}

pub(super) fn repeated() -> Fault {
    Fault::new(Reason::FieldDuplicate, "a field that has one value, twice")
}

pub(super) fn twin() -> Fault {
    Fault::new(Reason::FramingConflict, "a framing field with an underscore")
}

pub(super) fn expect(value: &[u8]) -> Result<(), Fault> {
    if value.eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    Err(Fault::new(Reason::ExpectationUnknown, "an expectation other than 100-continue"))
}

/// Fields that a request is judged, framed or routed by: never for one connection only, and never
/// a trailer (RFC 9110 sections 7.6.1 and 6.5.1).
pub(super) fn is_end_to_end(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 18] = [
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"content-encoding",
        b"content-range",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"cache-control",
        b"date",
        b"expect",
        b"max-forwards",
        b"range",
        b"origin",
        b"forwarded",
        b"via",
        b"x-request-id",
    ];
    let prefixed = |prefix: &[u8]| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || prefixed(b"if-")
        || prefixed(b"x-forwarded-")
        || prefixed(b"x-real-")
}
