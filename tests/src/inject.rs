//! Sends frames made by hand out of one interface, as fast as asked and never without a bound.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use gateway_userspace::clock;
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket},
};

use crate::{netns::Namespace, veth::link_address, wait::pause};

/// Frames sent between two looks at the clock.
const BATCH: u64 = 32;

/// A packet socket that only sends.
#[derive(Debug)]
pub struct Injector {
    socket: OwnedFd,
}

/// How much of it, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub frames: u64,
    pub per_second: u64,
}

/// Frames under way in the background; dropping stops them.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Injector {
    /// A sender out of `interface` in `namespace`.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let socket = namespace.run(|| {
            // Without a protocol it receives nothing.
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
                .context("opening a packet socket")?;
            bind(socket.as_raw_fd(), &link_address(interface)?)
                .with_context(|| format!("binding a packet socket to {interface}"))?;
            Ok(socket)
        })?;
        Ok(Self { socket })
    }

    /// Sends one frame, waiting for room in the device's queue.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        loop {
            match send(self.socket.as_raw_fd(), frame, MsgFlags::empty()) {
                Err(Errno::ENOBUFS | Errno::EINTR) => pause(Duration::from_micros(200)),
                outcome => return outcome.map(drop).context("sending a frame"),
            }
        }
    }
}

impl Flood {
    /// Sends `make(0)`, `make(1)`, … until the bound or until stopped.
    pub fn start(
        injector: Injector,
        bound: Bound,
        make: impl FnMut(u64) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || pour(&injector, bound, make, &stopped, &counter));
        Self { stop, sent, thread: Some(thread) }
    }

    /// Frames sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Stops it and says how many were sent.
    pub fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_panic| anyhow!("the flood panicked"))??;
        }
        Ok(self.sent())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn pour(
    injector: &Injector,
    bound: Bound,
    mut make: impl FnMut(u64) -> Vec<u8>,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Result<()> {
    let start = clock::now();
    for number in 0..bound.frames {
        if stop.load(Ordering::Acquire) {
            break;
        }
        injector.send(&make(number))?;
        sent.store(number + 1, Ordering::Release);
        if number % BATCH == BATCH - 1 {
            let due = Duration::from_micros(number * 1_000_000 / bound.per_second.max(1));
            pause(due.saturating_sub(start.elapsed()));
        }
    }
    Ok(())
}
