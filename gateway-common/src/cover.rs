//! What touches a neighbourhood: the words a packet reads before any table of bans, and which
//! look-ups they leave. Kernel and guard use the same positions.
//!
//! The rule of all of them: a clear bit means that no ban of that set covers the address. A bit
//! set for nothing (two IPv6 neighbourhoods of one hash) costs a look-up, never a verdict.

use crate::maps::BanSet;

/// Words of one group of [`SUMMARY4_GROUPS`], a cache line together: one look-up and one line answer
/// for all sets. Of each set the /24s that any of its bans touch; of each generation also where more
/// than single addresses are banned, and by [`host4`] which addresses may be. Most packets beside a
/// banned address of a list need no more than this line.
pub type Group4 = [u64; GROUP4_WORDS as usize];

/// Words of a group.
pub const GROUP4_WORDS: u32 = 8;

/// Groups of 64 IPv4 /24s each.
pub const SUMMARY4_GROUPS: u32 = 1 << 18;

/// Words of the details of IPv4 /24s, four /24s a word, one set after the other.
pub const DETAIL4_WORDS: u32 = 3 << DETAIL4_LOG;

const _: () = assert!(BanSet::COUNT == 3);

/// Words of one set, as a power of two.
const DETAIL4_LOG: u32 = 22;

/// Buckets of hashed IPv6 /48s, as a power of two.
pub const FINE6_LOG: u32 = 22;

/// Buckets of hashed IPv6 /32s, as a power of two.
pub const COARSE6_LOG: u32 = 20;

/// Words that say of each bucket of either whether any set has anything there: small enough to stay
/// in a processor's own cache, where the tables behind them are not.
pub const SUMMARY6_WORDS: u32 = FINE6_SUMMARY_WORDS + (1 << (COARSE6_LOG - 6));

const FINE6_SUMMARY_WORDS: u32 = 1 << (FINE6_LOG - 6);

/// Multiplier of the IPv6 hash (2^64 divided by the golden ratio). Not secret: whoever finds a
/// collision slows down only his own packets.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The /24 of an IPv4 address.
#[inline(always)]
pub const fn bucket4(address: [u8; 4]) -> u32 {
    u32::from_be_bytes(address) >> 8
}

/// First /24 and number of /24s that an IPv4 prefix touches.
pub const fn range4(address: [u8; 4], length: u8) -> (u32, u32) {
    let wider = 24_u8.saturating_sub(length);
    ((bucket4(address) >> wider) << wider, 1 << wider)
}

/// Group of the summary and bit in each of its words that stand for a /24.
#[inline(always)]
pub const fn summary4(bucket: u32) -> (u32, u64) {
    (bucket >> 6, 1 << (bucket & 63))
}

/// The word of a group with the /24s that bans of a set touch.
#[inline(always)]
pub const fn touched4(set: BanSet) -> u32 {
    set.number() as u32
}

/// That with the /24s where more than single addresses are banned. Of single bans the details say
/// it, which one ban less can take back.
pub const fn wider4(set: BanSet) -> Option<u32> {
    match set {
        BanSet::Dynamic => None,
        BanSet::BulkA => Some(3),
        BanSet::BulkB => Some(4),
    }
}

/// That with the banned addresses, by [`host4`].
pub const fn hosts4(set: BanSet) -> Option<u32> {
    match set {
        BanSet::Dynamic => None,
        BanSet::BulkA => Some(5),
        BanSet::BulkB => Some(6),
    }
}

/// The bit that stands for an address in its group. Neighbours never share one.
#[inline(always)]
pub const fn host4(address: [u8; 4]) -> u64 {
    let inside = u32::from_be_bytes(address) & 0x3fff;
    1 << (inside.wrapping_mul(0x9e37_79b1) >> 26)
}

/// Word and shift of the details of a /24 in a set.
#[inline(always)]
pub const fn detail4(set: BanSet, bucket: u32) -> (u32, u32) {
    (((set.number() as u32) << DETAIL4_LOG) | (bucket >> 2), (bucket & 3) * 16)
}

/// Which bans of one set touch a /24: the length of the longest prefix that covers all of it, the
/// lengths of those inside, and four bits that spare look-ups. Of single bans they say on which
/// addresses there are any, by the last two bits: three of four neighbours of a banned address need
/// none. Of a generation, whose summary knows its addresses ([`hosts4`]), they say in which quarters
/// of the /24 anything is: beside a longer prefix most addresses need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail4(pub u16);

impl Detail4 {
    const COVER: u16 = 0x1f;
    const FOUR: u32 = 5;
    const INSIDE: u32 = 9;

    /// The same with another longest cover; zero for none.
    pub const fn covered_by(self, length: u8) -> Self {
        Self((self.0 & !Self::COVER) | (length as u16 & Self::COVER))
    }

