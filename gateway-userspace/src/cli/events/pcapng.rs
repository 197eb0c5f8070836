//! The capture file format of Wireshark (draft-ietf-opsawg-pcapng): a section, an interface block
//! for each interface when its first packet comes, and a block a packet.

use crate::sampled::{Sampled, from_hex};

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// By which a reader knows the order of bytes.
const MAGIC: u32 = 0x1A2B_3C4D;
const LINKTYPE_ETHERNET: u16 = 1;

const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;

/// Nanoseconds: ten to the power of minus nine.
const NANO: u8 = 9;
/// Received.
const INBOUND: u32 = 1;

/// What was written so far.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// Names; the place is the number in the file. As many as a machine has.
    interfaces: Vec<String>,
}

impl Capture {
    /// The beginning of the file.
    pub(super) fn begin() -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(MAGIC.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // The length of the section is not known yet.
        body.extend(u64::MAX.to_le_bytes());
        let application = format!("gateway {}", env!("CARGO_PKG_VERSION"));
        option(&mut body, APPLICATION, application.as_bytes());
        end_of_options(&mut body);
        block(SECTION, &body)
    }

    /// A packet, after its interface if that is a new one.
    pub(super) fn packet(&mut self, drop: &Sampled) -> Vec<u8> {
        let known = self.interfaces.iter().position(|name| *name == drop.interface);
        let mut blocks = if known.is_some() { Vec::new() } else { interface(&drop.interface) };
        let number = known.unwrap_or_else(|| {
            self.interfaces.push(drop.interface.clone());
            self.interfaces.len() - 1
        });
        blocks.extend(packet(u32::try_from(number).unwrap_or(0), drop));
        blocks
    }
}

fn interface(name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LINKTYPE_ETHERNET.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    // No limit of ours: packets say how long they were.
    body.extend(0_u32.to_le_bytes());
    option(&mut body, NAME, name.as_bytes());
    option(&mut body, RESOLUTION, &[NANO]);
    end_of_options(&mut body);
    block(INTERFACE, &body)
}

fn packet(interface: u32, drop: &Sampled) -> Vec<u8> {
    let bytes = from_hex(&drop.bytes).unwrap_or_default();
    let [high, low] = halves(drop.at_ns);
    let mut body = Vec::new();
    for word in [interface, high, low, length(&bytes), drop.frame_length] {
        body.extend(word.to_le_bytes());
    }
    padded(&mut body, &bytes);
    option(&mut body, COMMENT, comment(drop).as_bytes());
    option(&mut body, FLAGS, &INBOUND.to_le_bytes());
    end_of_options(&mut body);
    block(PACKET, &body)
}

fn comment(drop: &Sampled) -> String {
    let what = if drop.shadow { "would be dropped" } else { "dropped" };
    format!("{what}: {}", drop.reason)
}

/// Type, length, body, length.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let total = length(body).saturating_add(12).to_le_bytes();
    [kind.to_le_bytes().as_slice(), &total, body, &total].concat()
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    padded(body, value);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

/// Everything begins at a multiple of four.
fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(bytes);
    let rest = bytes.len().next_multiple_of(4) - bytes.len();
    body.extend(std::iter::repeat_n(0, rest));
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn halves(number: u64) -> [u32; 2] {
    let half = |half: u64| u32::try_from(half & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    [half(number >> 32), half(number)]
}
