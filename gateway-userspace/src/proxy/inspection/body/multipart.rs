//! `multipart/form-data` (RFC 7578) as rules see it: fields, files, heads of parts, and what is odd
//! about it. Readers of multipart differ, and what two read differently hides an attack from one: each
//! oddity has its flag, and what has no one reading at all is an error.

use super::{Argument, BodyError, Limits};

/// Lines of a part's head, at most.
const HEADER_LINES: usize = 16;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub arguments: Vec<Argument>,
    pub files: Vec<File>,
    /// Of each part: its name, and a line of its head.
    pub part_headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub oddities: Vec<Oddity>,
    pub error: Option<BodyError>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Of its field.
    pub name: Vec<u8>,
    pub filename: Vec<u8>,
    pub size: usize,
}

/// What readers of multipart differ about; each is a flag of ModSecurity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    BoundaryQuoted,
    BoundaryWhitespace,
    DataBefore,
    DataAfter,
    HeaderFolding,
    InvalidQuoting,
    LfLine,
    MissingSemicolon,
    UnmatchedBoundary,
}

/// Reads a body. `media_type` is the value of Content-Type, which names the boundary.
pub fn read(media_type: &[u8], body: &[u8], limits: &Limits) -> Form {
    let mut form = Form::default();
    form.error = parse(media_type, body, limits, &mut form).err();
    form
}

fn parse(
    media_type: &[u8],
    body: &[u8],
    limits: &Limits,
    form: &mut Form,
) -> Result<(), BodyError> {
    let boundary = boundary(media_type, form)?;
    let mark = [b"--", boundary.as_slice()].concat();
    let mut lines = Lines { rest: body };
    let mut ended = false;
    let mut part: Option<Vec<u8>> = None;
    while let Some((line, ending)) = lines.next() {
        if ending == Ending::Lf {
            form.odd(Oddity::LfLine);
        }
        let Some(behind) = line.strip_prefix(mark.as_slice()) else {
            if line.starts_with(b"--") && part.is_some() && near(line, &boundary) {
                form.odd(Oddity::UnmatchedBoundary);
            }
            match &mut part {
                Some(part) => {
                    part.extend_from_slice(line);
                    part.extend_from_slice(ending.bytes());
                }
                None if ended && !line.is_empty() => form.odd(Oddity::DataAfter),
                None if !ended && !line.is_empty() => form.odd(Oddity::DataBefore),
                None => {}
            }
            continue;
        };
        if ended {
            return Err(BodyError::Multipart("a part behind the last boundary"));
        }
        let (last, behind) = match behind.strip_prefix(b"--") {
            Some(behind) => (true, behind),
            None => (false, behind),
        };
        if !behind.trim_ascii().is_empty() {
            return Err(BodyError::Multipart("text behind a boundary"));
        }
        if !behind.is_empty() {
            form.odd(Oddity::BoundaryWhitespace);
        }
        if let Some(part) = part.take() {
            form.part(&part, limits)?;
        }
        (part, ended) = ((!last).then(Vec::new), last);
    }
    if ended { Ok(()) } else { Err(BodyError::Multipart("no last boundary")) }
}

/// A line that could pass for a boundary with another reader.
fn near(line: &[u8], boundary: &[u8]) -> bool {
    line.windows(boundary.len()).any(|window| window.eq_ignore_ascii_case(boundary))
}

/// RFC 2046 section 5.1.1: up to 70 characters, of which none is a space at the end.
fn boundary(media_type: &[u8], form: &mut Form) -> Result<Vec<u8>, BodyError> {
    let mut parts = media_type.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
    let named =
        |part: &&[u8]| part.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"boundary="));
    let value = parts.clone().find(named).and_then(|part| part.get(9..));
    let value = value.ok_or(BodyError::Multipart("no boundary"))?;
    if parts.by_ref().filter(named).count() > 1 {
        return Err(BodyError::Multipart("two boundaries"));
    }
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    if quoted.is_some() {
        form.odd(Oddity::BoundaryQuoted);
    }
    let value = quoted.unwrap_or(value);
    let lawful = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    let good = (1..=70).contains(&value.len()) && value.iter().all(lawful);
    if good { Ok(value.to_vec()) } else { Err(BodyError::Multipart("a bad boundary")) }
}

impl Form {
    fn odd(&mut self, oddity: Oddity) {
        if !self.oddities.contains(&oddity) {
            self.oddities.push(oddity);
        }
    }

