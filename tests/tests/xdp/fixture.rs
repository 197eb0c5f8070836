//! A loaded filter with its own folder of pins, and how to ask it.

use std::{path::PathBuf, time::Duration};

use gateway_common::Reason;
use gateway_tests::{kernel::kernel, netns::unique, skip};
use gateway_userspace::{
    config::model::{Answer, Answers, Kernel, Rate, SynCookies},
    guard::kernel::{BanSource, Filter, KernelBan, PacketFilter as _},
};

/// `xdp_action` numbers.
pub(crate) const DROP: u32 = 1;
pub(crate) const PASS: u32 = 2;

/// A filter that leaves nothing behind.
pub(crate) struct Fixture {
    pub(crate) filter: Filter,
    pins: PathBuf,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.pins));
    }
}

/// False where nothing can be loaded; the case is then listed as not run.
pub(crate) fn is_possible(case: &str) -> bool {
    !skip::without_root(case).unwrap()
}

pub(crate) const fn rate(count: u32, burst: u32) -> Rate {
    Rate { count, per: Duration::from_secs(1), burst }
}

/// Above ten SYNs a second, or never.
pub(crate) const fn cookies(enabled: bool) -> SynCookies {
    SynCookies {
        enabled,
        above: rate(10, 10),
        hold: Duration::from_secs(1),
        most: rate(1_000_000, 1_000_000),
        timestamps: false,
        veth: true,
    }
}

/// Every row answered so, but for those that are looked for only where they drop: the addresses in
/// these tests are reserved ones.
pub(crate) fn rows(answer: Answer) -> Answers {
    [Reason::PrivateSource, Reason::ReservedSource, Reason::EchoRequest]
        .into_iter()
        .fold(Answers::all(answer), |answers, row| answers.with(row, Answer::Pass))
}

/// Small maps, limits nobody reaches, every finding dropped.
pub(crate) fn config() -> Kernel {
    Kernel {
        amplifiers: vec![53, 123],
        syn_cookies: cookies(false),
        answers: rows(Answer::Drop),
        ..kernel(PathBuf::from("/sys/fs/bpf").join(unique()))
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&config())
    }

    pub(crate) fn with(config: &Kernel) -> Self {
        Self { filter: Filter::open(config).expect("filter opens"), pins: config.pins.clone() }
    }

    /// Sends a frame so many times. One run each: the kernel patches its own text for a run of
    /// several, which takes milliseconds.
    pub(crate) fn send(&self, frame: &[u8], times: u32) {
        for _ in 0..times {
            self.filter.test_run(frame, 1).unwrap();
        }
    }

    /// The verdict on `frame`, and the one reason whose counter it moved.
    pub(crate) fn judge(&self, frame: &[u8]) -> (u32, Reason) {
        let before = self.filter.counters().unwrap();
        let (action, _) = self.filter.test_run(frame, 1).unwrap();
        let after = self.filter.counters().unwrap();
        let moved: Vec<_> = after.iter().filter(|count| !before.contains(count)).collect();
        assert_eq!(moved.len(), 1, "one reason counts: {moved:?}");
        (action, Reason::from_number(moved[0].reason).unwrap())
    }
}

/// A ban without end.
pub(crate) const fn forever() -> KernelBan {
    KernelBan { left: None, reason: Reason::Operator, source: BanSource::Cli }
}
