//! Tables on the heap, for tests of the rules.

use core::cell::{Cell as Slot, RefCell};
use std::{collections::HashMap, rc::Rc, vec, vec::Vec};

use crate::{
    cover::{self, Detail4, Group4, HASHED6, Place6},
    limit::{self, Cell, LEASES, Lease, Limit, RowKeys},
    maps::{
        BanKey, BanSet, BanValue, FlowKey, LimitKey, Policy, PortSet, SEEN_SHIFT, Settings,
        TailKey, port_bit, port_word,
    },
    summary::{ALLOW, position},
    syn::SynTables,
    verdict::{
        AllowTables, BanEntry, BanTables, Bitmap, BitmapTables, FlowTables, LimitTables,
        PolicyTables, Rules,
    },
};

#[derive(Clone, Default)]
pub(crate) struct TwinCell(Rc<Slot<u64>>);

impl Cell for TwinCell {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn compare_exchange(&self, current: u64, new: u64) -> u64 {
        let seen = self.0.get();
        if seen == current {
            self.0.set(new);
        }
        seen
    }
}

#[derive(Clone, Default)]
pub(crate) struct TwinSlot(Rc<Slot<Lease>>);

impl limit::Slot for TwinSlot {
    fn read(&self) -> Lease {
        self.0.get()
    }

    fn write(&self, lease: Lease) {
        self.0.set(lease);
    }
}

#[derive(Clone)]
pub(crate) struct TwinBan(Rc<Slot<BanValue>>);

impl TwinBan {
    pub(crate) fn hits(&self) -> u64 {
        self.0.get().hits
    }
}

impl BanEntry for TwinBan {
    fn expires_ns(&self) -> u64 {
        self.0.get().expires_ns
    }

    fn length(&self) -> u8 {
        self.0.get().length
    }

    fn hit(&self, now: u64) {
        let mut ban = self.0.get();
        ban.hits += 1;
        ban.last_seen = u32::try_from(now >> SEEN_SHIFT).unwrap_or(u32::MAX);
        self.0.set(ban);
    }
}

/// Prefixes of both families: length and address bits.
type Prefixes<V> = HashMap<(u32, u128), V>;

#[derive(Default)]
pub(crate) struct Twin {
    bans4: HashMap<BanKey<4>, TwinBan>,
    bans6: HashMap<BanKey<16>, TwinBan>,
    tail6: HashMap<TailKey, TwinBan>,
    summary4: HashMap<u32, Group4>,
    detail4: HashMap<u32, u64>,
    summary6: HashMap<u32, u64>,
    fine6: HashMap<u32, u64>,
    coarse6: HashMap<u32, u64>,
    /// The value is the prefix length, as in the map.
    allows: [Prefixes<u64>; 2],
    bitmaps: HashMap<(u8, u32), u64>,
    sketch: RefCell<Vec<TwinCell>>,
    /// Of each processor.
    leases: Vec<Vec<TwinSlot>>,
    /// The processor at work.
    pub(crate) processor: Slot<usize>,
    pub(crate) exact: RefCell<HashMap<LimitKey, TwinCell>>,
    insert: TwinCell,
    allow: TwinCell,
    syns: [TwinCell; 4],
    pub(crate) ports: HashMap<u32, u64>,
    pub(crate) flows: RefCell<HashMap<FlowKey, u64>>,
    /// Flows the socket table vouches for.
    pub(crate) sockets: Vec<FlowKey>,
}

const V4: usize = 0;
const V6: usize = 1;

fn bits4(address: [u8; 4]) -> u128 {
    u128::from(u32::from_be_bytes(address)) << 96
}

fn masked(address: u128, length: u32) -> u128 {
    address & u128::MAX.checked_shl(128 - length).unwrap_or(0)
}

fn longest<V: Clone>(prefixes: &Prefixes<V>, address: u128, length: u32) -> Option<V> {
    (0..=length).rev().find_map(|length| prefixes.get(&(length, masked(address, length))).cloned())
}

/// Processors of a twin.
pub(crate) const PROCESSORS: usize = 4;

impl Twin {
    pub(crate) fn new() -> Self {
        let cells = vec![0; limit::SKETCH_CELLS as usize];
        let sketch = cells.into_iter().map(|_: u64| TwinCell::default()).collect();
        let slots = || (0..LEASES).map(|_| TwinSlot::default()).collect();
        let leases = (0..PROCESSORS).map(|_| slots()).collect();
        Self { sketch: RefCell::new(sketch), leases, ..Self::default() }
    }

    fn set(&mut self, bitmap: Bitmap, bucket: u32) {
        let (word, bit) = position(bucket);
        *self.bitmaps.entry((bitmap as u8, word)).or_default() |= bit;
    }

    pub(crate) fn ban4(&mut self, address: [u8; 4], length: u8, expires_ns: u64) -> TwinBan {
        self.ban4_in(BanSet::Dynamic, address, length, expires_ns)
    }

