//! Resource limits: no core file, and as many open files as may be had. Set before the user
//! changes.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::SandboxError;

/// What root asks for; `fs.nr_open` of most systems.
const FILES: u64 = 1 << 20;

/// Sets the limits and returns how many files may be open.
pub(super) fn set() -> Result<u64, SandboxError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|errno| failed("forbidding core files", errno))?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|errno| failed("reading the limit of open files", errno))?;
    if hard < FILES && setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES).is_ok() {
        return Ok(FILES);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        .map_err(|errno| failed("raising the limit of open files", errno))?;
    Ok(hard)
}

fn failed(doing: &'static str, errno: nix::errno::Errno) -> SandboxError {
    SandboxError::System { doing, source: errno.into() }
}
