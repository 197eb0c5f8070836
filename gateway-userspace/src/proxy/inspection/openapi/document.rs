//! The documents a contract is made of, and where their references lead: to each other and nowhere
//! else. Nothing is fetched, so that a contract cannot make the gateway ask strangers (SSRF), nor
//! change behind its operator's back.

use std::borrow::Cow;

use serde_json::Value;

use super::{escape, fault::Fault};

/// Bytes of one document, at most.
const BYTES: usize = 8 << 20;

/// References that lead to references, at most.
const HOPS: usize = 32;

/// Where resources of a contract stand for the JSON Schema library; nothing is ever asked there.
const SCHEME: &str = "gateway-contract:///";

/// A set of documents, the contract's own first.
#[derive(Debug)]
pub(super) struct Documents {
    names: Vec<String>,
    roots: Vec<Value>,
}

/// A place inside a set: which document, and a JSON pointer (RFC 6901) into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) document: usize,
    pub(super) pointer: String,
}

impl Place {
    pub(super) fn root(document: usize) -> Self {
        Self { document, pointer: String::new() }
    }

    pub(super) fn child(&self, name: &str) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        Self { document: self.document, pointer: format!("{}/{name}", self.pointer) }
    }

    /// As a reference of the JSON Schema library.
    pub(super) fn uri(&self) -> String {
        let mut uri = format!("{}#", resource(self.document));
        for byte in self.pointer.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                    uri.push(char::from(byte));
                }
                _ => uri.extend(['%', digit(byte >> 4), digit(byte & 15)]),
            }
        }
        uri
    }
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

/// The address of a document for the JSON Schema library.
pub(super) fn resource(document: usize) -> String {
    format!("{SCHEME}{document}")
}

/// Whether a reference is one that `Place::uri` wrote.
pub(super) fn is_ours(reference: &str) -> bool {
    reference.starts_with(SCHEME)
}

impl Documents {
    /// Reads every text: JSON if it begins with a brace, else YAML. `texts` are names, as references
    /// write them, with their content.
    pub(super) fn read(texts: &[(String, Vec<u8>)]) -> Result<Self, Fault> {
        let mut set = Self { names: Vec::new(), roots: Vec::new() };
        for (name, text) in texts {
            set.roots.push(parse(name, text)?);
            set.names.push(name.clone());
        }
        Ok(set)
    }

    pub(super) fn name(&self, document: usize) -> &str {
        self.names.get(document).map_or("", String::as_str)
    }

    pub(super) fn roots(&self) -> &[Value] {
        &self.roots
    }

    pub(super) fn get(&self, place: &Place) -> Option<&Value> {
        self.roots.get(place.document)?.pointer(&place.pointer)
    }

    pub(super) fn fault(&self, place: &Place, what: impl Into<String>) -> Fault {
        Fault::at(self.name(place.document), &place.pointer, what)
    }

    /// Where a reference that stands at `from` leads.
    pub(super) fn target(&self, from: &Place, reference: &str) -> Result<Place, Fault> {
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if file.is_empty() {
            Some(from.document)
        } else {
            let file = file.strip_prefix("./").unwrap_or(file);
            self.names.iter().position(|name| name == file)
        };
        let Some(document) = document else {
            let what = format!("refers to \"{reference}\", which is none of the contract's files");
            return Err(self.fault(from, what));
        };
        let pointer = escape::decode(fragment, false).map(Cow::into_owned);
        let place = pointer.map(|pointer| Place { document, pointer });
        let found = place.filter(|place| self.get(place).is_some());
        found.ok_or_else(|| {
            self.fault(from, format!("refers to \"{reference}\", where nothing stands"))
        })
    }

    /// What stands at a place, references followed.
    pub(super) fn follow(&self, place: &Place) -> Result<(Place, &Value), Fault> {
        let mut place = place.clone();
        for _ in 0..HOPS {
            let Some(value) = self.get(&place) else {
                return Err(self.fault(&place, "is missing"));
            };
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok((place, value));
            };
            place = self.target(&place, reference)?;
        }
        Err(self.fault(&place, "is a reference that leads round in a circle"))
    }
}

fn parse(name: &str, text: &[u8]) -> Result<Value, Fault> {
    if text.len() > BYTES {
        return Err(Fault::at(name, "", format!("is over {} MiB", BYTES >> 20)));
    }
    let text = std::str::from_utf8(text)
        .map_err(|error| Fault::at(name, "", format!("is not UTF-8: {error}")))?;
    if text.trim_ascii_start().starts_with('{') {
        return crate::proxy::strict_json::read(text.as_bytes())
            .map_err(|error| Fault::at(name, "", format!("is no JSON: {error}")));
    }
    serde_saphyr::from_str_with_options(text, yaml_options())
        .map_err(|error| Fault::at(name, "", format!("is no YAML: {error}")))
}

/// Keys that come twice are faults; aliases may not make much out of little.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}
