//! A field block (RFC 7541) read only as far as the h2 crate leaves it in the dark: whether trailers
//! have pseudo-header fields, which it drops, and whether a block that it gave up on was broken as
//! compression or as HTTP, which it does not say. Not on the path of a lawful request.

use super::huffman;

/// Names of the static table up to here are pseudo-header fields.
const PSEUDO: usize = 14;

/// The size of the table that we advertise.
const TABLE: usize = 4096;

/// Entries of both tables, at most: an entry counts 32 bytes and more.
const ENTRIES: usize = 61 + TABLE / 32;

/// An integer longer than this is no lawful index or length.
const INTEGER_BYTES: usize = 5;

/// What is wrong with a block that the library gave up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Not RFC 7541.
    Compression,
    /// RFC 7541, but a name or value that no HTTP field has.
    Field,
}

/// One field of a block, as far as the block alone tells.
struct Field {
    /// `None` where it stands in a table; then `index` is not 0.
    name: Option<Vec<u8>>,
    index: usize,
    value: Option<Vec<u8>>,
}

/// Why a block the library refused is broken. It says so only if it is.
pub(super) fn broken(block: &[u8]) -> Broken {
    let mut rest = block;
    let mut begun = false;
    loop {
        match next(&mut rest, begun) {
            Ok(Some(field)) if unlawful(&field) => return Broken::Field,
            Ok(Some(_)) => begun = true,
            Ok(None) | Err(Corrupt) => return Broken::Compression,
        }
    }
}

/// Whether a block names a pseudo-header field. One that stands in the dynamic table is not seen:
/// the library drops it.
pub(super) fn has_pseudo(block: &[u8]) -> bool {
    let mut rest = block;
    let mut begun = false;
    while let Ok(Some(field)) = next(&mut rest, begun) {
        begun = true;
        let named = field.name.as_ref().map(|name| name.first() == Some(&b':'));
        if named.unwrap_or((1..=PSEUDO).contains(&field.index)) {
            return true;
        }
    }
    false
}

/// The block is not RFC 7541.
struct Corrupt;

/// The next field; `None` at the end. A size update has to stand before every field.
fn next(rest: &mut &[u8], begun: bool) -> Result<Option<Field>, Corrupt> {
    loop {
        let Some(first) = rest.first().copied() else { return Ok(None) };
        if first & 0xe0 != 0x20 {
            return field(rest, first).map(Some);
        }
        if begun || integer(rest, 5)? > TABLE {
            return Err(Corrupt);
        }
    }
}

fn field(rest: &mut &[u8], first: u8) -> Result<Field, Corrupt> {
    if first & 0x80 != 0 {
        let index = integer(rest, 7)?;
        let known = (1..=ENTRIES).contains(&index);
        return known.then_some(Field { name: None, index, value: None }).ok_or(Corrupt);
    }
    let index = integer(rest, if first & 0x40 != 0 { 6 } else { 4 })?;
    if index > ENTRIES {
        return Err(Corrupt);
    }
    let name = if index == 0 { Some(string(rest)?) } else { None };
    Ok(Field { name, index, value: Some(string(rest)?) })
}

/// RFC 7541 section 5.1, with a prefix of so many bits.
fn integer(rest: &mut &[u8], bits: u32) -> Result<usize, Corrupt> {
    let (first, mut tail) = rest.split_first().ok_or(Corrupt)?;
    let mask = (1usize << bits) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        for place in 0..=INTEGER_BYTES {
            let (byte, after) = tail.split_first().ok_or(Corrupt)?;
            tail = after;
            value += usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
            if place == INTEGER_BYTES {
                return Err(Corrupt);
            }
        }
    }
    *rest = tail;
    Ok(value)
}

fn string(rest: &mut &[u8]) -> Result<Vec<u8>, Corrupt> {
    let coded = rest.first().ok_or(Corrupt)? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, tail) = rest.split_at_checked(length).ok_or(Corrupt)?;
    *rest = tail;
    if coded { huffman::decode(text).ok_or(Corrupt) } else { Ok(text.to_vec()) }
}

/// What may begin with a colon.
const KNOWN: [&[u8]; 6] =
    [b":method", b":scheme", b":authority", b":path", b":protocol", b":status"];

/// RFC 9113 section 8.2.1; a name from a table is lawful.
fn unlawful(field: &Field) -> bool {
    let pseudo = (1..=PSEUDO).contains(&field.index);
    let name = field.name.as_ref().is_some_and(|name| {
        let plain = !name.iter().any(u8::is_ascii_uppercase);
        let lawful = plain && http::HeaderName::from_bytes(name).is_ok();
        !lawful && !KNOWN.contains(&name.as_slice())
    });
    let value = field.value.as_ref().is_some_and(|value| {
        http::HeaderValue::from_bytes(value).is_err()
            || (pseudo && !value.iter().all(u8::is_ascii_graphic))
            || (field.index == 2 || field.index == 3) && http::Method::from_bytes(value).is_err()
    });
    name || value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tells_broken_compression_from_a_broken_field() {
        for block in [
            &b"\x40"[..],
            b"\x80",
            b"\xff\x80\x02",
            b"\x82\x21",
            b"\x3f\xe1\xff\x03",
            b"\0\x06x-test\x7eshort",
            b"\xff\x80\x80\x80\x80\x80\x80\x80\x01",
            b"\0\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90",
        ] {
            assert_eq!(broken(block), Broken::Compression, "{block:02x?}");
        }
        for block in [
            &b"\0\x06X-TEST\x02ok"[..],
            b"\0\x01x\x03a\nb",
            b"\x42\x06GET /x",
            b"\0\x03a b\x02ok",
            b"\0\0\x02ok",
            b"\0\x05:test\x02ok",
        ] {
            assert_eq!(broken(block), Broken::Field, "{block:02x?}");
        }
    }

    #[test]
    fn sees_pseudo_fields_by_index_by_name_and_in_huffman_codes() {
        let coded = b"\0\x85\xb9\x49\x53\x39\xe4\x02ok";
        for block in [&b"\x82"[..], b"\x42\x03PUT", b"\0\x07:status\x03200", coded] {
            assert!(has_pseudo(block), "{block:02x?}");
        }
        for block in [&b""[..], b"\0\x06x-test\x02ok", b"\xbe", b"\x20\xa0"] {
            assert!(!has_pseudo(block), "{block:02x?}");
        }
    }

    proptest! {
        #[test]
        fn reads_any_bytes(block in proptest::collection::vec(any::<u8>(), 0..64)) {
            has_pseudo(&block);
            broken(&block);
        }
    }
}
