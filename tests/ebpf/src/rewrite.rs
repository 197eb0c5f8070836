//! Gives a frame another source address and keeps its checksums true, from the difference alone
//! (RFC 1624): a stack that checks them must not be what drops the flood.

use aya_ebpf::programs::XdpContext;

const ETHER_TYPE: usize = 12;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV4_PROTOCOL: usize = 23;
const IPV4_CHECKSUM: usize = 24;
const IPV4_SOURCE: usize = 26;
/// Bits 16 to 47 of the source.
const IPV6_SOURCE: usize = 22 + 2;
const TCP: u8 = 6;
/// Behind an IPv4 header without options.
const TCP_CHECKSUM: usize = 34 + 16;

/// True if the frame was long enough.
#[inline(always)]
pub(crate) fn source(context: &XdpContext, source: u32) -> bool {
    let (start, end) = (context.data(), context.data_end());
    // The shortest frame of the bench is 60 bytes; one check serves all accesses.
    if start + TCP_CHECKSUM + 2 > end {
        return false;
    }
    let wanted = source.to_be_bytes();
    if read::<2>(start + ETHER_TYPE) != IPV4 {
        write(start + IPV6_SOURCE, wanted);
        return true;
    }
    let old = read::<4>(start + IPV4_SOURCE);
    write(start + IPV4_SOURCE, wanted);
    adjust(start + IPV4_CHECKSUM, old, wanted);
    if read::<1>(start + IPV4_PROTOCOL) == [TCP] {
        adjust(start + TCP_CHECKSUM, old, wanted);
    }
    true
}

/// RFC 1624, equation 3.
#[inline(always)]
fn adjust(at: usize, old: [u8; 4], new: [u8; 4]) {
    let halves = |word: [u8; 4]| {
        let word = u32::from_be_bytes(word);
        (word >> 16) + (word & 0xffff)
    };
    let mut sum = u32::from(!u16::from_be_bytes(read::<2>(at)));
    // The complement of both halves of the old address, and the new one's.
    sum += 0x1_fffe - halves(old) + halves(new);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "folded twice")]
    let checksum = !(sum as u16);
    write(at, checksum.to_be_bytes());
}

#[inline(always)]
#[expect(unsafe_code, reason = "packet memory")]
fn read<const N: usize>(at: usize) -> [u8; N] {
    // SAFETY: `source` checked the frame's length past every offset used here, as the verifier
    // proves once more; bytes have no alignment.
    unsafe { *(at as *const [u8; N]) }
}

#[inline(always)]
#[expect(unsafe_code, reason = "packet memory")]
fn write<const N: usize>(at: usize, bytes: [u8; N]) {
    // SAFETY: as in `read`.
    unsafe { *(at as *mut [u8; N]) = bytes };
}
