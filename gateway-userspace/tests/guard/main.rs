//! The guard as a process: started, killed, restarted, asked over its socket, with a proxy that
//! speaks the protocol and serves one line. Packet filter off, so that no root is needed.
//!
//! This program is all three: test, guard (`guard FILE`) and proxy (`proxy-worker`). Its own
//! `main`, because the proxy's sandbox refuses the threads of the test harness.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test without the harness")]

mod cases;
mod proxy;
mod setup;

use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["--log", _, "proxy-worker"] => proxy::run(),
        ["guard", file] => setup::run_guard(file),
        _ => test(words.iter().find(|word| !word.starts_with('-')).copied()),
    }
}

fn test(filter: Option<&str>) -> ExitCode {
    let chosen: Vec<_> = cases::ALL
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter)))
        .collect();
    let mut failed = 0;
    for (name, case) in &chosen {
        let passed = catch_unwind(AssertUnwindSafe(case)).is_ok();
        say(&format!("test guard::{name} ... {}", if passed { "ok" } else { "FAILED" }));
        failed += usize::from(!passed);
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    say(&format!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out",
        chosen.len() - failed,
        cases::ALL.len() - chosen.len()
    ));
    ExitCode::from(u8::from(failed > 0))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
}
