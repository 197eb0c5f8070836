//! "Bit clear ⇒ no entry covers it", checked at every single write by a twin of the kernel.

use std::{cell::RefCell, rc::Rc};

use gateway_common::summary::{BAN, position};
use proptest::prelude::*;

use super::*;

const CAPACITY: usize = 12;

/// What the kernel would see. Every write checks the invariant.
#[derive(Default)]
struct World {
    entries: HashMap<PrefixKey<16>, BanValue>,
    bits: HashMap<u32, u64>,
    wide: bool,
    /// Fails the write after so many.
    fuse: Option<usize>,
}

impl World {
    fn check(&self) {
        for key in self.entries.keys() {
            match key.coverage(BAN) {
                Coverage::Wide => assert!(self.wide, "{key:?} is wide, the flag is clear"),
                Coverage::Buckets { first, .. } => {
                    let (word, bit) = position(first);
                    let word = self.bits.get(&word).copied().unwrap_or(0);
                    assert!(word & bit != 0, "{key:?} is there, its bit is clear");
                }
            }
        }
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

#[derive(Clone, Default)]
struct Twin(Rc<RefCell<World>>);

impl Entries<PrefixKey<16>, BanValue> for Twin {
    fn get(&self, key: &PrefixKey<16>) -> Result<Option<BanValue>, KernelError> {
        Ok(self.0.borrow().entries.get(key).copied())
    }

    // The entry is there before its bit: between the two the ban does not hold yet, which is why
    // the invariant is checked at the words, and after each operation.
    fn put(&mut self, key: &PrefixKey<16>, value: &BanValue) -> Result<(), KernelError> {
        let mut world = self.0.borrow_mut();
        world.burn()?;
        world.entries.insert(*key, *value);
        Ok(())
    }

    fn remove(&mut self, key: &PrefixKey<16>) -> Result<bool, KernelError> {
        let mut world = self.0.borrow_mut();
        world.burn()?;
        Ok(world.entries.remove(key).is_some())
    }

    fn put_all(
        &mut self,
        keys: &[PrefixKey<16>],
        values: &[BanValue],
    ) -> (usize, Result<(), KernelError>) {
        for (done, (key, value)) in keys.iter().zip(values).enumerate() {
            if let Err(error) = self.put(key, value) {
                return (done, Err(error));
            }
        }
        (keys.len(), Ok(()))
    }

    fn remove_all(&mut self, keys: &[PrefixKey<16>]) -> Result<(), KernelError> {
        keys.iter().try_for_each(|key| self.remove(key).map(drop))
    }

    fn all(&self) -> Result<Vec<(PrefixKey<16>, BanValue)>, KernelError> {
        Ok(self.0.borrow().entries.iter().map(|(key, value)| (*key, *value)).collect())
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }

    fn full(&self) -> KernelError {
        KernelError::Full { map: "TWIN", capacity: 12, key: "prefixes" }
    }
}

impl Words for Twin {
    fn write(&mut self, indexes: &[u32], words: &[u64]) -> Result<(), KernelError> {
        let mut world = self.0.borrow_mut();
        let clears = indexes
            .iter()
            .zip(words)
            .any(|(index, word)| world.bits.get(index).copied().unwrap_or(0) & !word != 0);
        world.bits.extend(indexes.iter().copied().zip(words.iter().copied()));
        // A write that clears bits must find their entries gone.
        if clears {
            world.check();
        }
        Ok(())
    }

    fn write_wide(&mut self, wide: bool) -> Result<(), KernelError> {
        let mut world = self.0.borrow_mut();
        world.wide = wide;
        if !wide {
            world.check();
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Remove(u8, u8),
    Reconcile(Vec<(u8, u8)>),
    Reopen,
}

/// A few prefixes that nest and share neighbourhoods.
fn key(site: u8, length: u8) -> PrefixKey<16> {
    let length = [20, 32, 47, 48, 49, 56, 64][usize::from(length % 7)];
    let mut address = [0; 16];
    address[0] = 0x20;
    address[5] = site % 4;
    address[6] = if length > 48 { site & 0x80 } else { 0 };
    let mask = u128::MAX << (128 - length);
    let address = (u128::from_be_bytes(address) & mask).to_be_bytes();
    PrefixKey { length, address }
}

fn value(key: &PrefixKey<16>) -> BanValue {
    BanValue { length: u8::try_from(key.length).unwrap(), ..BanValue::default() }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<(u8, u8)>().prop_map(|(site, length)| Step::Put(site, length)),
        3 => any::<(u8, u8)>().prop_map(|(site, length)| Step::Remove(site, length)),
        1 => proptest::collection::vec(any::<(u8, u8)>(), 0..16).prop_map(Step::Reconcile),
        1 => Just(Step::Reopen),
    ]
}

fn wanted(keys: &[(u8, u8)]) -> HashMap<PrefixKey<16>, BanValue> {
    keys.iter().map(|(site, length)| key(*site, *length)).map(|key| (key, value(&key))).collect()
}

proptest! {
    // Reopening writes 65,536 words.
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_clear_bit_means_no_ban_at_every_step(steps in proptest::collection::vec(step(), 1..60)) {
        let twin = Twin::default();
        let fresh = || Counted::new(BAN, BAN.v6_words(), twin.clone());
        let (mut list, mut summary) = (List::new(twin.clone()), fresh());
        for step in steps {
            match step {
                Step::Put(site, length) => {
                    let key = key(site, length);
                    let known = twin.0.borrow().entries.contains_key(&key);
                    let room = twin.0.borrow().entries.len() < CAPACITY;
                    let put = list.put(&mut summary, &key, value(&key));
                    prop_assert_eq!(put.is_ok(), known || room);
                }
                Step::Remove(site, length) => {
                    let key = key(site, length);
                    let known = twin.0.borrow().entries.contains_key(&key);
                    let removed = list.remove::<_, BanValue, _>(&mut summary, &key).unwrap();
                    prop_assert_eq!(removed, known);
                }
                Step::Reconcile(keys) => {
                    let wanted = wanted(&keys);
                    let before = twin.0.borrow().entries.clone();
                    let fits = wanted.len() <= CAPACITY;
                    let reconciled = list.reconcile(&mut summary, wanted.clone());
                    prop_assert_eq!(reconciled.is_ok(), fits);
                    let Ok(result) = reconciled else {
                        prop_assert_eq!(&twin.0.borrow().entries, &before);
                        continue;
                    };
                    prop_assert_eq!(&twin.0.borrow().entries, &wanted);
                    prop_assert_eq!(result.kept + result.added, wanted.len());
                    prop_assert_eq!(result.kept + result.removed, before.len());
                }
                Step::Reopen => {
                    (list, summary) = (List::new(twin.clone()), fresh());
                    list.recount::<PrefixKey<16>, BanValue, _>(&mut summary).unwrap();
                    summary.flush_all().unwrap();
                }
            }
            twin.0.borrow().check();
            prop_assert_eq!(list.used(), twin.0.borrow().entries.len());
        }
        let all: Vec<_> = twin.0.borrow().entries.keys().copied().collect();
        for key in all {
            list.remove::<_, BanValue, _>(&mut summary, &key).unwrap();
        }
        prop_assert!(twin.0.borrow().bits.values().all(|word| *word == 0), "a bit was left over");
        prop_assert!(!twin.0.borrow().wide);
    }

    #[test]
    fn a_failing_map_leaves_no_ban_without_its_bit(
        before in proptest::collection::vec(any::<(u8, u8)>(), 0..6),
        after in proptest::collection::vec(any::<(u8, u8)>(), 0..6),
        fuse in 0usize..12,
    ) {
        let twin = Twin::default();
        let mut list = List::new(twin.clone());
        let mut summary = Counted::new(BAN, BAN.v6_words(), twin.clone());
        list.reconcile(&mut summary, wanted(&before)).unwrap();
        twin.0.borrow_mut().fuse = Some(fuse);
        let reconciled = list.reconcile(&mut summary, wanted(&after));
        twin.0.borrow().check();
        twin.0.borrow_mut().fuse = None;
        if reconciled.is_err() {
            list.reconcile(&mut summary, wanted(&after)).unwrap();
        }
        twin.0.borrow().check();
        prop_assert_eq!(&twin.0.borrow().entries, &wanted(&after));
    }
}

#[test]
fn what_another_table_may_still_have_to_cover_is_removed_last() {
    let twin = Twin::default();
    let mut list = List::new(twin.clone());
    let mut summary = Counted::new(BAN, BAN.v6_words(), twin.clone());
    list.reconcile(&mut summary, wanted(&[(1, 6)])).unwrap();
    let (result, surplus) = list.add_wanted(&mut summary, wanted(&[(2, 6)])).unwrap();
    assert_eq!((result.added, result.removed), (1, 1));
    assert_eq!(twin.0.borrow().entries.len(), 2, "nothing is gone yet");
    list.remove_many::<_, BanValue, _>(&mut summary, &surplus).unwrap();
    assert_eq!(twin.0.borrow().entries, wanted(&[(2, 6)]));
}

#[test]
fn a_full_list_keeps_what_it_has_and_says_which_key_to_raise() {
    let twin = Twin::default();
    let mut list = List::new(twin.clone());
    let mut summary = Counted::new(BAN, BAN.v6_words(), twin.clone());
    for length in 48..60 {
        let key = PrefixKey { length, address: [0; 16] };
        list.put(&mut summary, &key, value(&key)).unwrap();
    }
    let one_more = PrefixKey { length: 64, address: [0; 16] };
    let refused = list.put(&mut summary, &one_more, value(&one_more)).unwrap_err();
    assert!(refused.to_string().contains("prefixes"), "{refused}");
    assert_eq!(twin.0.borrow().entries.len(), CAPACITY);
}

#[test]
fn a_replaced_ban_keeps_its_hits() {
    let twin = Twin::default();
    let mut list = List::new(twin.clone());
    let mut summary = Counted::new(BAN, BAN.v6_words(), twin.clone());
    let key = PrefixKey { length: 64, address: [0; 16] };
    list.put(&mut summary, &key, value(&key)).unwrap();
    twin.0.borrow_mut().entries.get_mut(&key).unwrap().hits = 7;
    list.put(&mut summary, &key, BanValue { expires_ns: 9, ..value(&key) }).unwrap();
    let found: BanValue = list.find(&key).unwrap().unwrap();
    assert_eq!((found.hits, found.expires_ns), (7, 9));
}
