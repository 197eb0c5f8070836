//! Kernel release, rights, and the settings that make the filter slow or weak.

use super::{
    super::{
        facts::{Machine, Pins, Seen},
        finding::Finding,
    },
    AS_ROOT, memory,
};
use crate::guard::kernel::{
    KernelError,
    probe::{OLDEST, version},
};

const SECOND_NS: u64 = 1_000_000_000;
/// Ticks slower than this make bursts coarse.
const COARSE_NS: u64 = 8_000_000;
/// Reading these takes a microsecond or more, and a request reads the clock several times.
const SLOW_CLOCKS: [&str; 5] = ["hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies"];

pub(in crate::doctor) fn judge(machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![release(&machine.release), rights(machine), btf(machine.btf)];
    findings.push(jit(machine.compiled, machine.jit));
    findings.extend(harden(machine.harden));
    findings.extend(stats(machine.stats));
    findings.extend(unprivileged(machine.unprivileged));
    findings.push(pins(&machine.pins, machine.root));
    findings.push(memory::judge(&machine.memory));
    findings.push(tick(machine.tick_ns));
    findings.push(cookies(machine.cookies));
    findings.push(timestamps(machine.timestamps));
    findings.extend(machine.clock.as_deref().map(clock));
    findings
}

fn release(release: &str) -> Finding {
    let (major, minor) = OLDEST;
    match version(release) {
        None => Finding::note("kernel", format!("the release {release} has no form that is known")),
        Some(found) if found < OLDEST => Finding::fail(
            "kernel",
            format!("Linux {release} is older than {major}.{minor}, the oldest supported"),
        )
        .change(format!("install Linux {major}.{minor} or newer and boot it")),
        Some(_) => Finding::ok("kernel", format!("Linux {release}")),
    }
}

fn rights(machine: &Machine) -> Finding {
    let missing = machine.missing.join(" and ");
    match (machine.missing.is_empty(), machine.root) {
        (true, _) => Finding::ok("capabilities", "all that the guard needs are here"),
        (false, true) => Finding::fail("capabilities", format!("root has no {missing} here"))
            .change(format!("give the container or service {missing}")),
        (false, false) => Finding::note(
            "capabilities",
            format!("without root, and so without {missing}, a part of this cannot be seen"),
        )
        .change(AS_ROOT),
    }
}

fn btf(there: bool) -> Finding {
    if there {
        return Finding::ok("btf", "the kernel describes its types");
    }
    Finding::note("btf", "the kernel has no BTF; the filter needs none, tools show less of it")
}

fn jit(compiled: Option<bool>, setting: Seen<u64>) -> Finding {
    let enable = "sysctl -w net.core.bpf_jit_enable=1";
    let set = match setting {
        Seen::Is(value) => Some(value > 0),
        Seen::Absent | Seen::Hidden => None,
    };
    match (compiled.or(set), setting) {
        (Some(true), Seen::Is(2)) => {
            Finding::warn("jit", "every program loaded is printed to the kernel log").change(enable)
        }
        (Some(true), _) => Finding::ok("jit", "BPF programs are compiled"),
        (Some(false), setting) => {
            let boot = "boot a kernel with CONFIG_BPF_JIT";
            let change = if setting == Seen::Is(0) { enable } else { boot };
            Finding::warn("jit", "BPF programs are interpreted, several times slower than compiled")
                .change(change)
        }
        (None, _) => unseen("jit", "whether BPF programs are compiled"),
    }
}

fn harden(level: Seen<u64>) -> Option<Finding> {
    let slow = "programs of root are hardened too, which costs time on every packet";
    (level == Seen::Is(2))
        .then(|| Finding::warn("jit", slow).change("sysctl -w net.core.bpf_jit_harden=1"))
}

fn stats(enabled: Seen<u64>) -> Option<Finding> {
    let slow = "the kernel times every run of every program, which costs more than a good packet";
    (matches!(enabled, Seen::Is(1..)))
        .then(|| Finding::warn("bpf stats", slow).change("sysctl -w kernel.bpf_stats_enabled=0"))
}

fn unprivileged(disabled: Seen<u64>) -> Option<Finding> {
    let open = "every user may load BPF programs, a way into the kernel that was used before";
    (disabled == Seen::Is(0)).then(|| {
        Finding::warn("unprivileged bpf", open)
            .change("sysctl -w kernel.unprivileged_bpf_disabled=2")
    })
}

fn pins(pins: &Pins, root: bool) -> Finding {
    let path = pins.path.display();
    match &pins.usable {
        Ok(()) => Finding::ok("bpffs", format!("{path} can hold the pins")),
        Err(KernelError::NoBpffs { .. }) => {
            Finding::fail("bpffs", format!("{path} is not on a bpf file system"))
                .change("mount -t bpf bpf /sys/fs/bpf")
        }
        // The folder is root's own.
        Err(_) if !root => unseen("bpffs", &format!("whether {path} can hold the pins")),
        Err(other) => Finding::fail("bpffs", other.to_string()),
    }
}

