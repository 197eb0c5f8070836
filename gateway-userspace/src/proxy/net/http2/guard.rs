//! Reads the frames of an h2 client before the h2 crate does, and holds them to RFC 9113 where that is
//! lax or says a wrong code: sizes, states of streams, pseudo-header fields in trailers; and counts
//! what floods are made of. Payload passes unread but for a few bytes.

use std::{cell::RefCell, time::Duration};

use gateway_common::Reason;

use super::{
    block::{self, Broken},
    credit::Credit,
    fault::Fault,
    frame::{self, Cursor, Head, Step, kind},
    ledger::{Fields, Ledger},
};
use crate::clock;

/// The greatest frame that we take, which is the least the protocol allows to ask for.
pub(super) const FRAME: u32 = 16 << 10;

/// Requests taken in one turn of the connection's task, before what they ask for is looked at: a
/// burst of heads must not be held in memory as a whole, nor keep other connections waiting.
const BREATH: u32 = 8;

/// Octets of a field block that stay allocated.
const KEPT: usize = 4096;

/// Frames that carry nothing, on credit; and how fast the credit comes back by itself.
const CHORES: u32 = 1000;
const CHORE_EVERY: Duration = Duration::from_millis(10);

/// A DATA frame of ours is worth two window updates and a ping.
const EARNED: u32 = 3;

/// Streams a client may reset before their answer, on credit, beyond twice those it may have open.
const RESETS: u32 = 100;
const RESET_EVERY: Duration = Duration::from_millis(100);

/// What one connection's reader and writer share.
#[derive(Debug)]
pub(super) struct Guard(RefCell<State>);

#[derive(Debug)]
struct State {
    incoming: Cursor,
    outgoing: Cursor,
    /// The payloads that are looked at: of the client's frame, and of ours.
    kept: Vec<u8>,
    sent: Vec<u8>,
    greeted: bool,
    ledger: Ledger,
    /// The field block that has begun.
    block: Option<Block>,
    /// The octets of the latest one.
    octets: Vec<u8>,
    most_octets: usize,
    /// The latest frame ended a field block: if the library gives up, then on that.
    blocked: bool,
    chores: Credit,
    resets: Credit,
    heads: u32,
    fault: Option<Fault>,
    /// Streams the library reset for a fault of the client's, before any answer.
    malformed: u32,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    stream: u32,
    fields: Fields,
    last: bool,
}

impl Guard {
    /// `streams` are those offered, `octets` what one field block may have.
    pub(super) fn new(streams: u32, octets: usize) -> Self {
        let now = clock::now();
        let resets = RESETS.saturating_add(streams.saturating_mul(2));
        Self(RefCell::new(State {
            incoming: Cursor::after(PREFACE),
            outgoing: Cursor::after(0),
            kept: Vec::new(),
            sent: Vec::new(),
            greeted: false,
            ledger: Ledger::new(streams),
            block: None,
            octets: Vec::new(),
            most_octets: octets,
            blocked: false,
            chores: Credit::new(CHORES, CHORE_EVERY, now),
            resets: Credit::new(resets, RESET_EVERY, now),
            heads: 0,
            fault: None,
            malformed: 0,
        }))
    }

    /// Reads what arrived, up to a fault or to where a breath is due; says how much of it may go on.
    pub(super) fn arrived(&self, bytes: &[u8]) -> usize {
        let state = &mut *self.0.borrow_mut();
        let mut rest = bytes;
        let mut passed = 0;
        while state.heads < BREATH {
            let before = bytes.len() - rest.len();
            let Some(step) = state.incoming.step(&mut rest) else { break };
            // A frame is judged at its end: its last piece has to wait for that.
            if !matches!(step, Step::End(_)) {
                passed = before;
            }
            state.fault = state.take(&step).err();
            if state.fault.is_some() {
                return passed;
            }
        }
        bytes.len() - rest.len()
    }

    /// Whether enough was read in this turn.
    pub(super) fn breathes(&self) -> bool {
        self.0.borrow().heads >= BREATH
    }

