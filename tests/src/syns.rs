//! SYN floods, and who gets a SYN-ACK for them: seen by a packet socket at the sender's end.

use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::Result;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};
use ipnet::IpNet;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv},
};

use crate::{netns::Namespace, packet::Wire, receiver::listen};

/// The SYN of an ordinary client, checksums right.
pub fn syn(wire: &Wire, source: Ipv4Addr, sequence: u64) -> Result<Vec<u8>> {
    let [.., s3, s2, s1, s0] = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let port = 1024 + (u16::from_be_bytes([s3, s2]) & 0x7fff);
    let number = u32::from_be_bytes([s3, s2, s1, s0]);
    let mut frame = Vec::with_capacity(80);
    PacketBuilder::ethernet2(wire.from, wire.to)
        .ipv4(source.octets(), wire.v4.octets(), 60)
        .tcp(port, wire.port, number, 64_240)
        .syn()
        .options(&[
            TcpOptionElement::MaximumSegmentSize(1460),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
            TcpOptionElement::Timestamp(number, 0),
            TcpOptionElement::Noop,
            TcpOptionElement::WindowScale(7),
        ])?
        .write(&mut frame, &[])?;
    Ok(frame)
}

/// Number `sequence` of addresses in 100.0.0.0/8, in no order, none twice in a flood.
pub fn forged(sequence: u64) -> Ipv4Addr {
    let spread = sequence.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff;
    let [_, b, c, d] = u32::try_from(spread).unwrap_or(0).to_be_bytes();
    Ipv4Addr::new(100, b, c, d)
}

/// Counts SYN-ACKs in the background until dropped.
#[derive(Debug)]
pub struct SynAcks {
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    watched: AtomicU64,
    others: AtomicU64,
}

impl SynAcks {
    /// Those that reach `interface`, to `watched` and to all others.
    pub fn count(namespace: &Namespace, interface: &str, watched: IpNet) -> Result<Self> {
        let socket = namespace.run(|| listen(interface))?;
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        let thread = thread::spawn(move || record(&socket, watched, &shared));
        Ok(Self { counts, thread: Some(thread) })
    }

    pub fn to_watched(&self) -> u64 {
        self.counts.watched.load(Ordering::Acquire)
    }

    pub fn to_others(&self) -> u64 {
        self.counts.others.load(Ordering::Acquire)
    }
}

impl Drop for SynAcks {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; nothing is left to do about it.
            drop(thread.join());
        }
    }
}

fn record(socket: &OwnedFd, watched: IpNet, counts: &Counts) {
    let mut buffer = [0; 2048];
    while !counts.stop.load(Ordering::Acquire) {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => continue,
            Err(_gone) => return,
        };
        let Some(to) = buffer.get(..length).and_then(answered) else { continue };
        let count = if watched.contains(&to) { &counts.watched } else { &counts.others };
        count.fetch_add(1, Ordering::AcqRel);
    }
}

/// Whom a frame is a SYN-ACK to.
fn answered(frame: &[u8]) -> Option<IpAddr> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
    let to = match packet.net? {
        NetSlice::Ipv4(ip) => IpAddr::from(ip.header().destination()),
        NetSlice::Ipv6(ip) => IpAddr::from(ip.header().destination()),
        NetSlice::Arp(_) => return None,
    };
    (tcp.syn() && tcp.ack()).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_sources_differ() {
        let mut seen: Vec<_> = (0..10_000).map(forged).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
    }
}
