//! Classes of bytes: read as PCRE reads them, printed so that the other dialect cannot misread.

use std::fmt::Write as _;

use super::PatternError;
use super::escape::{self, Escape};

/// A set of bytes.
#[derive(Clone, Copy)]
pub(super) struct ByteSet([bool; 256]);

impl ByteSet {
    const NONE: Self = Self([false; 256]);

    fn of(member: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::NONE;
        (0..=u8::MAX).zip(set.0.iter_mut()).for_each(|(byte, is)| *is = member(byte));
        set
    }

    /// `\d`, `\w`, `\s`, `\h`, `\v` and their opposites.
    pub(super) fn of_letter(letter: u8) -> Option<Self> {
        let set = match letter.to_ascii_lowercase() {
            b'd' => Self::of(|byte| byte.is_ascii_digit()),
            b'w' => Self::of(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            b's' => Self::of(is_space),
            b'h' => Self::of(|byte| matches!(byte, b'\t' | b' ' | 0xa0)),
            b'v' => Self::of(|byte| matches!(byte, b'\n'..=b'\r' | 0x85)),
            _ => return None,
        };
        Some(if letter.is_ascii_uppercase() { set.opposite() } else { set })
    }

    /// `[:name:]`.
    fn of_name(name: &[u8]) -> Option<Self> {
        let set = match name {
            b"alpha" => Self::of(|byte| byte.is_ascii_alphabetic()),
            b"digit" => Self::of(|byte| byte.is_ascii_digit()),
            b"alnum" => Self::of(|byte| byte.is_ascii_alphanumeric()),
            b"upper" => Self::of(|byte| byte.is_ascii_uppercase()),
            b"lower" => Self::of(|byte| byte.is_ascii_lowercase()),
            b"space" => Self::of(is_space),
            b"blank" => Self::of(|byte| matches!(byte, b' ' | b'\t')),
            b"punct" => Self::of(|byte| byte.is_ascii_punctuation()),
            b"print" => Self::of(|byte| matches!(byte, b' '..=b'~')),
            b"graph" => Self::of(|byte| byte.is_ascii_graphic()),
            b"cntrl" => Self::of(|byte| byte.is_ascii_control()),
            b"xdigit" => Self::of(|byte| byte.is_ascii_hexdigit()),
            b"word" => Self::of(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            b"ascii" => Self::of(|byte| byte.is_ascii()),
            _ => return None,
        };
        Some(set)
    }

    fn opposite(self) -> Self {
        Self(self.0.map(|member| !member))
    }

    fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(member, also)| *member |= also);
    }

    fn add_range(&mut self, from: u8, to: u8) {
        self.add(Self::of(|byte| (from..=to).contains(&byte)));
    }

    /// In brackets. A negated class is printed negated and not as its opposite: without regard to
    /// case `[^a]` must exclude `A` too.
    pub(super) fn printed(&self, negated: bool) -> String {
        let mut out = String::from(if negated { "[^" } else { "[" });
        let mut bytes =
            (0..=u8::MAX).zip(self.0).filter(|(_, member)| *member).map(|(byte, _)| byte);
        let Some(mut from) = bytes.next() else {
            return String::from(if negated { r"[\x00-\xff]" } else { r"[^\x00-\xff]" });
        };
        let mut to = from;
        for byte in bytes {
            if to.checked_add(1) != Some(byte) {
                print_range(&mut out, from, to);
                from = byte;
            }
            to = byte;
        }
        print_range(&mut out, from, to);
        out.push(']');
        out
    }
}

/// What `\s` matches in PCRE2: the vertical tab too.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn print_range(out: &mut String, from: u8, to: u8) {
    let plain = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    // Writing to a string cannot fail.
    if from == to {
        out.push_str(&plain(from));
    } else {
        write!(out, "{}-{}", plain(from), plain(to)).unwrap_or_default();
    }
}

/// Reads a class behind its `[`: as printed, and what follows it.
pub(super) fn read(text: &[u8]) -> Result<(String, &[u8]), PatternError> {
    let (negated, text) = match text {
        [b'^', text @ ..] => (true, text),
        text => (false, text),
    };
    let mut class = Class { rest: text, set: ByteSet::NONE, quoted: false };
    // A bracket that comes first is a member.
    let mut first = true;
    loop {
        if !first && !class.quoted && class.rest.first() == Some(&b']') {
            return Ok((class.set.printed(negated), class.rest.get(1..).unwrap_or_default()));
        }
        first = false;
        class.member()?;
    }
}

struct Class<'a> {
    rest: &'a [u8],
    set: ByteSet,
    quoted: bool,
}

impl Class<'_> {
    /// One member, or a range of them.
    fn member(&mut self) -> Result<(), PatternError> {
        if let Some((set, length)) = named(self.rest) {
            self.set.add(set);
            self.rest = self.rest.get(length..).unwrap_or_default();
            return Ok(());
        }
        let Some(from) = self.single()? else { return Ok(()) };
        let [b'-', after @ ..] = self.rest else {
            self.set.add_range(from, from);
            return Ok(());
        };
        // A hyphen at the end or before a set is a member of its own.
        let ends = self.quoted || after.first() == Some(&b']') || named(after).is_some();
        let before = (self.rest, self.set);
        if !ends {
            self.rest = after;
            if let Some(to) = self.single()? {
                if to < from {
                    return Err(PatternError::Refused("a range out of order".to_owned()));
                }
                self.set.add_range(from, to);
                return Ok(());
            }
            (self.rest, self.set) = before;
        }
        self.set.add_range(from, from);
        self.set.add_range(b'-', b'-');
        self.rest = self.rest.get(1..).unwrap_or_default();
        Ok(())
    }

    /// One byte; none if it was a set, which is added then, or nothing.
    fn single(&mut self) -> Result<Option<u8>, PatternError> {
        let [byte, after @ ..] = self.rest else {
            return Err(PatternError::Unfinished("a class"));
        };
        self.rest = after;
        if self.quoted && after.starts_with(b"E") && *byte == b'\\' {
            self.quoted = false;
            self.rest = after.get(1..).unwrap_or_default();
            return Ok(None);
        }
        if self.quoted || *byte != b'\\' {
            return Ok(Some(*byte));
        }
        let (escape, length) = escape::in_class(after)?;
        self.rest = after.get(length..).unwrap_or_default();
        match escape {
            Escape::Byte(byte) => return Ok(Some(byte)),
            Escape::Set(set) => self.set.add(*set),
            Escape::QuoteStart => self.quoted = true,
            Escape::Same | Escape::Written(_) | Escape::Reference | Escape::Nothing => {}
        }
        Ok(None)
    }
}

/// `[:name:]` or `[:^name:]`, and its length.
fn named(text: &[u8]) -> Option<(ByteSet, usize)> {
    let inside = text.strip_prefix(b"[:")?;
    let end = memchr::memmem::find(inside, b":]")?;
    let name = inside.get(..end)?;
    let set = match name.strip_prefix(b"^") {
        Some(name) => ByteSet::of_name(name)?.opposite(),
        None => ByteSet::of_name(name)?,
    };
    Some((set, end + 4))
}
