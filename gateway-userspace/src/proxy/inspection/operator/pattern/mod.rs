//! PCRE's expressions, read and printed in the dialect of the `regex` crate: over bytes, without
//! Unicode, `.` matching line ends and `^` `$` at lines, as ModSecurity v3 compiles them.
//!
//! Look-around, back references, atomic groups and possessive repetitions have no equal there. They
//! are kept as they are and named, for an engine that backtracks within bounds.

mod class;
mod escape;
mod literals;

use self::escape::Escape;
pub use self::literals::literals;

/// An expression after translation.
#[derive(Debug, PartialEq, Eq)]
pub struct Translated {
    pub pattern: String,
    /// What no linear-time engine has, if the expression needs it.
    pub backtracks: Option<&'static str>,
}

#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    #[error("the expression ends inside {0}")]
    Unfinished(&'static str),
    #[error("the expression uses {0}, which is not supported")]
    Unsupported(&'static str),
    #[error("the expression is none: {0}")]
    Refused(String),
}

/// A builder with the flags that translated expressions are written for.
pub fn builder(pattern: &str) -> regex::bytes::RegexBuilder {
    let mut builder = regex::bytes::RegexBuilder::new(pattern);
    builder.unicode(false).dot_matches_new_line(true).multi_line(true);
    builder
}

pub fn translate(source: &[u8]) -> Result<Translated, PatternError> {
    let mut translation = Translation { rest: source, out: String::new(), backtracks: None };
    while let [byte, after @ ..] = translation.rest {
        translation.rest = after;
        translation.step(*byte)?;
    }
    Ok(Translated { pattern: translation.out, backtracks: translation.backtracks })
}

struct Translation<'a> {
    rest: &'a [u8],
    out: String,
    backtracks: Option<&'static str>,
}