    /// The bits for a ban of this length, of 25 and more, inside. One alone for single bans, which
    /// are counted by it.
    pub const fn inside(set: BanSet, address: [u8; 4], length: u8) -> u16 {
        let by_length = if length < 32 { 1 << (Self::INSIDE + length as u32 - 25) } else { 0 };
        match set {
            BanSet::Dynamic if length < 32 => by_length,
            BanSet::Dynamic => 1 << Self::host(address),
            BanSet::BulkA | BanSet::BulkB => by_length | Self::quarters(address, length),
        }
    }

    /// Half of the /24 for a /25, whose address is that of its first quarter.
    const fn quarters(address: [u8; 4], length: u8) -> u16 {
        let width = if length == 25 { 0b11 } else { 1 };
        width << Self::quarter(address)
    }

    /// Length of the longest prefix of at most 24 that covers the /24; zero for none.
    #[inline(always)]
    pub const fn cover(self) -> u32 {
        (self.0 & Self::COVER) as u32
    }

    /// True if the address may be banned by itself, in the set of single bans.
    #[inline(always)]
    pub const fn has_host(self, address: [u8; 4]) -> bool {
        self.0 >> Self::host(address) & 1 == 1
    }

    /// Bit `n` if a prefix of length 25 + `n` inside is banned that may cover the address.
    #[inline(always)]
    pub const fn lengths_inside(self, set: BanSet, address: [u8; 4]) -> u32 {
        let is_near = self.0 >> Self::quarter(address) & 1 == 1;
        match set {
            BanSet::BulkA | BanSet::BulkB if !is_near => 0,
            BanSet::Dynamic | BanSet::BulkA | BanSet::BulkB => (self.0 >> Self::INSIDE) as u32,
        }
    }

    #[inline(always)]
    const fn host(address: [u8; 4]) -> u32 {
        Self::FOUR + (u32::from_be_bytes(address) & 3)
    }

    #[inline(always)]
    const fn quarter(address: [u8; 4]) -> u32 {
        Self::FOUR + (u32::from_be_bytes(address) >> 6 & 3)
    }
}

/// The IPv6 lengths that the hash holds, in the order of their bits in [`Kinds6`]: those hosts,
/// subscribers, sites and allocations have. All others are in the trie.
pub const HASHED6: [u8; 8] = [128, 64, 56, 48, 44, 40, 36, 32];

/// Bucket of the /48 an IPv6 address is in.
#[inline(always)]
pub const fn fine6(address: [u8; 16]) -> u32 {
    hashed(upper_half(address) >> 16, FINE6_LOG)
}

/// Bucket of the /32 an IPv6 address is in.
#[inline(always)]
pub const fn coarse6(address: [u8; 16]) -> u32 {
    hashed(upper_half(address) >> 32, COARSE6_LOG)
}

/// Word and bit of the summary that stand for a bucket of a /48.
#[inline(always)]
pub const fn fine_summary6(bucket: u32) -> (u32, u64) {
    (bucket >> 6, 1 << (bucket & 63))
}

/// The same of a /32.
#[inline(always)]
pub const fn coarse_summary6(bucket: u32) -> (u32, u64) {
    (FINE6_SUMMARY_WORDS + (bucket >> 6), 1 << (bucket & 63))
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the upper `log` bits of 64")]
const fn hashed(site: u64, log: u32) -> u32 {
    let spread = site.wrapping_mul(SPREAD);
    ((spread ^ (spread >> 32)).wrapping_mul(SPREAD) >> (64 - log)) as u32
}

/// Word and shift of what is known of a bucket, 32 bits: [`Kinds6`], a byte a set, then four bits a
/// generation ([`near6`]).
#[inline(always)]
pub const fn bucket6(bucket: u32) -> (u32, u32) {
    (bucket >> 1, (bucket & 1) * 32)
}

/// Word and shift of a bucket's [`Kinds6`] in a set.
#[inline(always)]
pub const fn kinds6(set: BanSet, bucket: u32) -> (u32, u32) {
    (bucket >> 1, (bucket & 1) * 32 + set.number() as u32 * 8)
}

/// The bit, among the 32 of a /48's bucket, for bans of a generation on prefixes in the hash longer
/// than /48 that are near an address: one of four, by the last two bits of its /56. Three of four
/// neighbours of such a prefix need no look-up. Single bans have none.
#[inline(always)]
pub const fn near6(set: BanSet, address: [u8; 16]) -> Option<u32> {
    let [_, _, _, _, _, _, site, ..] = address;
    match set {
        BanSet::Dynamic => None,
        BanSet::BulkA => Some(1 << (24 + (site & 3))),
        BanSet::BulkB => Some(1 << (28 + (site & 3))),
    }
}

/// True for the lengths that [`near6`] speaks of.
pub const fn has_near6(length: u8) -> bool {
    matches!(length, 56 | 64)
}

/// The bits of [`near6`] of a set.
pub const fn all_near6(set: BanSet) -> u32 {
    match set {
        BanSet::Dynamic => 0,
        BanSet::BulkA => 0xf << 24,
        BanSet::BulkB => 0xf << 28,
    }
}

/// The kinds of bans of one set that touch an IPv6 neighbourhood. In the fine table the low four
/// bits count as in [`HASHED6`]; in the coarse one they stand for the last four of it. The first of
/// the fine ones stands for a quarter of all addresses, the last three for the other quarters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds6(pub u8);

impl Kinds6 {
    /// Bans of a length that is in the trie.
    pub const OTHER: u8 = 1 << 4;
    /// Bans of the lengths that [`near6`] speaks of.
    pub const NEAR: u8 = 0b110;
    const QUARTERS: u8 = 1 << 5;

    /// The bit of the fine table for bans of this very address.
    #[inline(always)]
    pub const fn host(address: [u8; 16]) -> u8 {
        let [.., last] = address;
        match last & 3 {
            0 => 1,
            quarter => Self::QUARTERS << (quarter - 1),
        }
    }
}

/// Where a ban on an IPv6 prefix shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place6 {
    /// In the bucket of its /48.
    Fine(u8),
    /// In the bucket of its /32.
    Coarse(u8),
    /// In those of so many /32s from its first.
    Wide(u32),
}

