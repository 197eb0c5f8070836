//! Summary bitmaps of allowed prefixes: one bit a neighbourhood of addresses, clear where no entry
//! touches it. Bans have their own in [`crate::cover`].
//!
//! Kernel and guard use the same index, so that the good packet pays one array read whatever the
//! size of the lists. A collision of two IPv6 neighbourhoods costs a lookup, never a verdict.

/// Geometry of a pair of bitmaps, one a family.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Prefix length of an IPv4 neighbourhood; the bitmap has two to this power bits.
    pub v4_length: u8,
    /// Prefix length of an IPv6 neighbourhood. Entries with shorter prefixes are not in the
    /// bitmap: a flag makes the kernel look them up always.
    pub v6_length: u8,
    /// The IPv6 bitmap has two to this power bits.
    pub v6_log: u8,
}

/// Allowed prefixes are few: per /16 and hashed /32, 8 KiB each, which stay in the first cache.
pub const ALLOW: Summary = Summary { v4_length: 16, v6_length: 32, v6_log: 16 };

/// Multiplier of the IPv6 hash (2^64 divided by the golden ratio). Not secret: whoever finds a
/// collision slows down only his own packets.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Summary {
    /// Words of 64 bits in the IPv4 bitmap.
    pub const fn v4_words(self) -> u32 {
        1 << (self.v4_length - 6)
    }

    /// Words of 64 bits in the IPv6 bitmap.
    pub const fn v6_words(self) -> u32 {
        1 << (self.v6_log - 6)
    }

    /// The neighbourhood of an IPv4 address.
    #[inline(always)]
    pub const fn v4_bucket(self, address: [u8; 4]) -> u32 {
        u32::from_be_bytes(address) >> (32 - self.v4_length)
    }

    /// The neighbourhood of an IPv6 address.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "v6_log is at most 32")]
    pub const fn v6_bucket(self, address: [u8; 16]) -> u32 {
        let spread = (upper_half(address) >> (64 - self.v6_length)).wrapping_mul(SPREAD);
        let mixed = (spread ^ (spread >> 32)).wrapping_mul(SPREAD);
        (mixed >> (64 - self.v6_log)) as u32
    }

    /// First bucket and number of buckets an IPv4 prefix touches.
    pub const fn v4_range(self, address: [u8; 4], length: u8) -> (u32, u32) {
        let wider = self.v4_length.saturating_sub(length);
        let first = (self.v4_bucket(address) >> wider) << wider;
        (first, 1 << wider)
    }
}

/// The /64 of an IPv6 address.
#[inline(always)]
pub const fn upper_half(address: [u8; 16]) -> u64 {
    (u128::from_be_bytes(address) >> 64) as u64
}

/// Word of the bitmap and bit in the word that stand for a bucket.
#[inline(always)]
pub const fn position(bucket: u32) -> (u32, u64) {
    (bucket >> 6, 1 << (bucket & 63))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_address_of_a_prefix_lies_in_its_range(
            address: [u8; 4], inside: [u8; 4], length in 0u8..=32,
        ) {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let member = (u32::from_be_bytes(address) & mask) | (u32::from_be_bytes(inside) & !mask);
            let (first, count) = ALLOW.v4_range(address, length);
            let bucket = ALLOW.v4_bucket(member.to_be_bytes());
            prop_assert!(bucket >= first && bucket - first < count);
            prop_assert!(first + count <= 1 << ALLOW.v4_length);
        }

        #[test]
        fn addresses_of_one_neighbourhood_share_a_bucket(address: [u8; 16], tail: [u8; 12]) {
            let mut neighbour = address;
            neighbour[4..].copy_from_slice(&tail);
            prop_assert_eq!(ALLOW.v6_bucket(address), ALLOW.v6_bucket(neighbour));
            prop_assert!(ALLOW.v6_bucket(address) < 1 << ALLOW.v6_log);
            prop_assert!(position(ALLOW.v6_bucket(address)).0 < ALLOW.v6_words());
        }
    }
}
