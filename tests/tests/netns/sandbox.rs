//! What a stranger gets who takes the proxy over: nothing.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use gateway_tests::{
    gateway::{Gateway, binary, outcome},
    lab::Lab,
    skip,
};
use nix::unistd::{Pid, User};

const PROXY: &str = "gateway-proxy";

#[test]
fn proxy_has_no_capability_and_cannot_gain_one() -> Result<()> {
    if skip::without_root("netns::proxy_has_no_capability_and_cannot_gain_one")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    let user = User::from_name(PROXY)?.context("no user gateway-proxy; run: cargo xtask setup")?;
    for thread in fs::read_dir(format!("/proc/{}/task", gateway.proxy_pid()?))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_start_matches(':').trim().to_owned()).unwrap_or_default()
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("Seccomp"), "2");
        for id in field("Uid").split_whitespace() {
            assert_eq!(id, user.uid.to_string());
        }
        for id in field("Gid").split_whitespace() {
            assert_eq!(id, user.gid.to_string());
        }
        assert_eq!(field("Groups"), "");
    }
    // Landlock shows nowhere in /proc; what it keeps the proxy from, the probes of
    // gateway-userspace/tests/sandbox.rs try out.
    let log = gateway.folders.log();
    ensure!(log.contains("bounding set empty") && log.contains("landlock ABI"), "{log}");
    Ok(())
}

#[test]
fn proxy_holds_no_bpf_descriptor_and_no_file_of_the_guard() -> Result<()> {
    if skip::without_root("netns::proxy_holds_no_bpf_descriptor_and_no_file_of_the_guard")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    // The same look at the guard finds maps: it would see them in the proxy.
    let guard = gateway.guard_pid().context("no guard")?;
    ensure!(descriptors(guard)?.iter().any(|target| target.contains("bpf")));
    let state = gateway.folders.state.to_string_lossy().into_owned();
    for target in descriptors(gateway.proxy_pid()?)? {
        ensure!(!target.contains("bpf"), "the proxy holds {target}");
        ensure!(!target.starts_with(&state), "the proxy holds {target}");
        ensure!(!target.contains(".key"), "the proxy still holds {target}");
    }
    Ok(())
}

fn descriptors(pid: Pid) -> Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    Ok(targets.map(|target| target.to_string_lossy().into_owned()).collect())
}

#[test]
fn proxy_user_cannot_use_the_control_socket() -> Result<()> {
    if skip::without_root("netns::proxy_user_cannot_use_the_control_socket")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    refused_as_proxy(&gateway)?;
    // Not even where the file's mode would let it in.
    let socket = gateway.folders.run.join("control.sock");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    refused_as_proxy(&gateway)
}

fn refused_as_proxy(gateway: &Gateway<'_>) -> Result<()> {
    let user = User::from_name(PROXY)?.context("no user gateway-proxy")?;
    // The build's folder may be closed to that user.
    let copy = gateway.folders.root.join("gateway");
    fs::copy(binary()?, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new(copy);
    command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    let socket = gateway.folders.run.join("control.sock");
    let said = outcome({
        command.arg("--socket").arg(socket).args(["block", "add", "192.0.2.1"]);
        command
    })?;
    ensure!(said.code == 1, "{said:?}");
    ensure!(gateway.bans()?.is_empty(), "the proxy's user banned somebody");
    Ok(())
}
