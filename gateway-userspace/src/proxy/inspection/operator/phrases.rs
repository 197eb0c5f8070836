//! `@pm`: many phrases in one pass, whatever their case.

use aho_corasick::{AhoCorasick, MatchKind};

use super::{Captures, OperatorError, Outcome};

#[derive(Debug)]
pub(super) struct Phrases {
    phrases: Vec<Vec<u8>>,
    search: AhoCorasick,
}

impl Phrases {
    /// Separated by blanks; `|41 42|` gives bytes as hexadecimal digits.
    pub(super) fn of_words(argument: &str) -> Result<Self, OperatorError> {
        let decoded = unpipe(argument);
        Self::of(decoded.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect())
    }

    /// One a line; lines that begin with `#` are comments.
    pub(super) fn of_lines(bytes: &[u8]) -> Result<Self, OperatorError> {
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let phrases = lines.filter(|line| !line.trim_ascii_start().starts_with(b"#"));
        Self::of(phrases.map(<[u8]>::to_vec).collect())
    }

    fn of(mut phrases: Vec<Vec<u8>>) -> Result<Self, OperatorError> {
        phrases.retain(|phrase| !phrase.is_empty());
        // Standard: the match that ends first, as ModSecurity reports it.
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&phrases)
            .map_err(|error| OperatorError::Phrases(Box::new(error)))?;
        Ok(Self { phrases, search })
    }

    pub(super) fn matches(&self, value: &[u8], captures: Option<&mut Captures>) -> Outcome {
        let Some(found) = self.search.find(value) else { return Outcome::NoMatch };
        let phrase = self.phrases.get(found.pattern().as_usize());
        if let (Some(captures), Some(phrase)) = (captures, phrase) {
            captures.keep(0, phrase);
        }
        Outcome::Match
    }

    pub(super) fn literals(&self) -> Vec<Vec<u8>> {
        self.phrases.iter().map(|phrase| phrase.to_ascii_lowercase()).collect()
    }
}

/// The argument with `|HH HH|` replaced by the bytes; a part that is no such list stays.
fn unpipe(argument: &str) -> Vec<u8> {
    let bytes_of = |part: &str| {
        let byte = |digits: &str| u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2);
        part.split_ascii_whitespace().map(byte).collect::<Option<Vec<u8>>>()
    };
    let (mut out, mut rest) = (Vec::with_capacity(argument.len()), argument);
    while let Some((before, behind)) = rest.split_once('|') {
        out.extend_from_slice(before.as_bytes());
        let hex = behind.split_once('|').and_then(|(part, after)| Some((bytes_of(part)?, after)));
        if let Some((bytes, after)) = hex.filter(|(bytes, _)| !bytes.is_empty()) {
            out.extend(bytes);
            rest = after;
        } else {
            out.push(b'|');
            rest = behind;
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
