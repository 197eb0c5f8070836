//! Operators that compare a value with one string, byte by byte.

use memchr::memmem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Equals,
    Contains,
    ContainsWord,
    BeginsWith,
    EndsWith,
    /// The value stands somewhere in the argument.
    Within,
}

impl Text {
    pub(super) fn named(lower: &str) -> Option<Self> {
        match lower {
            "streq" => Some(Self::Equals),
            "contains" | "strmatch" => Some(Self::Contains),
            "containsword" => Some(Self::ContainsWord),
            "beginswith" => Some(Self::BeginsWith),
            "endswith" => Some(Self::EndsWith),
            "within" => Some(Self::Within),
            _ => None,
        }
    }

    pub(super) fn holds(self, value: &[u8], argument: &[u8]) -> bool {
        match self {
            Self::Equals => value == argument,
            Self::Contains => memmem::find(value, argument).is_some(),
            Self::ContainsWord => contains_word(value, argument),
            Self::BeginsWith => value.starts_with(argument),
            Self::EndsWith => value.ends_with(argument),
            Self::Within => memmem::find(argument, value).is_some(),
        }
    }

    /// What every matching value contains.
    pub(super) fn literal(self, argument: &[u8]) -> Option<Vec<Vec<u8>>> {
        let contained = self != Self::Within && !argument.is_empty();
        contained.then(|| vec![argument.to_ascii_lowercase()])
    }
}

/// With no letter right before and behind; to ModSecurity only letters make words.
fn contains_word(value: &[u8], word: &[u8]) -> bool {
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    if word.is_empty() {
        return true;
    }
    // Not `find_iter`, which would pass over occurrences that overlap.
    let mut from = 0;
    while let Some(found) = value.get(from..).and_then(|rest| memmem::find(rest, word)) {
        let (start, end) = (from + found, from + found + word.len());
        let before = start.checked_sub(1).and_then(|at| value.get(at));
        if !letter(before) && !letter(value.get(end)) {
            return true;
        }
        from = start + 1;
    }
    false
}
