//! Answers a SYN in place: the kernel looks the listener up and makes the cookie, everything else
//! is `gateway_common::syn`.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{
        bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2, xdp_md,
    },
    helpers::{bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_gen_syncookie, bpf_xdp_adjust_tail},
    macros::map,
    maps::PerCpuArray,
    programs::XdpContext,
};
use gateway_common::{
    Reason,
    limit::Cell,
    maps::{OFFER_CELL, Offer},
    packet::{Packet, PacketBytes as _},
    syn::{
        Exchange, Family, Options, Stamp, Syn, SynAck, SynTables, is_cap_free,
        request::{self, Words},
    },
    verdict::Rules,
};

use crate::{access::Frame, maps, tables::KernelTables, time};

/// `BPF_F_CURRENT_NETNS`
const CURRENT_NETNS: u64 = u64::MAX;
const NS_PER_MS: u64 = 1_000_000;
/// `TCP_LISTEN`
const LISTEN: u32 = 10;

/// Hands the packet over to the program that answers. Returns only where the loader left its slot
/// empty, for a kernel without cookies.
#[inline(always)]
#[expect(unsafe_code, reason = "helper call")]
pub(crate) fn hand_over(context: &XdpContext) {
    // SAFETY: nothing on this stack has to be dropped.
    unsafe { maps::SYN_PROGRAM.tail_call(context, 0) }
}

/// Turns the SYN into its answer; else why not, `Passed` if nobody listens.
#[inline(always)]
pub(crate) fn answer(
    context: &XdpContext,
    packet: &Packet,
    rules: &Rules<'_>,
    now: u64,
) -> Result<(), Reason> {
    let Exchange { syn, options, answer } = exchange().ok_or(Reason::SynStack)?;
    match read(context.ctx, packet.network, packet.transport, syn) {
        Err(Reason::SynStack) => return Err(Reason::SynStack),
        // What is forwarded is not ours to refuse, data or not.
        _ if maps::OWN.get_ptr(syn.own_key()).is_none() => return Err(Reason::SynStack),
        said => said?,
    }
    let cookie = cookie(context.ctx, syn, rules, now)?;
    let offer = KernelTables::new(context).syn_cell(OFFER_CELL).map_or(0, |cell| cell.load());
    compose(syn, options, answer, cookie, Offer::of(offer));
    send(context.ctx, syn, answer)
}

/// A function of its own, as the next ones are: each has a stack of its own, and gives it back.
#[inline(never)]
fn read(
    context: *mut xdp_md,
    network: usize,
    transport: usize,
    syn: &mut Syn,
) -> Result<(), Reason> {
    request::read(&Frame::new(&XdpContext::new(context)), (network, transport), syn)
}

/// Room for a SYN and its answer, not pinned: nothing in it outlives a packet.
#[map]
static EXCHANGE: PerCpuArray<Exchange> = PerCpuArray::with_max_entries(1, 0);

/// This processor's room.
#[inline(always)]
#[expect(unsafe_code, reason = "write to a per-CPU map value")]
fn exchange<'a>() -> Option<&'a mut Exchange> {
    let exchange = EXCHANGE.get_ptr_mut(0)?;
    // SAFETY: the value belongs to this CPU, and nothing else on it runs this program meanwhile.
    Some(unsafe { &mut *exchange })
}

/// The listener's cookie. Whatever the outcome, the socket is given back.
#[inline(never)]
#[expect(unsafe_code, reason = "helper calls")]
fn cookie(context: *mut xdp_md, syn: &Syn, rules: &Rules<'_>, now: u64) -> Result<u32, Reason> {
    let (mut tuple, size) = tuple(syn);
    // SAFETY: the context is this run's, and the tuple is as long as said.
    let socket =
        unsafe { bpf_skc_lookup_tcp(context.cast(), &raw mut tuple, size, CURRENT_NETNS, 0) };
    if socket.is_null() {
        return Err(Reason::Passed);
    }
    // SAFETY: not null, and held until it is released.
    let state = unsafe { &raw const (*socket).state };
    // SAFETY: the same; the verifier turns it into a load of the socket's state.
    let made = if unsafe { state.read_volatile() } != LISTEN {
        // The connection exists or is just over: the stack knows what this SYN means.
        Err(Reason::SynStack)
    } else if is_cap_free(rules, &KernelTables::new(&XdpContext::new(context)), now) {
        made_by(socket.cast(), syn)
    } else {
        Err(Reason::SynCap)
    };
    // SAFETY: it was looked up above, and is not used after.
    unsafe { bpf_sk_release(socket.cast()) };
    made
}

