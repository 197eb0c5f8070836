//! "A clear mark ⇒ no entry covers it", checked at every single write by a twin of the kernel.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
};

use gateway_common::{
    cover::{self, Detail4, Place6},
    maps::BanSet,
};
use ipnet::Ipv6Net;
use proptest::prelude::*;

use super::*;
use crate::guard::kernel::marks::{Cells, Counted4, Counted6, Sheet4, Sheet6};

const CAPACITY: usize = 12;

/// What the kernel would see. Every write checks the invariant.
#[derive(Debug, Default)]
struct World {
    v4: HashMap<BanKey<4>, BanValue>,
    v6: HashMap<BanKey<16>, BanValue>,
    tail: HashMap<TailKey, BanValue>,
    /// Words by table and number.
    words: HashMap<(u8, u32), u64>,
    /// Fails the write after so many.
    fuse: Option<usize>,
}

const SUMMARY: u8 = 0;
const DETAIL: u8 = 1;
const FINE: u8 = 2;
const COARSE: u8 = 3;
const SUMMARY6: u8 = 4;

impl World {
    fn word(&self, table: u8, word: u32) -> u64 {
        self.words.get(&(table, word)).copied().unwrap_or(0)
    }

    fn check(&self) {
        assert_eq!(self.missed(), HashSet::new());
    }

    /// Entries that packets are not sent to.
    fn missed(&self) -> HashSet<String> {
        let v4 = self.v4.keys().filter(|key| !self.is_met4(**key)).map(|key| format!("{key:?}"));
        let v6 = self.v6.keys().filter(|key| !self.is_met6(key.address, key.length));
        let tail = self
            .tail
            .keys()
            .filter(|key| !self.is_met6(key.path.address, u8::try_from(key.length()).unwrap()));
        v4.chain(v6.map(|key| format!("{key:?}")))
            .chain(tail.map(|key| format!("{key:?}")))
            .collect()
    }

    /// Every packet of the prefix is sent on to a look-up that finds it.
    fn is_met4(&self, key: BanKey<4>) -> bool {
        let (first, count) = cover::range4(key.address, key.length);
        (first..first + count).all(|bucket| {
            let (group, bit) = cover::summary4(bucket);
            let (word, shift) = cover::detail4(BanSet::Dynamic, bucket);
            let detail = Detail4(u16::try_from(self.word(DETAIL, word) >> shift & 0xffff).unwrap());
            let is_sent = match key.length {
                32 => detail.has_host(key.address),
                25.. => {
                    detail.lengths_inside(BanSet::Dynamic, key.address) >> (key.length - 25) & 1
                        == 1
                }
                _ => detail.cover() >= u32::from(key.length),
            };
            self.word(SUMMARY, group * cover::GROUP4_WORDS) & bit != 0 && is_sent
        })
    }

    fn is_met6(&self, address: [u8; 16], length: u8) -> bool {
        let (table, bucket, kind) = match cover::place6(address, length) {
            Place6::Fine(kind) => (FINE, cover::fine6(address), kind),
            Place6::Coarse(kind) => (COARSE, cover::coarse6(address), kind),
            Place6::Wide(_) => (COARSE, cover::coarse6(address), cover::Kinds6::OTHER),
        };
        let (sign, bit) = match table {
            FINE => cover::fine_summary6(bucket),
            _ => cover::coarse_summary6(bucket),
        };
        let (word, shift) = cover::kinds6(BanSet::Dynamic, bucket);
        let is_sent = self.word(SUMMARY6, sign) & bit != 0;
        is_sent && self.word(table, word) >> shift & u64::from(kind) != 0
    }

