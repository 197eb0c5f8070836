//! Comments of SQL, C, shells and HTML, in three ways of taking them out.

use std::borrow::Cow;

/// `/* .. */` becomes a blank, an open one too.
pub(super) fn replace(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memmem::find(value, b"/*") else { return Cow::Borrowed(value) };
    let (before, mut rest) = value.split_at(first);
    let mut out = before.to_vec();
    while let [byte, after @ ..] = rest {
        let Some(inside) = rest.strip_prefix(b"/*") else {
            out.push(*byte);
            rest = after;
            continue;
        };
        out.push(b' ');
        let end = memchr::memmem::find(inside, b"*/").map_or(inside.len(), |at| at + 2);
        rest = inside.get(end..).unwrap_or_default();
    }
    Cow::Owned(out)
}

/// Whole comments go: `/* .. */`, `<!-- .. -->` (either end closes either), and all behind `--` or
/// `#`. The byte behind a closed comment is copied unread, as v3 does; at the end that is a NUL.
pub(super) fn remove(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr3(b'/', b'-', b'#', value).is_none() {
        return Cow::Borrowed(value);
    }
    let (mut out, mut rest) = (Vec::with_capacity(value.len()), value);
    while let [byte, after @ ..] = rest {
        let opened = rest.strip_prefix(b"/*").or_else(|| rest.strip_prefix(b"<!--"));
        if let Some(inside) = opened {
            let Some(closed) = behind_close(inside) else {
                out.push(b' ');
                break;
            };
            out.push(closed.first().copied().unwrap_or_default());
            rest = closed.get(1..).unwrap_or_default();
        } else if rest.starts_with(b"--") || *byte == b'#' {
            break;
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    Cow::Owned(out)
}

fn behind_close(inside: &[u8]) -> Option<&[u8]> {
    let starred = memchr::memmem::find(inside, b"*/").map(|at| at + 2);
    let dashed = memchr::memmem::find(inside, b"-->").map(|at| at + 3);
    let end = match (starred, dashed) {
        (Some(starred), Some(dashed)) => starred.min(dashed),
        (one, other) => one.or(other)?,
    };
    inside.get(end..)
}

/// Only the marks go: `/*`, `*/`, `<!--`, `-->`, `--`, `#`.
pub(super) fn remove_marks(value: &[u8]) -> Cow<'_, [u8]> {
    const MARKS: [&[u8]; 6] = [b"/*", b"*/", b"<!--", b"-->", b"--", b"#"];
    if memchr::memchr3(b'/', b'-', b'#', value).is_none() {
        return Cow::Borrowed(value);
    }
    let (mut out, mut rest) = (Vec::with_capacity(value.len()), value);
    while let [byte, after @ ..] = rest {
        if let Some(beyond) = MARKS.iter().find_map(|mark| rest.strip_prefix(*mark)) {
            rest = beyond;
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    Cow::Owned(out)
}
