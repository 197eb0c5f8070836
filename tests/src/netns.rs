//! Network namespaces with names of their own, entered by a thread and deleted with all that runs
//! in them. Never `ip netns exec`: it mounts a fresh /sys, and pins made there vanish with it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// What all names of the lab start with: namespaces, pins and folders of dead runs are found by it.
pub const PREFIX: &str = "gateway-test";

/// Where iproute2 keeps namespaces.
const FOLDER: &str = "/run/netns";

static NUMBER: AtomicU32 = AtomicU32::new(0);
static SWEPT: OnceLock<()> = OnceLock::new();

/// A network namespace; dropping it kills what runs inside and deletes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

/// A name no other run has: prefix, this process, a number.
pub fn unique() -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}-{}-{number}", std::process::id())
}

/// Runs a program and wants success; its error output is in the error.
pub fn command(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("starting {program}; run: cargo xtask setup"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}` failed: {}", arguments.join(" "), why.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Namespace {
    /// Creates one whose name ends in `role`, with its loopback up.
    pub fn create(role: &str) -> Result<Self> {
        SWEPT.get_or_init(sweep);
        let name = format!("{}-{role}", unique());
        command("ip", &["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// `ip` with these arguments, inside.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["-netns", &self.name];
        all.extend(arguments);
        command("ip", &all)
    }

    /// Does `work` inside, on a thread of its own. Processes started there stay inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = self.path();
        let inside = || {
            enter(&path)?;
            work()
        };
        let outcome = thread::scope(|scope| scope.spawn(inside).join());
        outcome.map_err(|_panic| anyhow!("work inside {} panicked", self.name))?
    }

    /// Does `work` inside, in the background.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let path = self.path();
        thread::spawn(move || {
            enter(&path)?;
            work()
        })
    }

    /// Runs a future inside, on a runtime of its own.
    pub fn block_on<F, T>(&self, work: impl FnOnce() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>>,
        T: Send,
    {
        self.run(|| runtime()?.block_on(work()))
    }

    /// Processes whose main thread is inside.
    pub fn processes(&self) -> Vec<Pid> {
        let Ok(own) = fs::metadata(self.path()) else { return Vec::new() };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| is_inside(*pid, &own)).map(Pid::from_raw).collect()
    }

    fn kill_processes(&self) {
        for pid in self.processes() {
            // Gone already is as good.
            kill(pid, Signal::SIGKILL).ok();
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.kill_processes();
        // The next run sweeps what cannot be deleted now.
        drop(command("ip", &["netns", "delete", &self.name]));
    }
}

/// A runtime on the calling thread, and so in its namespace.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("building a runtime")
}

fn enter(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", path.display()))
}

fn is_inside(pid: i32, namespace: &fs::Metadata) -> bool {
    fs::metadata(format!("/proc/{pid}/ns/net"))
        .is_ok_and(|own| own.ino() == namespace.ino() && own.dev() == namespace.dev())
}

/// Removes what crashed runs left: namespaces, pins and folders that carry a dead process's number.
fn sweep() {
    for name in leftovers(FOLDER) {
        drop(Namespace { name });
    }
    for folder in ["/sys/fs/bpf", "/tmp"] {
        for name in leftovers(folder) {
            drop(remove(&Path::new(folder).join(name)));
        }
    }
}

fn leftovers(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| owner(name).is_some_and(|pid| !is_alive(pid))).collect()
}

fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix('-')?;
    rest.split('-').next()?.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Removes a folder with what is in it; one that is not there is fine.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
