//! SYN cookies, as the guard sees them in the maps: are they on, what do they offer, and for which
//! addresses are they given.

use std::{
    net::IpAddr,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use gateway_common::{
    maps::{self, OFFER_CELL, Offer, UNTIL_CELL},
    syn::request::mapped,
};
use tracing::warn;

use super::{
    attach, filter::KernelError, list::Entries as _, netlink, object::Object, table::Table,
};
use crate::{
    config::model::{Attach, Kernel},
    guard::chain,
};

/// Without it the kernel makes no cookies.
const SWITCH: &str = "/proc/sys/net/ipv4/tcp_syncookies";

/// What the object calls to answer a SYN, with the oldest kernel that has it.
const HELPERS: [(BpfHelper, &str); 3] = [
    (BpfHelper::BPF_FUNC_skc_lookup_tcp, "bpf_skc_lookup_tcp (5.2)"),
    (BpfHelper::BPF_FUNC_tcp_gen_syncookie, "bpf_tcp_gen_syncookie (5.3)"),
    (BpfHelper::BPF_FUNC_xdp_adjust_tail, "bpf_xdp_adjust_tail (4.18)"),
];

/// The words and addresses.
#[derive(Debug)]
pub(super) struct Cookies {
    words: Table<u32, u64>,
    own: Table<[u8; 16], u64>,
    missing: Option<String>,
}

impl Cookies {
    /// Loads the program that answers, where this kernel has all that it needs. Without it the
    /// filter works as well, and limits alone stand against a flood.
    pub(super) fn new(object: &mut Object, config: &Kernel) -> Result<Self, KernelError> {
        let slot: Table<u32, u32> = object.table(maps::SYN_PROGRAM)?;
        let missing = match check(config).and_then(|()| loaded(object)) {
            Ok(program) => {
                slot.put(&0, &program.as_raw_fd().unsigned_abs())?;
                None
            }
            Err(missing) => {
                // Of an earlier gateway, whose rules may be others.
                slot.remove(&0)?;
                Some(missing)
            }
        };
        Ok(Self { words: object.table(maps::COOKIES)?, own: object.table(maps::OWN)?, missing })
    }

    /// What this kernel lacks for them.
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Until when SYNs are answered, on the tick clock; `None` if they never were.
    pub(super) fn until(&self) -> Result<Option<u64>, KernelError> {
        let until = self.words.get(&UNTIL_CELL)?.filter(|until| *until != 0);
        Ok(until.filter(|_| self.missing.is_none()))
    }

    /// What the next answers offer.
    pub(super) fn offer(&mut self, offer: Offer) -> Result<(), KernelError> {
        self.words.put(&OFFER_CELL, &offer.word())
    }

    /// Answers for these addresses and no others.
    pub(super) fn answer_for(&mut self, own: &[IpAddr]) -> Result<(), KernelError> {
        let wanted: Vec<[u8; 16]> = own.iter().map(key).collect();
        for (key, _) in self.own.all()? {
            if !wanted.contains(&key) {
                self.own.remove(&key)?;
            }
        }
        wanted.iter().take(self.own.capacity()).try_for_each(|key| self.own.put(key, &0))
    }
}

fn key(address: &IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Whether answers leave all guarded interfaces. A native program's answer out of a veth is put in
/// the other end's queue, which nobody is told of unless that end has a program too
/// (`veth_xdp_flush`): the queue fills up, and then takes nothing from the stack either.
fn check(config: &Kernel) -> Result<(), String> {
    if config.syn_cookies.veth || config.attach == Attach::Generic {
        return Ok(());
    }
    match config.interfaces.iter().find(|name| is_veth(name)) {
        Some(name) => Err(format!(
            "{name} is a veth, whose other end must run an XDP program for it; if it does, set kernel.syn_cookies.veth"
        )),
        None => Ok(()),
    }
}

fn is_veth(name: &str) -> bool {
    let found = attach::index_of(name).ok().and_then(|index| netlink::interface(index).ok());
    found.is_some_and(|found| found.kind.as_deref() == Some("veth"))
}

/// The program, or why there is none.
fn loaded(object: &mut Object) -> Result<OwnedFd, String> {
    if let Some(helper) = missing_helper() {
        return Err(format!("this kernel has no {helper}"));
    }
    if !Path::new(SWITCH).exists() {
        return Err("this kernel is built without CONFIG_SYN_COOKIES".to_owned());
    }
    object.program(maps::SYN_COOKIES_PROGRAM).map_err(|error| {
        warn!(error = %chain(&error), "the program that answers SYNs does not load");

        "the kernel refuses the program, see the log".to_owned()
    })
}

/// The helper this kernel does not have, if there is one. A probe that fails counts as none.
fn missing_helper() -> Option<&'static str> {
    let is_there = |helper| is_helper_supported(ProgramType::Xdp, helper).unwrap_or(false);
    HELPERS.into_iter().find(|(helper, _)| !is_there(*helper)).map(|(_, name)| name)
}
