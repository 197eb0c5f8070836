//! Parameters: where each stands in a request, and how its text becomes the value that its schema
//! judges (OpenAPI 3.1, Parameter Object, "Style Values"). A list is split before its parts are
//! decoded, so that an encoded delimiter is part of a value.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header::COOKIE};
use serde_json::{Map, Value};

use super::{escape, shape::Shape};
use crate::proxy::strict_json;

/// Where a parameter stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum In {
    /// The number of the template's place.
    Path(usize),
    Query,
    Header(HeaderName),
    Cookie,
}

/// How a list or object is written in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
    /// A media type of its own: JSON.
    Json,
}

#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: In,
    pub(super) style: Style,
    pub(super) explode: bool,
    pub(super) required: bool,
    pub(super) shape: Shape,
    /// Its number among the request's schemas.
    pub(super) schema: usize,
}

/// Why a parameter has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    Repeated,
    Encoding,
    Form,
}

impl Malformed {
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Repeated => "comes more than once",
            Self::Encoding => "is not UTF-8, or badly percent-encoded",
            Self::Form => "is not written in its style",
        }
    }
}

/// What of a request parameters are read from.
#[derive(Debug)]
pub(super) struct Sent<'r> {
    /// Of the template's places, in order, as they stand in the path.
    pub(super) path: Vec<&'r str>,
    pub(super) query: Vec<(Cow<'r, str>, &'r str)>,
    pub(super) headers: &'r HeaderMap,
    pub(super) cookies: Vec<(&'r str, &'r str)>,
}

impl<'r> Sent<'r> {
    pub(super) fn new(
        path: Vec<&'r str>,
        query: &'r str,
        headers: &'r HeaderMap,
    ) -> Result<Self, Malformed> {
        let query = escape::pairs(query).ok_or(Malformed::Encoding)?;
        Ok(Self { path, query, headers, cookies: cookies(headers)? })
    }
}

fn cookies(headers: &HeaderMap) -> Result<Vec<(&str, &str)>, Malformed> {
    let mut cookies = Vec::new();
    for field in headers.get_all(COOKIE) {
        let text = std::str::from_utf8(field.as_bytes()).ok().ok_or(Malformed::Encoding)?;
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            cookies.push(pair.split_once('=').unwrap_or((pair, "")));
        }
    }
    Ok(cookies)
}

impl Parameter {
    /// Its value, or nothing where the request has none.
    pub(super) fn read(&self, sent: &Sent<'_>) -> Result<Option<Value>, Malformed> {
        match &self.place {
            In::Path(number) => {
                let raw = sent.path.get(*number).copied().unwrap_or_default();
                let text = self.without_lead(raw).ok_or(Malformed::Form)?;
                self.value(&text, false).map(Some)
            }
            In::Query if self.style == Style::DeepObject => self.deep(sent),
            In::Query if self.spreads() => self.spread(sent),
            In::Query => self.pairs(sent.query.iter().map(|(name, raw)| (name.as_ref(), *raw))),
            In::Cookie => self.pairs(sent.cookies.iter().copied()),
            In::Header(name) => self.field(sent.headers, name),
        }
    }

    /// Whether a name of the query belongs to it.
    pub(super) fn names(&self, name: &str) -> bool {
        if self.place != In::Query {
            return false;
        }
        if self.style == Style::DeepObject {
            return self.deep_member(name).is_some();
        }
        if self.spreads() {
            let mut members = self.shape.names().peekable();
            // An object that names no members may be any.
            return members.peek().is_none() || members.any(|member| member == name);
        }
        self.name == name
    }

    /// An object whose members are parameters of their own.
    fn spreads(&self) -> bool {
        self.place == In::Query && self.style == Style::Form && self.explode && self.shape.object
    }

