//! What a flood costs, read from the kernel: packets that reached the interface, and processor
//! time of the thread that receives them and of everything else.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use gateway_tests::netns::{Namespace, command};
use nix::unistd::Pid;

use crate::machine;

/// `CONFIG_HZ` of userspace: the unit of /proc/stat.
const TICKS_A_SECOND: u64 = 100;

/// The kernel thread that polls the interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receiving(Pid);

/// One look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// Packets the interface's receive path took up.
    pub(crate) received: u64,
    /// Processor time of the receiving thread.
    pub(crate) thread: Duration,
    /// Busy time of the processor all but the generator runs on.
    pub(crate) busy: Duration,
}

impl Receiving {
    /// Gives the interface's polling to a kernel thread and binds that to `processor`, so that
    /// packets cost time there and not where the generator runs. Like the soft interrupt it stands
    /// for, it does not wait for programs to end their turn.
    pub(crate) fn threaded(
        namespace: &Namespace,
        interface: &str,
        processor: usize,
    ) -> Result<Self> {
        let switch = format!("echo 1 > /sys/class/net/{interface}/threaded");
        // A fresh /sys is what is wanted here: the interface is in no other.
        command("ip", &["netns", "exec", namespace.name(), "sh", "-c", &switch])?;
        let found = Self::newest(interface)?;
        machine::pin_task(found.0, processor)?;
        machine::real_time(found.0)?;
        Ok(found)
    }

    /// Kernel threads are in no namespace: of those for an interface of this name, the last made.
    fn newest(interface: &str) -> Result<Self> {
        let wanted = format!("napi/{interface}-");
        let mut pids: Vec<i32> = Vec::new();
        for entry in fs::read_dir("/proc").context("listing processes")? {
            let entry = entry?;
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if name.starts_with(&wanted) {
                pids.extend(entry.file_name().to_str().and_then(|pid| pid.parse::<i32>().ok()));
            }
        }
        let newest = pids.into_iter().max().context("the interface has no receiving thread")?;
        Ok(Self(Pid::from_raw(newest)))
    }

    /// Looks now.
    pub(crate) fn read(
        self,
        namespace: &Namespace,
        interface: &str,
        processor: usize,
    ) -> Result<Reading> {
        let statistics = namespace.run(|| command("ethtool", &["-S", interface]))?;
        let folder = Path::new("/proc").join(self.0.to_string());
        let times =
            fs::read_to_string(folder.join("schedstat")).context("reading the thread's time")?;
        let ran = times.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        Ok(Reading {
            received: statistic(&statistics, "rx_queue_0_xdp_packets"),
            thread: Duration::from_nanos(ran),
            busy: busy(&fs::read_to_string("/proc/stat").context("reading /proc/stat")?, processor),
        })
    }
}

impl Reading {
    /// From that look to this.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            received: self.received.saturating_sub(earlier.received),
            thread: self.thread.saturating_sub(earlier.thread),
            busy: self.busy.saturating_sub(earlier.busy),
        }
    }
}

fn statistic(text: &str, name: &str) -> u64 {
    let mut fields = text.lines().filter_map(|line| line.trim().split_once(": "));
    fields.find(|(field, _)| *field == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// All but idle and waiting.
fn busy(stat: &str, processor: usize) -> Duration {
    let name = format!("cpu{processor}");
    let line = stat.lines().find(|line| line.split_whitespace().next() == Some(&name));
    let ticks = line.into_iter().flat_map(|line| line.split_whitespace().skip(1));
    let ticks: u64 = ticks
        .enumerate()
        .filter(|(column, _)| ![3, 4].contains(column))
        .filter_map(|(_, ticks)| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_prints() {
        let stat =
            "cpu  9 9 9 9 9 9 9 0 0 0\ncpu0 1 0 1 900 9 0 1 0 0 0\ncpu1 10 0 20 70 5 1 2 7 0 0\n";
        assert_eq!(busy(stat, 1), Duration::from_millis(400));
        let statistics = "NIC statistics:\n     peer_ifindex: 2\n     rx_queue_0_xdp_packets: 77\n";
        assert_eq!(statistic(statistics, "rx_queue_0_xdp_packets"), 77);
        assert_eq!(statistic(statistics, "rx"), 0);
    }
}
