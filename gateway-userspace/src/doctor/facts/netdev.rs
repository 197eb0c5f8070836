//! The kernel's own word on what a driver's XDP can do: the generic netlink family `netdev`, since
//! Linux 6.3. Before that it could only be tried.

use std::{io, os::fd::AsRawFd as _};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::guard::kernel::netlink::{attribute, messages};

/// `GENL_ID_CTRL`, whose command 3 finds a family by its name.
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const GET_DEVICE: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_XDP: u16 = 3;
const REQUEST: u16 = 1;
/// Of netlink and of generic netlink.
const HEADERS: usize = 16 + 4;

/// `NETDEV_XDP_ACT_…` bits of an interface.
pub(super) fn xdp_features(interface: u32) -> Option<u64> {
    let family = ask(CONTROLLER, GET_FAMILY, FAMILY_NAME, b"netdev\0").ok()?;
    let family = value(&family, FAMILY_ID)?;
    let family = u16::from_ne_bytes(family.try_into().ok()?);
    let device = ask(family, GET_DEVICE, DEVICE_INDEX, &interface.to_ne_bytes()).ok()?;
    Some(u64::from_ne_bytes(value(&device, DEVICE_XDP)?.try_into().ok()?))
}

/// An attribute of the first message that is not an error.
fn value(answer: &[u8], kind: u16) -> Option<&[u8]> {
    messages(answer).find_map(|message| attribute(message.get(HEADERS..)?, kind))
}

fn ask(family: u16, command: u8, kind: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkGeneric,
    )?;
    let question = question(family, command, kind, payload);
    sendto(netlink.as_raw_fd(), &question, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; 16 * 1024];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    // NLMSG_ERROR: no such family or interface.
    if answer.get(4..6) == Some(&2_u16.to_ne_bytes()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(answer)
}

fn question(family: u16, command: u8, kind: u16, payload: &[u8]) -> Vec<u8> {
    let attribute = 4 + payload.len();
    let length = HEADERS + attribute.next_multiple_of(4);
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    message.extend(family.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([command, 1, 0, 0]);
    message.extend(u16::try_from(attribute).unwrap_or(0).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(payload);
    message.resize(length, 0);
    message
}
