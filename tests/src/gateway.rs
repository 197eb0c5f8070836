//! The real binary: started in a namespace, asked through its command line, ended in every way.

use std::{
    fs::{self, File},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use gateway_userspace::control::{Ban, Status};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    netns::{self, Namespace},
    settings::{Folders, Settings},
    wait::until,
};

/// A loaded machine compiles nothing at start, but it does fork, load and attach.
const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(20);

/// Folders and configuration of a gateway that may run, end and run again.
#[derive(Debug)]
pub struct Gateway<'a> {
    pub folders: Folders,
    namespace: &'a Namespace,
    binary: PathBuf,
    socket: PathBuf,
    kernel: bool,
    guard: Option<Child>,
}

/// What a command said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// −1 if a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Folders {
    /// Fresh folders under a name of this run. The proxy's user must be able to walk to the run
    /// folder, so they are not private.
    pub fn create() -> Result<Self> {
        let name = netns::unique();
        let root = Path::new("/tmp").join(&name);
        for folder in [&root, &root.join("run"), &root.join("state")] {
            fs::create_dir(folder).with_context(|| format!("creating {}", folder.display()))?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self {
            run: root.join("run"),
            state: root.join("state"),
            pins: Path::new("/sys/fs/bpf").join(&name),
            access_log: root.join("access.log"),
            root,
        })
    }

    pub fn configuration(&self) -> PathBuf {
        self.root.join("gateway.toml")
    }

    /// Standard output and error of every guard and proxy, in turn.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.join("gateway.log")).unwrap_or_default()
    }
}

/// The binary under test: `GATEWAY_BIN`, or where cargo puts it, beside the tests.
pub fn binary() -> Result<PathBuf> {
    beside(std::env::var_os("GATEWAY_BIN").map(PathBuf::from), "gateway")
}

/// The same with the next map layout, as `cargo xtask test` builds it.
pub fn binary_with_next_layout() -> Result<PathBuf> {
    beside(std::env::var_os("GATEWAY_NEXT_BIN").map(PathBuf::from), "gateway-layout-next")
}

fn beside(given: Option<PathBuf>, name: &str) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path);
    }
    let own = std::env::current_exe().context("finding this program")?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{name} is not built; run: cargo xtask test"))
}

impl<'a> Gateway<'a> {
    /// Writes the configuration; starts nothing.
    pub fn prepare(namespace: &'a Namespace, settings: &Settings) -> Result<Self> {
        let folders = Folders::create()?;
        let socket = folders.run.join("control.sock");
        let kernel = settings.interface.is_some();
        let gateway = Self { folders, namespace, binary: binary()?, socket, kernel, guard: None };
        gateway.configure(settings)?;
        Ok(gateway)
    }

    /// Replaces the configuration.
    pub fn configure(&self, settings: &Settings) -> Result<()> {
        let file = self.folders.configuration();
        fs::write(&file, settings.text(&self.folders)).context("writing the configuration")
    }

