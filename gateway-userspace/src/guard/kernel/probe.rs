//! What this kernel can do, tried rather than read off its version: small programs are verified,
//! small maps made, links attached inside a network namespace that nobody else is in. Nothing that
//! runs is touched, and nothing is left.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use gateway_common::maps::{Clocks, PROGRAM, PrefixKey, SHAPES, Shape};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::{
    ahead,
    filter::KernelError,
    object::{self, Object},
    pins, sys, tc, ticks,
};
use crate::{
    clock,
    config::model::{Capacity, Kernel},
};

pub(crate) use super::preconditions::{OLDEST, version};

const MAP_CREATE: libc::c_int = 0;
const PROGRAM_LOAD: libc::c_int = 5;

const PROGRAM_SCHEDULER: u32 = 3;
const PROGRAM_XDP: u32 = 6;
const MAP_HASH: u32 = 1;
const MAP_ARRAY: u32 = 2;
const MAP_PER_CPU_ARRAY: u32 = 6;
const MAP_TRIE: u32 = 11;
const MAP_RING: u32 = 27;
const NO_PREALLOC: u32 = 1;
/// `BPF_F_XDP_HAS_FRAGS`
const HAS_FRAGMENTS: u32 = 1 << 5;
const ATTACH_TCX_INGRESS: u32 = 46;
/// `XDP_FLAGS_SKB_MODE`: a loopback has no other.
const GENERIC: u32 = 1 << 1;
/// A power of two and whole pages on every architecture.
const RING_BYTES: u32 = 64 * 1024;
const LOG_BYTES: usize = 16 * 1024;
/// Where a bpffs belongs.
const FILE_SYSTEM: &str = "/sys/fs/bpf";
/// The loopback is the first interface of a namespace.
const LOOPBACK: u32 = 1;

/// Since when distributions' kernels have it, and what happens without.
#[derive(Debug)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    pub(crate) since: (u32, u32),
    /// The filter does not run without.
    pub(crate) needed: bool,
    /// An error says that it could not be tried.
    pub(crate) there: io::Result<bool>,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    /// Destination below, source above.
    registers: u8,
    offset: i16,
    immediate: i32,
}

#[repr(C)]
#[derive(Default)]
struct ProgramAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct MapAttr {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

const EXIT: Instruction = instruction(0x95, 0, 0, 0);
/// Passes every packet, in XDP's terms.
const PASS: [Instruction; 2] = [set(0, 2), EXIT];
/// Zero on the stack, then a compare-exchange with it.
const EXCHANGE: [Instruction; 6] = [
    set(0, 0),
    instruction(0x7b, 10, -8, 0),
    set(1, 1),
    instruction(0xdb, 0x1a, -8, 0xf1),
    set(0, 2),
    EXIT,
];

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

const fn set(register: u8, value: i32) -> Instruction {
    instruction(0xb7, register, 0, value)
}

const fn call(helper: i32) -> Instruction {
    instruction(0x85, 0, 0, helper)
}

/// Tries everything. Those up to the oldest supported kernel come first.
pub(crate) fn features() -> Vec<Feature> {
    let feature = |name, since, there| Feature { name, since, needed: true, there };
    let extra = |name, since, there| Feature { name, since, needed: false, there };
    vec![
        feature("XDP programs", (4, 8), told(&load(PROGRAM_XDP, &PASS, 0))),
        feature("the jiffies clock", (5, 5), helper(118)),
        feature("batches on hash maps", (5, 6), batch_on_hash()),
        feature("ring buffers", (5, 8), told(&map(MAP_RING, 0, 0, RING_BYTES, 0))),
        feature("XDP links", (5, 9), apart_with(|| load(PROGRAM_XDP, &PASS, 0), xdp_link)),
        feature("atomic compare-exchange", (5, 12), told(&load(PROGRAM_XDP, &EXCHANGE, 0))),
        feature("batches on prefix tries", (5, 15), batch_on_trie()),
        extra("looking up sockets", (5, 2), helper(99)),
        extra("SYN cookies by socket", (5, 3), helper(110)),
        extra("bpf_loop", (5, 17), helper(181)),
        extra("bpf_xdp_load_bytes", (5, 18), helper(189)),
        extra("XDP on fragments", (5, 18), told(&load(PROGRAM_XDP, &PASS, HAS_FRAGMENTS))),
        extra("raw SYN cookies", (6, 0), raw_cookies()),
        extra("tc filters", (4, 5), apart_with(classifier, |program| tc::put(LOOPBACK, program))),
        extra("tcx links", (6, 6), apart_with(classifier, tcx_link)),
    ]
}

/// `true` and `false` from an attempt that either works or is not understood.
fn told<T>(attempt: &io::Result<T>) -> io::Result<bool> {
    let Err(error) = attempt else { return Ok(true) };
    match error.raw_os_error() {
        Some(code @ (libc::EPERM | libc::EACCES | libc::ENOMEM | libc::EMFILE)) => {
            Err(io::Error::from_raw_os_error(code))
        }
        _ => Ok(false),
    }
}

fn load(kind: u32, program: &[Instruction], flags: u32) -> io::Result<OwnedFd> {
    load_with_log(kind, program, (flags, ""), &mut [])
}

fn load_with_log(
    kind: u32,
    program: &[Instruction],
    (flags, name): (u32, &str),
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut attributes = ProgramAttr {
        kind,
        count: u32::try_from(program.len()).unwrap_or(0),
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).unwrap_or(0),
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        flags,
        ..ProgramAttr::default()
    };
    // The last byte stays zero.
    for (place, byte) in attributes.name.iter_mut().take(15).zip(name.bytes()) {
        *place = byte;
    }
    sys::call_for_descriptor(PROGRAM_LOAD, &mut attributes)
}

