//! Text with its percent escapes read, to any depth, that knows where each byte came from.

use std::ops::Range;

use super::Span;

/// Stands for a slash that was escaped: it belongs to data, where a plain one ends a segment.
pub(super) const ESCAPED_SLASH: u8 = 0x1f;

/// Decoded bytes beside the range of raw bytes each was made from. Never written anywhere.
#[derive(Debug)]
pub(super) struct Decoded {
    bytes: Vec<u8>,
    origins: Vec<Range<usize>>,
}

impl Decoded {
    /// In one pass: each raw byte is pushed, and an escape that it completes is folded into its
    /// byte, which may complete another one. So `%2534` reads as `4`, in time linear in the input.
    pub(super) fn new(raw: &[u8]) -> Self {
        let mut decoded =
            Self { bytes: Vec::with_capacity(raw.len()), origins: Vec::with_capacity(raw.len()) };
        for (index, byte) in raw.iter().enumerate() {
            decoded.bytes.push(*byte);
            decoded.origins.push(index..index + 1);
            while decoded.fold_escape() {}
        }
        decoded
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The raw range behind a span of decoded bytes.
    pub(super) fn origin(&self, span: Span) -> Range<usize> {
        let covered = self.origins.get(span).unwrap_or_default();
        let start = covered.first().map_or(0, |first| first.start);
        start..covered.last().map_or(start, |last| last.end)
    }

    fn fold_escape(&mut self) -> bool {
        let [.., b'%', high, low] = self.bytes.as_slice() else { return false };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return false };
        let value = high << 4 | low;
        let start = self.bytes.len() - 3;
        let origin = self.origin(start..self.bytes.len());
        self.bytes.truncate(start);
        self.origins.truncate(start);
        self.bytes.push(if value == b'/' { ESCAPED_SLASH } else { value });
        self.origins.push(origin);
        true
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
