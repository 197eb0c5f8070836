//! Content codings (RFC 9110 section 8.4): which one a client would take, packing, and unpacking
//! within bounds. Engines for stages; nothing here knows a request.

pub(crate) mod accept;
pub(crate) mod decode;
pub(crate) mod encode;

use http::{HeaderMap, HeaderName, header::CONTENT_ENCODING};

pub(crate) use crate::config::model::Coding;
use crate::proxy::fields;

/// Fields that are about a body's bytes under the coding that it had before.
pub(crate) static STALE: [HeaderName; 5] = [
    http::header::CONTENT_LENGTH,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// More than one coding, or one that is not known here. Stacked codings multiply what a few bytes
/// can grow to, and nobody honest sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unknown;

/// The coding of a body; `identity` is none.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Coding>, Unknown> {
    let mut found = None;
    for member in fields::members(headers, &CONTENT_ENCODING) {
        if member.is_empty() || member.eq_ignore_ascii_case(b"identity") {
            continue;
        }
        if found.replace(Coding::named(member).ok_or(Unknown)?).is_some() {
            return Err(Unknown);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&'static str]) -> Result<Option<Coding>, Unknown> {
        let pair = |value: &&'static str| (CONTENT_ENCODING, HeaderValue::from_static(value));
        let mut headers = HeaderMap::new();
        for (name, value) in values.iter().map(pair) {
            headers.append(name, value);
        }
        of(&headers)
    }

    #[test]
    fn reads_one_coding_and_no_stack_of_them() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["identity"]), Ok(None));
        assert_eq!(read(&["GZip"]), Ok(Some(Coding::Gzip)));
        assert_eq!(read(&["x-gzip, identity"]), Ok(Some(Coding::Gzip)));
        for stacked in [&["gzip, gzip"][..], &["gzip", "br"], &["deflate"], &["gzip;q=1"], &["*"]] {
            assert_eq!(read(stacked), Err(Unknown), "{stacked:?}");
        }
    }
}
