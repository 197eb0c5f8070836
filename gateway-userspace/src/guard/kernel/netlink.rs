//! Questions to rtnetlink about one interface (what it is, which XDP program sits on it, in which
//! mode), its word when interfaces appear or change, and how one asks it anything else.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
        socket,
    },
};

const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
const ANSWER: u16 = 2;
/// The end of a list, with an outcome too.
const DONE: u16 = 3;
/// `NLM_F_DUMP`: all there are.
pub(super) const ALL: u16 = 0x300;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
pub(super) const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
/// `RTMGRP_LINK`
const LINK_GROUP: u32 = 1;
/// Messages of the kernel are smaller: a page, or 32 KiB where interfaces have many functions.
const BUFFER: usize = 32 * 1024;
/// Messages taken in one go, so that a storm of interfaces does not keep the guard from the rest.
const PORTION: usize = 64;

const NAME: u16 = 3;
const MTU: u16 = 4;
const LOWER: u16 = 5;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const INFO_KIND: u16 = 1;
const TX_QUEUES: u16 = 31;
const RX_QUEUES: u16 = 32;
const XDP: u16 = 43;
const XDP_ATTACHED: u16 = 2;
const XDP_PROGRAM: u16 = 4;
const PROPERTIES: u16 = 52;
const OTHER_NAME: u16 = 53;
const NESTED_MASK: u16 = 0x3fff;
/// `IFF_UP`
const UP: u32 = 1;

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attached {
    Not,
    Native,
    Generic,
    Offloaded,
    Several,
}

impl Attached {
    pub(crate) const fn name(self) -> &'static str {
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
pub(crate) struct Slot {
    pub(crate) attached: Attached,
    pub(crate) program: u32,
}

/// An interface as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) other_names: Vec<String>,
    /// `ARPHRD_…`: 1 is Ethernet.
    pub(crate) hardware: u16,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    /// `veth`, `bond`, `vlan` and the like; none for hardware.
    pub(crate) kind: Option<String>,
    /// The bridge, bond or team it is a port of.
    pub(crate) master: Option<u32>,
    /// What it stands on, as a VLAN does on its parent; for a veth its peer's index elsewhere.
    pub(crate) lower: Option<u32>,
    pub(crate) rx_queues: u32,
    pub(crate) tx_queues: u32,
    pub(crate) slot: Slot,
}

/// Asks the kernel for the slot alone.
pub(super) fn slot(index: u32) -> io::Result<Slot> {
    interface(index).map(|found| found.slot)
}

/// Asks the kernel.
pub(crate) fn interface(index: u32) -> io::Result<Interface> {
    let netlink = open(SockFlag::empty())?;
    sendto(netlink.as_raw_fd(), &request(index), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; BUFFER];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    messages(answer)
        .find_map(parse)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no link in the answer"))
}

/// Sends a request of this type and hears it out: the messages that come before the kernel's word
/// that it is done, or why it is not.
pub(super) fn ask(kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let netlink = open(SockFlag::empty())?;
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend((REQUEST | ACKNOWLEDGE | flags).to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    sendto(netlink.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut heard = Vec::new();
    let mut buffer = vec![0; BUFFER];
    for _ in 0..PORTION {
        let length = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        for message in messages(buffer.get(..length).unwrap_or_default()) {
            if matches!(self::kind(message), Some(ANSWER | DONE)) {
                return done(message).map(|()| heard);
            }
            heard.push(message.to_vec());
        }
    }
    Err(io::Error::other("the kernel's answer has no end"))
}

/// The outcome that a message of type `ANSWER` carries.
fn done(message: &[u8]) -> io::Result<()> {
    match message.get(HEADER..HEADER + 4).and_then(word) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg().cast_signed())),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "no outcome in the answer")),
    }
}

/// The type of a message.
pub(super) fn kind(message: &[u8]) -> Option<u16> {
    half(message.get(4..6)?)
}

fn open(flags: SockFlag) -> io::Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    Ok(socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?)
}

/// Hears of every change of an interface. Nothing is lost where the kernel's queue runs over: what
/// holds is read anew for every news.
#[derive(Debug)]
pub struct LinkWatch(OwnedFd);

/// What waiting messages come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// A watched interface is there without a filter, or it cannot be told.
    pub unfiltered: bool,
    /// More may wait.
    pub more: bool,
}

impl LinkWatch {
    /// Listens in the network namespace of this thread.
    pub fn open() -> io::Result<Self> {
        let netlink = open(SockFlag::SOCK_NONBLOCK)?;
        bind(netlink.as_raw_fd(), &NetlinkAddr::new(0, LINK_GROUP))?;
        Ok(Self(netlink))
    }

