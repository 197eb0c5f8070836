//! What the bench runs on, and how it keeps others from disturbing it.

use std::fs;

use anyhow::{Context, Result};
use gateway_tests::netns::command;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use serde_json::{Value, json};

/// Ahead of every ordinary program.
const REAL_TIME: &str = "5";

/// Processors, kernel and memory.
pub(crate) fn describe() -> Value {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
    };
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    // The release's local part may name a builder.
    let release = read("/proc/sys/kernel/osrelease");
    let kernel = release.trim().split('-').next().unwrap_or_default().to_owned();
    json!({
        "processors": cpu.lines().filter(|line| line.starts_with("processor")).count(),
        "model": field(&cpu, "model name"),
        "virtual": cpu.contains(" hypervisor "),
        "cache": field(&cpu, "cache size"),
        "kernel": kernel,
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "load": read("/proc/loadavg").split_whitespace().next().unwrap_or_default(),
    })
}

/// Binds this thread, and what it starts from here on, to one processor.
pub(crate) fn pin(processor: usize) -> Result<()> {
    pin_task(Pid::from_raw(0), processor)
}

/// Binds another task.
pub(crate) fn pin_task(task: Pid, processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor).context("naming a processor")?;
    sched_setaffinity(task, &set).with_context(|| format!("binding to processor {processor}"))
}

/// Lets nothing ordinary interrupt this task.
pub(crate) fn real_time(task: Pid) -> Result<()> {
    command("chrt", &["--fifo", "--pid", REAL_TIME, &task.to_string()]).map(drop)
}

/// Back among the others.
pub(crate) fn ordinary(task: Pid) -> Result<()> {
    command("chrt", &["--other", "--pid", "0", &task.to_string()]).map(drop)
}

/// Puts this process and its children before others, within its session and between sessions.
pub(crate) fn prefer() -> Result<()> {
    let process = std::process::id().to_string();
    command("renice", &["-n", "-20", "-p", &process])?;
    // Not there on kernels without groups by session.
    drop(fs::write("/proc/self/autogroup", "-20"));
    Ok(())
}

/// Versions of what is measured beside.
pub(crate) fn peers() -> String {
    let packages = ["--show", "xdp-tools", "nftables", "ipset", "iptables"];
    let list = command("dpkg-query", &packages).unwrap_or_default();
    list.lines().map(|line| line.replace('\t', " ")).collect::<Vec<_>>().join(", ")
}
