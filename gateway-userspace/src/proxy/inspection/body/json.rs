//! JSON (RFC 8259) as arguments named the way ModSecurity v3 names them: `json.a.b` for members,
//! `json.list.array_0` for elements. Keeps a stack of its own, so that no depth ends the thread.

use super::{Argument, BodyError, Limits};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Document {
    pub arguments: Vec<Argument>,
    pub error: Option<BodyError>,
}

/// Every scalar as an argument, in order; keeps what came before a fault.
pub fn read(body: &[u8], limits: &Limits) -> Document {
    let mut reader = Reader::new(body, limits);
    let error = reader.document().err();
    Document { arguments: reader.arguments, error }
}

enum Container {
    Object,
    /// With the number of elements that are behind.
    Array(usize),
}

struct Reader<'a> {
    rest: &'a [u8],
    limits: &'a Limits,
    stack: Vec<(Container, usize)>,
    /// The name of the value at hand; each container remembers where its own part began.
    path: Vec<u8>,
    arguments: Vec<Argument>,
}

impl<'a> Reader<'a> {
    fn new(body: &'a [u8], limits: &'a Limits) -> Self {
        let path = b"json".to_vec();
        Self { rest: body, limits, stack: Vec::new(), path, arguments: Vec::new() }
    }

    fn document(&mut self) -> Result<(), BodyError> {
        self.value()?;
        while !self.stack.is_empty() {
            self.within_container()?;
        }
        match self.blank() {
            None => Ok(()),
            Some(_) => Err(BodyError::Json("something follows the value")),
        }
    }

    /// The next byte that is no white space, left where it is.
    fn blank(&mut self) -> Option<u8> {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let count = self.rest.iter().take_while(space).count();
        self.advance(count);
        self.rest.first().copied()
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), BodyError> {
        if self.blank() != Some(byte) {
            return Err(BodyError::Json(what));
        }
        self.advance(1);
        Ok(())
    }

    /// A scalar whole, of a container its beginning.
    fn value(&mut self) -> Result<(), BodyError> {
        match self.blank().ok_or(BodyError::Json("it ends early"))? {
            b'{' => self.open(Container::Object),
            b'[' => self.open(Container::Array(0)),
            b'"' => {
                let text = self.string()?;
                self.argument(text)
            }
            b'-' | b'0'..=b'9' => {
                let length = number_length(self.rest).ok_or(BodyError::Json("not a number"))?;
                let text = self.rest.get(..length).unwrap_or_default().to_vec();
                self.advance(length);
                self.argument(text)
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<(), BodyError> {
        // null is an empty value.
        const WORDS: [(&[u8], &[u8]); 3] =
            [(b"true", b"true"), (b"false", b"false"), (b"null", b"")];
        let known = WORDS.iter().find(|(word, _)| self.rest.starts_with(word));
        let (word, value) = known.ok_or(BodyError::Json("not a value"))?;
        self.advance(word.len());
        self.argument(value.to_vec())
    }

    fn argument(&mut self, value: Vec<u8>) -> Result<(), BodyError> {
        if self.arguments.len() >= self.limits.items {
            return Err(BodyError::TooMany);
        }
        self.arguments.push(Argument { name: self.path.clone(), value });
        Ok(())
    }

    fn open(&mut self, container: Container) -> Result<(), BodyError> {
        if self.stack.len() >= self.limits.depth {
            return Err(BodyError::TooDeep);
        }
        self.advance(1);
        self.stack.push((container, self.path.len()));
        Ok(())
    }

    /// The next member or element of the innermost container, or its end.
    fn within_container(&mut self) -> Result<(), BodyError> {
        let next = self.blank().ok_or(BodyError::Json("it ends early"))?;
        let Some((container, named)) = self.stack.last_mut() else { return Ok(()) };
        let fresh = self.path.len() == *named;
        self.path.truncate(*named);
        match (container, next) {
            (Container::Object, b'}') | (Container::Array(_), b']') => {
                self.close();
                Ok(())
            }
            (Container::Object, _) => self.member(!fresh),
            (Container::Array(count), _) => {
                let name = format!(".array_{count}");
                let follows = *count > 0;
                *count += 1;
                if follows {
                    self.expect(b',', "elements need a comma between them")?;
                }
                self.path.extend_from_slice(name.as_bytes());
                self.value()
            }
        }
    }

    fn member(&mut self, follows: bool) -> Result<(), BodyError> {
        if follows {
            self.expect(b',', "members need a comma between them")?;
        }
        if self.blank() != Some(b'"') {
            return Err(BodyError::Json("a member has no key"));
        }
        let key = self.string()?;
        self.expect(b':', "a key has no value")?;
        self.path.push(b'.');
        self.path.extend_from_slice(if key.is_empty() { b"empty-key" } else { &key });
        self.value()
    }

    fn close(&mut self) {
        self.advance(1);
        self.stack.pop();
    }

    /// The string at hand with its escapes decoded.
    fn string(&mut self) -> Result<Vec<u8>, BodyError> {
        self.advance(1);
        let mut out = Vec::new();
        loop {
            let stop = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let stop = stop.ok_or(BodyError::Json("a string has no end"))?;
            let (plain, rest) = self.rest.split_at(stop);
            out.extend_from_slice(plain);
            self.rest = rest.get(1..).unwrap_or_default();
            match rest.first() {
                Some(b'"') if str::from_utf8(&out).is_err() => return Err(BodyError::Coding),
                Some(b'"') => return Ok(out),
                Some(b'\\') => self.escape(&mut out)?,
                _ => return Err(BodyError::Json("a control character in a string")),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let kind = *self.rest.first().ok_or(BodyError::Json("a string has no end"))?;
        self.advance(1);
        let byte = match kind {
            b'"' | b'\\' | b'/' => kind,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let decoded = self.code_point()?;
                out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(BodyError::Json("an unknown escape")),
        };
        out.push(byte);
        Ok(())
    }

    /// Behind `\u`; half a pair of surrogates is a question mark, as in v3.
    fn code_point(&mut self) -> Result<char, BodyError> {
        let unit = self.unit().ok_or(BodyError::Json("a broken \\u"))?;
        self.advance(4);
        if let 0xd800..=0xdbff = unit
            && let Some(beyond) = self.rest.strip_prefix(b"\\u")
        {
            let first = std::mem::replace(&mut self.rest, beyond);
            if let Some(low @ 0xdc00..=0xdfff) = self.unit() {
                self.advance(4);
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('?'));
            }
            self.rest = first;
        }
        Ok(char::from_u32(unit).unwrap_or('?'))
    }

    fn unit(&self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }
}

/// `-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?` at the beginning, and not a digit more.
pub(crate) fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let at = |place: usize| text.get(place).copied();
    let start = usize::from(at(0) == Some(b'-'));
    let whole = digits(start);
    if whole == 0 || (whole > 1 && at(start) == Some(b'0')) {
        return None;
    }
    let mut end = start + whole;
    if at(end) == Some(b'.') {
        let fraction = digits(end + 1);
        end = (fraction > 0).then_some(end + 1 + fraction)?;
    }
    if matches!(at(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(at(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        end = (exponent > 0).then_some(end + 1 + sign + exponent)?;
    }
    Some(end)
}
