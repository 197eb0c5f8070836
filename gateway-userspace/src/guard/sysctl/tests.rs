use std::fs;

use tempfile::TempDir;

use super::*;
use crate::{clock, guard::testing::FakeKernel};

fn config() -> SynCookies {
    crate::guard::testing::config().kernel.syn_cookies
}

fn with_timestamps() -> SynCookies {
    SynCookies { timestamps: true, ..config() }
}

/// A folder of settings beside a folder of state.
struct Machine {
    folder: TempDir,
    now: Instant,
}

impl Machine {
    fn new(syncookies: &str, timestamps: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["ipv4", "core"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let machine = Self { folder, now: clock::now() };
        for (name, value) in [
            (SYNCOOKIES, syncookies),
            (TIMESTAMPS, timestamps),
            ("ipv4/tcp_sack", "1"),
            ("ipv4/tcp_window_scaling", "1"),
            ("ipv4/tcp_rmem", "4096\t131072\t6291456"),
        ] {
            machine.set(name, value);
        }
        machine
    }

    fn set(&self, name: &str, value: &str) {
        fs::write(self.folder.path().join(name), format!("{value}\n")).unwrap();
    }

    fn values(&self) -> [u64; 2] {
        let values = Values::in_folder(self.folder.path());
        [SYNCOOKIES, TIMESTAMPS].map(|name| values.read(name).unwrap())
    }

    fn guard(&self, kernel: &mut FakeKernel) -> Follower {
        self.guard_with(&config(), kernel)
    }

    fn guard_with(&self, config: &SynCookies, kernel: &mut FakeKernel) -> Follower {
        let values = Values::in_folder(self.folder.path());
        Follower::with(values, config, self.folder.path(), kernel, self.now)
    }

    fn has_record(&self) -> bool {
        self.folder.path().join("sysctl.json").exists()
    }
}

#[test]
fn settings_follow_a_flood_and_are_put_back_when_the_last_answers_are_in() {
    let (machine, mut kernel) = (Machine::new("1", "1"), FakeKernel::default());
    let mut guard = machine.guard(&mut kernel);
    guard.tick(&with_timestamps(), &mut kernel, machine.now);
    assert_eq!(machine.values(), [1, 1]);

    kernel.cookies = true;
    guard.tick(&with_timestamps(), &mut kernel, machine.now);
    assert_eq!(machine.values(), [2, 2]);
    assert!(guard.is_on() && machine.has_record());

    kernel.cookies = false;
    let end = machine.now + Duration::from_secs(20);
    guard.tick(&with_timestamps(), &mut kernel, end);
    guard.tick(&with_timestamps(), &mut kernel, end + GRACE / 2);
    assert_eq!(machine.values(), [2, 2], "answers are under way");
    guard.tick(&with_timestamps(), &mut kernel, end + GRACE);
    assert_eq!(machine.values(), [1, 1]);
    assert!(!machine.has_record());
    // 6 MiB is 2^22: scale 7. Offered only while the settings hold.
    assert_eq!(kernel.offers.last_chunk(), Some(&[Some(7), None]));
}

#[test]
fn timestamps_are_touched_only_when_configured_and_never_when_off() {
    for (configured, before, during) in [(false, "1", 1), (true, "0", 0), (true, "2", 2)] {
        let (machine, mut kernel) = (Machine::new("0", before), FakeKernel::default());
        let mut guard = machine.guard(&mut kernel);
        kernel.cookies = true;
        let config = SynCookies { timestamps: configured, ..config() };
        guard.tick(&config, &mut kernel, machine.now);
        assert_eq!(machine.values(), [2, during]);
        let offered = kernel.offers.last().copied().flatten().is_some();
        assert_eq!(offered, during == 2);
        guard.stop();
        assert_eq!(machine.values(), [0, before.parse().unwrap()]);
    }
}

#[test]
fn nothing_is_offered_that_the_stack_would_refuse() {
    for name in ["ipv4/tcp_sack", "ipv4/tcp_window_scaling"] {
        let (machine, mut kernel) = (Machine::new("1", "2"), FakeKernel::default());
        machine.set(name, "0");
        let mut guard = machine.guard(&mut kernel);
        kernel.cookies = true;
        guard.tick(&with_timestamps(), &mut kernel, machine.now);
        assert_eq!(kernel.offers.last(), Some(&None), "{name}");
    }
}

#[test]
fn a_killed_guards_changes_are_put_right_by_the_next() {
    let (machine, mut kernel) = (Machine::new("1", "1"), FakeKernel::default());
    let mut killed = machine.guard(&mut kernel);
    kernel.cookies = true;
    killed.tick(&with_timestamps(), &mut kernel, machine.now);
    drop(killed);
    assert_eq!(machine.values(), [2, 2]);

    // The flood goes on: so does the next, and it knows the values from before.
    let mut next = machine.guard(&mut kernel);
    next.tick(&with_timestamps(), &mut kernel, machine.now);
    assert_eq!(machine.values(), [2, 2]);
    drop(next);

    kernel.cookies = false;
    let mut last = machine.guard(&mut kernel);
    last.tick(&with_timestamps(), &mut kernel, machine.now + GRACE);
    assert_eq!(machine.values(), [1, 1]);
    assert!(!machine.has_record());
}

#[test]
fn a_guard_without_cookies_puts_an_earlier_ones_changes_right_at_once() {
    let (machine, mut kernel) = (Machine::new("1", "1"), FakeKernel::default());
    kernel.cookies = true;
    machine.guard(&mut kernel).tick(&with_timestamps(), &mut kernel, machine.now);
    kernel.cookies = false;
    let off = SynCookies { enabled: false, ..config() };
    let mut guard = machine.guard_with(&off, &mut kernel);
    assert_eq!(machine.values(), [1, 1]);
    guard.tick(&off, &mut kernel, machine.now);
    assert_eq!(machine.values(), [1, 1]);
    assert_eq!(guard.status(&off, None).state, "disabled");
}

#[test]
fn what_the_operator_set_meanwhile_stays() {
    let (machine, mut kernel) = (Machine::new("1", "1"), FakeKernel::default());
    let mut guard = machine.guard(&mut kernel);
    kernel.cookies = true;
    guard.tick(&with_timestamps(), &mut kernel, machine.now);
    machine.set(TIMESTAMPS, "0");
    guard.stop();
    assert_eq!(machine.values(), [1, 0]);
}

#[test]
fn a_record_of_another_boot_changes_nothing() {
    let (machine, mut kernel) = (Machine::new("2", "2"), FakeKernel::default());
    let record = r#"{"place":{"boot":"another","namespace":"net:[1]"},"changes":[{"name":"ipv4/tcp_syncookies","was":0,"set":2}]}"#;
    fs::write(machine.folder.path().join("sysctl.json"), record).unwrap();
    machine.guard(&mut kernel).stop();
    assert_eq!(machine.values(), [2, 2]);
}

#[test]
fn without_a_record_nothing_is_changed() {
    let (machine, mut kernel) = (Machine::new("1", "1"), FakeKernel::default());
    // Where the fresh record would be written there is a folder.
    fs::create_dir(machine.folder.path().join("sysctl.json.new")).unwrap();
    let mut guard = machine.guard(&mut kernel);
    kernel.cookies = true;
    guard.tick(&with_timestamps(), &mut kernel, machine.now);
    assert_eq!(machine.values(), [1, 1]);
    let status = guard.status(&config(), None);
    assert_eq!(status.state, "on");
    assert!(status.problem.unwrap().contains("no record"));
}

#[test]
fn a_broken_record_is_told_and_changes_nothing() {
    for broken in ["", "{", "[]", r#"{"changes":[]}"#] {
        let (machine, mut kernel) = (Machine::new("2", "1"), FakeKernel::default());
        fs::write(machine.folder.path().join("sysctl.json"), broken).unwrap();
        machine.guard(&mut kernel).stop();
        assert_eq!(machine.values(), [2, 1]);
    }
}

#[test]
fn status_says_what_is_missing() {
    let (machine, mut kernel) = (Machine::new("1", "1"), FakeKernel::default());
    let mut guard = machine.guard(&mut kernel);
    let state =
        guard.status(&config(), Some("this kernel has no bpf_tcp_gen_syncookie (5.3)")).state;
    assert!(state.contains("bpf_tcp_gen_syncookie"), "{state}");
    kernel.cookies = true;
    guard.tick(&with_timestamps(), &mut kernel, machine.now);
    let status = guard.status(&config(), None);
    assert_eq!(status.state, "on");
    let first = status.sysctls.first().unwrap();
    assert_eq!(
        (first.name.as_str(), first.value, first.was),
        ("net.ipv4.tcp_syncookies", 2, Some(1))
    );
}
