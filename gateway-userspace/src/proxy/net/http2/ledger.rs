//! Which streams there are, as both sides have said on the wire (RFC 9113 section 5.1). The h2 crate
//! keeps its own book and forgets: here is told what came after the end of a stream.

use std::collections::VecDeque;

use super::fault::Fault;

/// Streams whose end is remembered.
const REMEMBERED: usize = 512;

/// Streams open at a time beyond those offered: a client may open some before it knows.
const BEYOND: usize = 1024;

#[derive(Debug)]
pub(super) struct Ledger {
    open: Vec<Stream>,
    most: usize,
    highest: u32,
    past: VecDeque<Past>,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    id: u32,
    /// The client has not said its last word.
    receiving: bool,
    /// A response has begun.
    answered: bool,
    /// A response has ended.
    done: bool,
}

#[derive(Debug, Clone, Copy)]
struct Past {
    id: u32,
    /// We ended it: what the client had sent before it knew is harmless.
    by_us: bool,
}

/// What HEADERS are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    Head,
    Trailers,
    /// Of a stream that we reset.
    Late,
}

impl Ledger {
    pub(super) fn new(streams: u32) -> Self {
        let most = usize::try_from(streams).unwrap_or(usize::MAX).saturating_add(BEYOND);
        Self { open: Vec::new(), most, highest: 0, past: VecDeque::new() }
    }

    /// The highest stream that the client opened.
    pub(super) fn highest(&self) -> u32 {
        self.highest
    }

    /// HEADERS came.
    pub(super) fn headers(&mut self, id: u32) -> Result<Fields, Fault> {
        if id > self.highest {
            if id.is_multiple_of(2) {
                return Err(Fault::protocol("HEADERS on an even stream"));
            }
            if self.open.len() >= self.most {
                return Err(Fault::flood(gateway_common::Reason::H2Flood, "streams"));
            }
            self.highest = id;
            self.open.push(Stream { id, receiving: true, answered: false, done: false });
            return Ok(Fields::Head);
        }
        match self.find(id).map(|stream| stream.receiving) {
            Some(true) => Ok(Fields::Trailers),
            Some(false) => Err(closed()),
            None => match self.ended(id) {
                Some(past) if past.by_us => Ok(Fields::Late),
                Some(_) => Err(closed()),
                None => Err(Fault::protocol("HEADERS on a stream below the highest")),
            },
        }
    }

    /// DATA came.
    pub(super) fn data(&mut self, id: u32) -> Result<(), Fault> {
        if id > self.highest {
            return Err(Fault::protocol("DATA on an idle stream"));
        }
        let lawful = match self.find(id).map(|stream| stream.receiving) {
            Some(receiving) => receiving,
            None => self.ended(id).is_some_and(|past| past.by_us),
        };
        if lawful { Ok(()) } else { Err(closed()) }
    }

    /// `RST_STREAM` came. True if the answer was not complete.
    pub(super) fn reset(&mut self, id: u32) -> Result<bool, Fault> {
        if id > self.highest {
            return Err(Fault::protocol("RST_STREAM on an idle stream"));
        }
        let premature = self.find(id).is_some_and(|stream| !stream.done);
        self.close(id, false);
        Ok(premature)
    }

    /// `WINDOW_UPDATE` came.
    pub(super) fn window(&self, id: u32) -> Result<(), Fault> {
        if id > self.highest {
            return Err(Fault::protocol("WINDOW_UPDATE on an idle stream"));
        }
        Ok(())
    }

    /// The client said its last word.
    pub(super) fn finish(&mut self, id: u32) {
        let Some(stream) = self.find(id) else { return };
        stream.receiving = false;
        if stream.done {
            self.close(id, false);
        }
    }

    /// A response's HEADERS went out.
    pub(super) fn answer(&mut self, id: u32) {
        if let Some(stream) = self.find(id) {
            stream.answered = true;
        }
    }

    /// A response's end went out.
    pub(super) fn done(&mut self, id: u32) {
        let Some(stream) = self.find(id) else { return };
        stream.done = true;
        if !stream.receiving {
            self.close(id, false);
        }
    }

    /// `RST_STREAM` went out. True if nothing had been answered.
    pub(super) fn reset_by_us(&mut self, id: u32) -> bool {
        let unanswered = self.find(id).is_some_and(|stream| !stream.answered);
        self.close(id, true);
        unanswered
    }

    fn find(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.iter_mut().find(|stream| stream.id == id)
    }

    fn ended(&self, id: u32) -> Option<Past> {
        self.past.iter().rev().find(|past| past.id == id).copied()
    }

    fn close(&mut self, id: u32, by_us: bool) {
        let Some(place) = self.open.iter().position(|stream| stream.id == id) else { return };
        self.open.swap_remove(place);
        if self.past.len() >= REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(Past { id, by_us });
    }
}

fn closed() -> Fault {
    Fault::breach(h2::Reason::STREAM_CLOSED, "a frame on a closed stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> h2::Reason {
        outcome.unwrap_err().code
    }

    #[test]
    fn knows_idle_open_half_closed_and_closed() {
        let mut ledger = Ledger::new(10);
        assert_eq!(code(ledger.data(1)), h2::Reason::PROTOCOL_ERROR);
        assert_eq!(code(ledger.headers(2)), h2::Reason::PROTOCOL_ERROR);
        assert_eq!(ledger.headers(5), Ok(Fields::Head));
        assert_eq!(code(ledger.headers(3)), h2::Reason::PROTOCOL_ERROR);
        assert_eq!((ledger.data(5), ledger.headers(5)), (Ok(()), Ok(Fields::Trailers)));
        ledger.finish(5);
        assert_eq!(code(ledger.data(5)), h2::Reason::STREAM_CLOSED);
        ledger.answer(5);
        ledger.done(5);
        assert_eq!(code(ledger.headers(5)), h2::Reason::STREAM_CLOSED);
        assert_eq!((ledger.reset(5), ledger.window(5)), (Ok(false), Ok(())));
    }

    #[test]
    fn what_was_under_way_to_a_stream_that_we_reset_is_no_fault() {
        let mut ledger = Ledger::new(10);
        assert_eq!((ledger.headers(1), ledger.headers(3)), (Ok(Fields::Head), Ok(Fields::Head)));
        ledger.answer(3);
        assert!(ledger.reset_by_us(1) && !ledger.reset_by_us(3));
        assert_eq!((ledger.data(1), ledger.headers(1)), (Ok(()), Ok(Fields::Late)));
        assert_eq!(ledger.headers(7), Ok(Fields::Head));
        assert_eq!(ledger.reset(7), Ok(true));
        assert_eq!(code(ledger.data(7)), h2::Reason::STREAM_CLOSED);
    }

    #[test]
    fn holds_a_bounded_number_of_streams() {
        let mut ledger = Ledger::new(10);
        let opened =
            (0..).map(|number| 2 * number + 1).take_while(|id| ledger.headers(*id).is_ok());
        assert_eq!(opened.count(), 10 + BEYOND);
        for id in 0..3000 {
            ledger.reset_by_us(id);
        }
        assert!(ledger.open.is_empty() && ledger.past.len() == REMEMBERED);
    }
}
