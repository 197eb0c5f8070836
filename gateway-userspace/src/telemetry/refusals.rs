//! The last refused requests, for `gateway why`: bounded in all and for each address.
//!
//! One address keeps at most [`PER_ADDRESS`], so that a flood from it does not wipe out what is
//! known of the others. Requests that were served are not remembered: the access log has them.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gateway_common::Reason;
use serde_json::{Value, json};

use super::{Metrics, RequestRecord, line::Line};

/// Requests remembered, in all.
const CAPACITY: usize = 4096;

/// Requests remembered of one address: as many as an answer over ipc has room for.
const PER_ADDRESS: usize = 16;

/// Shared by all workers. Only refusals take its lock, and only to move one entry in.
pub struct RefusalMemory {
    metrics: Arc<Metrics>,
    ring: Arc<Mutex<Ring>>,
}

/// A refused request: its access log line, and what it is found by.
struct Entry {
    address: IpAddr,
    request_id: Box<str>,
    reason: Reason,
    line: Box<[u8]>,
}

/// Slots that fill up and are then taken over in turn.
struct Ring {
    slots: Vec<Entry>,
    capacity: usize,
    /// The slot that is taken over next, once all are filled.
    next: usize,
    /// Slots of each address, oldest first.
    owned: HashMap<IpAddr, VecDeque<usize>>,
}

impl RefusalMemory {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self::with_capacity(metrics, CAPACITY)
    }

    fn with_capacity(metrics: Arc<Metrics>, capacity: usize) -> Self {
        let ring = Ring { slots: Vec::new(), capacity, next: 0, owned: HashMap::new() };
        Self { metrics, ring: Arc::new(Mutex::new(ring)) }
    }

    /// The same memory for requests of another configuration.
    pub fn with_names(&self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ring: Arc::clone(&self.ring) }
    }

    /// Remembers the request if it was refused.
    pub fn remember(&self, record: &RequestRecord<'_>) {
        let Some(reason) = record.reason else { return };
        let entry = Entry {
            address: record.peer.to_canonical(),
            request_id: record.request_id.into(),
            reason,
            line: Line::new(record, &self.metrics).to_bytes().into(),
        };
        self.ring().put(entry);
    }

    /// Refused requests of an address, latest first. An IPv6 address is taken exactly.
    pub fn by_address(&self, address: IpAddr) -> Vec<Value> {
        let ring = self.ring();
        let slots = ring.owned.get(&address.to_canonical());
        let newest_first = slots.into_iter().flat_map(|slots| slots.iter().rev());
        newest_first.filter_map(|slot| ring.slots.get(*slot)).map(Entry::to_json).collect()
    }

    /// The refused request with this id; `None` if it was served or is forgotten.
    pub fn by_request(&self, request_id: &str) -> Option<Value> {
        let ring = self.ring();
        let found = ring.slots.iter().find(|entry| *entry.request_id == *request_id);
        found.map(Entry::to_json)
    }

    /// What `gateway why` shows for a request id, known or not.
    pub fn explain_request(&self, request_id: &str) -> Value {
        self.by_request(request_id).unwrap_or_else(|| {
            json!({
                "remembered": false,
                "note": format!(
                    "no refused request of this id among the last {CAPACITY} (at most \
                     {PER_ADDRESS} of one address): it was served, is older, or was never here; \
                     the access log tells"
                ),
            })
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RefusalMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusalMemory").finish_non_exhaustive()
    }
}

impl Entry {
    /// The access log line with what the reason's table says about it.
    fn to_json(&self) -> Value {
        let mut value: Value = serde_json::from_slice(&self.line).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            let info = self.reason.info();
            fields.insert("remembered".to_owned(), true.into());
            fields.insert("title".to_owned(), info.title.into());
            fields.insert("strike".to_owned(), info.strike.into());
        }
        value
    }
}

impl Ring {
    fn put(&mut self, entry: Entry) {
        let slot = self.free_slot(&entry.address);
        self.owned.entry(entry.address).or_default().push_back(slot);
        match self.slots.get_mut(slot) {
            Some(old) => *old = entry,
            None => self.slots.push(entry),
        }
    }

    /// A slot that nobody owns: the address's own oldest if it has its share, else a new one, else
    /// the next in turn.
    fn free_slot(&mut self, address: &IpAddr) -> usize {
        if let Some(slots) = self.owned.get_mut(address).filter(|slots| slots.len() >= PER_ADDRESS)
            && let Some(oldest) = slots.pop_front()
        {
            return oldest;
        }
        if self.slots.len() < self.capacity {
            return self.slots.len();
        }
        let slot = self.next;
        self.next = (slot + 1) % self.capacity.max(1);
        self.disown(slot);
        slot
    }

