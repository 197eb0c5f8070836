//! One reading of a path (RFC 3986 section 3.3), or none. What a lenient supplier could take for
//! another path (dot segments, encoded separators, double encoding) is refused, never repaired.

use std::borrow::Cow;

/// Why a path has no single reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathFault {
    #[error("not an absolute path")]
    NotAbsolute,
    #[error("empty segment")]
    EmptySegment,
    #[error("dot segment")]
    DotSegment,
    #[error("character outside RFC 3986")]
    Character,
    #[error("incomplete percent escape")]
    Escape,
    #[error("encoded separator or control character")]
    EncodedSeparator,
    #[error("doubly encoded")]
    DoubleEncoding,
    #[error("escapes that are not UTF-8")]
    NotUtf8,
}

/// The path with needless escapes undone (`%41` is `A`) and the others in upper case. Borrowed,
/// without an allocation, where nothing changes.
pub(crate) fn read(path: &str) -> Result<Cow<'_, str>, PathFault> {
    if !path.starts_with('/') {
        return Err(PathFault::NotAbsolute);
    }
    let read = if path.contains('%') { Cow::Owned(unescape(path)?) } else { Cow::Borrowed(path) };
    segments(&read)?;
    Ok(read)
}

fn unescape(path: &str) -> Result<String, PathFault> {
    let mut out = String::with_capacity(path.len());
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        decoded.extend_from_slice(before.as_bytes());
        let (byte, tail) = escape(after).ok_or(PathFault::Escape)?;
        decoded.push(byte);
        push(byte, tail, &mut out)?;
        rest = tail;
    }
    out.push_str(rest);
    decoded.extend_from_slice(rest.as_bytes());
    // Overlong forms such as %C0%AF are a slash to a careless decoder.
    std::str::from_utf8(&decoded).map(|_| out).or(Err(PathFault::NotUtf8))
}

fn push(byte: u8, tail: &str, out: &mut String) -> Result<(), PathFault> {
    match byte {
        b'/' | b'\\' | 0..=0x1f | 0x7f => Err(PathFault::EncodedSeparator),
        b'%' if escape(tail).is_some() => Err(PathFault::DoubleEncoding),
        // Unreserved (RFC 3986 section 6.2.2.2), and the semicolon that hides a dot segment.
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b';' => {
            out.push(char::from(byte));
            Ok(())
        }
        _ => {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                out.push(digit.to_ascii_uppercase());
            }
            Ok(())
        }
    }
}

/// The two digits after a percent sign as a byte, and what follows them.
fn escape(after: &str) -> Option<(u8, &str)> {
    let (digits, tail) = after.split_at_checked(2)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some((u8::from_str_radix(digits, 16).ok()?, tail))
}

fn segments(path: &str) -> Result<(), PathFault> {
    if !path.bytes().all(lawful) {
        return Err(PathFault::Character);
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(PathFault::EmptySegment);
        }
        // `..;x` is `..` to servers that cut path parameters first.
        let name = segment.split(';').next().unwrap_or(segment);
        if matches!(name, "." | "..") || (name.is_empty() && !segment.is_empty()) {
            return Err(PathFault::DotSegment);
        }
    }
    Ok(())
}

/// Characters of RFC 3986 `pchar`, the slash, and the percent sign of an escape that stays.
fn lawful(byte: u8) -> bool {
    matches!(byte,
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9'
        | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' | b'%'
        | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_plain_paths_as_they_are_without_an_allocation() {
        for path in ["/", "/a", "/a/b.c/", "/v1/payments/42;v=1", "/@x/a:b/..a/...", "/%E2%82%AC"] {
            assert_eq!(read(path).as_deref(), Ok(path), "{path}");
        }
        assert!(matches!(read("/a/b"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn undoes_needless_escapes_and_raises_the_others() {
        assert_eq!(read("/%41%2db/%7e").as_deref(), Ok("/A-b/~"));
        assert_eq!(read("/%e2%82%ac").as_deref(), Ok("/%E2%82%AC"));
        assert_eq!(read("/100%25").as_deref(), Ok("/100%25"));
        assert_eq!(read("/a%20b").as_deref(), Ok("/a%20b"));
    }

    #[test]
    fn refuses_every_second_reading() {
        for (path, fault) in [
            ("", PathFault::NotAbsolute),
            ("*", PathFault::NotAbsolute),
            ("//", PathFault::EmptySegment),
            ("/a//b", PathFault::EmptySegment),
            ("/..", PathFault::DotSegment),
            ("/a/./b", PathFault::DotSegment),
            ("/a/../b", PathFault::DotSegment),
            ("/a/%2e%2E/b", PathFault::DotSegment),
            ("/a/..;x/b", PathFault::DotSegment),
            ("/a/..%3bx/b", PathFault::DotSegment),
            ("/a/;x/b", PathFault::DotSegment),
            ("/a\\b", PathFault::Character),
            ("/a b", PathFault::Character),
            ("/a{b", PathFault::Character),
            ("/é", PathFault::Character),
            ("/%", PathFault::Escape),
            ("/%4", PathFault::Escape),
            ("/%+1", PathFault::Escape),
            ("/%zz", PathFault::Escape),
            ("/a%2fb", PathFault::EncodedSeparator),
            ("/a%5Cb", PathFault::EncodedSeparator),
            ("/a%00", PathFault::EncodedSeparator),
            ("/a%0d%0aX:y", PathFault::EncodedSeparator),
            ("/a%7f", PathFault::EncodedSeparator),
            ("/%252e%252e/", PathFault::DoubleEncoding),
            ("/%c0%af", PathFault::NotUtf8),
            ("/%ff", PathFault::NotUtf8),
        ] {
            assert_eq!(read(path), Err(fault), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn a_read_path_reads_as_itself(path in "/[-a-zA-Z0-9%./;_~ ]{0,40}") {
            if let Ok(once) = read(&path) {
                let again = read(&once);
                prop_assert_eq!(again.as_deref(), Ok(once.as_ref()));
                prop_assert!(!once.split('/').any(|segment| segment == ".." || segment == "."));
            }
        }

        #[test]
        fn reading_any_text_never_panics(path in any::<String>()) {
            let _read = read(&path);
        }
    }
}
