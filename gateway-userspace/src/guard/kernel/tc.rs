//! The older place on the way out of an interface: a classifier of our own under the `clsact` queue
//! discipline (Linux 4.5). Unlike a link it has no owner, and outlives whoever put it there: it is
//! known by its priority, number and name. Nobody else's filter or queue discipline is touched.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use gateway_common::maps::EGRESS_PROGRAM;

use super::netlink::{self, attribute, word};

const NEW_DISCIPLINE: u16 = 36;
const GET_DISCIPLINE: u16 = 38;
const NEW_FILTER: u16 = 44;
const DELETE_FILTER: u16 = 45;
const GET_FILTER: u16 = 46;

const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
/// Of a queue discipline the kernel tells everybody but who asked, unless that one wants it too.
const ECHO: u16 = 8;

/// Bytes of `struct tcmsg`, behind the header.
const TC_HEADER: usize = 20;
/// Handle and parent of `clsact`, and of `ingress`, which has no way out.
const CLSACT: u32 = 0xffff_0000;
const CLSACT_PARENT: u32 = 0xffff_fff1;
const WAY_OUT: u32 = 0xffff_fff3;

/// Early: a filter of others that ends the walk would hide the packet from those behind it. Not the
/// first, which container networks take for their own.
const PRIORITY: u32 = 7;
const NUMBER: u32 = 0x6777;
/// `ETH_P_ALL`, as it stands in a packet.
const EVERY_PROTOCOL: u16 = 3_u16.to_be();

const KIND: u16 = 1;
const OPTIONS: u16 = 2;
const PROGRAM: u16 = 6;
const NAME: u16 = 7;
const FLAGS: u16 = 8;
const OFFLOAD_FLAGS: u16 = 9;
const PROGRAM_ID: u16 = 11;
/// `TCA_BPF_FLAG_ACT_DIRECT`: what the program returns is what becomes of the packet.
const DIRECT: u32 = 1;
/// `TCA_CLS_FLAGS_SKIP_HW`: it looks into maps of this machine.
const NOT_IN_HARDWARE: u32 = 1;

/// Puts `program` on the way out of the interface, in one step in the place of the one there.
pub(super) fn put(interface: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    add_discipline(interface)?;
    // Looks whose it is, if there is one.
    find(interface)?;
    let mut options = Vec::new();
    add(&mut options, PROGRAM, &program.as_raw_fd().to_ne_bytes());
    add(&mut options, NAME, &with_zero(EGRESS_PROGRAM));
    add(&mut options, FLAGS, &DIRECT.to_ne_bytes());
    add(&mut options, OFFLOAD_FLAGS, &NOT_IN_HARDWARE.to_ne_bytes());
    let mut attributes = Vec::new();
    add(&mut attributes, KIND, b"bpf\0");
    add(&mut attributes, OPTIONS, &options);
    netlink::ask(NEW_FILTER, CREATE, &filter(interface, &attributes)).map(drop)
}

/// The number of the program that is there; `None` if there is none.
pub(super) fn find(interface: u32) -> io::Result<Option<u32>> {
    let answer = match netlink::ask(GET_FILTER, 0, &filter(interface, &[])) {
        Ok(answer) => answer,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let options = body(&answer, NEW_FILTER).and_then(|attributes| attribute(attributes, OPTIONS));
    let options = options.unwrap_or_default();
    if attribute(options, NAME) != Some(with_zero(EGRESS_PROGRAM).as_slice()) {
        return Err(io::Error::other(format!(
            "a tc filter of somebody else has priority {PRIORITY} and handle {NUMBER:#x} on the way out"
        )));
    }
    Ok(attribute(options, PROGRAM_ID).and_then(word))
}

/// Names of the filters on the way out that come before ours.
pub(super) fn before_ours(interface: u32) -> io::Result<Vec<String>> {
    let question = message(interface, 0, WAY_OUT, 0, &[]);
    let answers = netlink::ask(GET_FILTER, netlink::ALL, &question)?;
    Ok(earlier(&answers, interface).into_values().collect())
}

/// By priority, of which each has one filter or several of a kind.
fn earlier(answers: &[Vec<u8>], interface: u32) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for answer in answers.iter().filter(|one| netlink::kind(one) == Some(NEW_FILTER)) {
        let field = |at: usize| {
            let start = netlink::HEADER + at;
            answer.get(start..start + 4).and_then(word)
        };
        let Some(priority) = field(16).map(|info| info >> 16) else { continue };
        // Kernels before 4.20 tell of other interfaces too.
        if priority < PRIORITY && field(4) == Some(interface) {
            let attributes = answer.get(netlink::HEADER + TC_HEADER..).unwrap_or_default();
            if let Some(name) = name_of(attributes) {
                found.insert(priority, name);
            }
        }
    }
    found
}

/// The program's, else the kind of filter.
fn name_of(attributes: &[u8]) -> Option<String> {
    let named = attribute(attributes, OPTIONS).and_then(|options| attribute(options, NAME));
    let bytes = named.or_else(|| attribute(attributes, KIND))?;
    Some(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned())
}

/// Takes the program off. The queue discipline stays: somebody else may use it by now, and the
/// kernel has no way to remove it only if nobody does.
pub(super) fn remove(interface: u32) -> io::Result<()> {
    if find(interface)?.is_none() {
        return Ok(());
    }
    match netlink::ask(DELETE_FILTER, 0, &filter(interface, &[])) {
        Err(error) if !is_absence(&error) => Err(error),
        _ => Ok(()),
    }
}