    /// Path styles begin with a sign of theirs.
    fn without_lead<'t>(&self, raw: &'t str) -> Option<Cow<'t, str>> {
        match self.style {
            Style::Label => raw.strip_prefix('.').map(Cow::Borrowed),
            Style::Matrix => {
                let rest = raw.strip_prefix(';')?;
                let named = |part: &'t str| part.strip_prefix(&self.name)?.strip_prefix('=');
                if self.explode && self.shape.array {
                    let parts: Option<Vec<&str>> = rest.split(';').map(named).collect();
                    return parts.map(|parts| Cow::Owned(parts.join(";")));
                }
                if self.explode && self.shape.object {
                    return Some(Cow::Borrowed(rest));
                }
                named(rest).map(Cow::Borrowed)
            }
            Style::Simple
            | Style::Form
            | Style::SpaceDelimited
            | Style::PipeDelimited
            | Style::DeepObject
            | Style::Json => Some(Cow::Borrowed(raw)),
        }
    }

    /// What parts of one text are separated by.
    fn delimiters(&self) -> &'static [&'static str] {
        match self.style {
            Style::Label if self.explode => &["."],
            Style::Matrix if self.explode => &[";"],
            Style::SpaceDelimited => &["%20", "+", " "],
            Style::PipeDelimited => &["|", "%7C", "%7c"],
            Style::Simple
            | Style::Label
            | Style::Matrix
            | Style::Form
            | Style::DeepObject
            | Style::Json => &[","],
        }
    }

    fn pairs<'r>(
        &self,
        all: impl Iterator<Item = (&'r str, &'r str)>,
    ) -> Result<Option<Value>, Malformed> {
        let mut own = all.filter(|(name, _)| *name == self.name).map(|(_, raw)| raw);
        let Some(first) = own.next() else { return Ok(None) };
        let rest: Vec<&str> = own.collect();
        let listed = self.shape.array && self.explode && self.style != Style::Json;
        if listed {
            let parts = std::iter::once(first).chain(rest);
            return parts.map(|raw| self.part(raw, true)).collect::<Result<_, _>>().map(Some);
        }
        if !rest.is_empty() {
            return Err(Malformed::Repeated);
        }
        self.value(first, true).map(Some)
    }

    fn part(&self, raw: &str, plus: bool) -> Result<Value, Malformed> {
        let text = escape::decode(raw, plus).ok_or(Malformed::Encoding)?;
        Ok(self.shape.items().read(&text))
    }

    fn field(&self, headers: &HeaderMap, name: &HeaderName) -> Result<Option<Value>, Malformed> {
        let mut texts = Vec::new();
        for value in headers.get_all(name) {
            texts.push(std::str::from_utf8(value.as_bytes()).ok().ok_or(Malformed::Encoding)?);
        }
        if texts.is_empty() {
            return Ok(None);
        }
        // Several lines of a field are one list (RFC 9110 section 5.3), and only a list may be.
        if texts.len() > 1 && !self.shape.array {
            return Err(Malformed::Repeated);
        }
        let text = texts.join(",");
        if self.style == Style::Json {
            return json(&text).map(Some);
        }
        if self.shape.array {
            let parts = text.split(',').map(|part| self.shape.items().read(part.trim()));
            return Ok(Some(parts.collect()));
        }
        if self.shape.object {
            let decode = |raw: &str| Ok(raw.trim().to_owned());
            return self.object(&text, decode).map(Some);
        }
        Ok(Some(self.shape.read(&text)))
    }

    /// One text as a value: parts first, each decoded by itself.
    fn value(&self, raw: &str, plus: bool) -> Result<Value, Malformed> {
        let decode =
            |raw: &str| escape::decode(raw, plus).map(Cow::into_owned).ok_or(Malformed::Encoding);
        if self.style == Style::Json {
            return json(&decode(raw)?);
        }
        if self.shape.array {
            if raw.is_empty() {
                return Ok(Value::Array(Vec::new()));
            }
            return self.split(raw).into_iter().map(|raw| self.part(raw, plus)).collect();
        }
        if self.shape.object {
            return self.object(raw, decode);
        }
        Ok(self.shape.read(&decode(raw)?))
    }

    fn split<'t>(&self, raw: &'t str) -> Vec<&'t str> {
        let delimiters = self.delimiters();
        let found = delimiters.iter().find(|delimiter| raw.contains(**delimiter));
        found.map_or_else(|| vec![raw], |delimiter| raw.split(*delimiter).collect())
    }

    /// `R=100,G=200` where it explodes, else `R,100,G,200`.
    fn object(
        &self,
        raw: &str,
        decode: impl Fn(&str) -> Result<String, Malformed>,
    ) -> Result<Value, Malformed> {
        let parts = self.split(raw);
        let pairs: Option<Vec<(&str, &str)>> = if self.explode {
            parts.iter().map(|part| part.split_once('=')).collect()
        } else {
            let (pairs, rest) = parts.as_chunks::<2>();
            rest.is_empty().then(|| pairs.iter().map(|[name, value]| (*name, *value)).collect())
        };
        let mut members = Map::new();
        for (name, value) in pairs.ok_or(Malformed::Form)? {
            let (name, value) = (decode(name)?, decode(value)?);
            let value = self.shape.member(&name).read(&value);
            if members.insert(name, value).is_some() {
                return Err(Malformed::Repeated);
            }
        }
        Ok(Value::Object(members))
    }

    /// `name[member]=…`.
    fn deep(&self, sent: &Sent<'_>) -> Result<Option<Value>, Malformed> {
        let own = sent.query.iter().filter_map(|(name, raw)| Some((self.deep_member(name)?, *raw)));
        self.gathered(own)
    }

    fn deep_member<'n>(&self, name: &'n str) -> Option<&'n str> {
        let member = name.strip_prefix(&self.name)?.strip_prefix('[')?.strip_suffix(']')?;
        (!member.contains(['[', ']'])).then_some(member)
    }

    fn spread(&self, sent: &Sent<'_>) -> Result<Option<Value>, Malformed> {
        let own = sent.query.iter().filter(|(name, _)| self.names(name));
        self.gathered(own.map(|(name, raw)| (name.as_ref(), *raw)))
    }

    pub(super) fn gathered<'r>(
        &self,
        pairs: impl Iterator<Item = (&'r str, &'r str)>,
    ) -> Result<Option<Value>, Malformed> {
        let mut members: Map<String, Value> = Map::new();
        for (name, raw) in pairs {
            let text = escape::decode(raw, true).ok_or(Malformed::Encoding)?;
            let shape = self.shape.member(name);
            let value = if shape.array { shape.items().read(&text) } else { shape.read(&text) };
            match members.get_mut(name) {
                Some(Value::Array(list)) if shape.array => list.push(value),
                Some(_) => return Err(Malformed::Repeated),
                None => {
                    let value = if shape.array { Value::Array(vec![value]) } else { value };
                    members.insert(name.to_owned(), value);
                }
            }
        }
        Ok((!members.is_empty()).then_some(Value::Object(members)))
    }
}

fn json(text: &str) -> Result<Value, Malformed> {
    strict_json::read(text.as_bytes()).ok().ok_or(Malformed::Form)
}
