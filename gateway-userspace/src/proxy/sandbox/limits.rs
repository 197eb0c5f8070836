//! Resource limits: no core file, and as many open files as the guard granted.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::SandboxError;

/// Sets the limits and returns how many files may be open.
pub(super) fn set() -> Result<u64, SandboxError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|errno| failed("forbidding core files", errno))?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|errno| failed("reading the limit of open files", errno))?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        .map_err(|errno| failed("raising the limit of open files", errno))?;
    Ok(hard)
}

fn failed(doing: &'static str, errno: nix::errno::Errno) -> SandboxError {
    SandboxError::System { doing, source: errno.into() }
}