fn map(kind: u32, key: u32, value: u32, entries: u32, flags: u32) -> io::Result<OwnedFd> {
    sys::call_for_descriptor(MAP_CREATE, &mut MapAttr { kind, key, value, entries, flags })
}

/// Whether XDP programs may call this helper. Called without arguments it is refused by a verifier
/// that knows it as well; which of the two it was, only the verifier's log tells.
fn helper(number: i32) -> io::Result<bool> {
    let mut log = vec![0; LOG_BYTES];
    let Err(error) =
        load_with_log(PROGRAM_XDP, &[call(number), set(0, 2), EXIT], (0, ""), &mut log)
    else {
        return Ok(true);
    };
    let log = String::from_utf8_lossy(&log);
    if log.starts_with('\0') {
        return Err(error);
    }
    let unknown = ["invalid func ", "unknown func ", "program of this type cannot use helper "];
    Ok(!unknown.iter().any(|words| log.contains(words)))
}

fn raw_cookies() -> io::Result<bool> {
    (204..=207).try_fold(true, |there, number| Ok(there && helper(number)?))
}

fn batch_on_hash() -> io::Result<bool> {
    let (keys, values) = ([1_u32, 2], [1_u64, 2]);
    done(map(MAP_HASH, 4, 8, 4, 0), |map| sys::update_batch(map, &keys, &values))
}

fn batch_on_trie() -> io::Result<bool> {
    let key = |last| PrefixKey { length: 32, address: [192, 0, 2, last] };
    let (keys, values) = ([key(1), key(2)], [1_u64, 2]);
    let trie = map(MAP_TRIE, 8, 8, 4, NO_PREALLOC);
    done(trie, |map| sys::update_batch(map, &keys, &values))
}

/// Whether a batch of two was written whole.
fn done(
    map: io::Result<OwnedFd>,
    write: impl FnOnce(BorrowedFd<'_>) -> sys::Batch,
) -> io::Result<bool> {
    match write(map?.as_fd()) {
        (2, None) => Ok(true),
        (_, Some(error)) => told::<()>(&Err(error)),
        (_, None) => Ok(false),
    }
}

fn xdp_link(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    sys::link_create(program, LOOPBACK, GENERIC)
}

fn tcx_link(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    sys::link_create_as(program, LOOPBACK, ATTACH_TCX_INGRESS, 0)
}

/// A classifier that decides nothing.
pub(super) fn classifier() -> io::Result<OwnedFd> {
    load(PROGRAM_SCHEDULER, &[set(0, -1), EXIT], 0)
}

/// The same, by a name.
#[cfg(test)]
pub(super) fn classifier_of(name: &str) -> io::Result<OwnedFd> {
    load_with_log(PROGRAM_SCHEDULER, &[set(0, -1), EXIT], (0, name), &mut [])
}

/// Attaches to the loopback of a network namespace that lives as long as the attempt.
fn apart_with<T: 'static>(
    program: fn() -> io::Result<OwnedFd>,
    attach: fn(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<bool> {
    in_namespace(move || told(&attach(program()?.as_fd())))
}

/// In a network namespace that nobody else is in.
pub(super) fn in_namespace<T: Send + 'static>(
    attempt: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    apart(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        attempt()
    })
}

/// On a thread of its own, whose namespaces end with it.
fn apart<T: Send + 'static>(
    attempt: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let ended = std::thread::Builder::new().name("probe".to_owned()).spawn(attempt)?.join();
    ended.unwrap_or_else(|_panic| Err(io::Error::other("the attempt died")))
}

/// Has the verifier judge the filter itself, with small maps pinned in a bpffs that only one
/// thread sees, and that is gone with it.
pub(crate) fn verify_filter() -> Result<(), KernelError> {
    let attempt = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("bpf"), FILE_SYSTEM, Some("bpf"), MsFlags::empty(), none)?;
        let small =
            Capacity { hosts: 64, prefixes: 64, dynamic: 64, allow: 64, limits: 1024, flows: 64 };
        let verified = Object::load(Path::new(FILE_SYSTEM), &small)
            .and_then(|mut object| object.program(PROGRAM).map(drop));
        Ok(verified)
    };
    apart(attempt).unwrap_or_else(|source| {
        let doing = "making a namespace to load the filter in".to_owned();
        Err(KernelError::System { doing, source })
    })
}