    /// The connection's task has the processor again; others had it in between.
    pub(super) fn turn(&self) {
        self.0.borrow_mut().heads = 0;
    }

    /// How much of `bytes` may be written. Nothing from a GOAWAY on that gives a broken block the
    /// wrong name: then the connection has ended for a fault of the client's.
    pub(super) fn may_write<'b>(&self, slices: impl Iterator<Item = &'b [u8]>) -> Option<usize> {
        let state = &mut *self.0.borrow_mut();
        if state.fault.is_some_and(|fault| fault.code == h2::Reason::COMPRESSION_ERROR) {
            return None;
        }
        if !state.blocked {
            return Some(usize::MAX);
        }
        let room = state.outgoing.before_goaway(slices);
        if room == Some(0) && block::broken(&state.octets) == Broken::Compression {
            let detail = "a field block that does not decode";
            state.fault = Some(Fault::breach(h2::Reason::COMPRESSION_ERROR, detail));
            return None;
        }
        Some(room.filter(|room| *room > 0).unwrap_or(usize::MAX))
    }

    /// So much was written.
    pub(super) fn wrote(&self, bytes: &[u8]) {
        let state = &mut *self.0.borrow_mut();
        let mut rest = bytes;
        while let Some(step) = state.outgoing.step(&mut rest) {
            match step {
                Step::Head(head) => state.sending(head),
                Step::Payload(head, bytes) if head.is_kept() => state.sent.extend_from_slice(bytes),
                Step::Some | Step::Payload(..) => {}
                Step::End(head) => state.sent(head),
            }
        }
    }

    /// Why the connection has to end, if it has to.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.borrow().fault
    }

    /// The highest stream the client opened, for GOAWAY; `None` inside a frame of ours.
    pub(super) fn last_stream(&self) -> Option<u32> {
        let state = self.0.borrow();
        state.outgoing.between_frames().then(|| state.ledger.highest())
    }

    /// Whether a field block has begun and not ended.
    pub(super) fn in_block(&self) -> bool {
        let state = self.0.borrow();
        state.block.is_some()
    }

    /// Streams reset for a fault since it was last asked.
    pub(super) fn malformed(&self) -> u32 {
        std::mem::take(&mut self.0.borrow_mut().malformed)
    }
}

/// What a client says before its first frame; the library compares it.
const PREFACE: usize = 24;

/// What the library resets streams for. Nothing of ours does.
const BREACHES: [h2::Reason; 3] =
    [h2::Reason::PROTOCOL_ERROR, h2::Reason::FLOW_CONTROL_ERROR, h2::Reason::STREAM_CLOSED];

impl State {
    fn take(&mut self, step: &Step<'_>) -> Result<(), Fault> {
        match step {
            Step::Some => Ok(()),
            Step::Head(head) => self.begin(*head),
            Step::Payload(head, bytes) => self.payload(*head, bytes),
            Step::End(head) => self.end(*head),
        }
    }

    /// All that a frame's head tells.
    fn begin(&mut self, head: Head) -> Result<(), Fault> {
        if !self.greeted && (head.kind != kind::SETTINGS || head.has(kind::ACK)) {
            return Err(Fault::protocol("the first frame is not SETTINGS"));
        }
        self.greeted = true;
        self.blocked = false;
        if head.length > FRAME {
            return Err(Fault::size("a frame over SETTINGS_MAX_FRAME_SIZE"));
        }
        let of_block = self.block.is_some_and(|block| block.stream == head.stream);
        match (head.kind == kind::CONTINUATION, self.block.is_some()) {
            (true, true) if of_block => {}
            (false, false) => {}
            (true, _) => return Err(Fault::protocol("CONTINUATION of no field block")),
            (false, true) => return Err(Fault::protocol("a frame inside a field block")),
        }
        head.check()?;
        self.kept.clear();
        match head.kind {
            kind::HEADERS => self.headers(head)?,
            kind::DATA => self.ledger.data(head.stream)?,
            kind::RST_STREAM => self.reset_by_client(head.stream)?,
            kind::WINDOW_UPDATE => self.ledger.window(head.stream)?,
            _ => {}
        }
        self.charge(head)
    }