    /// Takes what waits, and looks for interfaces of these names.
    pub fn take(&self, names: &[String]) -> News {
        let mut news = News::default();
        let mut buffer = vec![0; BUFFER];
        for _ in 0..PORTION {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => {
                    let heard = buffer.get(..length).unwrap_or_default();
                    news.unfiltered |= messages(heard).any(|one| is_unfiltered(one, names));
                }
                Err(Errno::EAGAIN) => return news,
                Err(Errno::EINTR) => {}
                // The queue ran over.
                Err(Errno::ENOBUFS) => news.unfiltered = true,
                Err(_broken) => return News { unfiltered: true, more: false },
            }
        }
        News { more: true, ..news }
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn is_unfiltered(message: &[u8], names: &[String]) -> bool {
    parse(message).is_some_and(|found| {
        found.slot.attached == Attached::Not
            && names.iter().any(|name| *name == found.name || found.other_names.contains(name))
    })
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

/// The messages of one datagram.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::try_from(word(datagram.get(..4)?)?).ok()?;
        let message = datagram.get(..length).filter(|_| length >= HEADER)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn parse(message: &[u8]) -> Option<Interface> {
    if kind(message)? != NEW_LINK {
        return None;
    }
    let attributes = message.get(HEADER + LINK_HEADER..)?;
    let number = |kind| attribute(attributes, kind).and_then(word);
    let info = attribute(attributes, LINK_INFO).and_then(|info| attribute(info, INFO_KIND));
    Some(Interface {
        index: word(message.get(HEADER + 4..HEADER + 8)?)?,
        name: text(attribute(attributes, NAME)?),
        other_names: other_names(attributes),
        hardware: half(message.get(HEADER + 2..HEADER + 4)?)?,
        up: word(message.get(HEADER + 8..HEADER + 12)?)? & UP != 0,
        mtu: number(MTU).unwrap_or(0),
        kind: info.map(text),
        master: number(MASTER),
        lower: number(LOWER).filter(|lower| *lower != 0),
        rx_queues: number(RX_QUEUES).unwrap_or(0),
        tx_queues: number(TX_QUEUES).unwrap_or(0),
        slot: slot_of(attributes)?,
    })
}

fn other_names(list: &[u8]) -> Vec<String> {
    let properties = attribute(list, PROPERTIES).unwrap_or_default();
    attributes(properties)
        .filter(|(kind, _)| *kind == OTHER_NAME)
        .map(|(_, name)| text(name))
        .collect()
}

fn slot_of(attributes: &[u8]) -> Option<Slot> {
    let mut slot = Slot { attached: Attached::Not, program: 0 };
    let Some(xdp) = attribute(attributes, XDP) else { return Some(slot) };
    slot.attached = match attribute(xdp, XDP_ATTACHED).and_then(|mode| mode.first()) {
        Some(1) => Attached::Native,
        Some(2) => Attached::Generic,
        Some(3) => Attached::Offloaded,
        Some(4) => Attached::Several,
        _ => Attached::Not,
    };
    if let Some(program) = attribute(xdp, XDP_PROGRAM) {
        slot.program = word(program)?;
    }
    Some(slot)
}

/// The payload of the first attribute of this kind in a list of them.
pub(crate) fn attribute(list: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(list).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

/// Attributes up to the first that is not whole.
fn attributes(mut list: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = list.split_first_chunk::<4>()?;
        let [l0, l1, k0, k1] = *header;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = list.get(4..length)?;
        list = list.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & NESTED_MASK, payload))
    })
}

fn half(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

pub(super) fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// A name with its final zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message about `eth0`, also called `lan0`, with a native program.
    fn native() -> Vec<u8> {
        let mut message = vec![0; 32];
        message[4..6].copy_from_slice(&NEW_LINK.to_ne_bytes());
        message[18] = 1;
        message.extend([9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
        message.extend([16, 0, 52, 0x80, 9, 0, 53, 0, b'l', b'a', b'n', b'0', 0, 0, 0, 0]);
        message.extend([20, 0, 43, 0x80]);
        message.extend([5, 0, 2, 0, 1, 0, 0, 0]);
        message.extend([8, 0, 4, 0, 77, 0, 0, 0]);
        let length = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message
    }

    #[test]
    fn loopback_is_described() {
        let found = interface(1).unwrap();
        assert_eq!(found.name, "lo");
        assert_eq!(found.hardware, libc::ARPHRD_LOOPBACK);
        assert_eq!(found.slot, Slot { attached: Attached::Not, program: 0 });
        assert!(interface(u32::MAX >> 1).is_err());
    }

    #[test]
    fn reads_a_native_program_and_survives_any_cut() {
        let message = native();
        let slot = Slot { attached: Attached::Native, program: 77 };
        let found = parse(&message).unwrap();
        assert_eq!((found.slot, found.name.as_str()), (slot, "eth0"));
        assert_eq!(found.other_names, ["lan0"]);
        for length in 0..message.len() {
            assert_ne!(parse(&message[..length]).map(|found| found.slot), Some(slot));
        }
    }

    #[test]
    fn only_watched_interfaces_without_a_filter_are_news() {
        let filtered = native();
        let mut bare = native();
        let mode = bare.len() - 12;
        bare[mode] = 0;
        for (message, name, news) in [
            (&bare, "eth0", true),
            (&bare, "lan0", true),
            (&bare, "eth1", false),
            (&filtered, "eth0", false),
        ] {
            assert_eq!(is_unfiltered(message, &[name.to_owned()]), news, "{name}");
        }
    }

    #[test]
    fn a_datagram_is_cut_into_its_messages() {
        let mut datagram = native();
        datagram.extend(native());
        assert_eq!(messages(&datagram).count(), 2);
        assert_eq!(messages(&datagram[..datagram.len() - 1]).count(), 1);
        assert_eq!(messages(&[0; 64]).count(), 0, "a length of nothing does not loop");
    }
}
