//! Start and exit.

use std::process::ExitCode;

use gateway_userspace::{cli, config::places};

/// Fewer and shorter waits than the system's on the request path, and no fragmentation over weeks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    places::remember();
    cli::main(std::env::args_os())
}
