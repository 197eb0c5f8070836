//! A packet in parts, put together with lengths that fit, and then perhaps spoiled.

use std::net::IpAddr;

use super::dice::Dice;

/// Everything between Ethernet and data.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) tags: Vec<u16>,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) hop_limit: u8,
    pub(super) options: Vec<u8>,
    /// What is wrong with the checksum of IPv4; nothing if zero.
    pub(super) damage: u16,
    /// Of IPv4: offset in units of eight bytes, and "more fragments".
    pub(super) fragment: (u16, bool),
    /// Number and bytes of extension headers; the first byte of each is filled in.
    pub(super) extensions: Vec<(u8, Vec<u8>)>,
    pub(super) protocol: u8,
    pub(super) payload: Vec<u8>,
}

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;

impl Draft {
    /// The frame, without padding.
    pub(super) fn frame(&self) -> Vec<u8> {
        let (kind, packet) = match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => (IPV4, self.v4(from.octets(), to.octets())),
            (IpAddr::V6(from), IpAddr::V6(to)) => (IPV6, self.v6(from.octets(), to.octets())),
            (IpAddr::V4(from), to) => (IPV4, self.v4(from.octets(), low_half(to))),
            (IpAddr::V6(from), to) => (IPV6, self.v6(from.octets(), [to.is_ipv4().into(); 16])),
        };
        ethernet(&self.tags, kind, &packet)
    }

    /// Makes the checksum of a TCP segment right.
    pub(super) fn seal(&mut self) {
        let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        let mut summed = match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
            _ => return,
        };
        summed.extend([[0, 6], length.to_be_bytes()].concat());
        self.payload.splice(16..18, [0, 0]).for_each(drop);
        summed.extend(&self.payload);
        self.payload.splice(16..18, checksum(&summed).to_be_bytes()).for_each(drop);
    }

    fn v4(&self, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let length = 20 + self.options.len();
        let words = u8::try_from(length / 4).unwrap_or(5);
        let (offset, more) = self.fragment;
        let mut bytes = vec![0x40 | words, 0];
        bytes.extend(length_of(length + self.payload.len()));
        bytes.extend([0x12, 0x34]);
        bytes.extend((offset & 0x1fff | u16::from(more) << 13).to_be_bytes());
        bytes.extend([self.hop_limit, self.protocol, 0, 0]);
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend(&self.options);
        let sum = checksum(&bytes) ^ self.damage;
        bytes.splice(10..12, sum.to_be_bytes()).for_each(drop);
        bytes.extend(&self.payload);
        bytes
    }

    fn v6(&self, from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
        let mut chain = Vec::new();
        let numbers = self.extensions.iter().map(|(number, _)| *number).chain([self.protocol]);
        let mut numbers = numbers.skip(1);
        for (_, header) in &self.extensions {
            chain.push(numbers.next().unwrap_or(self.protocol));
            chain.extend(header.iter().skip(1));
        }
        let first = self.extensions.first().map_or(self.protocol, |(number, _)| *number);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(length_of(chain.len() + self.payload.len()));
        bytes.extend([first, self.hop_limit]);
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend(chain);
        bytes.extend(&self.payload);
        bytes
    }
}

/// RFC 1071: of whole words.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| match word {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        rest => u64::from(rest.first().copied().unwrap_or(0)) << 8,
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn low_half(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => [192, 0, 2, 1],
    }
}

fn length_of(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// Addresses, tags, type, and what follows.
pub(super) fn ethernet(tags: &[u16], kind: u16, behind: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (tag, number) in tags.iter().zip(10_u16..) {
        bytes.extend(tag.to_be_bytes());
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(kind.to_be_bytes());
    bytes.extend(behind);
    bytes
}

/// A TCP header of 20 bytes and options.
pub(super) fn tcp(from: u16, to: u16, flags: u8, dice: &mut Dice) -> Vec<u8> {
    let words = dice.between(5, 15);
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(dice.bytes(8));
    bytes.extend([u8::try_from(words).unwrap_or(5) << 4, flags]);
    let data = dice.between(0, 24);
    bytes.extend(dice.bytes(words * 4 - 14 + data));
    bytes
}

/// A TCP header that opens a connection, without data.
pub(super) fn syn(from: u16, to: u16, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = tcp(from, to, dice.pick(&[2, 2, 2, 0xc2]), dice);
    let words = bytes.get(12).map_or(5, |offset| usize::from(offset >> 4));
    bytes.truncate(words * 4);
    bytes
}

pub(super) fn udp(from: u16, to: u16, dice: &mut Dice) -> Vec<u8> {
    let data = dice.between(0, 40);
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes(), length_of(8 + data)].concat();
    bytes.extend(dice.bytes(2 + data));
    bytes
}

/// Of either version: type, code, and at least six bytes.
pub(super) fn icmp(kind: u8, code: u8, length: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = vec![kind, code];
    bytes.extend(dice.bytes(length.max(8) - 2));
    bytes
}

/// An extension header of whole units of eight bytes; 44 and 51 count theirs in other ways.
pub(super) fn extension(number: u8, dice: &mut Dice) -> (u8, Vec<u8>) {
    if number == 51 {
        // Shorter than its fixed fields, now and then (RFC 4302).
        let units = if dice.percent(3) { 0 } else { dice.between(1, 6) };
        let mut bytes = vec![0, u8::try_from(units).unwrap_or(1)];
        bytes.extend(dice.bytes(units * 4 + 6));
        return (number, bytes);
    }
    let units = dice.between(0, 3);
    let mut bytes = vec![0, u8::try_from(units).unwrap_or(0)];
    // A routing header of a type that may pass, with nothing left.
    bytes.extend([2, 0]);
    bytes.extend(dice.bytes(units * 8 + 4));
    (number, bytes)
}

/// A fragment header.
pub(super) fn fragment(offset: u16, more: bool) -> (u8, Vec<u8>) {
    let word = offset << 3 | u16::from(more);
    let mut bytes = vec![0, 0];
    bytes.extend(word.to_be_bytes());
    bytes.extend([0, 0, 0, 7]);
    (44, bytes)
}

/// Bytes changed, cut off or appended anywhere behind the link addresses.
pub(super) fn spoil(frame: &mut Vec<u8>, dice: &mut Dice) {
    match dice.between(0, 3) {
        0 => frame.truncate(dice.between(14, frame.len().max(14))),
        1 => {
            let count = dice.between(1, 30);
            frame.extend(dice.bytes(count));
        }
        _ => {
            let reach = frame.len().min(100).saturating_sub(1);
            for _ in 0..dice.between(1, 3) {
                let (at, byte, bit) = (dice.between(12, reach), dice.byte(), dice.between(0, 7));
                if let Some(place) = frame.get_mut(at) {
                    *place = if dice.percent(50) { byte } else { *place ^ 1 << bit };
                }
            }
        }
    }
}