    /// One part, between two boundaries; its last line end belongs to the boundary.
    fn part(&mut self, part: &[u8], limits: &Limits) -> Result<(), BodyError> {
        if self.arguments.len() + self.files.len() >= limits.items {
            return Err(BodyError::TooMany);
        }
        let mut lines = Lines { rest: part };
        let mut head: Vec<Vec<u8>> = Vec::new();
        loop {
            let (line, _) = lines.next().ok_or(BodyError::Multipart("a part without a body"))?;
            if line.is_empty() {
                break;
            }
            if head.len() >= HEADER_LINES || line.len() > limits.header_line {
                return Err(BodyError::Multipart("too long a head of a part"));
            }
            match head.last_mut() {
                Some(before) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                    self.odd(Oddity::HeaderFolding);
                    before.push(b' ');
                    before.extend_from_slice(line.trim_ascii());
                }
                _ => head.push(line.to_vec()),
            }
        }
        let value = lines.rest;
        let value = value.strip_suffix(b"\n").map_or(value, |v| v.strip_suffix(b"\r").unwrap_or(v));
        let (name, filename) = self.disposition(&head)?;
        for line in head {
            self.part_headers.push((name.clone(), line));
        }
        match filename {
            Some(filename) => self.files.push(File { name, filename, size: value.len() }),
            None => self.arguments.push(Argument { name, value: value.to_vec() }),
        }
        Ok(())
    }

    /// The field's name and, of a file, its own.
    fn disposition(&mut self, head: &[Vec<u8>]) -> Result<(Vec<u8>, Option<Vec<u8>>), BodyError> {
        let mut found = None;
        for line in head {
            let at = line.iter().position(|byte| *byte == b':');
            let at = at.ok_or(BodyError::Multipart("a line of a part's head without a colon"))?;
            let (field, value) = line.split_at(at);
            if field.trim_ascii().eq_ignore_ascii_case(b"content-disposition")
                && found.replace(value.get(1..).unwrap_or_default().trim_ascii()).is_some()
            {
                return Err(BodyError::Multipart("two dispositions of a part"));
            }
        }
        let value = found.ok_or(BodyError::Multipart("a part without a disposition"))?;
        let rest = value.get(..9).filter(|kind| kind.eq_ignore_ascii_case(b"form-data"));
        rest.ok_or(BodyError::Multipart("a disposition other than form-data"))?;
        let (mut name, mut filename) = (None, None);
        let mut rest = value.get(9..).unwrap_or_default().trim_ascii_start();
        while !rest.is_empty() {
            match rest.strip_prefix(b";") {
                Some(after) => rest = after.trim_ascii_start(),
                None => self.odd(Oddity::MissingSemicolon),
            }
            if rest.is_empty() {
                break;
            }
            let at = rest.iter().position(|byte| *byte == b'=');
            let at = at.ok_or(BodyError::Multipart("a parameter without a value"))?;
            let (key, after) = rest.split_at(at);
            let (text, after) = self.value(after.get(1..).unwrap_or_default())?;
            let place = match key.trim_ascii().to_ascii_lowercase().as_slice() {
                b"name" => &mut name,
                // Browsers send filename; filename* is not for forms (RFC 7578 section 4.2).
                b"filename" => &mut filename,
                b"filename*" => return Err(BodyError::Multipart("an extended file name")),
                _ => return Err(BodyError::Multipart("an unknown parameter")),
            };
            if place.replace(text).is_some() {
                return Err(BodyError::Multipart("a parameter that comes twice"));
            }
            rest = after.trim_ascii_start();
        }
        Ok((name.ok_or(BodyError::Multipart("a part without a name"))?, filename))
    }

    /// In quotes, in which a backslash keeps what follows, or a word.
    fn value<'t>(&mut self, text: &'t [u8]) -> Result<(Vec<u8>, &'t [u8]), BodyError> {
        let Some(mut rest) = text.strip_prefix(b"\"") else {
            if text.starts_with(b"'") {
                self.odd(Oddity::InvalidQuoting);
            }
            let end = text.iter().position(|byte| matches!(byte, b';' | b' '));
            let (word, after) = text.split_at(end.unwrap_or(text.len()));
            return Ok((word.to_vec(), after));
        };
        let mut value = Vec::new();
        while let Some((byte, after)) = rest.split_first() {
            match (byte, after.split_first()) {
                (b'"', _) => return Ok((value, after)),
                (b'\\', Some((kept @ (b'"' | b'\\'), after))) => {
                    value.push(*kept);
                    rest = after;
                }
                _ => {
                    value.push(*byte);
                    rest = after;
                }
            }
        }
        Err(BodyError::Multipart("a quote that is not closed"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    CrLf,
    Lf,
    None,
}

impl Ending {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::CrLf => b"\r\n",
            Self::Lf => b"\n",
            Self::None => b"",
        }
    }
}

struct Lines<'b> {
    rest: &'b [u8],
}

impl<'b> Lines<'b> {
    fn next(&mut self) -> Option<(&'b [u8], Ending)> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') else {
            return Some((std::mem::take(&mut self.rest), Ending::None));
        };
        let (line, after) = self.rest.split_at(at);
        self.rest = after.get(1..).unwrap_or_default();
        match line.strip_suffix(b"\r") {
            Some(line) => Some((line, Ending::CrLf)),
            None => Some((line, Ending::Lf)),
        }
    }
}
