//! Headers that cannot be read, each in one of the ways that the policy names.

use super::{
    dice::Dice,
    draft::{Draft, extension, icmp, tcp, udp},
};

/// A request or an answer, or something that is neither.
pub(super) fn arp(is_spoilt: bool, dice: &mut Dice) -> Vec<u8> {
    let operation = dice.pick(&[1, 2]);
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
    bytes.extend(dice.bytes(20));
    if !is_spoilt {
        let padding = dice.pick(&[0, 18]);
        bytes.extend(vec![0; padding]);
        return bytes;
    }
    match dice.between(0, 2) {
        0 => bytes.truncate(dice.between(0, 27)),
        1 => set(&mut bytes, 7, dice.pick(&[0, 3, 4, 8, 255])),
        _ => {
            let at = dice.between(0, 6);
            set(&mut bytes, at, dice.pick(&[7, 9, 0x86, 255]));
        }
    }
    bytes
}

fn set(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(place) = bytes.get_mut(at) {
        *place = value;
    }
}

/// An IPv4 header at `at` that row 23 is about.
pub(super) fn header4(mut frame: Vec<u8>, at: usize, dice: &mut Dice) -> Vec<u8> {
    match dice.between(0, 5) {
        0 => set(&mut frame, at, dice.pick(&[0x05, 0x55, 0x65, 0xf5])),
        1 => set(&mut frame, at, dice.pick(&[0x40, 0x41, 0x44])),
        2 => set(&mut frame, at + 2, dice.pick(&[8, 16, 255])),
        3 => frame.splice(at + 2..at + 4, [0, 19]).for_each(drop),
        4 => {
            let length = dice.between(at, at + 19);
            frame.truncate(length);
        }
        _ => {
            let length = frame.len() - 1;
            frame.truncate(length);
        }
    }
    frame
}

/// The same of IPv6 and row 24.
pub(super) fn header6(mut frame: Vec<u8>, at: usize, dice: &mut Dice) -> Vec<u8> {
    match dice.between(0, 4) {
        0 => set(&mut frame, at, dice.pick(&[0x05, 0x45, 0x55, 0xf0])),
        1 => set(&mut frame, at + 4, dice.pick(&[4, 16, 255])),
        2 => {
            let length = dice.between(at, at + 39);
            frame.truncate(length);
        }
        3 => {
            let length = dice.between(at + 24, at + 39);
            frame.truncate(length);
        }
        _ => {
            let length = frame.len() - 1;
            frame.truncate(length);
        }
    }
    frame
}

/// A transport header that does not fit its packet or itself.
pub(super) fn transport(draft: &mut Draft, dice: &mut Dice) {
    let ports = (dice.port(), dice.port());
    match dice.between(0, 5) {
        0 => {
            (draft.protocol, draft.payload) = (6, tcp(ports.0, ports.1, 16, dice));
            draft.payload.truncate(dice.between(0, 19));
        }
        1 => {
            (draft.protocol, draft.payload) = (6, tcp(ports.0, ports.1, 16, dice));
            draft.payload.truncate(20);
            set(&mut draft.payload, 12, dice.pick(&[0, 0x40, 0x60, 0xf0]));
        }
        2 => {
            (draft.protocol, draft.payload) = (17, udp(ports.0, ports.1, dice));
            draft.payload.truncate(dice.between(0, 7));
        }
        3 => {
            (draft.protocol, draft.payload) = (17, udp(ports.0, ports.1, dice));
            draft.payload.splice(4..6, [0, dice.pick(&[0, 7])]).for_each(drop);
        }
        4 => {
            (draft.protocol, draft.payload) = (17, udp(ports.0, ports.1, dice));
            set(&mut draft.payload, 4, 1);
        }
        _ => {
            (draft.protocol, draft.payload) = (dice.pick(&[1, 58]), icmp(8, 0, 8, dice));
            draft.payload.truncate(dice.between(0, 7));
        }
    }
}

/// A chain of extension headers that row 26 is about.
pub(super) fn chain(draft: &mut Draft, dice: &mut Dice) {
    if draft.extensions.is_empty() {
        draft.extensions.push(extension(60, dice));
    }
    let mut last = extension(dice.pick(&[60, 43, 51, 135]), dice);
    match dice.between(0, 3) {
        // Longer than what is left.
        0 => set(&mut last.1, 1, dice.pick(&[64, 200, 255])),
        // Cut short, and nothing behind it.
        1 => {
            last.1.truncate(dice.between(1, 7));
            draft.payload.clear();
        }
        2 => last.0 = 0,
        _ => {
            (last.0, draft.payload) = (44, Vec::new());
            last.1.truncate(dice.between(1, 7));
        }
    }
    draft.extensions.push(last);
}
