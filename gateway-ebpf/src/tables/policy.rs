//! Ports, the cache of flows, and the kernel's own sockets.

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_tuple},
    helpers::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use gateway_common::{
    maps::FlowKey,
    packet::protocol,
    verdict::{FlowTables, PolicyTables},
};

use super::KernelTables;
use crate::maps;

/// `BPF_ANY`
const ANY: u64 = 0;
/// `BPF_F_CURRENT_NETNS`: of the interface the packet came in by.
const CURRENT_NETNS: u64 = u64::MAX;

/// States of sockets (`include/net/tcp_states.h`). A connected UDP socket is established.
const ESTABLISHED: u32 = 1;
const CLOSED: u32 = 7;
const LISTEN: u32 = 10;

/// Bytes of the two forms of `struct bpf_sock_tuple`.
const TUPLE4: u32 = 12;
const TUPLE6: u32 = 36;

impl PolicyTables for KernelTables {
    #[inline(always)]
    fn ports(&self, word: u32) -> u64 {
        maps::PORTS.get(word).copied().unwrap_or(0)
    }
}

impl FlowTables for KernelTables {
    #[inline(always)]
    #[expect(unsafe_code, reason = "read of a map value")]
    fn flow(&self, key: &FlowKey) -> Option<u64> {
        let seen = maps::FLOWS.get_ptr(key)?;
        // SAFETY: the pointer came from a lookup in this program run; the word is aligned.
        Some(unsafe { seen.read_volatile() })
    }

    #[inline(always)]
    fn remember_flow(&self, key: &FlowKey, now: u64) {
        // Full is impossible for an LRU; under contention the next packet tries again.
        let _entered = maps::FLOWS.insert(key, now, ANY).is_ok();
    }

    #[inline(always)]
    fn has_socket(&self, key: &FlowKey) -> bool {
        let is_tcp = key.protocol == protocol::TCP;
        match self.state(key, is_tcp) {
            None => false,
            Some(state) if is_tcp => state != LISTEN && state != CLOSED,
            Some(state) => state == ESTABLISHED,
        }
    }
}

impl KernelTables {
    /// State of the socket that would take the packet.
    #[inline(always)]
    #[expect(unsafe_code, reason = "socket lookup")]
    fn state(&self, key: &FlowKey, is_tcp: bool) -> Option<u32> {
        let (tuple, size) = tuple(key);
        let tuple = (&raw const tuple).cast_mut().cast::<bpf_sock_tuple>();
        let context = self.context;
        let socket = if is_tcp {
            // SAFETY: `tuple` is as long as `size` says, or longer.
            unsafe { bpf_skc_lookup_tcp(context, tuple, size, CURRENT_NETNS, 0) }
        } else {
            // SAFETY: as above.
            unsafe { bpf_sk_lookup_udp(context, tuple, size, CURRENT_NETNS, 0) }
        };
        if socket.is_null() {
            return None;
        }
        let state = state_of(socket);
        // SAFETY: the lookup gave a reference, which ends here.
        let _zero = unsafe { bpf_sk_release(socket.cast()) };
        Some(state)
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "read of a socket that is held")]
fn state_of(socket: *const bpf_sock) -> u32 {
    // SAFETY: the caller holds a reference.
    let state = unsafe { &raw const (*socket).state };
    // SAFETY: the same, and the field is aligned.
    unsafe { state.read_volatile() }
}

/// The larger form of `struct bpf_sock_tuple`, in words; the smaller is its beginning.
#[inline(always)]
fn tuple(key: &FlowKey) -> ([u32; 9], u32) {
    let ports = u32::from(key.remote_port.to_be()) | u32::from(key.local_port.to_be()) << 16;
    let ([r0, r1, r2, r3], [l0, l1, l2, l3]) = (key.remote, key.local);
    if key.version == 4 {
        ([r0, l0, ports, 0, 0, 0, 0, 0, 0], TUPLE4)
    } else {
        ([r0, r1, r2, r3, l0, l1, l2, l3, ports], TUPLE6)
    }
}
