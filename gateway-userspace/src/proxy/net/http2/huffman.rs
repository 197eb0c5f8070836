//! The Huffman code of RFC 7541 appendix B, which is canonical: the lengths say it all.

use std::sync::LazyLock;

/// Bits of each symbol's code; the last is the end of the string, which no string contains.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const LONGEST: usize = 30;

/// Codes of one length are numbered through, in the order of their symbols.
struct Length {
    first: u32,
    symbols: Vec<usize>,
}

static CODE: LazyLock<Vec<Length>> = LazyLock::new(|| {
    let mut first = 0;
    let of_length = |length: usize| {
        let alike = LENGTHS.iter().enumerate().filter(|(_, bits)| usize::from(**bits) == length);
        let symbols: Vec<usize> = alike.map(|(symbol, _)| symbol).collect();
        let begin = first;
        first = (first + u32::try_from(symbols.len()).unwrap_or_default()) << 1;
        Length { first: begin, symbols }
    };
    (0..=LONGEST).map(of_length).collect()
});

/// The decoded string; `None` for a code that is none, the end symbol, or wrong padding.
pub(super) fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(coded.len() * 2);
    let (mut code, mut length) = (0u32, 0);
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        if let Some(symbol) = symbol(code, length) {
            decoded.push(u8::try_from(symbol).ok()?);
            (code, length) = (0, 0);
        } else if length == LONGEST {
            return None;
        }
    }
    // Padding is less than a byte of ones.
    (length < 8 && code == (1 << length) - 1).then_some(decoded)
}

fn symbol(code: u32, length: usize) -> Option<usize> {
    let known = CODE.get(length)?;
    let place = usize::try_from(code.checked_sub(known.first)?).ok()?;
    known.symbols.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_examples_of_the_rfc() {
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decode(&www).as_deref(), Some(&b"www.example.com"[..]));
        let value = [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];
        assert_eq!(decode(&value).as_deref(), Some(&b"custom-value"[..]));
        assert_eq!(decode(&[]).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn refuses_wrong_padding_and_the_end_symbol() {
        for coded in [
            &[0x49, 0x50, 0x9f, 0xff][..],
            &[0x49, 0x50, 0x90],
            &[0xff, 0xff, 0xff, 0xfd, 0x25, 0x42, 0x7f],
        ] {
            assert_eq!(decode(coded), None, "{coded:02x?}");
        }
    }
}
