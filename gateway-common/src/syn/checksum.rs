//! The Internet checksum (RFC 1071), over words of 32 bits: half the additions, folded at the end.

use crate::packet::protocol::TCP;

/// Adds words in network order to a sum.
#[inline(always)]
pub fn add(sum: u64, words: &[[u8; 4]]) -> u64 {
    let mut sum = sum;
    for word in words {
        sum += u64::from(u32::from_be_bytes(*word));
    }
    sum
}

/// The sum in 16 bits; all ones over a block that contains its right checksum.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    // 60 bytes and two addresses stay far below 48 bits: three rounds leave 16.
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let [.., high, low] = sum.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// The checksum to put into a block whose own field was zero.
#[inline(always)]
pub const fn complement(sum: u64) -> u16 {
    !fold(sum)
}

/// The part of a TCP checksum that stands for addresses, protocol and length (RFC 9293 section
/// 3.1, RFC 8200 section 8.1). An IPv4 address with zeros behind it sums to itself.
#[inline(always)]
pub fn pseudo(source: &[[u8; 4]], destination: &[[u8; 4]], length: usize) -> u64 {
    add(add(u64::from(TCP) + length as u64, source), destination)
}
