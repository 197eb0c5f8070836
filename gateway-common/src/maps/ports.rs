//! Sets of ports as bitmaps, one of each kind in either slot of policy.

/// A set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum PortSet {
    /// TCP ports that are served.
    Tcp = 0,
    /// UDP ports that are served.
    Udp = 1,
    /// UDP source ports of services that are used for amplification.
    Amplifiers = 2,
}

/// Words of a set: one bit a port.
const SET_WORDS: u32 = 65_536 / 64;

/// Words of a slot.
pub const PORT_WORDS: u32 = 3 * SET_WORDS;

/// Where the word of a port is.
#[inline(always)]
pub const fn port_word(slot: u32, set: PortSet, port: u16) -> u32 {
    slot * PORT_WORDS + set as u32 * SET_WORDS + (port >> 6) as u32
}

/// The bit in that word.
#[inline(always)]
pub const fn port_bit(port: u16) -> u64 {
    1 << (port & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ports_share_a_bit() {
        assert_eq!(port_word(0, PortSet::Tcp, 63), 0);
        assert_eq!(port_word(0, PortSet::Tcp, 65_535) + 1, port_word(0, PortSet::Udp, 0));
        assert_eq!(port_word(0, PortSet::Udp, 65_535) + 1, port_word(0, PortSet::Amplifiers, 0));
        assert_eq!(port_word(0, PortSet::Amplifiers, 65_535) + 1, port_word(1, PortSet::Tcp, 0));
        assert_eq!(port_bit(64), 1);
        assert_eq!(port_bit(127), 1 << 63);
    }
}
