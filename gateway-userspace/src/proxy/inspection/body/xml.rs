//! XML as rules see it: the text of the document (`XML:/*`) and every attribute value
//! (`XML://@*`). A DOCTYPE, and so every entity of one's own, is an error: nothing expands here.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{BodyError, Limits};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Document {
    pub text: Vec<u8>,
    pub attributes: Vec<Vec<u8>>,
    pub error: Option<BodyError>,
}

pub fn read(body: &[u8], limits: &Limits) -> Document {
    let mut document = Document::default();
    document.error = match str::from_utf8(body) {
        Ok(text) => Walk { limits, depth: 0, elements: 0, found: &mut document }.run(text).err(),
        Err(_) => Some(BodyError::Coding),
    };
    document
}

struct Walk<'a> {
    limits: &'a Limits,
    depth: usize,
    elements: usize,
    found: &'a mut Document,
}

impl Walk<'_> {
    fn run(mut self, text: &str) -> Result<(), BodyError> {
        let mut reader = Reader::from_str(text);
        loop {
            let event = reader.read_event();
            match event.map_err(|_malformed| BodyError::Xml("not well formed"))? {
                Event::Start(start) => {
                    self.element(&start)?;
                    self.depth += 1;
                }
                Event::Empty(start) => self.element(&start)?,
                Event::End(_) => self.depth = self.depth.saturating_sub(1),
                Event::Text(text) => self.text(text.xml10_content().as_bytes())?,
                Event::CData(data) => self.text(data.into_inner().as_bytes())?,
                Event::GeneralRef(name) => self.reference(&name.into_inner())?,
                Event::DocType(_) => return Err(BodyError::Xml("a document type")),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => return self.end(),
            }
        }
    }

    fn element(&mut self, start: &BytesStart<'_>) -> Result<(), BodyError> {
        if self.depth >= self.limits.depth {
            return Err(BodyError::TooDeep);
        }
        if self.depth == 0 && self.elements > 0 {
            return Err(BodyError::Xml("a second root"));
        }
        self.elements += 1;
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_malformed| BodyError::Xml("a broken attribute"))?;
            if self.found.attributes.len() >= self.limits.items {
                return Err(BodyError::TooMany);
            }
            self.found.attributes.push(unescape(&attribute.value)?);
        }
        Ok(())
    }

    /// Text may stand only within the root.
    fn text(&mut self, text: &[u8]) -> Result<(), BodyError> {
        if self.depth > 0 {
            self.found.text.extend_from_slice(text);
            return Ok(());
        }
        let blank = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text).trim_ascii();
        if blank.is_empty() { Ok(()) } else { Err(BodyError::Xml("text outside of the root")) }
    }

    fn reference(&mut self, name: &str) -> Result<(), BodyError> {
        let letter = resolve(name)?;
        self.text(letter.encode_utf8(&mut [0; 4]).as_bytes())
    }

    fn end(&self) -> Result<(), BodyError> {
        match (self.elements, self.depth) {
            (0, _) => Err(BodyError::Xml("no element")),
            (_, 0) => Ok(()),
            _ => Err(BodyError::Xml("it ends early")),
        }
    }
}

fn unescape(value: &str) -> Result<Vec<u8>, BodyError> {
    let (mut out, mut rest) = (Vec::with_capacity(value.len()), value);
    while let Some((before, behind)) = rest.split_once('&') {
        out.extend_from_slice(before.as_bytes());
        let (name, after) = behind.split_once(';').ok_or(BodyError::Xml("a lone ampersand"))?;
        out.extend_from_slice(resolve(name)?.encode_utf8(&mut [0; 4]).as_bytes());
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// The five names of XML itself, and numbers.
fn resolve(name: &str) -> Result<char, BodyError> {
    let number = |digits: &str, base| u32::from_str_radix(digits, base).ok();
    let coded = match name.strip_prefix('#') {
        Some(code) => match code.strip_prefix('x') {
            Some(digits) => number(digits, 16),
            None => number(code, 10),
        }
        .and_then(char::from_u32),
        None => match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => None,
        },
    };
    coded.ok_or(BodyError::Xml("an unknown entity"))
}
