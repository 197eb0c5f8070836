//! What this host sends: enters the flows whose answers nothing else vouches for. Passes everything.

use aya_ebpf::programs::TcContext;
use gateway_common::{
    packet::{self, PacketBytes},
    verdict::{self, Rules},
};

use crate::{
    access::{Frame, pinned},
    maps, scratch,
    tables::KernelTables,
    time,
};

/// A packet on its way out: the headers are in one piece, what they carry may not be.
struct Outgoing {
    headers: Frame,
    length: usize,
}

impl PacketBytes for Outgoing {
    #[inline(always)]
    fn length(&self) -> usize {
        self.length
    }

    #[inline(always)]
    fn settle(&self) {
        self.headers.settle();
    }

    // Offsets go through one register: the compiler would fold two checks of sums into one of the
    // summand, signed, from which the verifier of Linux 6.1 does not learn that it is positive.
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.headers.read(pinned(offset))
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        self.headers.words(pinned(offset))
    }
}

#[inline(always)]
pub(crate) fn depart(context: &TcContext) {
    let Some(settings) = maps::SETTINGS.get(0) else { return };
    let now = time::now(settings);
    let slot = settings.policy_slot(now);
    let Some(policy) = maps::POLICIES.get(slot) else { return };
    let rules = Rules { settings, policy, slot };
    let length = context.len() as usize;
    let headers = Frame::between(context.data(), context.data_end());
    let frame = Outgoing { headers, length };
    let Some(desk) = scratch::desk(scratch::EGRESS) else { return };
    scratch::clear(&mut desk.packet);
    packet::parse_into(&frame, &mut desk.packet);
    verdict::depart(&desk.packet, &rules, &KernelTables::new(context), now);
}
