//! Frames as they lie on the wire (RFC 9113 section 4.1), in whatever pieces they come, and what is
//! wrong with one by its own words.

use super::fault::Fault;

const HEAD: usize = 9;

/// The names of frame types and flags.
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const PRIORITY: u8 = 2;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const PING: u8 = 6;
    pub(in super::super) const GOAWAY: u8 = 7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const CONTINUATION: u8 = 9;

    pub(in super::super) const END_STREAM: u8 = 0x1;
    pub(in super::super) const ACK: u8 = 0x1;
    pub(in super::super) const END_HEADERS: u8 = 0x4;
    pub(in super::super) const PADDED: u8 = 0x8;
    pub(in super::super) const PRIORITIZED: u8 = 0x20;
}

/// A setting's number and value.
const SETTING: usize = 6;

/// Settings in one frame; the protocol has ten.
const SETTINGS: usize = 32;

/// Dependency and weight in front of a field block.
const PRIORITY: usize = 5;

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
}

/// What a step through the bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'r> {
    /// Nothing yet.
    Some,
    Head(Head),
    Payload(Head, &'r [u8]),
    End(Head),
}

/// Follows one direction of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    /// Bytes before the first frame.
    before: usize,
    octets: [u8; HEAD],
    have: usize,
    head: Option<Head>,
    left: usize,
}

impl Cursor {
    pub(super) fn after(before: usize) -> Self {
        Self { before, octets: [0; HEAD], have: 0, head: None, left: 0 }
    }

    /// Takes some of `rest`; `None` if more has to come.
    pub(super) fn step<'r>(&mut self, rest: &mut &'r [u8]) -> Option<Step<'r>> {
        match self.head {
            Some(head) if self.left == 0 => {
                self.head = None;
                self.have = 0;
                Some(Step::End(head))
            }
            _ if rest.is_empty() => None,
            Some(head) => {
                let bytes = take(rest, self.left);
                self.left -= bytes.len();
                Some(Step::Payload(head, bytes))
            }
            None if self.before > 0 => {
                self.before -= take(rest, self.before).len();
                Some(Step::Some)
            }
            None => Some(self.head(rest)),
        }
    }

    /// Whether nothing of a frame is missing.
    pub(super) fn between_frames(&self) -> bool {
        self.have == 0 || (self.head.is_some() && self.left == 0)
    }

    /// How many of these bytes, which come next, stand before a GOAWAY for a protocol error; `None`
    /// if there is none among them.
    pub(super) fn before_goaway<'b>(
        mut self,
        slices: impl Iterator<Item = &'b [u8]>,
    ) -> Option<usize> {
        let mut place = 0;
        for slice in slices {
            let mut rest = slice;
            while let Some(step) = self.step(&mut rest) {
                if matches!(step, Step::Head(head) if head.kind == kind::GOAWAY) {
                    let begin = (place + slice.len() - rest.len()).saturating_sub(HEAD);
                    return for_protocol(rest).then_some(begin);
                }
            }
            place += slice.len();
        }
        None
    }

    fn head<'r>(&mut self, rest: &mut &'r [u8]) -> Step<'r> {
        let more = take(rest, HEAD - self.have);
        let room = self.octets.iter_mut().skip(self.have);
        room.zip(more).for_each(|(octet, byte)| *octet = *byte);
        self.have += more.len();
        if self.have < HEAD {
            return Step::Some;
        }
        let head = Head::read(self.octets);
        self.left = usize::try_from(head.length).unwrap_or(usize::MAX);
        self.head = Some(head);
        Step::Head(head)
    }
}