    fn headers(&mut self, head: Head) -> Result<(), Fault> {
        let fields = self.ledger.headers(head.stream)?;
        self.octets.clear();
        // A large block is rare, and must not be paid for as long as the connection lives.
        self.octets.shrink_to(KEPT);
        let last = head.has(kind::END_STREAM);
        self.block = Some(Block { stream: head.stream, fields, last });
        Ok(())
    }

    fn reset_by_client(&mut self, stream: u32) -> Result<(), Fault> {
        if self.ledger.reset(stream)? && !self.resets.spend(clock::now) {
            return Err(Fault::flood(Reason::H2ResetFlood, "RST_STREAM before the answer"));
        }
        Ok(())
    }

    /// Frames that carry nothing are spent.
    fn charge(&mut self, head: Head) -> Result<(), Fault> {
        let detail = match head.kind {
            kind::PING => "PING",
            kind::SETTINGS => "SETTINGS",
            kind::PRIORITY => "PRIORITY",
            kind::WINDOW_UPDATE => "WINDOW_UPDATE",
            kind::RST_STREAM => "RST_STREAM",
            kind::GOAWAY => "GOAWAY",
            kind::DATA if head.has(kind::END_STREAM) => return Ok(()),
            kind::DATA if head.length == 0 || head.has(kind::PADDED) => "empty DATA",
            kind::DATA | kind::HEADERS => return Ok(()),
            kind::CONTINUATION if head.length > 0 => return Ok(()),
            kind::CONTINUATION => "empty CONTINUATION",
            _ => "unknown frames",
        };
        if self.chores.spend(clock::now) {
            return Ok(());
        }
        Err(Fault::flood(Reason::H2Flood, detail))
    }

    fn payload(&mut self, head: Head, bytes: &[u8]) -> Result<(), Fault> {
        if head.is_kept() {
            self.kept.extend_from_slice(bytes);
        }
        if head.kind != kind::HEADERS && head.kind != kind::CONTINUATION {
            return Ok(());
        }
        if self.octets.len() + bytes.len() > self.most_octets {
            return Err(Fault::flood(Reason::HeadTooLarge, "a field block far over proxy.head"));
        }
        self.octets.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, head: Head) -> Result<(), Fault> {
        match head.kind {
            kind::SETTINGS => return frame::settings(&self.kept),
            kind::DATA if head.has(kind::END_STREAM) => self.ledger.finish(head.stream),
            kind::HEADERS => head.unwrap(&mut self.octets)?,
            _ => {}
        }
        if matches!(head.kind, kind::HEADERS | kind::CONTINUATION) && head.has(kind::END_HEADERS) {
            return self.end_of_block();
        }
        Ok(())
    }

    fn end_of_block(&mut self) -> Result<(), Fault> {
        let Some(block) = self.block.take() else { return Ok(()) };
        self.blocked = true;
        self.heads += 1;
        if block.fields == Fields::Trailers && block::has_pseudo(&self.octets) {
            return Err(Fault::protocol("a pseudo-header field in trailers"));
        }
        if block.last {
            self.ledger.finish(block.stream);
        }
        Ok(())
    }

    /// A frame of ours begins to go out.
    fn sending(&mut self, head: Head) {
        match head.kind {
            kind::HEADERS => self.ledger.answer(head.stream),
            kind::DATA => self.chores.earn(EARNED),
            _ => return,
        }
        if head.has(kind::END_STREAM) {
            self.resets.earn(1);
            self.ledger.done(head.stream);
        }
    }

    /// A frame of ours is out. A reset before any answer, for these, was the library's, for a breach.
    fn sent(&mut self, head: Head) {
        if head.kind == kind::RST_STREAM {
            let unanswered = self.ledger.reset_by_us(head.stream);
            let code = <[u8; 4]>::try_from(self.sent.as_slice()).map(u32::from_be_bytes);
            let breach = code.is_ok_and(|code| BREACHES.contains(&h2::Reason::from(code)));
            self.malformed += u32::from(unanswered && breach);
        }
        self.sent.clear();
    }
}