/// There is one already, or there is one now. `ingress` in its place would not do: the kernel takes
/// filters for the way out there too, and runs them on the way in.
fn add_discipline(interface: u32) -> io::Result<()> {
    let mut kind = Vec::new();
    add(&mut kind, KIND, b"clsact\0");
    let message = message(interface, CLSACT, CLSACT_PARENT, 0, &kind);
    match netlink::ask(NEW_DISCIPLINE, CREATE | EXCLUSIVE, &message) {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => return Err(error),
        _ => {}
    }
    let question = self::message(interface, 0, CLSACT_PARENT, 0, &[]);
    let answer = netlink::ask(GET_DISCIPLINE, ECHO, &question)?;
    let kind = body(&answer, NEW_DISCIPLINE).and_then(|attributes| attribute(attributes, KIND));
    if kind == Some(b"clsact\0") {
        return Ok(());
    }
    Err(io::Error::other(
        "the interface has the queue discipline `ingress`, which excludes `clsact`",
    ))
}

/// No such filter, or none at all: without `clsact`, or without the interface.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::ENODEV))
}

/// About the filter in our place.
fn filter(interface: u32, attributes: &[u8]) -> Vec<u8> {
    let info = PRIORITY << 16 | u32::from(EVERY_PROTOCOL);
    message(interface, NUMBER, WAY_OUT, info, attributes)
}

/// `struct tcmsg` and what follows.
fn message(interface: u32, handle: u32, parent: u32, info: u32, attributes: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 4];
    for number in [interface, handle, parent, info] {
        message.extend(number.to_ne_bytes());
    }
    message.extend(attributes);
    message
}

fn add(list: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let length = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
    list.extend(length.to_ne_bytes());
    list.extend(kind.to_ne_bytes());
    list.extend(payload);
    list.resize(list.len().next_multiple_of(4), 0);
}

fn with_zero(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// The attributes of the first message of this type.
fn body(answer: &[Vec<u8>], kind: u16) -> Option<&[u8]> {
    let of_kind = |message: &&Vec<u8>| netlink::kind(message) == Some(kind);
    answer.iter().find(of_kind)?.get(netlink::HEADER + TC_HEADER..)
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd as _, process::Command};

    use nix::unistd::Uid;

    use super::{super::probe, *};

    const LOOPBACK: u32 = 1;

    /// In a namespace of its own; not at all without root.
    fn alone(case: fn() -> io::Result<()>) {
        if Uid::effective().is_root() {
            probe::in_namespace(case).unwrap();
        }
    }

    /// A filter that somebody else has on the way out.
    fn add_foreign(place: &str) {
        // Classic BPF: takes every packet.
        let rest = "protocol all bpf bytecode '1,6 0 0 1' flowid 1:1";
        tc(&format!("filter add dev lo egress {place} {rest}"));
    }

    fn tc(arguments: &str) -> String {
        let output = Command::new("sh").args(["-c", &format!("tc {arguments}")]).output().unwrap();
        assert!(output.status.success(), "tc {arguments}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn put_new() -> io::Result<Option<u32>> {
        put(LOOPBACK, probe::classifier()?.as_fd())?;
        find(LOOPBACK)
    }

    #[test]
    fn one_filter_takes_the_place_of_the_one_before() {
        alone(|| {
            assert_eq!(find(LOOPBACK)?, None, "without clsact");
            let (first, second) = (put_new()?, put_new()?);
            assert!(first.is_some() && second.is_some() && first != second);
            assert_eq!(tc("filter show dev lo egress").matches("gateway_egress").count(), 1);
            assert_eq!(tc("filter show dev lo ingress"), "");
            remove(LOOPBACK)?;
            assert_eq!(find(LOOPBACK)?, None);
            remove(LOOPBACK)
        });
    }

    #[test]
    fn filters_of_others_stay_and_are_not_taken_for_ours() {
        alone(|| {
            tc("qdisc add dev lo clsact");
            add_foreign("pref 1");
            add_foreign("pref 49152");
            put_new()?;
            remove(LOOPBACK)?;
            let left = tc("filter show dev lo egress");
            assert!(left.contains("pref 1 ") && left.contains("pref 49152 "), "{left}");
            add_foreign("pref 7 handle 0x6777");
            assert!(put_new().is_err() && remove(LOOPBACK).is_err());
            assert!(tc("filter show dev lo egress").contains("pref 7 "));
            Ok(())
        });
    }

    #[test]
    fn filters_before_ours_are_named_and_those_behind_are_not() {
        alone(|| {
            put_new()?;
            assert!(before_ours(LOOPBACK)?.is_empty());
            add_foreign("pref 8");
            assert!(before_ours(LOOPBACK)?.is_empty());
            add_foreign("pref 3");
            tc("filter add dev lo egress pref 2 protocol all u32 match u32 0 0 flowid 1:1");
            let names = before_ours(LOOPBACK)?;
            assert_eq!(names.len(), 2);
            assert_eq!(names[0], "u32");
            Ok(())
        });
    }

    /// The kernel would run it on the way in, where strangers' packets would be taken for ours.
    #[test]
    fn an_ingress_discipline_takes_no_filter_of_ours() {
        alone(|| {
            tc("qdisc add dev lo ingress");
            assert!(put_new().is_err());
            assert_eq!(tc("filter show dev lo parent ffff:"), "");
            Ok(())
        });
    }
}