    pub(crate) fn ban4_in(
        &mut self,
        set: BanSet,
        address: [u8; 4],
        length: u8,
        expires_ns: u64,
    ) -> TwinBan {
        let (first, count) = cover::range4(address, length);
        for bucket in first..first + count {
            let (group, bit) = cover::summary4(bucket);
            let group = self.summary4.entry(group).or_default();
            group[cover::touched4(set) as usize] |= bit;
            if let (32, Some(hosts)) = (length, cover::hosts4(set)) {
                group[hosts as usize] |= cover::host4(address);
            } else if let Some(wider) = cover::wider4(set) {
                group[wider as usize] |= bit;
            }
            let (word, shift) = cover::detail4(set, bucket);
            let word = self.detail4.entry(word).or_default();
            let detail = Detail4(u16::try_from(*word >> shift & 0xffff).unwrap());
            let detail = if length > 24 {
                Detail4(detail.0 | Detail4::inside(set, address, length))
            } else {
                detail.covered_by(length.max(u8::try_from(detail.cover()).unwrap()))
            };
            *word = *word & !(0xffff << shift) | u64::from(detail.0) << shift;
        }
        let ban = twin_ban(length, expires_ns);
        let address = masked(bits4(address), u32::from(length)).to_be_bytes();
        let key = BanKey::new(set, [address[0], address[1], address[2], address[3]], length);
        self.bans4.insert(key, ban.clone());
        ban
    }

    pub(crate) fn ban6(&mut self, address: [u8; 16], length: u8, expires_ns: u64) -> TwinBan {
        self.ban6_in(BanSet::Dynamic, address, length, expires_ns)
    }

    pub(crate) fn ban6_in(
        &mut self,
        set: BanSet,
        address: [u8; 16],
        length: u8,
        expires_ns: u64,
    ) -> TwinBan {
        let address = masked(u128::from_be_bytes(address), u32::from(length));
        let octets = address.to_be_bytes();
        match cover::place6(octets, length) {
            Place6::Fine(kind) => self.mark_fine(set, octets, length, kind),
            Place6::Coarse(kind) => self.mark_coarse(set, octets, kind),
            Place6::Wide(count) => {
                for site in 0..count {
                    let inside = (address + (u128::from(site) << 96)).to_be_bytes();
                    self.mark_coarse(set, inside, cover::Kinds6::OTHER);
                }
            }
        }
        let ban = twin_ban(length, expires_ns);
        if HASHED6.contains(&length) {
            self.bans6.insert(BanKey::new(set, octets, length), ban.clone());
        } else {
            self.tail6.insert(TailKey::new(set, octets, u32::from(length)), ban.clone());
        }
        ban
    }

    fn mark_fine(&mut self, set: BanSet, address: [u8; 16], length: u8, kind: u8) {
        let bucket = cover::fine6(address);
        mark(&mut self.fine6, set, bucket, kind);
        if let (true, Some(near)) = (cover::has_near6(length), cover::near6(set, address)) {
            let (word, shift) = cover::bucket6(bucket);
            *self.fine6.entry(word).or_default() |= u64::from(near) << shift;
        }
        let (word, bit) = cover::fine_summary6(bucket);
        *self.summary6.entry(word).or_default() |= bit;
    }

    fn mark_coarse(&mut self, set: BanSet, address: [u8; 16], kind: u8) {
        let bucket = cover::coarse6(address);
        mark(&mut self.coarse6, set, bucket, kind);
        let (word, bit) = cover::coarse_summary6(bucket);
        *self.summary6.entry(word).or_default() |= bit;
    }

    pub(crate) fn put_allow4(&mut self, address: [u8; 4], length: u8) {
        let (first, count) = ALLOW.v4_range(address, length);
        (first..first + count).for_each(|bucket| self.set(Bitmap::Allow4, bucket));
        let length = u32::from(length);
        self.allows[V4].insert((length, masked(bits4(address), length)), u64::from(length));
    }
}

impl Twin {
    pub(crate) fn put_port(&mut self, set: PortSet, port: u16) {
        *self.ports.entry(port_word(0, set, port)).or_default() |= port_bit(port);
    }
}

impl PolicyTables for Twin {
    fn ports(&self, word: u32) -> u64 {
        self.ports.get(&word).copied().unwrap_or(0)
    }
}

impl FlowTables for Twin {
    fn flow(&self, key: &FlowKey) -> Option<u64> {
        self.flows.borrow().get(key).copied()
    }

    fn remember_flow(&self, key: &FlowKey, now: u64) {
        self.flows.borrow_mut().insert(*key, now);
    }

    fn has_socket(&self, key: &FlowKey) -> bool {
        self.sockets.contains(key)
    }
}

fn twin_ban(length: u8, expires_ns: u64) -> TwinBan {
    TwinBan(Rc::new(Slot::new(BanValue { expires_ns, length, ..BanValue::default() })))
}

fn mark(table: &mut HashMap<u32, u64>, set: BanSet, bucket: u32, kind: u8) {
    let (word, shift) = cover::kinds6(set, bucket);
    *table.entry(word).or_default() |= u64::from(kind) << shift;
}