    fn disown(&mut self, slot: usize) {
        let Some(owner) = self.slots.get(slot).map(|entry| entry.address) else { return };
        let Some(slots) = self.owned.get_mut(&owner) else { return };
        slots.retain(|owned| *owned != slot);
        if slots.is_empty() {
            self.owned.remove(&owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::testing::{config, record};

    fn memory(capacity: usize) -> RefusalMemory {
        RefusalMemory::with_capacity(Metrics::new(&config()), capacity)
    }

    fn refuse(memory: &RefusalMemory, address: &str, id: &str) {
        let mut record = record();
        record.peer = address.parse().unwrap();
        record.request_id = id;
        record.reason = Some(Reason::ClientLimit);
        memory.remember(&record);
    }

    fn ids(memory: &RefusalMemory, address: &str) -> Vec<String> {
        let entries = memory.by_address(address.parse().unwrap());
        entries.iter().map(|entry| entry["request_id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn refusals_are_found_by_address_latest_first_and_by_id() {
        let memory = memory(64);
        refuse(&memory, "192.0.2.1", "a");
        refuse(&memory, "192.0.2.2", "b");
        refuse(&memory, "::ffff:192.0.2.1", "c");
        assert_eq!(ids(&memory, "192.0.2.1"), ["c", "a"]);
        let found = memory.by_request("b").unwrap();
        assert_eq!(found["client_address"], "192.0.2.2");
        assert_eq!(found["reason"], "client_limit");
        assert_eq!(found["title"], "Too many requests");
        assert_eq!(found["strike"], 5);
    }

    #[test]
    fn served_requests_and_unknown_ids_are_said_to_be_unknown() {
        let memory = memory(64);
        let mut served = record();
        served.request_id = "served";
        memory.remember(&served);
        assert_eq!(memory.by_request("served"), None);
        assert_eq!(memory.explain_request("served")["remembered"], false);
        assert!(memory.by_address("2001:db8::1".parse().unwrap()).is_empty());
    }

    #[test]
    fn ipv6_addresses_are_told_apart() {
        let memory = memory(64);
        refuse(&memory, "2001:db8::1", "one");
        refuse(&memory, "2001:db8::2", "two");
        assert_eq!(ids(&memory, "2001:db8::1"), ["one"]);
    }

    #[test]
    fn a_flood_from_one_address_does_not_wipe_out_another() {
        let memory = memory(64);
        refuse(&memory, "192.0.2.1", "mine");
        for number in 0..1000 {
            refuse(&memory, "192.0.2.66", &format!("flood-{number}"));
        }
        assert_eq!(ids(&memory, "192.0.2.1"), ["mine"]);
        let flood = ids(&memory, "192.0.2.66");
        assert_eq!((flood.len(), flood[0].as_str()), (PER_ADDRESS, "flood-999"));
    }

    #[test]
    fn an_answer_of_the_longest_entries_fits_a_frame() {
        let memory = memory(64);
        let path = "/\u{1}\u{1f600}\"".repeat(500);
        for _ in 0..PER_ADDRESS {
            let mut record = record();
            record.path = path.as_bytes();
            record.reason = Some(Reason::PathInvalid);
            memory.remember(&record);
        }
        let answer = serde_json::to_string(&memory.by_address(record().peer)).unwrap();
        assert!(answer.len() < crate::ipc::message::FRAME_BYTES, "{}", answer.len());
    }

    proptest! {
        #[test]
        fn the_latest_refusal_is_always_found_and_the_bounds_hold(
            sources in proptest::collection::vec(0u8..12, 1..300), capacity in 1usize..40,
        ) {
            let memory = memory(capacity);
            for (number, source) in sources.iter().enumerate() {
                let (address, id) = (format!("192.0.2.{source}"), number.to_string());
                refuse(&memory, &address, &id);
                prop_assert_eq!(&ids(&memory, &address)[0], &id);
                prop_assert!(memory.by_request(&id).is_some());
                let ring = memory.ring();
                let owned: usize = ring.owned.values().map(VecDeque::len).sum();
                prop_assert_eq!(owned, ring.slots.len());
                prop_assert!(ring.slots.len() <= capacity);
                prop_assert!(ring.owned.values().all(|slots| !slots.is_empty()));
            }
        }
    }
}
