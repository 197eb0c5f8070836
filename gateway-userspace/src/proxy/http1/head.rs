//! Reads a head line by line as its bytes come, each byte once, without an allocation. A fault is
//! told at the end of the line it is in.

use gateway_common::Reason;

use super::{
    Bounds, Fault,
    field::{self, Field, Known},
    grammar::members,
    target::{self, RequestLine},
};

/// Lengths above this do not fit a file offset, and are no lengths of bodies.
const LONGEST_BODY: u64 = i64::MAX as u64;

/// Empty lines before a request line (RFC 9112 section 2.2): clients of old send one after a body.
const EMPTY_LINES: u8 = 2;

/// A whole head, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, the empty line at its end included.
    pub length: usize,
    pub body: Framing,
    pub after: After,
}

/// Where its body ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What the bytes behind it are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request.
    Request,
    /// Not told before the answer is: it asks for another protocol.
    Open,
}

/// A head that is being read.
#[derive(Debug)]
pub struct Reader {
    bounds: Bounds,
    /// Where the current line begins, and up to where no end of it was found.
    line: usize,
    searched: usize,
    empty_lines: u8,
    request: Option<RequestLine>,
    fields: usize,
    /// The known fields seen, a bit each.
    seen: u32,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    names_upgrade: bool,
}

impl Reader {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            line: 0,
            searched: 0,
            empty_lines: 0,
            request: None,
            fields: 0,
            seen: 0,
            length: None,
            chunked: false,
            upgrade: false,
            names_upgrade: false,
        }
    }

    /// Whether a byte of the request line has come.
    pub fn has_begun(&self) -> bool {
        self.request.is_some() || self.searched > self.line
    }

    /// Reads on. `bytes` are those of the head so far, from its first; `None` asks for more.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<Head>, Fault> {
        while let Some(rest) = bytes.get(self.searched..)
            && let Some(end) = memchr::memchr(b'\n', rest)
        {
            let line = bytes.get(self.line..self.searched + end).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(self.bare_line_feed(line));
            };
            self.searched += end + 1;
            self.line = self.searched;
            self.within_bounds(self.line)?;
            if self.take(line)? {
                return self.finish().map(Some);
            }
        }
        self.searched = bytes.len();
        self.within_bounds(bytes.len())?;
        Ok(None)
    }

    /// What comes of a head that ends here, with the connection.
    pub fn cut(&self) -> Fault {
        Fault::new(Reason::HeadMalformed, "the connection ended inside a head")
    }

    /// Some readers end a line at it, others do not (RFC 9112 section 2.2). Where the line is no
    /// HTTP at all, that is said first.
    fn bare_line_feed(&self, line: &[u8]) -> Fault {
        if self.request.is_none()
            && !line.is_empty()
            && let Err(fault) = target::read(line)
            && fault.reason == Reason::HeadMalformed
        {
            return fault;
        }
        Fault::new(Reason::LineEnding, "a line that ends without a CR")
    }

    fn within_bounds(&self, bytes: usize) -> Result<(), Fault> {
        if bytes <= self.bounds.bytes {
            return Ok(());
        }
        if self.request.is_none() {
            return Err(Fault::new(Reason::TargetTooLong, "proxy.head, by the request line alone"));
        }
        Err(Fault::new(Reason::HeadTooLarge, "proxy.head"))
    }

    /// Takes one line, without its end. True at the empty line that ends a head.
    fn take(&mut self, line: &[u8]) -> Result<bool, Fault> {
        let Some(request) = self.request else {
            if line.is_empty() && self.empty_lines < EMPTY_LINES {
                self.empty_lines += 1;
                return Ok(false);
            }
            self.request = Some(target::read(line)?);
            return Ok(false);
        };
        if line.is_empty() {
            return Ok(true);
        }
        self.fields += 1;
        if self.fields > self.bounds.fields {
            return Err(Fault::new(Reason::HeadTooLarge, "proxy.head_fields"));
        }
        let field = field::read(line)?;
        if let Some(known) = field::known(field.name) {
            self.note(known, &field, request)?;
        }
        Ok(false)
    }

    fn note(&mut self, known: Known, field: &Field<'_>, request: RequestLine) -> Result<(), Fault> {
        match known {
            Known::Host => self.once(0, Reason::HostInvalid, "more than one Host field"),
            Known::ContentLength => {
                self.once(1, Reason::LengthInvalid, "more than one Content-Length field")?;
                self.length = Some(length(field.value)?);
                self.unconflicted()
            }
            Known::TransferEncoding => {
                self.once(2, Reason::TransferCoding, "more than one Transfer-Encoding field")?;
                self.chunked = chunked(field.value, request)?;
                self.unconflicted()
            }
            Known::Expect => {
                self.once(3, Reason::FieldDuplicate, "more than one Expect field")?;
                field::expect(field.value)
            }
            Known::Upgrade => {
                self.upgrade = true;
                Ok(())
            }
            Known::Connection => {
                self.names_upgrade |= connection(field.value)?;
                Ok(())
            }
            Known::Single(number) => {
                let Fault { reason, detail } = field::repeated();
                self.once(8 + number, reason, detail)
            }
            Known::Twin => Err(field::twin()),
        }
    }

    fn once(&mut self, bit: u8, reason: Reason, detail: &'static str) -> Result<(), Fault> {
        let mask = 1_u32 << (bit % 32);
        if self.seen & mask != 0 {
            return Err(Fault::new(reason, detail));
        }
        self.seen |= mask;
        Ok(())
    }

    fn unconflicted(&self) -> Result<(), Fault> {
        if self.length.is_some() && self.chunked {
            let detail = "Content-Length beside Transfer-Encoding";
            return Err(Fault::new(Reason::FramingConflict, detail));
        }
        Ok(())
    }

    fn finish(&self) -> Result<Head, Fault> {
        let body = match self.length {
            _ if self.chunked => Framing::Chunked,
            Some(length) if length > 0 => Framing::Length(length),
            Some(_) | None => Framing::None,
        };
        let request = self.request;
        if request.is_some_and(|request| request.bodiless) && body != Framing::None {
            let detail = "a body behind CONNECT or TRACE";
            return Err(Fault::new(Reason::FramingConflict, detail));
        }
        if self.seen & 1 == 0 && request.is_some_and(|request| request.one) {
            return Err(Fault::new(Reason::HostInvalid, "no Host field"));
        }
        let open =
            request.is_some_and(|request| request.connect) || (self.upgrade && self.names_upgrade);
        let after = if open { After::Open } else { After::Request };
        Ok(Head { length: self.line, body, after })
    }
}

