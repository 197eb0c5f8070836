//! One question to rtnetlink: which XDP program sits on an interface, and in which mode.

use std::{io, os::fd::AsRawFd as _};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
const REQUEST: u16 = 1;
const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ATTRIBUTE_MTU: u16 = 4;
const ATTRIBUTE_XDP: u16 = 43;
const XDP_ATTACHED: u16 = 2;
const XDP_PROGRAM: u16 = 4;
const NESTED_MASK: u16 = 0x3fff;

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    Not,
    Native,
    Generic,
    Offloaded,
    Several,
}

impl Attached {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Not => "not attached",
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
            Self::Several => "several",
        }
    }
}

/// The XDP slot of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) attached: Attached,
    pub(super) program: u32,
}

/// The XDP slot of an interface.
pub(super) fn slot(interface: u32) -> io::Result<Slot> {
    parse(&ask(interface)?).ok_or_else(no_link)
}

/// The longest packet of an interface, without its Ethernet header.
pub(super) fn mtu(interface: u32) -> io::Result<u32> {
    let answer = ask(interface)?;
    let list = answer.get(HEADER + LINK_HEADER..).ok_or_else(no_link)?;
    let mtu = attribute(list, ATTRIBUTE_MTU).and_then(|mtu| mtu.try_into().ok());
    mtu.map(u32::from_ne_bytes).ok_or_else(no_link)
}

/// Asks the kernel about an interface.
fn ask(interface: u32) -> io::Result<Vec<u8>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    sendto(netlink.as_raw_fd(), &request(interface), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; 32 * 1024];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    Ok(answer)
}

fn no_link() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no link in the answer")
}

fn request(interface: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + LINK_HEADER);
    message.extend(32u32.to_ne_bytes());
    message.extend(GET_LINK.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(interface.to_ne_bytes());
    message.extend([0; 8]);
    message
}

fn parse(answer: &[u8]) -> Option<Slot> {
    let kind = answer.get(4..6)?;
    if u16::from_ne_bytes(kind.try_into().ok()?) != NEW_LINK {
        return None;
    }
    let mut slot = Slot { attached: Attached::Not, program: 0 };
    let Some(xdp) = attribute(answer.get(HEADER + LINK_HEADER..)?, ATTRIBUTE_XDP) else {
        return Some(slot);
    };
    slot.attached = match attribute(xdp, XDP_ATTACHED).and_then(|mode| mode.first()) {
        Some(1) => Attached::Native,
        Some(2) => Attached::Generic,
        Some(3) => Attached::Offloaded,
        Some(4) => Attached::Several,
        _ => Attached::Not,
    };
    if let Some(program) = attribute(xdp, XDP_PROGRAM) {
        slot.program = u32::from_ne_bytes(program.try_into().ok()?);
    }
    Some(slot)
}

/// The payload of the attribute of this kind in a list of them.
fn attribute(mut list: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (header, _) = list.split_first_chunk::<4>()?;
        let [l0, l1, k0, k1] = *header;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let kind = u16::from_ne_bytes([k0, k1]) & NESTED_MASK;
        if length < 4 {
            return None;
        }
        if kind == wanted {
            return list.get(4..length);
        }
        list = list.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_no_program() {
        let slot = slot(1).unwrap();
        assert_eq!(slot, Slot { attached: Attached::Not, program: 0 });
    }

    #[test]
    fn loopback_has_an_mtu() {
        assert!(mtu(1).unwrap() >= 1280);
    }

    #[test]
    fn reads_a_native_program_and_survives_any_cut() {
        let mut answer = vec![0; 32];
        answer[4..6].copy_from_slice(&NEW_LINK.to_ne_bytes());
        answer.extend([8, 0, 3, 0, b'e', b't', b'h', 0]);
        answer.extend([20, 0, 43, 0x80]);
        answer.extend([5, 0, 2, 0, 1, 0, 0, 0]);
        answer.extend([8, 0, 4, 0, 77, 0, 0, 0]);
        let native = Slot { attached: Attached::Native, program: 77 };
        assert_eq!(parse(&answer), Some(native));
        for length in 0..answer.len() {
            assert_ne!(parse(&answer[..length]), Some(native));
        }
    }
}