impl Translation<'_> {
    fn step(&mut self, byte: u8) -> Result<(), PatternError> {
        match byte {
            b'\\' => self.escape(),
            b'[' => self.class(),
            b'(' => self.group(),
            b'{' => {
                self.counted();
                Ok(())
            }
            b'*' | b'+' | b'?' => {
                self.out.push(char::from(byte));
                self.repetition_kind();
                Ok(())
            }
            // White space and `#` stay raw: under (?x) they mean nothing.
            b'^' | b'$' | b'.' | b'|' | b')' | b' ' | b'\t' | b'\n' | b'\r' | b'#' => {
                self.out.push(char::from(byte));
                Ok(())
            }
            _ => {
                self.literal(byte);
                Ok(())
            }
        }
    }

    fn literal(&mut self, byte: u8) {
        self.out.push_str(&escape::literal(byte));
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let (escape, length) = escape::read(self.rest)?;
        let text = self.rest.get(..length).unwrap_or_default();
        self.rest = self.rest.get(length..).unwrap_or_default();
        match escape {
            Escape::Byte(byte) => self.literal(byte),
            Escape::Set(set) => self.out.push_str(&set.printed(false)),
            Escape::Same => {
                self.out.push('\\');
                self.out.extend(text.iter().copied().map(char::from));
            }
            Escape::Written(instead) => self.out.push_str(instead),
            Escape::Reference => {
                self.backtracks = Some("a back reference");
                self.out.push('\\');
                self.out.extend(text.iter().copied().map(char::from));
            }
            Escape::QuoteStart => self.quote(),
            Escape::Nothing => {}
        }
        Ok(())
    }

    /// `\Q..\E`: bytes for themselves.
    fn quote(&mut self) {
        let end = memchr::memmem::find(self.rest, b"\\E");
        let text = self.rest.get(..end.unwrap_or(self.rest.len())).unwrap_or_default();
        for byte in text {
            self.out.push_str(&escape::literal(*byte));
        }
        self.rest = end.and_then(|end| self.rest.get(end + 2..)).unwrap_or_default();
    }

    fn class(&mut self) -> Result<(), PatternError> {
        let (printed, rest) = class::read(self.rest)?;
        self.out.push_str(&printed);
        self.rest = rest;
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,3}`; any other brace is a brace.
    fn counted(&mut self) {
        let Some(length) = count_length(self.rest) else {
            self.literal(b'{');
            return;
        };
        self.out.push('{');
        let counts = self.rest.get(..length).unwrap_or_default();
        self.out.extend(counts.iter().copied().map(char::from));
        self.rest = self.rest.get(length..).unwrap_or_default();
        self.repetition_kind();
    }

    /// Behind a repetition: `?` makes it lazy, `+` possessive.
    fn repetition_kind(&mut self) {
        let [kind @ (b'?' | b'+'), after @ ..] = self.rest else { return };
        self.rest = after;
        if *kind == b'+' {
            self.backtracks = Some("a possessive repetition");
        }
        self.out.push(char::from(*kind));
    }

    fn group(&mut self) -> Result<(), PatternError> {
        const BACKTRACKING: [(&[u8], &str); 5] = [
            (b"?=", "look-ahead"),
            (b"?!", "look-ahead"),
            (b"?<=", "look-behind"),
            (b"?<!", "look-behind"),
            (b"?>", "an atomic group"),
        ];
        let starts = |(mark, _): &&(&[u8], &'static str)| self.rest.starts_with(mark);
        if let Some((mark, name)) = BACKTRACKING.iter().find(starts) {
            self.backtracks = Some(name);
            return self.open(mark.len());
        }
        match self.rest {
            [b'?', b'#', ..] => self.comment(),
            [b'?', b'<' | b'P' | b'\'', ..] => self.named(),
            [b'?', b'|', ..] => Err(PatternError::Unsupported("a branch reset")),
            [b'?', b'(', ..] => Err(PatternError::Unsupported("a condition")),
            [b'?', b'R' | b'&' | b'+' | b'0'..=b'9', ..] => {
                Err(PatternError::Unsupported("recursion"))
            }
            [b'?', b'C', ..] => Err(PatternError::Unsupported("a callout")),
            [b'*', ..] => Err(PatternError::Unsupported("a verb")),
            [b'?', flags @ ..] => {
                let plain = flags.iter().take_while(|byte| b"imsxU-".contains(byte)).count();
                match flags.get(plain) {
                    Some(b':' | b')') => self.open(plain + 2),
                    _ => Err(PatternError::Unsupported("a kind of group that is not known")),
                }
            }
            _ => self.open(0),
        }
    }

    /// An opening parenthesis and the next `length` bytes as they are.
    fn open(&mut self, length: usize) -> Result<(), PatternError> {
        let mark = self.rest.get(..length).ok_or(PatternError::Unfinished("a group"))?;
        self.out.push('(');
        self.out.extend(mark.iter().copied().map(char::from));
        self.rest = self.rest.get(length..).unwrap_or_default();
        Ok(())
    }

    fn comment(&mut self) -> Result<(), PatternError> {
        let end = memchr::memchr(b')', self.rest).ok_or(PatternError::Unfinished("a comment"))?;
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Ok(())
    }

    /// `(?<n>`, `(?'n'` and `(?P<n>` are one; `(?P=n)` refers back.
    fn named(&mut self) -> Result<(), PatternError> {
        let (name, close) = match self.rest {
            [b'?', b'P', b'<', name @ ..] | [b'?', b'<', name @ ..] => (name, b'>'),
            [b'?', b'\'', name @ ..] => (name, b'\''),
            _ => return Err(PatternError::Unsupported("a reference by name")),
        };
        let end = memchr::memchr(close, name).ok_or(PatternError::Unfinished("a name"))?;
        let (name, after) = name.split_at(end);
        if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            return Err(PatternError::Unsupported("a name of other characters"));
        }
        self.out.push_str("(?P<");
        self.out.extend(name.iter().copied().map(char::from));
        self.out.push('>');
        self.rest = after.get(1..).unwrap_or_default();
        Ok(())
    }
}

/// The length of `2}`, `2,}` or `2,3}`.
fn count_length(text: &[u8]) -> Option<usize> {
    let close = memchr::memchr(b'}', text)?;
    let counts = text.get(..close)?;
    let mut parts = counts.splitn(2, |byte| *byte == b',');
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let least = parts.next().filter(|part| !part.is_empty() && digits(part));
    (least.is_some() && parts.next().is_none_or(digits)).then_some(close + 1)
}

#[cfg(test)]
mod tests;
