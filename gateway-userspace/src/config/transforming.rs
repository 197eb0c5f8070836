//! What a route changes in requests and responses: the part of the model for header fields,
//! statuses, error bodies and JSON.

use http::{HeaderName, HeaderValue};

/// A route's changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    pub request: Fields,
    pub response: Fields,
    /// What a supplier answers, and what the client gets instead.
    pub statuses: Vec<(u16, u16)>,
    pub errors: Errors,
    pub json: Option<JsonEdit>,
}

/// Changes of header fields, in this order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields {
    pub remove: Vec<HeaderName>,
    pub rename: Vec<(HeaderName, HeaderName)>,
    pub set: Vec<(HeaderName, HeaderValue)>,
    pub add: Vec<(HeaderName, HeaderValue)>,
}

/// Which bodies of a supplier are replaced by problem documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    None,
    /// 500 to 599.
    Server,
    /// 400 to 599.
    All,
}

/// Changes of a JSON response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonEdit {
    /// Nothing else is kept; empty keeps all.
    pub select: Vec<Pointer>,
    pub remove: Vec<Pointer>,
    /// The value is replaced by a fixed text.
    pub redact: Vec<Pointer>,
    /// The member's name is replaced.
    pub rename: Vec<(Pointer, String)>,
    /// Longest response that is read whole.
    pub bytes: u64,
    /// What cannot be changed is passed on as it is, instead of refused.
    pub pass: bool,
}

/// A JSON pointer (RFC 6901); the segment `*` is every element or member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(pub Vec<String>);

impl Fields {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.set.is_empty()
            && self.add.is_empty()
    }
}

impl Pointer {
    /// `None` where the text is no pointer, or to the whole document.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        rest.split('/').map(unescaped).collect::<Option<Vec<_>>>().map(Self)
    }
}

fn unescaped(segment: &str) -> Option<String> {
    let mut plain = String::with_capacity(segment.len());
    let mut letters = segment.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '~' => match letters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(plain)
}