impl BitmapTables for Twin {
    fn bitmap(&self, bitmap: Bitmap, word: u32) -> u64 {
        self.bitmaps.get(&(bitmap as u8, word)).copied().unwrap_or(0)
    }
}

impl AllowTables for Twin {
    type AllowCell = TwinCell;

    fn allow4(&self, address: [u8; 4]) -> bool {
        longest(&self.allows[V4], bits4(address), 32).is_some()
    }

    fn allow6(&self, address: [u8; 16]) -> bool {
        longest(&self.allows[V6], u128::from_be_bytes(address), 128).is_some()
    }

    fn allow_cell(&self) -> Option<TwinCell> {
        Some(self.allow.clone())
    }
}

impl BanTables for Twin {
    type Ban = TwinBan;

    fn read_once(&self, word: &u32) -> u32 {
        *word
    }

    fn settled<const N: usize>(&self, address: [u8; N]) -> [u8; N] {
        address
    }

    fn ban4_summary(&self, group: u32) -> Option<&Group4> {
        self.summary4.get(&group)
    }

    fn ban4_detail(&self, word: u32) -> u64 {
        self.detail4.get(&word).copied().unwrap_or(0)
    }

    fn find4(&self, key: &BanKey<4>) -> Option<TwinBan> {
        self.bans4.get(key).cloned()
    }

    fn ban6_summary(&self, word: u32) -> u64 {
        self.summary6.get(&word).copied().unwrap_or(0)
    }

    fn ban6_fine(&self, word: u32) -> u64 {
        self.fine6.get(&word).copied().unwrap_or(0)
    }

    fn ban6_coarse(&self, word: u32) -> u64 {
        self.coarse6.get(&word).copied().unwrap_or(0)
    }

    fn find6(&self, key: &BanKey<16>) -> Option<TwinBan> {
        self.bans6.get(key).cloned()
    }

    fn find6_tail(&self, key: TailKey) -> Option<TwinBan> {
        let address = u128::from_be_bytes(key.path.address);
        let longest = key.length - TailKey::SET_BITS;
        (0..=longest).rev().find_map(|length| {
            let path = crate::maps::TailPath {
                address: masked(address, length).to_be_bytes(),
                ..key.path
            };
            self.tail6.get(&TailKey { length: TailKey::SET_BITS + length, path }).cloned()
        })
    }
}

impl LimitTables for Twin {
    type Cell = TwinCell;
    type Slot = TwinSlot;

    fn lease(&self, slot: u32) -> Option<TwinSlot> {
        self.leases.get(self.processor.get())?.get(slot as usize).cloned()
    }

    fn sketch(&self, index: u32) -> Option<TwinCell> {
        self.sketch.borrow().get(index as usize).cloned()
    }

    fn exact(&self, key: &LimitKey) -> Option<TwinCell> {
        self.exact.borrow().get(key).cloned()
    }

    fn insert_exact(&self, key: &LimitKey, tat: u64) {
        let cell = TwinCell::default();
        cell.0.set(tat);
        self.exact.borrow_mut().insert(*key, cell);
    }

    fn insert_cell(&self) -> Option<TwinCell> {
        Some(self.insert.clone())
    }
}

impl SynTables for Twin {
    type SynCell = TwinCell;

    fn syn_cell(&self, index: u32) -> Option<TwinCell> {
        self.syns.get(index as usize / 8).cloned()
    }
}

/// Settings and a policy.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) settings: Settings,
    pub(crate) policy: Policy,
}

impl Sample {
    pub(crate) const fn rules(&self) -> Rules<'_> {
        Rules { settings: &self.settings, policy: &self.policy, slot: 0 }
    }

    /// The same with another policy.
    pub(crate) fn with(self, change: impl FnOnce(&mut Policy)) -> Self {
        let mut sample = self;
        change(&mut sample.policy);
        sample
    }
}

/// Nobody reaches the limits; nothing is dropped for a finding.
pub(crate) fn sample() -> Sample {
    let policy = Policy {
        packets: Limit::new(1, 1_000_000_000),
        allow: Limit::new(1, 1_000_000_000),
        inserts: Limit::new(1_000_000, 1000),
        ..Policy::default()
    };
    let settings = Settings {
        tick_ns: 4_000_000,
        rows: [
            RowKeys {
                v4: [0xd1b5_4a32_d192_ed03, 0x8cb9_2ba7_2f3d_8dd7],
                v6: [0xabc9_8388_fb8f_ac03, 0x9fb2_1c65_1e98_df25],
            },
            RowKeys {
                v4: [0xaaaa_aaaa_5555_5557, 0xe703_7ed1_a0b4_28db],
                v6: [0x2d35_8dcc_aa6c_78a5, 0xc2b2_ae3d_27d4_eb4f],
            },
            RowKeys {
                v4: [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93],
                v6: [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53],
            },
        ],
        ..Settings::default()
    };
    Sample { settings, policy }
}
