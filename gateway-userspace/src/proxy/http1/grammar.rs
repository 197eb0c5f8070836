//! Which bytes may stand where. A table for tokens; values are asked as a whole, without an exit on
//! the way, so that the compiler makes vector instructions of it.

/// `tchar` of RFC 9110 section 5.6.2.
static TOKEN: [bool; 256] = token_table();

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let letter = byte as u8;
        #[expect(clippy::indexing_slicing, reason = "a table of 256, evaluated by the compiler")]
        {
            table[byte] = matches!(letter,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
                | b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
        }
        byte += 1;
    }
    table
}

/// A name, a method: at least one byte, and no other.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_length(bytes) == bytes.len()
}

/// How many bytes a token has that begins here.
pub(super) fn token_length(bytes: &[u8]) -> usize {
    let lawful = |byte: &u8| TOKEN.get(usize::from(*byte)).copied().unwrap_or(false);
    bytes.iter().position(|byte| !lawful(byte)).unwrap_or(bytes.len())
}

/// A field value: visible characters, blanks, and bytes above ASCII, which RFC 9110 section 5.5
/// keeps as opaque. No other control byte than the tab.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    let control =
        |byte: u8| u8::from(byte < 0x20) & u8::from(byte != b'\t') | u8::from(byte == 0x7f);
    let any = |bytes: &[u8]| bytes.iter().fold(0, |found, byte| found | control(*byte));
    words.iter().fold(0, |found, word| found | any(word)) | any(rest) == 0
}

/// Without the blanks around it (`OWS`).
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a list of tokens, blanks trimmed.
pub(super) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}