/// Whether programs are compiled. The setting tells less: only the first network namespace has it.
pub(crate) fn is_compiled() -> io::Result<bool> {
    sys::is_compiled(load(PROGRAM_XDP, &PASS, 0)?.as_fd())
}

/// The length of a tick, measured.
pub(crate) fn tick_ns() -> Result<u64, KernelError> {
    let failed =
        |source| KernelError::System { doing: "reading the tick clock".to_owned(), source };
    let program = load(PROGRAM_XDP, &[call(118), EXIT], 0).map_err(failed)?;
    ticks::measure(|| {
        let (jiffies, _) = sys::test_run(program.as_fd(), &[0; 64], 1).map_err(failed)?;
        Ok(Clocks { jiffies: jiffies.into(), monotonic_ns: clock::monotonic_ns() })
    })
}

/// Name of the program with this id; a dash if it has none, is gone or may not be seen.
pub(crate) fn program_name(id: u32) -> String {
    sys::program_name(id)
}

/// What comes before our program on the way out of an interface, by name.
pub(crate) fn before_egress(interface: u32) -> Vec<String> {
    ahead::of(interface)
}

/// Whether maps and links can be pinned there.
pub(crate) fn check_pins(root: &Path) -> Result<(), KernelError> {
    pins::check_file_system(root)
}

/// Whether a filter of ours is loaded with its maps.
pub(crate) fn is_loaded(config: &Kernel) -> bool {
    pins::holds_links(&config.pins)
}

/// Whether the filter takes frames that lie in several buffers, as large MTUs make them.
pub(crate) fn takes_fragments() -> bool {
    const SECTION: &[u8] = b"xdp.frags";
    object::OBJECT.windows(SECTION.len()).any(|window| window == SECTION)
}

/// What all maps take in memory when they are full.
pub(crate) fn map_bytes(capacity: &Capacity, cpus: u64) -> u64 {
    SHAPES.iter().map(|shape| bytes(shape, pins::entries(shape, capacity).into(), cpus)).sum()
}

/// As the kernel counts it, but for rounding to pages.
fn bytes(shape: &Shape, entries: u64, cpus: u64) -> u64 {
    let (key, value) = (u64::from(shape.key), u64::from(shape.value).next_multiple_of(8));
    match shape.kind as u32 {
        MAP_ARRAY => value * entries,
        MAP_PER_CPU_ARRAY => (value * cpus + 8) * entries,
        MAP_RING => entries,
        // Nodes without a value join those with one.
        MAP_TRIE => 2 * entries * (40 + key + value).next_multiple_of(32),
        // 48 bytes of links and hash an element, preallocated, and 16 a bucket.
        _ => entries * (48 + key.next_multiple_of(8) + value) + 16 * entries.next_power_of_two(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing can be said about a kernel by a user it lets do nothing.
    fn permitted() -> bool {
        load(PROGRAM_XDP, &PASS, 0).is_ok()
    }

    #[test]
    fn finds_all_that_a_supported_kernel_has() {
        if !permitted() {
            return;
        }
        for feature in features().iter().filter(|feature| feature.since <= OLDEST) {
            assert!(matches!(feature.there, Ok(true)), "{feature:?}");
        }
    }

    #[test]
    fn knows_a_helper_that_is_none() {
        if !permitted() {
            return;
        }
        assert!(matches!(helper(1_000_000), Ok(false)));
        // `bpf_probe_write_user`: known, but nothing for XDP.
        assert!(matches!(helper(36), Ok(false)));
        assert!(matches!(helper(118), Ok(true)));
    }

    #[test]
    fn an_attempt_that_is_not_permitted_says_nothing_about_the_kernel() {
        let from = |code| told::<()>(&Err(io::Error::from_raw_os_error(code)));
        assert!(from(libc::EPERM).is_err());
        assert!(matches!(from(libc::EINVAL), Ok(false)));
    }

    #[test]
    fn ticks_are_those_of_a_known_rate() {
        if permitted() {
            let tick = tick_ns().unwrap();
            assert!((500_000..=20_000_000).contains(&tick), "{tick}");
        }
    }

    #[test]
    fn memory_grows_with_the_capacity() {
        let capacity = |hosts| Capacity {
            hosts,
            prefixes: 1000,
            dynamic: 1000,
            allow: 10,
            limits: 1000,
            flows: 64,
        };
        let (small, large) = (map_bytes(&capacity(1000), 2), map_bytes(&capacity(1_000_000), 2));
        // Two families and two generations, between 64 and 200 octets a host.
        assert!((256_000_000..800_000_000).contains(&(large - small)), "{}", large - small);
    }
}
