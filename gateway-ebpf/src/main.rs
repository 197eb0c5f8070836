//! The XDP program: reads the packet, asks `gateway_common::verdict`, counts, returns; and the
//! small one that sees what this host sends.
//! No rule lives here.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "helpers take and give words of other widths; what is in them fits"
)]
#![allow(
    clippy::inline_always,
    clippy::needless_pass_by_value,
    reason = "the verifier judges each function that is left over by itself; entry points take the context by value"
)]

mod access;
mod atomic;
mod counters;
mod egress;
mod events;
mod maps;
mod scratch;
mod syn;
mod tables;
mod time;

use aya_ebpf::{
    bindings::xdp_action,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use aya_log_ebpf::debug;
use gateway_common::{
    Reason,
    maps::{LAYOUT_VERSION, Settings},
    packet::{self, Packet, PacketBytes as _},
    syn as cookies,
    verdict::{self, Action, Rules, Verdict},
};

use crate::{access::Frame, tables::KernelTables};

const TC_ACT_UNSPEC: i32 = -1;

/// The filter.
#[xdp]
#[inline(always)]
fn gateway(context: XdpContext) -> u32 {
    // An array always has its entries; without settings there is no rule to drop by.
    let Some(settings) = maps::SETTINGS.get(0) else { return xdp_action::XDP_PASS };
    let frame = Frame::new(&context);
    let now = time::now(settings);
    let slot = settings.policy_slot(now);
    let Some(policy) = maps::POLICIES.get(slot) else { return xdp_action::XDP_PASS };
    let rules = Rules { settings, policy, slot };
    let Some(desk) = scratch::desk(scratch::INGRESS) else { return xdp_action::XDP_PASS };
    let mut verdict = verdict::judge(&frame, desk, &rules, &KernelTables::new(&context), now);
    if verdict.action == Action::Transmit {
        syn::hand_over(&context);
        verdict = cookies::unanswered(Reason::SynStack, &rules);
    }
    finish(&context, (&desk.packet, frame.length()), &verdict, settings, now)
}

/// Answers the SYN that the filter handed over. A program of its own: the verifier gives both half
/// a kilobyte of stack, and a kernel without cookies need not load this one. It reads the packet
/// anew: the filter before it may be that of an earlier gateway, whose desk is another.
#[xdp]
fn syn_cookies(context: XdpContext) -> u32 {
    let Some(settings) = maps::SETTINGS.get(0) else { return xdp_action::XDP_PASS };
    let now = time::now(settings);
    let slot = settings.policy_slot(now);
    let Some(policy) = maps::POLICIES.get(slot) else { return xdp_action::XDP_PASS };
    let rules = Rules { settings, policy, slot };
    let Some(desk) = scratch::desk(scratch::INGRESS) else { return xdp_action::XDP_PASS };
    let frame = Frame::new(&context);
    let length = frame.length();
    packet::read_into(&frame, &mut desk.packet);
    let verdict = match syn::answer(&context, &desk.packet, &rules, now) {
        Ok(()) => cookies::answered(),
        Err(reason) => cookies::unanswered(reason, &rules),
    };
    finish(&context, (&desk.packet, length), &verdict, settings, now)
}

/// Counts, reports, and tells the kernel. The frame may be another by now: its length is that of
/// what came.
#[inline(always)]
fn finish(
    context: &XdpContext,
    (packet, length): (&Packet, usize),
    verdict: &Verdict,
    settings: &Settings,
    now: u64,
) -> u32 {
    counters::count(context, length, verdict, settings);
    let action = match verdict.action {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Transmit => xdp_action::XDP_TX,
    };
    if verdict.shadow || action == xdp_action::XDP_DROP {
        events::report(context, packet, verdict, settings, now);
    }
    action
}

/// On the way out of the same interfaces. Decides nothing: `TC_ACT_UNSPEC`, which is also
/// `TCX_NEXT`, leaves the packet to whoever comes next.
#[classifier]
fn gateway_egress(context: TcContext) -> i32 {
    egress::depart(&context);
    TC_ACT_UNSPEC
}

/// Reads both clocks: run by the loader, never attached.
#[xdp]
fn clocks(_context: XdpContext) -> u32 {
    time::publish();
    xdp_action::XDP_PASS
}

/// Tells the operator's debug log what runs: once a load, never attached, never per packet.
#[xdp]
fn hello(context: XdpContext) -> u32 {
    let (jiffies, monotonic_ns) = time::both();
    debug!(
        &context,
        "map layout {} in the kernel; jiffies {} at {} ns", LAYOUT_VERSION, jiffies, monotonic_ns
    );
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lends some helpers to GPL-compatible programs only.
#[expect(unsafe_code, reason = "the section the loader reads the licence from")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