    fn burn(&mut self) -> Result<(), KernelError> {
        match self.fuse.as_mut() {
            Some(0) => Err(failure()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn failure() -> KernelError {
    KernelError::System { doing: "testing".to_owned(), source: std::io::ErrorKind::Other.into() }
}

#[derive(Debug, Clone, Default)]
struct Twin(Arc<Mutex<World>>);

impl Twin {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn cells(&self, table: u8) -> Arc<TwinCells> {
        Arc::new(TwinCells { twin: self.clone(), table })
    }

    fn sheet4(&self) -> Sheet4<TwinCells> {
        Sheet4 { summary: self.cells(SUMMARY), detail: self.cells(DETAIL) }
    }

    fn sheet6(&self) -> Sheet6<TwinCells> {
        Sheet6::new(self.cells(SUMMARY6), self.cells(FINE), self.cells(COARSE))
    }
}

#[derive(Debug)]
struct TwinCells {
    twin: Twin,
    table: u8,
}

impl Cells for TwinCells {
    fn get(&self, word: u32) -> u64 {
        self.twin.world().word(self.table, word)
    }

    fn change(&self, word: u32, mask: u64, bits: u64) {
        let mut seen = self.twin.world();
        let new = (seen.word(self.table, word) & !mask) | (bits & mask);
        // An entry may be there and not marked yet: it does not hold yet. But none that held may
        // be lost by a write.
        let before = seen.missed();
        seen.words.insert((self.table, word), new);
        let lost: Vec<String> = seen.missed().difference(&before).cloned().collect();
        assert!(lost.is_empty(), "lost by a write: {lost:?}");
    }
}

/// A key's own table.
trait In: Key + std::fmt::Debug {
    fn table(world: &World) -> &HashMap<Self, BanValue>;
    fn table_mut(world: &mut World) -> &mut HashMap<Self, BanValue>;
}

impl In for BanKey<4> {
    fn table(world: &World) -> &HashMap<Self, BanValue> {
        &world.v4
    }

    fn table_mut(world: &mut World) -> &mut HashMap<Self, BanValue> {
        &mut world.v4
    }
}

impl In for BanKey<16> {
    fn table(world: &World) -> &HashMap<Self, BanValue> {
        &world.v6
    }

    fn table_mut(world: &mut World) -> &mut HashMap<Self, BanValue> {
        &mut world.v6
    }
}

impl In for TailKey {
    fn table(world: &World) -> &HashMap<Self, BanValue> {
        &world.tail
    }

    fn table_mut(world: &mut World) -> &mut HashMap<Self, BanValue> {
        &mut world.tail
    }
}

impl<K: In> Entries<K, BanValue> for Twin {
    fn get(&self, key: &K) -> Result<Option<BanValue>, KernelError> {
        Ok(K::table(&self.world()).get(key).copied())
    }

    fn put(&self, key: &K, value: &BanValue) -> Result<(), KernelError> {
        let mut world = self.world();
        world.burn()?;
        K::table_mut(&mut world).insert(*key, *value);
        Ok(())
    }

    fn remove(&self, key: &K) -> Result<bool, KernelError> {
        let mut world = self.world();
        world.burn()?;
        Ok(K::table_mut(&mut world).remove(key).is_some())
    }

    fn put_all(&self, keys: &[K], values: &[BanValue]) -> (usize, Result<(), KernelError>) {
        for (done, (key, value)) in keys.iter().zip(values).enumerate() {
            if let Err(error) = self.put(key, value) {
                return (done, Err(error));
            }
        }
        (keys.len(), Ok(()))
    }

    fn remove_all(&self, keys: &[K]) -> Result<(), KernelError> {
        keys.iter().try_for_each(|key| self.remove(key).map(drop))
    }

    fn all(&self) -> Result<Vec<(K, BanValue)>, KernelError> {
        Ok(K::table(&self.world()).iter().map(|(key, value)| (*key, *value)).collect())
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }

    fn full(&self) -> KernelError {
        KernelError::Full { map: "TWIN", capacity: 12, key: "dynamic" }
    }
}

/// A few prefixes that nest and share neighbourhoods.
fn key4((site, length): (u8, u8)) -> BanKey<4> {
    let length = [19_u8, 21, 23, 24, 25, 27, 31, 32][usize::from(length % 8)];
    let address = 0x0a00_0000 | u32::from(site & 3) << 8 | u32::from(site & 0xf0);
    BanKey::new(BanSet::Dynamic, (address & (u32::MAX << (32 - length))).to_be_bytes(), length)
}

fn address6(site: u8, length: u8) -> [u8; 16] {
    let address = 0x2001_0db8 << 96 | u128::from(site & 3) << 80 | u128::from(site & 0xf0) << 68;
    (address & (u128::MAX << (128 - length))).to_be_bytes()
}

fn key6((site, length): (u8, u8)) -> BanKey<16> {
    let length = [32, 36, 48, 56, 64, 128][usize::from(length % 6)];
    BanKey::new(BanSet::Dynamic, address6(site, length), length)
}

fn tail((site, length): (u8, u8)) -> TailKey {
    let length = [23, 29, 33, 47, 49, 63][usize::from(length % 6)];
    TailKey::new(BanSet::Dynamic, address6(site, length), u32::from(length))
}

fn value<K: Key>(key: &K) -> BanValue {
    BanValue { length: u8::try_from(key.length()).unwrap(), ..BanValue::default() }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Remove(u8, u8),
    Reconcile(Vec<(u8, u8)>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<(u8, u8)>().prop_map(|(site, length)| Step::Put(site, length)),
        3 => any::<(u8, u8)>().prop_map(|(site, length)| Step::Remove(site, length)),
        1 => proptest::collection::vec(any::<(u8, u8)>(), 0..16).prop_map(Step::Reconcile),
        1 => Just(Step::Reopen),
    ]
}

fn wanted<K: Key>(make: impl Fn((u8, u8)) -> K, seeds: &[(u8, u8)]) -> HashMap<K, BanValue> {
    seeds.iter().map(|seed| make(*seed)).map(|key| (key, value(&key))).collect()
}

/// Runs the steps on one list, checking after each.
fn walk<K: In + std::fmt::Debug, M: Marks<K>>(
    steps: Vec<Step>,
    twin: &Twin,
    make: impl Fn((u8, u8)) -> K,
    fresh: impl Fn() -> M,
) {
    let (mut list, mut marks) = (List::new(twin.clone()), fresh());
    let present = || K::table(&twin.world()).clone();
    for step in steps {
        match step {
            Step::Put(site, length) => {
                let key = make((site, length));
                let (known, room) = (present().contains_key(&key), present().len() < CAPACITY);
                assert_eq!(list.put(&mut marks, &key, value(&key)).is_ok(), known || room);
            }
            Step::Remove(site, length) => {
                let key = make((site, length));
                let known = present().contains_key(&key);
                assert_eq!(list.remove::<_, BanValue, _>(&mut marks, &key).unwrap(), known);
            }
            Step::Reconcile(seeds) => {
                let (wanted, before) = (wanted(&make, &seeds), present());
                let reconciled = list.reconcile(&mut marks, wanted.clone());
                assert_eq!(reconciled.is_ok(), wanted.len() <= CAPACITY);
                let Ok(result) = reconciled else {
                    assert_eq!(present(), before);
                    continue;
                };
                assert_eq!(present(), wanted);
                assert_eq!(result.kept + result.added, wanted.len());
                assert_eq!(result.kept + result.removed, before.len());
            }
            Step::Reopen => {
                (list, marks) = (List::new(twin.clone()), fresh());
                list.recount::<K, BanValue, _>(&mut marks).unwrap();
            }
        }
        twin.world().check();
        assert_eq!(list.used(), present().len());
    }
    for key in present().into_keys() {
        list.remove::<_, BanValue, _>(&mut marks, &key).unwrap();
    }
    assert!(twin.world().words.values().all(|word| *word == 0), "a mark was left over");
}

type Seeds<'a> = &'a [(u8, u8)];

/// Breaks every write after `fuse`, then mends and goes on.
fn break_off<K: In, M: Marks<K>>(
    (before, after): (Seeds<'_>, Seeds<'_>),
    fuse: usize,
    twin: &Twin,
    make: impl Fn((u8, u8)) -> K,
    mut marks: M,
) {
    let mut list = List::new(twin.clone());
    list.reconcile(&mut marks, wanted(&make, before)).unwrap();
    twin.world().fuse = Some(fuse);
    let reconciled = list.reconcile(&mut marks, wanted(&make, after));
    twin.world().check();
    twin.world().fuse = None;
    if reconciled.is_err() {
        list.reconcile(&mut marks, wanted(&make, after)).unwrap();
    }
    twin.world().check();
    assert_eq!(K::table(&twin.world()), &wanted(&make, after));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_clear_mark_means_no_ban_at_every_step(
        steps in proptest::collection::vec(step(), 1..40), table in 0..3,
    ) {
        let twin = Twin::default();
        match table {
            0 => walk(steps, &twin, key4, || Counted4::new(twin.sheet4())),
            1 => walk(steps, &twin, key6, || Counted6::new(twin.sheet6())),
            _ => walk(steps, &twin, tail, || Counted6::new(twin.sheet6())),
        }
    }

    #[test]
    fn a_failing_map_leaves_no_ban_without_its_mark(
        before in proptest::collection::vec(any::<(u8, u8)>(), 0..6),
        after in proptest::collection::vec(any::<(u8, u8)>(), 0..6),
        fuse in 0usize..12, table in 0..3,
    ) {
        let (twin, lists) = (Twin::default(), (&*before, &*after));
        match table {
            0 => break_off(lists, fuse, &twin, key4, Counted4::new(twin.sheet4())),
            1 => break_off(lists, fuse, &twin, key6, Counted6::new(twin.sheet6())),
            _ => break_off(lists, fuse, &twin, tail, Counted6::new(twin.sheet6())),
        }
    }
}

#[test]
fn what_a_dead_guard_left_half_done_is_settled_without_a_gap() {
    let twin = Twin::default();
    let mut list = List::new(twin.clone());
    let mut marks = Counted4::new(twin.sheet4());
    let keys = wanted(key4, &[(0, 2), (1, 4), (2, 7), (3, 7)]);
    list.reconcile(&mut marks, keys.clone()).unwrap();
    // Entries went, their marks did not.
    twin.world().v4.retain(|key, _| key.length != 32);
    let mut again = Counted4::new(twin.sheet4());
    let mut list = List::new(twin.clone());
    list.recount::<BanKey<4>, BanValue, _>(&mut again).unwrap();
    again.settle();
    twin.world().check();
    for key in keys.into_keys() {
        list.remove::<_, BanValue, _>(&mut again, &key).unwrap();
    }
    assert!(twin.world().words.values().all(|word| *word == 0), "a mark was left over");
}

#[test]
fn what_another_table_may_still_have_to_cover_is_removed_last() {
    let twin = Twin::default();
    let mut list = List::new(twin.clone());
    let mut marks = Counted4::new(twin.sheet4());
    list.reconcile(&mut marks, wanted(key4, &[(1, 7)])).unwrap();
    let (result, surplus) = list.add_wanted(&mut marks, wanted(key4, &[(2, 7)])).unwrap();
    assert_eq!((result.added, result.removed), (1, 1));
    assert_eq!(twin.world().v4.len(), 2, "nothing is gone yet");
    list.remove_many::<_, BanValue, _>(&mut marks, &surplus).unwrap();
    assert_eq!(twin.world().v4, wanted(key4, &[(2, 7)]));
}

#[test]
fn a_full_list_keeps_what_it_has_and_says_which_key_to_raise() {
    let twin = Twin::default();
    let mut list = List::new(twin.clone());
    let mut marks = Counted4::new(twin.sheet4());
    let host = |last: u8| BanKey::new(BanSet::Dynamic, [192, 0, 2, last], 32);
    for last in 0..12 {
        list.put(&mut marks, &host(last), value(&host(last))).unwrap();
    }
    let refused = list.put(&mut marks, &host(12), value(&host(12))).unwrap_err();
    assert!(refused.to_string().contains("dynamic"), "{refused}");
    assert_eq!(twin.world().v4.len(), CAPACITY);
}

#[test]
fn a_replaced_ban_keeps_what_it_met() {
    let twin = Twin::default();
    let mut list = List::new(twin.clone());
    let mut marks = Counted6::new(twin.sheet6());
    let key = key6((0, 4));
    list.put(&mut marks, &key, value(&key)).unwrap();
    {
        let mut world = twin.world();
        let value = world.v6.get_mut(&key).unwrap();
        (value.hits, value.last_seen) = (7, 5);
    }
    list.put(&mut marks, &key, BanValue { expires_ns: 9, ..value(&key) }).unwrap();
    let found: BanValue = list.find(&key).unwrap().unwrap();
    assert_eq!((found.hits, found.last_seen, found.expires_ns), (7, 5, 9));
}

/// The bit of the summary is one for all sets: whoever leaves last clears it.
#[test]
fn one_generation_less_hides_no_ban_of_the_other() {
    let twin = Twin::default();
    let sheet = twin.sheet6();
    let net: Ipv6Net = "2001:db8:7:300::/56".parse().unwrap();
    let (address, length) = (net.addr().octets(), net.prefix_len());
    let (sign, bit) = cover::fine_summary6(cover::fine6(address));
    let (word, shift) = cover::bucket6(cover::fine6(address));
    let is_sent = || twin.world().word(SUMMARY6, sign) & bit != 0;
    let known = || u32::try_from(twin.world().word(FINE, word) >> shift & 0xffff_ffff).unwrap();
    for clear in [false, true] {
        sheet.mark(BanSet::BulkA, address, length);
        sheet.mark(BanSet::BulkB, address, length);
        let near = cover::near6(BanSet::BulkB, address).unwrap();
        sheet.unmark(BanSet::BulkA, address, length);
        assert!(is_sent() && known() & near != 0);
        assert_eq!(known() & (cover::all_near6(BanSet::BulkA) | 0xff00), 0);
        if clear {
            sheet.clear(BanSet::BulkB);
        } else {
            sheet.unmark(BanSet::BulkB, address, length);
        }
        assert!(!is_sent() && known() == 0);
    }
}