fn tick(length_ns: Option<u64>) -> Finding {
    let Some(length_ns) = length_ns.filter(|length| *length > 0) else {
        return unseen("tick", "how long a tick of the kernel is");
    };
    let (rate, grain) = (SECOND_NS / length_ns, length_ns / 1_000_000);
    let what =
        format!("{rate} ticks a second: limits and ends of bans are kept in steps of {grain} ms");
    if length_ns > COARSE_NS {
        let change = format!(
            "give limits bursts of two ticks or more, that is {} ms of their rate",
            2 * grain
        );
        return Finding::note("tick", what).change(change);
    }
    Finding::ok("tick", what)
}

fn cookies(setting: Seen<u64>) -> Finding {
    match setting {
        Seen::Is(0) => Finding::warn("syn cookies", "off: a SYN flood fills the listeners' queues")
            .change("sysctl -w net.ipv4.tcp_syncookies=1"),
        Seen::Is(1) => Finding::ok("syn cookies", "sent where a listener's queue runs over"),
        Seen::Is(_) => Finding::note("syn cookies", "sent to everybody, flood or not"),
        Seen::Absent => Finding::warn("syn cookies", "the kernel has none")
            .change("boot a kernel with CONFIG_SYN_COOKIES"),
        Seen::Hidden => unseen("syn cookies", "whether the kernel sends SYN cookies"),
    }
}

fn timestamps(setting: Seen<u64>) -> Finding {
    let lost =
        "off: a connection made by a SYN cookie has neither window scale nor SACK, and is slow";
    match setting {
        Seen::Is(0) => {
            Finding::warn("tcp timestamps", lost).change("sysctl -w net.ipv4.tcp_timestamps=1")
        }
        Seen::Is(_) => Finding::ok("tcp timestamps", "on: SYN cookies carry TCP's options"),
        Seen::Absent | Seen::Hidden => unseen("tcp timestamps", "whether TCP sends timestamps"),
    }
}

fn clock(source: &str) -> Finding {
    if !SLOW_CLOCKS.contains(&source) {
        return Finding::ok("clock source", source);
    }
    let folder = "/sys/devices/system/clocksource/clocksource0";
    Finding::warn("clock source", format!("{source} is slow to read, which every request does"))
        .change(format!("echo tsc > {folder}/current_clocksource, if available_clocksource has it"))
}

/// Out of this user's sight.
pub(super) fn unseen(about: &'static str, what: &str) -> Finding {
    Finding::note(about, format!("{what} cannot be seen by this user")).change(AS_ROOT)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{super::super::finding::Level, *};

    fn level(finding: &Finding) -> Level {
        assert!(!finding.what.is_empty());
        assert!(finding.level < Level::Warn || finding.change.is_some(), "{finding:?}");
        finding.level
    }

    #[test]
    fn an_old_kernel_fails() {
        for (name, expected) in [
            ("5.10.0-30-amd64", Level::Fail),
            ("5.15.0", Level::Ok),
            ("6.18.1-custom", Level::Ok),
            ("custom", Level::Note),
        ] {
            assert_eq!(level(&release(name)), expected, "{name}");
        }
    }

    #[test]
    fn settings_that_cost_or_weaken_are_named_with_their_command() {
        for (finding, expected, command) in [
            (jit(None, Seen::Is(0)), Level::Warn, "net.core.bpf_jit_enable=1"),
            (jit(Some(true), Seen::Is(2)), Level::Warn, "net.core.bpf_jit_enable=1"),
            (jit(Some(false), Seen::Absent), Level::Warn, "CONFIG_BPF_JIT"),
            (jit(None, Seen::Hidden), Level::Note, "root"),
            (cookies(Seen::Is(0)), Level::Warn, "net.ipv4.tcp_syncookies=1"),
            (timestamps(Seen::Is(0)), Level::Warn, "net.ipv4.tcp_timestamps=1"),
            (clock("hpet"), Level::Warn, "clocksource"),
            (tick(Some(10_000_000)), Level::Note, "20 ms"),
        ] {
            assert_eq!(level(&finding), expected, "{finding:?}");
            assert!(finding.change.as_ref().is_some_and(|change| change.contains(command)));
        }
        for finding in [
            jit(None, Seen::Is(1)),
            jit(Some(true), Seen::Absent),
            cookies(Seen::Is(1)),
            clock("tsc"),
            tick(Some(4_000_000)),
        ] {
            assert_eq!(level(&finding), Level::Ok, "{finding:?}");
        }
        assert_eq!(harden(Seen::Is(1)), None);
        assert_eq!(harden(Seen::Is(2)).map(|one| level(&one)), Some(Level::Warn));
        assert_eq!(stats(Seen::Is(0)), None);
        assert_eq!(unprivileged(Seen::Is(2)), None);
        assert_eq!(unprivileged(Seen::Is(0)).map(|one| level(&one)), Some(Level::Warn));
    }

    #[test]
    fn a_missing_bpffs_fails_with_the_mount_command() {
        let path = std::path::PathBuf::from("/tmp/pins");
        let usable = Err(KernelError::NoBpffs { path: path.clone() });
        let found = pins(&Pins { path: path.clone(), usable }, true);
        assert_eq!(level(&found), Level::Fail);
        assert!(found.change.unwrap().contains("mount -t bpf"));
        let source = io::Error::from(io::ErrorKind::Other);
        let odd = KernelError::System { doing: "looking".to_owned(), source };
        let facts = Pins { path, usable: Err(odd) };
        assert_eq!(pins(&facts, true).level, Level::Fail);
        assert_eq!(pins(&facts, false).level, Level::Note, "root's folder is not for others");
    }
}
