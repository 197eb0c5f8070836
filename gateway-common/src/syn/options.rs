//! What a SYN offers beyond the bare connection, and where a cookie keeps it: in the low bits of
//! the timestamp that the client will echo. The layout is that of Linux's `cookie_init_timestamp`,
//! since its `cookie_timestamp_decode` reads it back.

use core::hint::black_box;

use super::request::Syn;

const NO_OPERATION: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;

/// Where they begin.
const FIRST: usize = 20;

/// Options that are read; systems send five to nine, alignment counted.
const STEPS: usize = 12;

/// The largest scale there is (RFC 7323 section 2.3); a larger one counts as this.
const LARGEST_SCALE: u8 = 14;

/// What a client offers. Plain words, for they lie in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Options {
    /// Where the next one begins.
    at: usize,
    timestamp: u32,
    has_timestamp: u8,
    /// One more than the scale; zero if there is none.
    scale: u8,
    sack: u8,
}

impl Options {
    /// The client's clock (RFC 7323), which the answer echoes.
    #[inline(always)]
    pub const fn timestamp(&self) -> Option<u32> {
        if self.has_timestamp == 0 { None } else { Some(self.timestamp) }
    }

    /// The scale of the windows it will announce.
    #[inline(always)]
    pub const fn scale(&self) -> Option<u8> {
        match self.scale {
            0 => None,
            more => Some(more - 1),
        }
    }

    /// True if it understands selective acknowledgments (RFC 2018).
    #[inline(always)]
    pub const fn sack(&self) -> bool {
        self.sack != 0
    }

    /// Reads them. What comes behind a malformed one is not read, as in the stack.
    #[inline(always)]
    pub fn read(&mut self, syn: &Syn) {
        *self = Self { at: FIRST, ..Self::default() };
        for _ in 0..STEPS {
            // Through memory, at each step: of what it loads from a map the verifier knows nothing,
            // so that all ways to here look alike to it. Else it follows each of millions.
            if !black_box(&mut *self).step(syn) {
                break;
            }
        }
    }

    /// Reads one; false at the end.
    #[inline(always)]
    fn step(&mut self, syn: &Syn) -> bool {
        let at = self.at;
        let Some(kind @ 1..) = syn.byte(at) else { return false };
        if kind == NO_OPERATION {
            self.at += 1;
            return true;
        }
        let Some(length @ 2..) = syn.byte(at + 1) else { return false };
        let next = at + usize::from(length);
        if next > syn.tcp_length() {
            return false;
        }
        match (kind, length) {
            (WINDOW_SCALE, 3) => self.scale = scale(syn, at + 2) + 1,
            (SACK_PERMITTED, 2) => self.sack = 1,
            (TIMESTAMPS, 10) => (self.timestamp, self.has_timestamp) = (word(syn, at + 2), 1),
            _ => {}
        }
        self.at = next;
        true
    }
}

/// The value of an option that is whole.
#[inline(always)]
fn scale(syn: &Syn, at: usize) -> u8 {
    syn.byte_within(at).min(LARGEST_SCALE)
}

/// The same, of four bytes.
#[inline(always)]
fn word(syn: &Syn, at: usize) -> u32 {
    let byte = |offset| syn.byte_within(at + offset);
    u32::from_be_bytes([byte(0), byte(1), byte(2), byte(3)])
}

/// The timestamps of an answer, and what else it may offer for their sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Our clock, with the client's options in its low bits.
    pub value: u32,
    /// The client's clock.
    pub echo: u32,
    /// Our window scale, if the client has one.
    pub scale: Option<u8>,
    /// Selective acknowledgments are taken.
    pub sack: bool,
}

/// Bits of a timestamp that carry options.
const OPTION_BITS: u64 = 6;
/// Four bits of scale; all set is none.
const NO_SCALE: u64 = 0xf;
const SACK: u64 = 1 << 4;

impl Stamp {
    /// What is answered to these options at `now_ms` of the monotonic clock by a stack that counts
    /// with `scale`; nothing to a client without timestamps, who could not echo them.
    #[inline(always)]
    pub fn answering(options: &Options, scale: u8, now_ms: u64) -> Option<Self> {
        let echo = options.timestamp()?;
        let peer = options.scale().map_or(NO_SCALE, u64::from);
        let carried = peer | if options.sack() { SACK } else { 0 };
        let mut value = (now_ms >> OPTION_BITS << OPTION_BITS) | carried;
        if value > now_ms {
            // Never ahead of the clock that stamps the next segment: it would be dropped as old.
            value = value.wrapping_sub(1 << OPTION_BITS);
        }
        let scale = options.scale().map(|_| scale);
        let [.., v3, v2, v1, v0] = value.to_be_bytes();
        let value = u32::from_be_bytes([v3, v2, v1, v0]);
        Some(Self { value, echo, scale, sack: options.sack() })
    }
}