impl Head {
    fn read([a, b, c, kind, flags, stream @ ..]: [u8; HEAD]) -> Self {
        // The reserved bit is ignored.
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        Self { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether its few bytes of payload are looked at.
    pub(super) fn is_kept(self) -> bool {
        matches!(self.kind, kind::SETTINGS | kind::RST_STREAM)
    }

    /// What is wrong by the head alone (RFC 9113 section 6).
    pub(super) fn check(self) -> Result<(), Fault> {
        let on_connection = self.stream == 0;
        match self.kind {
            kind::DATA if on_connection => Err(Fault::protocol("DATA on stream 0")),
            kind::HEADERS if on_connection => Err(Fault::protocol("HEADERS on stream 0")),
            kind::PRIORITY if on_connection => Err(Fault::protocol("PRIORITY on stream 0")),
            kind::PRIORITY if self.length != 5 => Err(Fault::size("PRIORITY")),
            kind::RST_STREAM if on_connection => Err(Fault::protocol("RST_STREAM on stream 0")),
            kind::RST_STREAM if self.length != 4 => Err(Fault::size("RST_STREAM")),
            kind::SETTINGS if !on_connection => Err(Fault::protocol("SETTINGS on a stream")),
            kind::SETTINGS => self.check_settings(),
            kind::PUSH_PROMISE => Err(Fault::protocol("PUSH_PROMISE from a client")),
            kind::PING if !on_connection => Err(Fault::protocol("PING on a stream")),
            kind::PING if self.length != 8 => Err(Fault::size("PING")),
            kind::GOAWAY if !on_connection => Err(Fault::protocol("GOAWAY on a stream")),
            kind::GOAWAY if self.length < 8 => Err(Fault::size("GOAWAY")),
            kind::WINDOW_UPDATE if self.length != 4 => Err(Fault::size("WINDOW_UPDATE")),
            _ => Ok(()),
        }
    }

    fn check_settings(self) -> Result<(), Fault> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        if length % SETTING != 0 || (self.has(kind::ACK) && length > 0) {
            return Err(Fault::size("SETTINGS"));
        }
        if length > SETTING * SETTINGS {
            return Err(Fault::flood(gateway_common::Reason::H2Flood, "many settings"));
        }
        Ok(())
    }

    /// Takes padding and priority from the payload of HEADERS.
    pub(super) fn unwrap(self, octets: &mut Vec<u8>) -> Result<(), Fault> {
        let padding = if self.has(kind::PADDED) {
            let first = octets.first().copied().ok_or(Fault::size("HEADERS without padding"))?;
            octets.remove(0);
            usize::from(first)
        } else {
            0
        };
        if self.has(kind::PRIORITIZED) {
            if octets.len() < PRIORITY {
                return Err(Fault::size("HEADERS without priority"));
            }
            octets.drain(..PRIORITY);
        }
        let length = octets.len().checked_sub(padding);
        octets.truncate(length.ok_or(Fault::protocol("more padding than payload"))?);
        Ok(())
    }
}

/// What is wrong with the values in SETTINGS (RFC 9113 section 6.5.2). The library checks the others,
/// and takes them over.
pub(super) fn settings(payload: &[u8]) -> Result<(), Fault> {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    for setting in payload.chunks_exact(SETTING) {
        let Ok([a, b, value @ ..]) = <[u8; SETTING]>::try_from(setting) else { continue };
        if u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE
            && u32::from_be_bytes(value) > 0x7fff_ffff
        {
            let code = h2::Reason::FLOW_CONTROL_ERROR;
            return Err(Fault::breach(code, "SETTINGS_INITIAL_WINDOW_SIZE"));
        }
    }
    Ok(())
}

/// The first `count` bytes, or as many as there are.
fn take<'r>(rest: &mut &'r [u8], count: usize) -> &'r [u8] {
    let (taken, left) = rest.split_at_checked(count).unwrap_or((*rest, &[]));
    *rest = left;
    taken
}

/// The payload is one of GOAWAY with `PROTOCOL_ERROR`.
fn for_protocol(payload: &[u8]) -> bool {
    payload.get(4..8) == Some(&u32::from(h2::Reason::PROTOCOL_ERROR).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// Heads, payload and ends, joined again.
    fn read(pieces: &[&[u8]]) -> (Vec<(u8, u32)>, Vec<u8>, usize) {
        let mut cursor = Cursor::after(3);
        let (mut heads, mut payload, mut ends) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            let mut rest = *piece;
            while let Some(step) = cursor.step(&mut rest) {
                match step {
                    Step::Some => {}
                    Step::Head(head) => heads.push((head.kind, head.stream)),
                    Step::Payload(_, bytes) => payload.extend_from_slice(bytes),
                    Step::End(_) => ends += 1,
                }
            }
        }
        (heads, payload, ends)
    }

    #[test]
    fn reads_the_same_in_every_cut() {
        let stream = [
            b"pre".to_vec(),
            frame(kind::SETTINGS, 0, 0, &[]),
            frame(kind::DATA, 1, 0x8000_0005, b"hello"),
            frame(kind::PING, 0, 0, b"12345678"),
        ]
        .concat();
        let whole = read(&[&stream]);
        assert_eq!(whole.0, [(kind::SETTINGS, 0), (kind::DATA, 5), (kind::PING, 0)]);
        assert_eq!((&whole.1[..], whole.2), (&b"hello12345678"[..], 3));
        for cut in 0..stream.len() {
            let (a, b) = stream.split_at(cut);
            assert_eq!(read(&[a, b]), whole, "cut at {cut}");
        }
        assert_eq!(read(&stream.chunks(1).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn finds_a_goaway_for_a_protocol_error_and_no_other() {
        let ping = frame(kind::PING, 1, 0, b"12345678");
        let goaway = |code: u8| frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, code]);
        let place = |slices: &[&[u8]]| Cursor::after(0).before_goaway(slices.iter().copied());
        assert_eq!(place(&[&goaway(1)]), Some(0));
        assert_eq!(place(&[&ping, &goaway(1)]), Some(17));
        assert_eq!(place(&[&[ping.clone(), goaway(1)].concat()]), Some(17));
        assert_eq!(place(&[&ping, &goaway(0)]), None);
        assert_eq!(place(&[&ping]), None);
    }

    #[test]
    fn takes_padding_and_priority_from_a_block() {
        let head = |flags| Head { length: 0, kind: kind::HEADERS, flags, stream: 1 };
        let unwrapped = |flags, octets: &[u8]| {
            let mut octets = octets.to_vec();
            head(flags).unwrap(&mut octets).map(|()| octets)
        };
        let both = kind::PADDED | kind::PRIORITIZED;
        assert_eq!(unwrapped(both, b"\x02\0\0\0\0\x10ab\0\0").unwrap(), b"ab");
        assert_eq!(unwrapped(kind::PADDED, b"\x02ab").unwrap(), b"");
        assert_eq!(
            unwrapped(kind::PADDED, b"\x03ab").unwrap_err().code,
            h2::Reason::PROTOCOL_ERROR
        );
        for (flags, octets) in [(kind::PADDED, &b""[..]), (kind::PRIORITIZED, b"1234")] {
            assert_eq!(unwrapped(flags, octets).unwrap_err().code, h2::Reason::FRAME_SIZE_ERROR);
        }
    }
}
