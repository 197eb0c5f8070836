//! Network settings of the kernel, of the namespace this process runs in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where they are.
const ROOT: &str = "/proc/sys/net";

/// 2 makes a cookie for each SYN, not only when a listener's queue is full.
pub(super) const SYNCOOKIES: &str = "ipv4/tcp_syncookies";
/// 2 adds no secret to timestamps, which XDP does not know.
pub(super) const TIMESTAMPS: &str = "ipv4/tcp_timestamps";
const SACK: &str = "ipv4/tcp_sack";
const WINDOW_SCALING: &str = "ipv4/tcp_window_scaling";
const RECEIVE_MEMORY: &str = "ipv4/tcp_rmem";
const MOST_RECEIVE_MEMORY: &str = "core/rmem_max";

/// The kernel's own default, for a namespace that does not show it.
const DEFAULT_RECEIVE_MEMORY: u64 = 212_992;
/// RFC 7323 section 2.3.
const LARGEST_SCALE: u32 = 14;

/// The settings, or in tests a folder that looks like them.
#[derive(Debug)]
pub(super) struct Values {
    root: PathBuf,
}

impl Values {
    pub(super) fn of_this_namespace() -> Self {
        Self { root: Path::new(ROOT).to_owned() }
    }

    #[cfg(test)]
    pub(super) fn in_folder(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The value; of several the last, which is the largest.
    pub(super) fn read(&self, name: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.root.join(name))?;
        let last = text.split_whitespace().next_back().unwrap_or_default();
        last.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    pub(super) fn write(&self, name: &str, value: u64) -> io::Result<()> {
        fs::write(self.root.join(name), value.to_string())
    }

    /// The window scale the stack will count with, where a cookie can bring the client's back.
    pub(super) fn scale(&self) -> Option<u8> {
        let is = |name, value| self.read(name).is_ok_and(|found| found == value);
        // A cookie that claims what is switched off is refused by `cookie_timestamp_decode`.
        let can = is(TIMESTAMPS, 2) && is(SACK, 1) && is(WINDOW_SCALING, 1);
        can.then(|| self.own_scale())
    }

    /// As `tcp_select_initial_window` has it for a socket without a buffer of its own size.
    fn own_scale(&self) -> u8 {
        let most = self.read(MOST_RECEIVE_MEMORY).unwrap_or(DEFAULT_RECEIVE_MEMORY);
        let space = self.read(RECEIVE_MEMORY).unwrap_or(DEFAULT_RECEIVE_MEMORY).max(most);
        let scale = space.max(1).ilog2().saturating_sub(15).min(LARGEST_SCALE);
        u8::try_from(scale).unwrap_or(0)
    }
}
