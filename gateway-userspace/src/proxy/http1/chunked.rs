//! Follows the framing of a chunked body (RFC 9112 section 7.1) byte by byte, so that every reader
//! behind it sees the same chunks and the next request begins where it says.

use gateway_common::Reason;

use super::{Bounds, Fault, field, grammar::is_value};

/// Digits of a chunk's size: more cannot be a lawful size, only an overflow.
const SIZE_DIGITS: u8 = 15;

/// Chunk extensions mean nothing to anyone here, and are dropped on the way. Bytes of all together,
/// so that they cannot be more work than a body.
const EXTENSIONS: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// Blanks before the extension or the line's end are lawful only for an extension
    /// (`BWS ";"`): they are refused, since readers disagree about them.
    Extension,
    SizeEnd,
    Data(u64),
    DataReturn,
    DataEnd,
    Trailer,
    Done,
}

/// A chunked body on its way.
#[derive(Debug)]
pub struct Chunked {
    bounds: Bounds,
    state: State,
    size: u64,
    digits: u8,
    extensions: usize,
    /// The current line of the trailers, as far as it has come.
    line: Vec<u8>,
    trailer_bytes: usize,
    trailer_fields: usize,
}

/// How far a body was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that belong to the body and are lawful.
    pub read: usize,
    pub fault: Option<Fault>,
}

impl Chunked {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: State::Size,
            size: 0,
            digits: 0,
            extensions: 0,
            line: Vec::new(),
            trailer_bytes: 0,
            trailer_fields: 0,
        }
    }

    /// The body is over; the next byte is another request's.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub fn advance(&mut self, bytes: &[u8]) -> Progress {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..)
            && let Some(byte) = rest.first()
            && self.state != State::Done
        {
            if let State::Data(left) = self.state {
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let left = left - step as u64;
                self.state = if left == 0 { State::DataReturn } else { State::Data(left) };
                read += step;
                continue;
            }
            match self.step(*byte) {
                Ok(state) => self.state = state,
                Err(fault) => return Progress { read, fault: Some(fault) },
            }
            read += 1;
        }
        Progress { read, fault: None }
    }

    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (State::Size, b';') if self.digits > 0 => Ok(State::Extension),
            (State::Size, b'\r') if self.digits > 0 => Ok(State::SizeEnd),
            (State::Size, _) => Err(wrong("a chunk size that is no hexadecimal number")),
            (State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Extension, _) => self.extension(byte),
            (State::SizeEnd, b'\n') => Ok(self.chunk()),
            (State::DataReturn, b'\r') => Ok(State::DataEnd),
            (State::DataEnd, b'\n') => Ok(State::Size),
            (State::SizeEnd, _) => Err(wrong("a chunk size line that does not end in CRLF")),
            (State::DataReturn | State::DataEnd, _) => {
                Err(wrong("a chunk longer than its size, or not ended by CRLF"))
            }
            (State::Trailer, b'\n') => self.trailer(),
            (State::Trailer, _) => self.collect(byte),
            (State::Data(_) | State::Done, _) => Ok(self.state),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, Fault> {
        self.digits += 1;
        if self.digits > SIZE_DIGITS {
            return Err(wrong("a chunk size that is too large"));
        }
        let digit = char::from(byte).to_digit(16).unwrap_or(0);
        self.size = (self.size << 4) | u64::from(digit);
        Ok(State::Size)
    }

    fn extension(&mut self, byte: u8) -> Result<State, Fault> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS {
            return Err(wrong("chunk extensions that are too long"));
        }
        // A line feed here ends the line for some (CVE-2025-55315 and its kin).
        if !is_value(&[byte]) {
            return Err(wrong("a control byte in a chunk extension"));
        }
        Ok(State::Extension)
    }

    /// At the end of a size line.
    fn chunk(&mut self) -> State {
        self.digits = 0;
        match std::mem::take(&mut self.size) {
            0 => State::Trailer,
            size => State::Data(size),
        }
    }

    fn collect(&mut self, byte: u8) -> Result<State, Fault> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > self.bounds.bytes {
            return Err(Fault::new(Reason::TrailerInvalid, "trailers over proxy.head"));
        }
        self.line.push(byte);
        Ok(State::Trailer)
    }

    /// At the end of a trailer's line.
    fn trailer(&mut self) -> Result<State, Fault> {
        let wrong = |detail| Err(Fault::new(Reason::TrailerInvalid, detail));
        let Some(line) = self.line.strip_suffix(b"\r") else {
            return wrong("a trailer line that ends without a CR");
        };
        if line.is_empty() {
            return Ok(State::Done);
        }
        self.trailer_fields += 1;
        if self.trailer_fields > self.bounds.fields {
            return wrong("trailers over proxy.head_fields");
        }
        match field::read(line) {
            Err(fault) => return wrong(fault.detail),
            Ok(field) if !may_trail(field.name) => return wrong("a field that is no trailer"),
            Ok(_) => {}
        }
        self.line.clear();
        Ok(State::Trailer)
    }
}

/// Nothing that says how a message is framed, routed or judged comes after it.
fn may_trail(name: &[u8]) -> bool {
    const HOP: [&[u8]; 8] = [
        b"connection",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"content_length",
    ];
    !field::is_end_to_end(name) && !HOP.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn wrong(detail: &'static str) -> Fault {
    Fault::new(Reason::ChunkInvalid, detail)
}