/// Asks the kernel, which notes on the listener, or its group, that cookies were given out.
#[inline(always)]
#[expect(unsafe_code, reason = "helper call")]
fn made_by(socket: *mut c_void, syn: &Syn) -> Result<u32, Reason> {
    let ip = syn.ip.as_ptr().cast_mut().cast();
    let tcp = syn.tcp.as_ptr().cast_mut().cast();
    let ip_length = syn.ip_length() as u32;
    // It is 20 to 60 already, which the verifier cannot see of a word in a map.
    let tcp_length = (syn.tcp_length() as u32 & 0x3c).max(20);
    // SAFETY: the socket is held by the caller; the helper reads both headers, which have the room
    // said, and writes neither.
    let made = unsafe { bpf_tcp_gen_syncookie(socket, ip, ip_length, tcp, tcp_length) };
    // The upper half is the class of the client's segment size, which is in the cookie too.
    if made < 0 { Err(Reason::SynStack) } else { Ok(made as u32) }
}

#[inline(always)]
fn tuple(syn: &Syn) -> (bpf_sock_tuple, u32) {
    let (sport, dport) = syn.ports();
    let (sport, dport) = (u16::from_ne_bytes(sport), u16::from_ne_bytes(dport));
    let (saddr, daddr) = (native(&syn.source), native(&syn.destination));
    let ([saddr0, ..], [daddr0, ..]) = (saddr, daddr);
    let anonymous = match syn.family() {
        Family::V4 => bpf_sock_tuple__bindgen_ty_1 {
            ipv4: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: saddr0,
                daddr: daddr0,
                sport,
                dport,
            },
        },
        Family::V6 => bpf_sock_tuple__bindgen_ty_1 {
            ipv6: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 { saddr, daddr, sport, dport },
        },
    };
    let size = match syn.family() {
        Family::V4 => size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>(),
        Family::V6 => size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2>(),
    };
    (bpf_sock_tuple { __bindgen_anon_1: anonymous }, size as u32)
}

/// The kernel's words keep network order.
#[inline(always)]
fn native(words: &Words<4>) -> [u32; 4] {
    words.map(u32::from_ne_bytes)
}

#[inline(never)]
fn compose(syn: &Syn, options: &mut Options, answer: &mut SynAck, cookie: u32, offer: Offer) {
    let mss = match syn.family() {
        Family::V4 => offer.mss4,
        Family::V6 => offer.mss6,
    };
    let stamp = offer.scale.and_then(|scale| {
        options.read(syn);
        Stamp::answering(options, scale, time::monotonic() / NS_PER_MS)
    });
    answer.answer(syn, cookie, mss, stamp.as_ref());
}

/// Writes the answer over the SYN. A frame that cannot be made long enough is left as it was.
#[inline(never)]
#[expect(unsafe_code, reason = "helper call")]
fn send(context: *mut xdp_md, syn: &Syn, answer: &SynAck) -> Result<(), Reason> {
    let length = Frame::new(&XdpContext::new(context)).length();
    let change = answer.frame_length(syn, length) as i32 - length as i32;
    // SAFETY: the context is this run's; no pointer into the frame is used after.
    if change != 0 && unsafe { bpf_xdp_adjust_tail(context, change) } != 0 {
        return Err(Reason::SynStack);
    }
    let mut frame = Frame::new(&XdpContext::new(context));
    if answer.write(syn, &mut frame) { Ok(()) } else { Err(Reason::SynStack) }
}
