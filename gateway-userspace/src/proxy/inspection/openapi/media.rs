//! Media types of a contract, and which of them a message is.

use super::shape::Shape;

/// What a body may be.
#[derive(Debug)]
pub(super) struct Media {
    /// The closer range before the wider.
    contents: Vec<Content>,
}

/// One media type, and what it is judged by.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) range: Range,
    pub(super) kind: Kind,
    /// Its number among its direction's schemas.
    pub(super) schema: Option<usize>,
    pub(super) shape: Shape,
}

/// A media type, or a range of them; in lower case (RFC 9110 section 12.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Range {
    Exact(String),
    /// The type before `/*`, with its slash.
    Type(String),
    All,
}

/// How a body of a media type becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Form,
    Text,
    /// Not read: the contract holds for its media type alone.
    Other,
}

impl Media {
    pub(super) fn new(mut contents: Vec<Content>) -> Self {
        contents.sort_by_key(|content| match content.range {
            Range::Exact(_) => 0,
            Range::Type(_) => 1,
            Range::All => 2,
        });
        Self { contents }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    pub(super) fn find(&self, essence: &str) -> Option<&Content> {
        self.contents.iter().find(|content| match &content.range {
            Range::Exact(exact) => exact == essence,
            Range::Type(lead) => essence.starts_with(lead.as_str()),
            Range::All => true,
        })
    }
}

impl Range {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let essence = essence(text.as_bytes())?;
        Some(match essence.split_once('/')? {
            ("*", "*") => Self::All,
            (kind, "*") => Self::Type(format!("{kind}/")),
            _ => Self::Exact(essence),
        })
    }
}

impl Kind {
    pub(super) fn of(media_type: &str) -> Self {
        let Some(essence) = essence(media_type.as_bytes()) else { return Self::Other };
        match essence.as_str() {
            "application/json" => Self::Json,
            json if json.ends_with("+json") => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            text if text.starts_with("text/") => Self::Text,
            _ => Self::Other,
        }
    }
}

/// Type and subtype, in lower case, without parameters.
pub(super) fn essence(value: &[u8]) -> Option<String> {
    let essence = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let (kind, subtype) = std::str::from_utf8(essence).ok()?.split_once('/')?;
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"/,;\"".contains(&b))
    };
    (token(kind) && token(subtype)).then(|| format!("{kind}/{subtype}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_range_counts() {
        let content = |range: &str| Content {
            range: Range::parse(range).unwrap(),
            kind: Kind::of(range),
            schema: None,
            shape: Shape::default(),
        };
        let media = Media::new(["*/*", "text/*", "text/plain"].into_iter().map(content).collect());
        let found = |essence: &str| media.find(essence).unwrap().range.clone();
        assert_eq!(found("text/plain"), Range::Exact("text/plain".to_owned()));
        assert_eq!(found("text/html"), Range::Type("text/".to_owned()));
        assert_eq!(found("image/png"), Range::All);
        assert_eq!(essence(b"Application/JSON ; charset=utf-8").unwrap(), "application/json");
        for bad in [&b"json"[..], b"", b"a/b/c", b"a/", b"a/b, c/d"] {
            assert_eq!(essence(bad), None);
        }
    }
}
