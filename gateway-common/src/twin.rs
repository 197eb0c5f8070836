//! Tables on the heap, for tests of the rules.

use core::cell::{Cell as Slot, RefCell};
use std::{collections::HashMap, rc::Rc, vec, vec::Vec};

use crate::{
    limit::{self, Cell, Limit, RowKeys},
    maps::{BanValue, LimitKey, Policy, Settings},
    summary::{ALLOW, BAN, position},
    syn::SynTables,
    verdict::{AllowTables, BanEntry, BanTables, Bitmap, BitmapTables, LimitTables, Rules},
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

    fn hit(&self) {
        let mut ban = self.0.get();
        ban.hits += 1;
        self.0.set(ban);
    }
}

/// Prefixes of both families: length and address bits.
type Prefixes<V> = HashMap<(u32, u128), V>;

#[derive(Default)]
pub(crate) struct Twin {
    bans: [Prefixes<TwinBan>; 2],
    /// The value is the prefix length, as in the map.
    allows: [Prefixes<u64>; 2],
    bitmaps: HashMap<(u8, u32), u64>,
    sketch: RefCell<Vec<TwinCell>>,
    pub(crate) exact: RefCell<HashMap<LimitKey, TwinCell>>,
    insert: TwinCell,
    allow: TwinCell,
    syns: [TwinCell; 4],
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

impl Twin {
    pub(crate) fn new() -> Self {
        let cells = vec![0; (limit::ROWS << limit::ROW_LOG) as usize];
        let sketch = cells.into_iter().map(|_: u64| TwinCell::default()).collect();
        Self { sketch: RefCell::new(sketch), ..Self::default() }
    }

    fn set(&mut self, bitmap: Bitmap, bucket: u32) {
        let (word, bit) = position(bucket);
        *self.bitmaps.entry((bitmap as u8, word)).or_default() |= bit;
    }

    pub(crate) fn ban4(&mut self, address: [u8; 4], length: u8, expires_ns: u64) -> TwinBan {
        let (first, count) = BAN.v4_range(address, length);
        (first..first + count).for_each(|bucket| self.set(Bitmap::Ban4, bucket));
        self.ban(V4, bits4(address), length, expires_ns)
    }

    pub(crate) fn ban6(&mut self, address: [u8; 16], length: u8, expires_ns: u64) -> TwinBan {
        self.set(Bitmap::Ban6, BAN.v6_bucket(address));
        self.ban(V6, u128::from_be_bytes(address), length, expires_ns)
    }

    fn ban(&mut self, family: usize, address: u128, length: u8, expires_ns: u64) -> TwinBan {
        let value = BanValue { expires_ns, length, ..BanValue::default() };
        let ban = TwinBan(Rc::new(Slot::new(value)));
        let length = u32::from(length);
        self.bans[family].insert((length, masked(address, length)), ban.clone());
        ban
    }

    pub(crate) fn put_allow4(&mut self, address: [u8; 4], length: u8) {
        let (first, count) = ALLOW.v4_range(address, length);
        (first..first + count).for_each(|bucket| self.set(Bitmap::Allow4, bucket));
        let length = u32::from(length);
        self.allows[V4].insert((length, masked(bits4(address), length)), u64::from(length));
    }
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

    fn ban4_host(&self, address: [u8; 4]) -> Option<TwinBan> {
        self.bans[V4].get(&(32, bits4(address))).cloned()
    }

    fn ban6_host(&self, address: [u8; 16]) -> Option<TwinBan> {
        self.bans[V6].get(&(128, u128::from_be_bytes(address))).cloned()
    }

    fn ban4_prefix(&self, address: [u8; 4], length: u32) -> Option<TwinBan> {
        longest(&self.bans[V4], bits4(address), length)
    }

    fn ban6_prefix(&self, address: [u8; 16], length: u32) -> Option<TwinBan> {
        longest(&self.bans[V6], u128::from_be_bytes(address), length)
    }
}

impl LimitTables for Twin {
    type Cell = TwinCell;

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
        Rules { settings: &self.settings, policy: &self.policy }
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
        ],
        ..Settings::default()
    };
    Sample { settings, policy }
}