/// Digits alone, and no leading zero, which some take for octal. A list of equal lengths is lawful
/// to merge (RFC 9110 section 8.6), but nobody honest sends one.
fn length(value: &[u8]) -> Result<u64, Fault> {
    let wrong = |detail| Fault::new(Reason::LengthInvalid, detail);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(wrong("Content-Length is not one number"));
    }
    if value.len() > 1 && value.first() == Some(&b'0') {
        return Err(wrong("Content-Length with leading zeros"));
    }
    let number = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    number.filter(|length| *length <= LONGEST_BODY).ok_or(wrong("Content-Length is too large"))
}

/// `chunked` and nothing else: another coding would have to be undone here, and in HTTP/1.0 none
/// is known (RFC 9112 section 6.1).
fn chunked(value: &[u8], request: RequestLine) -> Result<bool, Fault> {
    if !request.one {
        return Err(Fault::new(Reason::TransferCoding, "Transfer-Encoding in HTTP/1.0"));
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    Err(Fault::new(Reason::TransferCoding, "Transfer-Encoding is not exactly chunked"))
}

/// Whether a `Connection` field names the upgrade. What it nominates is removed on the way to the
/// supplier: that must not be what the supplier, or we, judge by.
fn connection(value: &[u8]) -> Result<bool, Fault> {
    // What nearly all say.
    if value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close") {
        return Ok(false);
    }
    let mut upgrade = false;
    for name in members(value) {
        if field::is_end_to_end(name) {
            let detail = "Connection nominates an end-to-end field";
            return Err(Fault::new(Reason::NominationRefused, detail));
        }
        upgrade |= name.eq_ignore_ascii_case(b"upgrade");
    }
    Ok(upgrade)
}
