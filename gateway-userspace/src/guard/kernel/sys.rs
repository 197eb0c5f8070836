//! bpf(2) where aya has no call for it: batches, links of a pin, program names. One function a
//! command; descriptors come back owned.

#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper for these commands")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    time::Duration,
};

const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const PROG_TEST_RUN: libc::c_int = 10;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const MAP_LOOKUP_BATCH: libc::c_int = 24;
const MAP_UPDATE_BATCH: libc::c_int = 26;
const MAP_DELETE_BATCH: libc::c_int = 27;
const PROG_QUERY: libc::c_int = 16;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;

const ATTACH_TYPE_XDP: u32 = 37;
const LINK_TYPE_XDP: u32 = 6;
const LINK_TYPE_TCX: u32 = 11;

#[repr(C)]
struct ElementAttr {
    map: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

#[repr(C)]
struct PathAttr {
    path: u64,
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
struct InfoAttr {
    descriptor: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
struct LinkAttr {
    first: u32,
    second: u32,
    third: u32,
    fourth: u32,
}

#[repr(C)]
struct QueryAttr {
    interface: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    zero: u32,
    rest: [u64; 4],
}

#[repr(C)]
#[derive(Default)]
struct TestRunAttr {
    program: u32,
    answer: u32,
    input_length: u32,
    output_length: u32,
    input: u64,
    output: u64,
    repeat: u32,
    duration_ns: u32,
    context: [u64; 3],
    flags: u32,
    cpu: u32,
    batch: u64,
}

/// The head of `struct bpf_link_info` with the part of an XDP link.
#[repr(C)]
#[derive(Default)]
struct RawLinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    zero: u32,
    interface: u32,
    rest: [u32; 11],
}

/// The head of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Default)]
struct RawProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    pointers: [u64; 2],
    load_time: u64,
    uid: u32,
    map_count: u32,
    map_ids: u64,
    name: [u8; 16],
}

/// An XDP link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkInfo {
    pub(super) program: u32,
    /// Zero once the interface is gone.
    pub(super) interface: u32,
}

fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attributes` is a live `repr(C)` prefix of `union bpf_attr` of exactly this size;
    // the pointers in it are set by the callers in this folder to buffers that outlive the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

pub(super) fn call_for_descriptor<T>(
    command: libc::c_int,
    attributes: &mut T,
) -> io::Result<OwnedFd> {
    let descriptor = call(command, attributes)?;
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn raw(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().unsigned_abs()
}

fn address<T>(buffer: &[T]) -> u64 {
    buffer.as_ptr() as u64
}

fn address_mut<T>(buffer: &mut [T]) -> u64 {
    buffer.as_mut_ptr() as u64
}

/// Reads the value of `key` into `value`; false if there is none.
pub(super) fn lookup<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &mut [V],
) -> io::Result<bool> {
    let key = std::slice::from_ref(key);
    let (key, value) = (address(key), address_mut(value));
    let mut attributes = ElementAttr { map: raw(map), zero: 0, key, value, flags: 0 };
    match call(MAP_LOOKUP_ELEM, &mut attributes) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes one entry.
pub(super) fn update<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &V,
) -> io::Result<()> {
    let (key, value) = (std::slice::from_ref(key), std::slice::from_ref(value));
    let (key, value) = (address(key), address(value));
    let mut attributes = ElementAttr { map: raw(map), zero: 0, key, value, flags: 0 };
    call(MAP_UPDATE_ELEM, &mut attributes).map(drop)
}

/// Writes the values of one key on every processor.
pub(super) fn update_values<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    values: &[V],
) -> io::Result<()> {
    let (key, value) = (address(std::slice::from_ref(key)), address(values));
    let mut attributes = ElementAttr { map: raw(map), zero: 0, key, value, flags: 0 };
    call(MAP_UPDATE_ELEM, &mut attributes).map(drop)
}

/// Removes one entry; false if there was none.
pub(super) fn delete<K: aya::Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    let key = address(std::slice::from_ref(key));
    let mut attributes = ElementAttr { map: raw(map), zero: 0, key, value: 0, flags: 0 };
    match call(MAP_DELETE_ELEM, &mut attributes) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How far a batch came, and what stopped it.
pub(super) type Batch = (usize, Option<io::Error>);

fn batch(command: libc::c_int, attributes: &mut BatchAttr) -> Batch {
    let asked = attributes.count;
    match call(command, attributes) {
        Ok(_) => (attributes.count as usize, None),
        // EFAULT leaves the count as it was asked, not as it was done.
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => (0, Some(error)),
        Err(error) => (attributes.count.min(asked) as usize, Some(error)),
    }
}

fn count_of<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// Writes entries; the slices have one length.
pub(super) fn update_batch<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> Batch {
    let count = count_of(keys).min(count_of(values));
    let mut attributes = BatchAttr {
        in_batch: 0,
        out_batch: 0,
        keys: address(keys),
        values: address(values),
        count,
        map: raw(map),
        element_flags: 0,
        flags: 0,
    };
    match batch(MAP_UPDATE_BATCH, &mut attributes) {
        // It failed before the first entry, and left the count as it was asked: short of memory
        // for the key's own buffer, or not permitted.
        (done, Some(error)) if done == count as usize => (0, Some(error)),
        done => done,
    }
}

/// Removes entries.
pub(super) fn delete_batch<K: aya::Pod>(map: BorrowedFd<'_>, keys: &[K]) -> Batch {
    let mut attributes = BatchAttr {
        in_batch: 0,
        out_batch: 0,
        keys: address(keys),
        values: 0,
        count: count_of(keys),
        map: raw(map),
        element_flags: 0,
        flags: 0,
    };
    batch(MAP_DELETE_BATCH, &mut attributes)
}

/// Where the next part of a dump begins: a bucket number or a key, whatever the map keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor([u64; 4]);

/// Reads a part of a map. `None` as cursor begins; an `ENOENT` in the result ends.
pub(super) fn lookup_batch<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    cursor: Option<&Cursor>,
    keys: &mut [K],
    values: &mut [V],
) -> (Batch, Cursor) {
    let mut next = Cursor([0; 4]);
    let count = count_of(keys).min(count_of(values));
    let mut attributes = BatchAttr {
        in_batch: cursor.map_or(0, |cursor| address(&cursor.0)),
        out_batch: address_mut(&mut next.0),
        keys: address_mut(keys),
        values: address_mut(values),
        count,
        map: raw(map),
        element_flags: 0,
        flags: 0,
    };
    let done = batch(MAP_LOOKUP_BATCH, &mut attributes);
    (done, next)
}

/// Waits until every packet that is being judged at this moment is through; false where the kernel
/// cannot say. Packets are judged within read-side critical sections, all of which the call waits
/// for.
pub(super) fn wait_for_packets() -> bool {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes two numbers and writes no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0 }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Opens what is pinned at `path`.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attributes = PathAttr { path: path.as_ptr() as u64, descriptor: 0, flags: 0 };
    call_for_descriptor(OBJ_GET, &mut attributes)
}

/// Pins `object` at `path`.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attributes = PathAttr { path: path.as_ptr() as u64, descriptor: raw(object), flags: 0 };
    call(OBJ_PIN, &mut attributes).map(drop)
}

fn read_info<T>(object: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let length = u32::try_from(size_of::<T>()).unwrap_or(0);
    let info = std::ptr::from_mut(info) as u64;
    let mut attributes = InfoAttr { descriptor: raw(object), length, info };
    call(OBJ_GET_INFO_BY_FD, &mut attributes).map(drop)
}

/// What a pin holds.
#[derive(Debug)]
pub(super) enum Pinned {
    Link(OwnedFd),
    Program,
    Map,
}

/// Opens what is pinned at `path`, and tells which it is.
pub(super) fn open_pinned(path: &Path) -> io::Result<Pinned> {
    let object = open_pin(path)?;
    let kind = kind_of(object.as_fd())?;
    Ok(if is_link(&kind) {
        Pinned::Link(object)
    } else if kind.contains("bpf-prog") {
        Pinned::Program
    } else {
        Pinned::Map
    })
}

/// What the kernel calls the descriptor: links, programs and maps answer the same questions, each
/// with another structure.
fn kind_of(object: BorrowedFd<'_>) -> io::Result<String> {
    let kind = std::fs::read_link(format!("/proc/self/fd/{}", object.as_raw_fd()))?;
    Ok(kind.to_string_lossy().into_owned())
}

fn is_link(kind: &str) -> bool {
    kind.contains("bpf_link") || kind.contains("bpf-link")
}

/// What `link` is; `None` if it is not an XDP link.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<Option<LinkInfo>> {
    if !is_link(&kind_of(link)?) {
        return Ok(None);
    }
    let mut info = RawLinkInfo::default();
    read_info(link, &mut info)?;
    let found = LinkInfo { program: info.program, interface: info.interface };
    Ok((info.kind == LINK_TYPE_XDP).then_some(found))
}

/// The interface of a TCX link; zero once it is gone.
pub(super) fn tcx_interface(link: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = RawLinkInfo::default();
    read_info(link, &mut info)?;
    if info.kind == LINK_TYPE_TCX {
        Ok(info.interface)
    } else {
        Err(io::Error::other("the pin is no TCX link"))
    }
}

/// Whether `program` was compiled to the machine's code.
pub(super) fn is_compiled(program: BorrowedFd<'_>) -> io::Result<bool> {
    let mut info = RawProgramInfo::default();
    read_info(program, &mut info)?;
    let [compiled, _bytecode] = info.lengths;
    Ok(compiled > 0)
}

/// Name of the program with this id; a dash if it has none or is gone.
pub(super) fn program_name(id: u32) -> String {
    let mut attributes = LinkAttr { first: id, second: 0, third: 0, fourth: 0 };
    let mut info = RawProgramInfo::default();
    let read = call_for_descriptor(PROG_GET_FD_BY_ID, &mut attributes)
        .and_then(|program| read_info(program.as_fd(), &mut info));
    let end = info.name.iter().position(|byte| *byte == 0).unwrap_or(info.name.len());
    match (read, info.name.get(..end)) {
        (Ok(()), Some(name)) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
        _ => "-".to_owned(),
    }
}

/// Attaches `program` to the interface. Unlike aya's call it never falls back to netlink, whose
/// attachment could not be pinned and dies with us.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    interface: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    link_create_as(program, interface, ATTACH_TYPE_XDP, flags)
}

/// The same by any attach type.
pub(super) fn link_create_as(
    program: BorrowedFd<'_>,
    interface: u32,
    kind: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attributes =
        LinkAttr { first: raw(program), second: interface, third: kind, fourth: flags };
    call_for_descriptor(LINK_CREATE, &mut attributes)
}

/// Replaces the program of `link`, between two packets.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = LinkAttr { first: raw(link), second: raw(program), third: 0, fourth: 0 };
    call(LINK_UPDATE, &mut attributes).map(drop)
}

/// Programs told of one place, at most: the kernel holds no more there.
const PROGRAMS: u32 = 64;

/// Numbers of the programs in one place of an interface, in the order they run.
pub(super) fn attached(interface: u32, kind: u32) -> io::Result<Vec<u32>> {
    let mut programs = vec![0_u32; PROGRAMS as usize];
    let mut attributes = QueryAttr {
        interface,
        kind,
        flags: 0,
        attach_flags: 0,
        programs: programs.as_mut_ptr() as u64,
        count: PROGRAMS,
        zero: 0,
        rest: [0; 4],
    };
    call(PROG_QUERY, &mut attributes)?;
    programs.truncate(attributes.count as usize);
    Ok(programs)
}

/// Room for what a program may add to a frame.
const GROWTH: usize = 256;

/// Runs `program` on `frame` once; its answer and the frame as it left it.
pub(super) fn test_frame(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    let mut output = vec![0; frame.len() + GROWTH];
    let mut attributes = TestRunAttr {
        program: raw(program),
        input_length: count_of(frame),
        input: address(frame),
        output_length: count_of(&output),
        output: address_mut(&mut output),
        repeat: 1,
        ..TestRunAttr::default()
    };
    call(PROG_TEST_RUN, &mut attributes)?;
    output.truncate(attributes.output_length as usize);
    Ok((attributes.answer, output))
}

/// Runs `program` on `frame`, so many times; its last answer and the mean time of a run.
pub(super) fn test_run(
    program: BorrowedFd<'_>,
    frame: &[u8],
    repeat: u32,
) -> io::Result<(u32, Duration)> {
    let mut attributes = TestRunAttr {
        program: raw(program),
        input_length: count_of(frame),
        input: address(frame),
        repeat,
        ..TestRunAttr::default()
    };
    // A signal to any thread ends a run of many.
    while let Err(error) = call(PROG_TEST_RUN, &mut attributes) {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok((attributes.answer, Duration::from_nanos(attributes.duration_ns.into())))
}