    /// From now on starts this binary.
    pub fn use_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// Starts the guard and waits until a proxy serves.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        until("the gateway to serve", START, || {
            let serving = self.status().is_ok_and(|status| status.proxy.state == "serving");
            (serving || self.has_ended()).then_some(())
        })
        .with_context(|| self.folders.log())?;
        if self.has_ended() {
            bail!("the gateway ended at start:\n{}", self.folders.log());
        }
        Ok(())
    }

    /// Starts the guard and waits for nothing.
    pub fn spawn(&mut self) -> Result<()> {
        let log = self.folders.root.join("gateway.log");
        let log = File::options().create(true).append(true).open(log).context("opening the log")?;
        let mut command = Command::new(&self.binary);
        command.args(["--log", "info,gateway_userspace::guard::kernel=debug"]);
        command.arg("run").arg("--config").arg(self.folders.configuration());
        if !self.kernel {
            command.args(["--kernel", "off"]);
        }
        // A group of its own: Ctrl-C on the lab is not meant for the gateway, which the lab ends.
        command.process_group(0).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let guard = self.namespace.run(|| command.spawn().context("starting the gateway"))?;
        self.guard = Some(guard);
        Ok(())
    }

    /// The guard's process.
    pub fn guard_pid(&self) -> Option<Pid> {
        self.guard.as_ref().and_then(|guard| i32::try_from(guard.id()).ok()).map(Pid::from_raw)
    }

    /// The serving proxy's process, as the guard says.
    pub fn proxy_pid(&self) -> Result<Pid> {
        let pid = i32::try_from(self.status()?.proxy.pid).context("reading the proxy's number")?;
        if pid == 0 {
            bail!("there is no proxy");
        }
        Ok(Pid::from_raw(pid))
    }

    /// Ends the guard without a word, and waits until it is gone. The proxy lives.
    pub fn kill_guard(&mut self) -> Result<()> {
        let Some(mut guard) = self.guard.take() else { bail!("no guard runs") };
        guard.kill().context("killing the guard")?;
        guard.wait().context("waiting for the guard")?;
        Ok(())
    }

    /// Ends it in order, as systemd would.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let Some(pid) = self.guard_pid() else { bail!("no guard runs") };
        kill(pid, Signal::SIGTERM).context("asking the guard to end")?;
        self.wait_for_end()
    }

    /// Waits for a guard that is about to end by itself.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus> {
        let Some(guard) = self.guard.as_mut() else { bail!("no guard runs") };
        let ended = until("the guard to end", STOP, || guard.try_wait().ok().flatten())?;
        self.guard = None;
        Ok(ended)
    }

    fn has_ended(&self) -> bool {
        let stat = self.guard_pid().map(|pid| fs::read_to_string(format!("/proc/{pid}/stat")));
        // Ended but not yet waited for is state Z.
        !matches!(stat, Some(Ok(stat)) if !stat.contains(") Z "))
    }

    /// Where commands ask.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs a command that talks to this gateway.
    pub fn cli(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(&self.binary);
        command.arg("--socket").arg(&self.socket).args(arguments);
        outcome(command)
    }

    /// The same, and wants exit code 0.
    pub fn must(&self, arguments: &[&str]) -> Result<String> {
        let outcome = self.cli(arguments)?;
        if outcome.code != 0 {
            bail!("`gateway {}` failed: {}", arguments.join(" "), outcome.stderr.trim());
        }
        Ok(outcome.stdout)
    }

    /// The same, as JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let text = self.must(&all)?;
        serde_json::from_str(&text).with_context(|| format!("reading {text:?}"))
    }

    pub fn status(&self) -> Result<Status> {
        serde_json::from_value(self.json(&["status"])?).context("reading the status")
    }

    /// The ban list.
    pub fn bans(&self) -> Result<Vec<Ban>> {
        let list = self.json(&["block", "list"])?;
        serde_json::from_value(list).context("reading the ban list")
    }

    /// A new API key of `client`.
    pub fn new_key(&self, identity: &str, client: &str) -> Result<String> {
        let answer = self.json(&["key", "new", "--identity", identity, "--client", client])?;
        let key = answer.get("key").and_then(Value::as_str).context("no key in the answer")?;
        Ok(key.to_owned())
    }

    /// Packets the kernel counted under `reason`.
    pub fn packets(&self, reason: &str) -> Result<u64> {
        let counters = self.status()?.kernel.counters;
        Ok(counters.iter().find(|counter| counter.reason == reason).map_or(0, |c| c.packets))
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        if self.guard.is_some() && self.stop().is_err() {
            drop(self.kill_guard());
        }
        for pid in self.namespace.processes() {
            // Gone already is as good.
            kill(pid, Signal::SIGKILL).ok();
        }
        // Removing the pins takes the filter off the interface.
        drop(netns::remove(&self.folders.pins));
        drop(netns::remove(&self.folders.root));
    }
}

/// Runs a command to its end and collects what it said.
pub fn outcome(mut command: Command) -> Result<Outcome> {
    let output = command.stdin(Stdio::null()).output().context("starting the gateway")?;
    Ok(Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
