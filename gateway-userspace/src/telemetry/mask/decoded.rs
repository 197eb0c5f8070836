//! Text with its percent escapes read, that knows where each byte came from.

use std::ops::Range;

use super::Span;

/// Stands for a slash that was escaped: it belongs to data, where a plain one ends a segment.
pub(super) const ESCAPED_SLASH: u8 = 0x1f;

/// Bytes beside the range of raw bytes that each was made from. Never written anywhere.
#[derive(Debug)]
pub(super) struct Decoded {
    bytes: Vec<u8>,
    origins: Vec<Range<usize>>,
}

impl Decoded {
    /// The text as it came.
    pub(super) fn new(raw: &[u8]) -> Self {
        Self { bytes: raw.to_vec(), origins: (0..raw.len()).map(|at| at..at + 1).collect() }
    }

    /// The text with its escapes read once more, left to right; `None` if there are none.
    ///
    /// Each reading counts by itself: in `%0%32` the first shows a 2 and the second an STX.
    pub(super) fn next(&self) -> Option<Self> {
        let mut next = Self { bytes: Vec::new(), origins: Vec::new() };
        let mut at = 0;
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let (byte, length) = read_byte(rest);
            next.bytes.push(byte);
            next.origins.push(self.origin(at..at + length));
            at += length;
        }
        (next.bytes.len() < self.bytes.len()).then_some(next)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The raw range behind a span of these bytes.
    pub(super) fn origin(&self, span: Span) -> Range<usize> {
        let covered = self.origins.get(span).unwrap_or_default();
        let start = covered.first().map_or(0, |first| first.start);
        start..covered.last().map_or(start, |last| last.end)
    }
}

/// The first byte of a text that is not empty, and how many bytes it takes.
fn read_byte(text: &[u8]) -> (u8, usize) {
    if let [b'%', high, low, ..] = text
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        let value = high << 4 | low;
        return (if value == b'/' { ESCAPED_SLASH } else { value }, 3);
    }
    (text.first().copied().unwrap_or_default(), 1)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
