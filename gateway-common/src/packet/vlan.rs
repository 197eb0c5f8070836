//! VLAN tags: 802.1Q, 802.1ad and the older 0x9100, two at most.
//!
//! Network cards may strip the outer tag before XDP; what is left is read the same way.

use super::PacketBytes;

/// Tags that are read through.
pub const DEPTH: usize = 2;
/// Bytes of a tag with the type that follows it.
const LENGTH: usize = 4;

/// The type behind the tags and the offset of what it names; `None` if there are more tags than
/// [`DEPTH`] or one is cut short.
#[inline(always)]
pub fn skip<P: PacketBytes + ?Sized>(
    frame: &P,
    mut ether_type: u16,
    mut offset: usize,
) -> Option<(u16, usize)> {
    for _ in 0..DEPTH {
        if !is_tag(ether_type) {
            return Some((ether_type, offset));
        }
        ether_type = u16::from_be_bytes(frame.read(offset + 2)?);
        offset += LENGTH;
    }
    (!is_tag(ether_type)).then_some((ether_type, offset))
}

#[inline(always)]
const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8 | 0x9100)
}
