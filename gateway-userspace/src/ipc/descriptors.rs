//! Descriptors: taken out of a control buffer, all of them, also from a frame that will be
//! refused (one left behind would stay open in the guard for ever), and watched by tokio.

#![expect(unsafe_code, reason = "a received descriptor is a bare number until it is owned")]

use std::{
    io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::io::unix::AsyncFd;

/// `struct cmsghdr`: a length in a `size_t`, level, type; data follows at the same alignment.
const HEADER_BYTES: usize = size_of::<usize>() + 8;

/// Room for all that the kernel takes into one message (`SCM_MAX_FD` = 253), so that too many
/// are counted and closed here rather than cut off unseen.
pub(super) const CONTROL_BYTES: usize = HEADER_BYTES + 256 * size_of::<RawFd>();

/// Readiness of a descriptor, in the tokio runtime this is called in.
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is one open descriptor, the same for all its life.
    unsafe { AsyncFd::register(descriptor) }.map_err(Into::into)
}

/// The descriptors that `recvmsg` wrote into `control`, which was zeroed before.
pub(super) fn take(control: &[u8]) -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    let mut rest = control;
    while let Some((kind, data, length)) = header(rest) {
        if kind == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            taken.extend(data.chunks_exact(size_of::<RawFd>()).filter_map(own));
        }
        rest = rest.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
    }
    taken
}

/// Level and type, data, and length with the header. `None` at the zeroes behind the last one.
fn header(bytes: &[u8]) -> Option<((i32, i32), &[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<{ size_of::<usize>() }>()?;
    let (level, rest) = rest.split_first_chunk::<4>()?;
    let (kind, _) = rest.split_first_chunk::<4>()?;
    let length = usize::from_ne_bytes(*length);
    let data = bytes.get(HEADER_BYTES..length)?;
    Some(((i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)), data, length))
}

fn own(bytes: &[u8]) -> Option<OwnedFd> {
    let raw = RawFd::from_ne_bytes(bytes.try_into().ok()?);
    // SAFETY: the kernel installed this descriptor for this message and nobody else knows its
    // number; `take` reads each one once.
    (raw >= 0).then(|| unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Where a proxy finds its end of the channel to its guard.
const INHERITED: RawFd = 3;

/// Takes over the channel this process was started with. `None` where there is none, and for
/// every call but the first.
pub(crate) fn inherited() -> Option<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let open = nix::sys::stat::fstat(
        // SAFETY: borrowed for this one call, which tells whether the number is open.
        unsafe { BorrowedFd::borrow_raw(INHERITED) },
    )
    .is_ok();
    if !open || TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    // SAFETY: it is open, was inherited through exec, so that nothing in this process owns it,
    // and is handed out once.
    Some(unsafe { OwnedFd::from_raw_fd(INHERITED) })
}
