//! Text out of its percent-encoding (RFC 3986 section 2.1), once.

use std::borrow::Cow;

/// The text, or nothing where an escape is broken or what it hides is not UTF-8. `plus` is a space in
/// queries and forms (URL Standard, application/x-www-form-urlencoded).
pub(super) fn decode(text: &str, plus: bool) -> Option<Cow<'_, str>> {
    let encoded = |byte: u8| byte == b'%' || (plus && byte == b'+');
    if !text.bytes().any(encoded) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let ([high, low], after) = rest.split_first_chunk::<2>()?;
                bytes.push((hex(*high)? << 4) | hex(*low)?);
                rest = after;
            }
            b'+' if plus => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Whether a name, as a query writes it, is one of these.
pub(crate) fn names_one(name: &str, these: &[String]) -> bool {
    decode(name, true).is_some_and(|name| these.iter().any(|one| *one == name))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Pairs of a query or a form: names decoded, values as they stand, for lists are split before
/// their parts are decoded.
pub(super) fn pairs(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(name, true)?, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once() {
        assert_eq!(decode("a%2Cb%252C", false).unwrap(), "a,b%2C");
        assert_eq!(decode("a+b", true).unwrap(), "a b");
        assert_eq!(decode("a+b", false).unwrap(), "a+b");
        for broken in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(decode(broken, true), None, "{broken}");
        }
    }

    #[test]
    fn pairs_keep_their_values_whole() {
        let pairs = pairs("a=1,2&b%5Bc%5D=%2C&&d").unwrap();
        let expected = [("a", "1,2"), ("b[c]", "%2C"), ("d", "")];
        assert_eq!(pairs.iter().map(|(n, v)| (n.as_ref(), *v)).collect::<Vec<_>>(), expected);
    }
}
