//! One guest: QEMU in software, so that it runs inside any virtual machine too, with an end to
//! every wait.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{Scope, fetch::Kernel, outcome::Outcome};

const EMULATOR: &str = "qemu-system-x86_64";

/// A million bans of both families fit in.
const MEMORY: &str = "2G";

/// Two, because counters and limits are about several.
const PROCESSORS: &str = "2";

/// The plainest, for the emulator's sake. QEMU 7.2 now and then loses the flags behind an unlocked
/// `cmpxchg16b`, which the kernel's allocator is full of: seen as a double fault in
/// `kmem_cache_alloc` with half of an address in EFLAGS. Without the feature the kernel avoids it.
const PROCESSOR: &str = "qemu64,-cx16";

/// A panic ends the machine at once; the emulator's clock is good enough for a kernel that would
/// distrust it for being slow. No stranger's code runs there: mitigations would only cost time.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 tsc=reliable nowatchdog mitigations=off";

/// The longest case, twenty times slower than on the metal, says nothing for a minute or two.
const SILENCE: Duration = Duration::from_mins(10);

/// Lines on their way from the guest.
const QUEUE: usize = 1024;

/// Of the kernel's own words, where a run ended badly.
const CONSOLE_LINES: usize = 30;

/// Boots the kernel with the image and hears it out.
pub(super) fn boot(scope: Scope, kernel: &Kernel, image: &Path, folder: &Path) -> Result<Outcome> {
    let console = folder.join("console.log");
    let mut guest = start(kernel, image, &console)?;
    let stdout = guest.stdout.take().context("reading the guest")?;
    let mut outcome = Outcome::default();
    let heard = listen(&read_lines(stdout), kernel.suite.label, &mut outcome);
    // It ended by itself, or says nothing any more.
    guest.kill().context("ending the emulator")?;
    guest.wait().context("waiting for the emulator")?;
    if !heard {
        outcome.faults.push(format!("the guest said nothing for {SILENCE:?}"));
    }
    outcome.close(scope);
    if !outcome.faults.is_empty() {
        print_end(&console);
    }
    Ok(outcome)
}

fn start(kernel: &Kernel, image: &Path, console: &Path) -> Result<Child> {
    let mut emulator = Command::new("setpriv");
    // A guest must not go on by itself when this program is killed.
    emulator.args(["--pdeathsig", "KILL", EMULATOR]);
    emulator.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        PROCESSOR,
        "-smp",
        PROCESSORS,
        "-m",
        MEMORY,
    ]);
    emulator.args(["-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none"]);
    emulator.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
    emulator.arg("-kernel").arg(&kernel.vmlinuz).arg("-initrd").arg(image);
    emulator.args(["-append", COMMAND_LINE]);
    emulator.stdin(Stdio::null()).stdout(Stdio::piped());
    emulator.spawn().context("starting the emulator")
}

/// The guest's lines, read by a thread that ends with the guest.
fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = sync_channel(QUEUE);
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        // Bytes, not text: a guest that dies may die within a character.
        while stdout.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    receiver
}

/// False if the guest fell silent before its end.
#[expect(clippy::disallowed_methods, reason = "the gateway's clock is no part of xtask")]
fn listen(lines: &Receiver<String>, label: &str, outcome: &mut Outcome) -> bool {
    let start = Instant::now();
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => {
                println!("{label:>8} {:>4} s | {line}", start.elapsed().as_secs());
                outcome.read(&line);
            }
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

fn print_end(console: &Path) {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    println!("the end of {}:", console.display());
    for line in lines.iter().skip(lines.len().saturating_sub(CONSOLE_LINES)) {
        println!("    {}", line.trim_end());
    }
}
