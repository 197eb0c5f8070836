//! The independent leak counter: a packet socket behind XDP that records which marked frames got
//! through. What XDP drops never becomes a socket buffer, so it cannot be seen here.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
            socket, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
};

use crate::{
    netns::Namespace,
    packet::{FRAMINGS, Mark},
    veth::link_address,
};

/// Marks kept of each flow to tell what leaked; more are only counted.
const SAMPLES: usize = 64;

/// Numbers kept of each flow.
const NUMBERS: usize = 1 << 20;

/// Room for frames while this thread does not run: at no loss of its own a count of zero is zero.
const BUFFER_BYTES: usize = 64 * 1024 * 1024;

/// What came through of one flow.
#[derive(Debug, Clone, Default)]
pub struct Arrived {
    pub frames: u64,
    /// The first of them.
    pub marks: Vec<Mark>,
    /// Numbers among them, each once.
    numbers: BTreeSet<u64>,
}

/// Records in the background until dropped.
#[derive(Debug)]
pub struct Receiver {
    flows: Arc<Mutex<BTreeMap<u16, Arrived>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on `interface` in `namespace`, to every protocol: tagged frames come under their
    /// tag's `EtherType`.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let socket = namespace.run(|| listen(interface))?;
        let (flows, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (into, stopped) = (Arc::clone(&flows), Arc::clone(&stop));
        let thread = thread::spawn(move || record(&socket, &into, &stopped));
        Ok(Self { flows, stop, thread: Some(thread) })
    }

    /// What arrived of `flow` so far.
    pub fn arrived(&self, flow: u16) -> Arrived {
        let flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        flows.get(&flow).cloned().unwrap_or_default()
    }

    /// Frames of `flow` so far.
    pub fn frames(&self, flow: u16) -> u64 {
        self.arrived(flow).frames
    }

    /// Stops listening: a packet socket costs every packet that passes, and a measurement is not
    /// to pay for it.
    pub fn close(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; nothing is left to do about it.
            drop(thread.join());
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.close();
    }
}

impl Arrived {
    /// True if all frames of a flow that numbers them from zero came, and each once.
    pub fn is_all_of(&self, sent: u64) -> bool {
        let distinct = u64::try_from(self.numbers.len()).unwrap_or(u64::MAX);
        (self.frames, distinct) == (sent, sent) && self.numbers.last().is_none_or(|n| *n < sent)
    }

    /// The framings among the recorded marks, each once.
    pub fn framings(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self
            .marks
            .iter()
            .filter_map(|mark| FRAMINGS.get(usize::from(mark.framing)))
            .map(|framing| framing.name)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

pub(crate) fn listen(interface: &str) -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
        .context("opening a packet socket")?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).context("enlarging its buffer")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(50))
        .context("bounding its waits")?;
    bind(socket.as_raw_fd(), &link_address(interface)?)
        .with_context(|| format!("binding a packet socket to {interface}"))?;
    Ok(socket)
}

fn record(socket: &OwnedFd, flows: &Mutex<BTreeMap<u16, Arrived>>, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Acquire) {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => continue,
            Err(_gone) => return,
        };
        let Some(mark) = buffer.get(..length).and_then(Mark::find) else { continue };
        let mut flows = flows.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = flows.entry(mark.flow).or_default();
        arrived.frames += 1;
        if arrived.numbers.len() < NUMBERS {
            arrived.numbers.insert(mark.sequence);
        }
        if arrived.marks.len() < SAMPLES {
            arrived.marks.push(mark);
        }
    }
}
