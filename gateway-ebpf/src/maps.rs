//! The map statics. Capacities are the loader's to override; names and shapes are those of
//! `gateway_common::maps::SHAPES`, which the loader checks.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
};
use gateway_common::{
    cover::{self, Group4},
    limit::{self, Lease},
    maps::{
        BanKey, BanValue, CELL_WORDS, COOKIE_WORDS, COUNTER_ENTRIES, Clocks, Count, EVENT_BYTES,
        EventTokens, FlowKey, INTERFACE_INDEXES, LimitKey, MMAPABLE, NO_PREALLOC, OWN_ADDRESSES,
        POLICY_SLOTS, PORT_WORDS, Policy, REASONS, Settings, TailPath,
    },
    summary::ALLOW,
};

#[map]
pub(crate) static SETTINGS: Array<Settings> = Array::pinned(1, 0);
#[map]
pub(crate) static POLICIES: Array<Policy> = Array::pinned(POLICY_SLOTS, 0);
#[map]
pub(crate) static BAN4_SUMMARY: Array<Group4> = Array::pinned(cover::SUMMARY4_GROUPS, MMAPABLE);
#[map]
pub(crate) static BAN4_DETAIL: Array<u64> = Array::pinned(cover::DETAIL4_WORDS, MMAPABLE);
#[map]
pub(crate) static BAN6_SUMMARY: Array<u64> = Array::pinned(cover::SUMMARY6_WORDS, MMAPABLE);
#[map]
pub(crate) static BAN6_FINE: Array<u64> = Array::pinned(1 << (cover::FINE6_LOG - 1), MMAPABLE);
#[map]
pub(crate) static BAN6_COARSE: Array<u64> = Array::pinned(1 << (cover::COARSE6_LOG - 1), MMAPABLE);
#[map]
pub(crate) static BAN4: HashMap<BanKey<4>, BanValue> = HashMap::pinned(1, 0);
#[map]
pub(crate) static BAN6: HashMap<BanKey<16>, BanValue> = HashMap::pinned(1, 0);
#[map]
pub(crate) static BAN6_TAIL: LpmTrie<TailPath, BanValue> = LpmTrie::pinned(1, NO_PREALLOC);
#[map]
pub(crate) static ALLOW4_SUMMARY: Array<u64> = Array::pinned(ALLOW.v4_words(), 0);
#[map]
pub(crate) static ALLOW6_SUMMARY: Array<u64> = Array::pinned(ALLOW.v6_words(), 0);
#[map]
pub(crate) static ALLOW4: LpmTrie<[u8; 4], u64> = LpmTrie::pinned(1, NO_PREALLOC);
#[map]
pub(crate) static ALLOW6: LpmTrie<[u8; 16], u64> = LpmTrie::pinned(1, NO_PREALLOC);
#[map]
pub(crate) static SKETCH: Array<u64> = Array::pinned(limit::SKETCH_CELLS, 0);
#[map]
pub(crate) static LEASES: PerCpuArray<Lease> = PerCpuArray::pinned(limit::LEASES, 0);
#[map]
pub(crate) static EXACT: LruHashMap<LimitKey, u64> = LruHashMap::pinned(1, 0);
#[map]
pub(crate) static CELLS: Array<u64> = Array::pinned(CELL_WORDS, 0);
#[map]
pub(crate) static COOKIES: Array<u64> = Array::pinned(COOKIE_WORDS, 0);
#[map]
pub(crate) static OWN: HashMap<[u8; 16], u64> = HashMap::pinned(OWN_ADDRESSES, 0);
#[map]
pub(crate) static SYN_PROGRAM: ProgramArray = ProgramArray::pinned(1, 0);
#[map]
pub(crate) static PORTS: Array<u64> = Array::pinned(POLICY_SLOTS * PORT_WORDS, 0);
#[map]
pub(crate) static FLOWS: LruHashMap<FlowKey, u64> = LruHashMap::pinned(1, 0);
#[map]
pub(crate) static INTERFACES: Array<u32> = Array::pinned(INTERFACE_INDEXES, 0);
#[map]
pub(crate) static COUNTERS: PerCpuArray<Count> = PerCpuArray::pinned(COUNTER_ENTRIES, 0);
#[map]
pub(crate) static EVENT_TOKENS: PerCpuArray<EventTokens> = PerCpuArray::pinned(REASONS, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::pinned(EVENT_BYTES, 0);
#[map]
pub(crate) static CLOCKS: Array<Clocks> = Array::pinned(1, 0);
