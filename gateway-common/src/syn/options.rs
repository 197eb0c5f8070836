//! What a SYN offers beyond the bare connection, and where a cookie keeps it: in the low bits of
//! the timestamp that the client will echo. The layout is that of Linux's `cookie_init_timestamp`,
//! since its `cookie_timestamp_decode` reads it back.

use super::request::Syn;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;

/// Options that are read; systems send five to nine, alignment counted.
const STEPS: usize = 12;

/// The largest scale there is (RFC 7323 section 2.3); a larger one counts as this.
const LARGEST_SCALE: u8 = 14;

/// What a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Its clock (RFC 7323), which the answer echoes.
    pub timestamp: Option<u32>,
    /// The scale of the windows it will announce.
    pub scale: Option<u8>,
    /// It understands selective acknowledgments (RFC 2018).
    pub sack: bool,
}

impl Options {
    /// Reads them. What comes behind a malformed one is not read, as in the stack.
    #[inline(always)]
    pub fn of(syn: &Syn) -> Self {
        let mut found = Self::default();
        let mut at = 20;
        for _ in 0..STEPS {
            let Some(kind) = syn.byte(at) else { break };
            if kind == END {
                break;
            }
            if kind == NO_OPERATION {
                at += 1;
                continue;
            }
            let Some(length @ 2..) = syn.byte(at + 1) else { break };
            let next = at + usize::from(length);
            if next > syn.tcp_length() {
                break;
            }
            match (kind, length) {
                (WINDOW_SCALE, 3) => {
                    found.scale = syn.byte(at + 2).map(|scale| scale.min(LARGEST_SCALE));
                }
                (SACK_PERMITTED, 2) => found.sack = true,
                (TIMESTAMPS, 10) => found.timestamp = word(syn, at + 2),
                _ => {}
            }
            at = next;
        }
        found
    }
}

#[inline(always)]
fn word(syn: &Syn, at: usize) -> Option<u32> {
    let (a, b) = (syn.byte(at)?, syn.byte(at + 1)?);
    let (c, d) = (syn.byte(at + 2)?, syn.byte(at + 3)?);
    Some(u32::from_be_bytes([a, b, c, d]))
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
        let echo = options.timestamp?;
        let peer = options.scale.map_or(NO_SCALE, u64::from);
        let carried = peer | if options.sack { SACK } else { 0 };
        let mut value = (now_ms >> OPTION_BITS << OPTION_BITS) | carried;
        if value > now_ms {
            // Never ahead of the clock that stamps the next segment: it would be dropped as old.
            value = value.wrapping_sub(1 << OPTION_BITS);
        }
        let scale = options.scale.map(|_| scale);
        Some(Self { value: value as u32, echo, scale, sack: options.sack })
    }
}