/// Where a ban on a prefix shows. None is shorter than /16.
pub fn place6(address: [u8; 16], length: u8) -> Place6 {
    let bit = HASHED6.iter().position(|hashed| *hashed == length).map(|index| 1 << (index & 3));
    match length {
        128 => Place6::Fine(Kinds6::host(address)),
        48.. => Place6::Fine(bit.unwrap_or(Kinds6::OTHER)),
        32.. => Place6::Coarse(bit.unwrap_or(Kinds6::OTHER)),
        _ => Place6::Wide(1 << (32 - length.max(16))),
    }
}

/// True if the hash holds bans of this length, false if the trie does.
pub fn is_hashed6(length: u8) -> bool {
    HASHED6.contains(&length)
}

/// The /64 of an IPv6 address.
#[inline(always)]
const fn upper_half(address: [u8; 16]) -> u64 {
    (u128::from_be_bytes(address) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_address_of_a_prefix_lies_in_its_range(
            address: [u8; 4], inside: [u8; 4], length in 8u8..=32,
        ) {
            let mask = u32::MAX << (32 - u32::from(length));
            let member = (u32::from_be_bytes(address) & mask) | (u32::from_be_bytes(inside) & !mask);
            let (first, count) = range4(address, length);
            let bucket = bucket4(member.to_be_bytes());
            prop_assert!(bucket >= first && bucket - first < count);
            prop_assert!(first + count <= 1 << 24);
        }

        #[test]
        fn positions_lie_in_their_maps_and_apart(bucket in 0u32..1 << 24, other in 0u32..1 << 24) {
            prop_assert!(summary4(bucket).0 < SUMMARY4_GROUPS);
            let mut seen = std::vec::Vec::new();
            for set in BanSet::ALL {
                let (word, shift) = detail4(set, bucket);
                prop_assert!(word < DETAIL4_WORDS && shift <= 48);
                seen.push((word, shift));
                if other != bucket {
                    prop_assert_ne!(detail4(set, other), (word, shift));
                }
            }
            seen.dedup();
            prop_assert_eq!(seen.len(), BanSet::ALL.len());
        }

        #[test]
        fn addresses_of_one_neighbourhood_share_a_bucket(address: [u8; 16], tail: [u8; 10]) {
            let mut neighbour = address;
            neighbour[6..].copy_from_slice(&tail);
            prop_assert_eq!(fine6(address), fine6(neighbour));
            prop_assert_eq!(coarse6(address), coarse6(neighbour));
            prop_assert!(fine6(address) < 1 << FINE6_LOG && coarse6(address) < 1 << COARSE6_LOG);
        }

        #[test]
        fn details_keep_what_they_are_told(
            address: [u8; 4], cover in 8u8..=24, inside in 25u8..=32,
        ) {
            let set = BanSet::Dynamic;
            let bits = Detail4::inside(set, address, inside);
            prop_assert_eq!(bits.count_ones(), 1);
            let detail = Detail4(bits).covered_by(cover);
            prop_assert_eq!(detail.cover(), u32::from(cover));
            let [a, b, c, d] = address;
            prop_assert_eq!(detail.has_host(address), inside == 32);
            for other in 1..4 {
                prop_assert!(!detail.has_host([a, b, c, d ^ other]));
            }
            let lengths = if inside == 32 { 0 } else { 1 << (inside - 25) };
            prop_assert_eq!(detail.lengths_inside(set, address), lengths);
            prop_assert_eq!(detail.covered_by(0).0, bits);
        }

        #[test]
        fn a_quarter_without_a_mark_holds_no_longer_prefix(
            address: [u8; 4], other: [u8; 4], length in 25u8..=31,
        ) {
            let mask = u32::MAX << (32 - u32::from(length));
            let [a, b, c, d] = (u32::from_be_bytes(address) & mask).to_be_bytes();
            let neighbour = [a, b, c, other[3]];
            let covers = u32::from_be_bytes(neighbour) & mask == u32::from_be_bytes([a, b, c, d]);
            for set in [BanSet::BulkA, BanSet::BulkB] {
                let detail = Detail4(Detail4::inside(set, [a, b, c, d], length)).covered_by(9);
                let seen = detail.lengths_inside(set, neighbour);
                prop_assert!(seen == 0 || seen == 1 << (length - 25));
                prop_assert!(seen != 0 || !covers, "missed");
                // A quarter, or half for a /25: nothing wider is sent on to a look-up.
                let width = length.min(26) - 24;
                let far = (other[3] ^ d) >> (8 - width) != 0;
                prop_assert_eq!(seen == 0, far);
            }
        }
    }

    proptest! {
        #[test]
        fn where_no_longer_prefix_is_near_none_covers(
            address: [u8; 16], other: [u8; 10], length in prop_oneof![Just(56u8), Just(64)],
        ) {
            let mask = u128::MAX << (128 - u32::from(length));
            let net = (u128::from_be_bytes(address) & mask).to_be_bytes();
            let mut neighbour = net;
            neighbour[6..].copy_from_slice(&other);
            let covers = u128::from_be_bytes(neighbour) & mask == u128::from_be_bytes(net);
            prop_assert!(has_near6(length) && !is_hashed6(length + 1));
            let mut all = 0xff_ff_ff;
            for set in [BanSet::BulkA, BanSet::BulkB] {
                let (at, asked) = (near6(set, net).unwrap(), near6(set, neighbour).unwrap());
                prop_assert!(!covers || at == asked);
                prop_assert_eq!(at == asked, net[6] % 4 == neighbour[6] % 4);
                prop_assert_eq!(at & all_near6(set), at);
                prop_assert_eq!(all & all_near6(set), 0);
                all |= all_near6(set);
            }
            prop_assert_eq!(all, u32::MAX);
            prop_assert_eq!(near6(BanSet::Dynamic, net), None);
        }

        #[test]
        fn each_bucket_has_a_bit_of_its_own(fine in 0u32..1 << FINE6_LOG, coarse in 0u32..1 << COARSE6_LOG) {
            let (a, b) = (fine_summary6(fine), coarse_summary6(coarse));
            prop_assert!(a.0 < b.0 && b.0 < SUMMARY6_WORDS);
            prop_assert_ne!(a, fine_summary6(fine ^ 1));
            prop_assert_ne!(b, coarse_summary6(coarse ^ 1));
        }
    }

    #[test]
    fn neighbourhoods_spread_over_the_buckets() {
        let mut seen = std::collections::HashSet::new();
        for site in 0..20_000u32 {
            let [a, b, c, d] = site.to_be_bytes();
            let address = [0x20, 0x01, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            seen.insert(fine6(address));
        }
        assert!(seen.len() > 19_800, "{} buckets of 20000 sites", seen.len());
    }

    #[test]
    fn neighbours_share_no_bit() {
        let all = (0..=255).map(|last| host4([192, 0, 2, last]));
        assert_eq!(all.fold(0, |bits, bit| bits | bit), u64::MAX);
        for last in 0..255 {
            assert_ne!(host4([192, 0, 2, last]), host4([192, 0, 2, last + 1]));
        }
        let quarters = [0, 1, 2, 3]
            .map(|last| Kinds6::host([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]));
        assert_eq!(quarters, [1, 1 << 5, 1 << 6, 1 << 7]);
    }

    #[test]
    fn every_length_has_one_place() {
        let place = |length| place6([0; 16], length);
        assert_eq!(place(128), Place6::Fine(1));
        assert_eq!(place(48), Place6::Fine(8));
        assert_eq!(place(49), Place6::Fine(Kinds6::OTHER));
        assert_eq!(place(44), Place6::Coarse(1));
        assert_eq!(place(32), Place6::Coarse(8));
        assert_eq!(place(47), Place6::Coarse(Kinds6::OTHER));
        assert_eq!(place(29), Place6::Wide(8));
        assert_eq!(place(16), Place6::Wide(65_536));
        assert!(is_hashed6(36) && !is_hashed6(35));
    }
}
