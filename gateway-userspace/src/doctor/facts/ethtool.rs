//! ethtool's questions, by ioctl: its netlink family has no name for the driver.

#![expect(unsafe_code, reason = "the ioctl of ethtool has no safe wrapper")]

use std::{
    ffi::c_void,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const ETHTOOL: libc::Ioctl = 0x8946;
const GET_DRIVER: u32 = 0x03;
const GET_STRINGS: u32 = 0x1b;
const GET_SET_INFO: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const GET_CHANNELS: u32 = 0x3c;
const SET_OF_FEATURES: u32 = 4;
const NAME_BYTES: usize = 32;
/// Kernels have some 64; a number far above is none.
const MOST_FEATURES: u32 = 1024;

/// An interface to ask.
#[derive(Debug)]
pub(in crate::doctor) struct Ethtool {
    socket: OwnedFd,
    name: [u8; libc::IFNAMSIZ],
}

/// State of an offload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::doctor) struct Offload {
    pub(in crate::doctor) on: bool,
    /// Nobody can change it from here.
    pub(in crate::doctor) fixed: bool,
}

/// Queues, and how many there could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::doctor) struct Channels {
    pub(in crate::doctor) most_rx: u32,
    pub(in crate::doctor) most_combined: u32,
    pub(in crate::doctor) rx: u32,
    pub(in crate::doctor) combined: u32,
}

/// `struct ifreq` with a pointer in its union.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    data: *mut c_void,
    rest: [u64; 2],
}

impl Ethtool {
    pub(super) fn open(name: &str) -> Option<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        // The last one stays zero.
        bytes
            .get_mut(..libc::IFNAMSIZ - 1)?
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None).ok()?;
        Some(Self { socket, name: bytes })
    }

    pub(super) fn driver(&self) -> Option<String> {
        // Command, five names of 32, reserved bytes, five counts.
        let mut answer = [0; 49];
        *answer.first_mut()? = GET_DRIVER;
        self.ask(&mut answer).ok()?;
        let name = text(answer.get(1..9)?);
        (!name.is_empty()).then_some(name)
    }

    pub(super) fn channels(&self) -> Option<Channels> {
        let mut answer = [0; 9];
        *answer.first_mut()? = GET_CHANNELS;
        self.ask(&mut answer).ok()?;
        let [_, most_rx, _, _, most_combined, rx, _, _, combined] = answer;
        Some(Channels { most_rx, most_combined, rx, combined })
    }

    /// Offloads by name.
    pub(super) fn offloads(&self) -> Vec<(String, Offload)> {
        self.read_offloads().unwrap_or_default()
    }

    fn read_offloads(&self) -> io::Result<Vec<(String, Offload)>> {
        // Command, reserved, a mask of two words with the bit of the set, its size.
        let mut info = [GET_SET_INFO, 0, 1 << SET_OF_FEATURES, 0, 0];
        self.ask(&mut info)?;
        let [.., count] = info;
        let count = count.min(MOST_FEATURES);
        let mut strings = vec![0; 3 + count as usize * NAME_BYTES / 4];
        strings.splice(..3, [GET_STRINGS, SET_OF_FEATURES, count]);
        self.ask(&mut strings)?;
        let blocks = count.div_ceil(32);
        let mut states = vec![0; 2 + blocks as usize * 4];
        states.splice(..2, [GET_FEATURES, blocks]);
        self.ask(&mut states)?;
        let names = strings.get(3..).unwrap_or_default().chunks_exact(NAME_BYTES / 4).map(text);
        let states = states.get(2..).unwrap_or_default();
        Ok(names.enumerate().filter_map(|(bit, name)| Some((name, state(states, bit)?))).collect())
    }

    fn ask(&self, data: &mut [u32]) -> io::Result<()> {
        let mut request = Request { name: self.name, data: data.as_mut_ptr().cast(), rest: [0; 2] };
        // SAFETY: `request` is a whole `struct ifreq`; `data` holds what its command, set by the
        // callers above, makes the kernel read and write: fixed structures, or arrays whose
        // lengths stand in them.
        let answer = unsafe { libc::ioctl(self.socket.as_raw_fd(), ETHTOOL, &raw mut request) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Blocks of 32 features: available, requested, active, never changed.
fn state(blocks: &[u32], bit: usize) -> Option<Offload> {
    let block = blocks.chunks_exact(4).nth(bit / 32)?;
    let [available, _, active, never] = block else { return None };
    let has = |word: &u32| (word >> (bit % 32)) & 1 == 1;
    Some(Offload { on: has(active), fixed: has(never) || !has(available) })
}

fn text(words: &[u32]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_tells_its_offloads() {
        let offloads = Ethtool::open("lo").unwrap().offloads();
        let named = |name: &str| offloads.iter().find(|(found, _)| found == name);
        // Offloads every kernel knows; a loopback never receives large frames made of small ones.
        assert!(named("rx-gro").is_some(), "{offloads:?}");
        assert_eq!(named("rx-lro").map(|found| found.1.on), Some(false));
        assert!(Ethtool::open("a-name-that-is-too-long").is_none());
    }

    #[test]
    fn reads_the_state_of_a_feature() {
        let blocks = [0b110, 0, 0b010, 0, 1, 0, 1, 1];
        assert_eq!(state(&blocks, 1), Some(Offload { on: true, fixed: false }));
        assert_eq!(state(&blocks, 2), Some(Offload { on: false, fixed: false }));
        assert_eq!(state(&blocks, 32), Some(Offload { on: true, fixed: true }));
        assert_eq!(state(&blocks, 64), None);
    }
}
