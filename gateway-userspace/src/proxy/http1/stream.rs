//! One connection's bytes, request after request: heads are passed on whole or not at all, bodies
//! as they come.

use super::{
    Bounds, Fault,
    chunked::Chunked,
    head::{After, Framing, Head, Reader},
};

/// Where a connection is.
#[derive(Debug)]
pub struct Stream {
    bounds: Bounds,
    state: State,
    /// What follows the body of the request under way.
    after: After,
}

#[derive(Debug)]
enum State {
    Head(Reader),
    Length(u64),
    Chunked(Box<Chunked>),
    /// Behind a request for another protocol, whose answer is not known yet.
    Open,
}

/// What became of bytes that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// So many of them may go on.
    pub pass: usize,
    /// Whole heads among those.
    pub heads: u32,
    pub rest: Rest,
}

/// What the others are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// The beginning of a head, or nothing: to be shown again with what comes next.
    Head,
    /// Of another protocol, perhaps: to be kept until that is known.
    Open,
    /// The head that begins here is refused.
    RefusedHead(Fault),
    /// The body ends here, before its end.
    RefusedBody(Fault),
}

impl Stream {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: State::Head(Reader::new(bounds)), after: After::Request }
    }

    /// Looks at the next bytes, those not passed before included.
    pub fn advance(&mut self, bytes: &[u8]) -> Passage {
        let (mut pass, mut heads) = (0, 0);
        let rest = loop {
            let new = bytes.get(pass..).unwrap_or_default();
            match &mut self.state {
                State::Open => break Rest::Open,
                State::Length(_) | State::Chunked(_) if new.is_empty() => break Rest::Head,
                State::Head(reader) => match reader.advance(new) {
                    Ok(None) => break Rest::Head,
                    Ok(Some(head)) => {
                        heads += 1;
                        pass += head.length;
                        self.enter(head);
                    }
                    Err(fault) => break Rest::RefusedHead(fault),
                },
                State::Length(left) => {
                    let step = usize::try_from(*left).unwrap_or(usize::MAX).min(new.len());
                    pass += step;
                    *left -= step as u64;
                    if *left == 0 {
                        self.leave();
                    }
                }
                State::Chunked(body) => {
                    let progress = body.advance(new);
                    pass += progress.read;
                    if let Some(fault) = progress.fault {
                        break Rest::RefusedBody(fault);
                    }
                    if body.is_done() {
                        self.leave();
                    }
                }
            }
        };
        Passage { pass, heads, rest }
    }

    /// The answer kept to HTTP: what follows is the next request.
    pub fn resume(&mut self) {
        if self.is_open() {
            self.state = State::Head(Reader::new(self.bounds));
        }
    }

    /// Whether no byte of a request has come that is not over.
    pub fn is_between_requests(&self) -> bool {
        matches!(&self.state, State::Head(reader) if !reader.has_begun())
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// What it means that no byte comes any more, while some were not passed.
    pub fn cut(&self) -> Option<Fault> {
        match &self.state {
            State::Head(reader) if reader.has_begun() => Some(reader.cut()),
            State::Head(_) | State::Length(_) | State::Chunked(_) | State::Open => None,
        }
    }

    fn enter(&mut self, head: Head) {
        self.after = head.after;
        match head.body {
            Framing::None => self.leave(),
            Framing::Length(length) => self.state = State::Length(length),
            Framing::Chunked => {
                self.state = State::Chunked(Box::new(Chunked::new(self.bounds)));
            }
        }
    }

    /// The body is over.
    fn leave(&mut self) {
        self.state = match self.after {
            After::Request => State::Head(Reader::new(self.bounds)),
            After::Open => State::Open,
        };
    }
}
