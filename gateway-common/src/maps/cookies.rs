//! SYN cookies: what the operator decides, and the words that kernel and guard share.

use core::mem::size_of;

use crate::limit::Limit;

/// When SYNs are answered with cookies, as part of a [`super::Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct CookiePolicy {
    /// SYNs of all sources together; above it cookies are on.
    pub above: Limit,
    /// SYN-ACKs to all sources together.
    pub most: Limit,
    /// How long they stay on after the last SYN above; zero for never on.
    pub hold_ns: u64,
}

const _: () = assert!(size_of::<CookiePolicy>() == 56);

/// Index in [`super::COOKIES`] of the arrival time of SYNs. Each word that packets write has a
/// cache line of its own.
pub const SYN_CELL: u32 = 0;
/// Index of the time, on the tick clock, until which cookies are on.
pub const UNTIL_CELL: u32 = 8;
/// Index of the arrival time of SYN-ACKs.
pub const SENT_CELL: u32 = 16;
/// Index of an [`Offer`] as a word, written by the guard.
pub const OFFER_CELL: u32 = 24;
/// Words in [`super::COOKIES`].
pub const COOKIE_WORDS: u32 = 32;

/// Own addresses that SYNs are answered for, of both families. A machine with more answers the
/// rest through its stack.
pub const OWN_ADDRESSES: u32 = 4096;

/// What a SYN-ACK offers. One word in the map: no packet sees half of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// Largest segment taken over IPv4.
    pub mss4: u16,
    /// Largest segment taken over IPv6.
    pub mss6: u16,
    /// The window scale the stack will count with, where it can be offered: only beside a
    /// timestamp that carries the peer's, and only while the stack adds no secret to timestamps
    /// (`net.ipv4.tcp_timestamps` is 2).
    pub scale: Option<u8>,
}

/// Bit in the sixth byte of the word: [`Offer::scale`] is there.
const TIMESTAMPS: u8 = 1;

/// Smallest segment every host takes (RFC 9293 section 3.7.1, RFC 8200 section 5).
const LEAST_MSS: (u16, u16) = (536, 1220);

impl Offer {
    /// The offer as the word in the map.
    pub const fn word(self) -> u64 {
        let scale = match self.scale {
            Some(scale) => ((TIMESTAMPS as u64) << 40) | ((scale as u64) << 32),
            None => 0,
        };
        scale | ((self.mss6 as u64) << 16) | self.mss4 as u64
    }

    /// The offer in a word. One that nobody wrote offers what every host takes.
    #[inline(always)]
    pub const fn of(word: u64) -> Self {
        let [_, _, bits, scale, s1, s0, f1, f0] = word.to_be_bytes();
        let (mss4, mss6) = (u16::from_be_bytes([f1, f0]), u16::from_be_bytes([s1, s0]));
        Self {
            mss4: if mss4 < LEAST_MSS.0 { LEAST_MSS.0 } else { mss4 },
            mss6: if mss6 < LEAST_MSS.1 { LEAST_MSS.1 } else { mss6 },
            scale: if bits & TIMESTAMPS == 0 { None } else { Some(scale & 0xf) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_one_word() {
        for scale in [None, Some(0), Some(7), Some(14)] {
            let offer = Offer { mss4: 1460, mss6: 1440, scale };
            assert_eq!(Offer::of(offer.word()), offer);
        }
    }

    #[test]
    fn an_empty_word_offers_what_every_host_takes() {
        assert_eq!(Offer::of(0), Offer { mss4: 536, mss6: 1220, scale: None });
    }
}
