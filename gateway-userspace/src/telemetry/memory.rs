//! The latest refusals, for `gateway why`: a bounded ring a worker, the oldest forgotten first.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

use super::Refused;
use crate::clock::Wall;

/// Refusals a worker remembers.
const RING: usize = 2048;

/// Refusals of one answer: it has to fit a frame.
const ANSWER: usize = 40;

/// Characters of a path or detail that are kept.
const TEXT: usize = 200;

/// One ring a worker: only `gateway why` ever waits for a lock.
#[derive(Debug)]
pub struct Memory {
    rings: Vec<Mutex<VecDeque<Remembered>>>,
}

#[derive(Debug)]
struct Remembered {
    at: Wall,
    source: IpAddr,
    reason: &'static str,
    status: u16,
    request_id: Box<str>,
    route: Box<str>,
    method: Box<str>,
    path: Box<str>,
    detail: Box<str>,
}

impl Memory {
    pub(crate) fn new(workers: usize) -> Self {
        Self { rings: (0..workers.max(1)).map(|_| Mutex::default()).collect() }
    }

    pub(super) fn remember(&self, worker: usize, refused: &Refused<'_>) {
        let Some(ring) = self.rings.get(worker) else { return };
        let info = refused.reason.info();
        let remembered = Remembered {
            at: refused.at,
            source: refused.source,
            reason: info.name,
            status: info.status,
            request_id: refused.request_id.into(),
            route: refused.route.into(),
            method: cut(refused.method),
            path: cut(refused.path),
            detail: cut(refused.detail),
        };
        let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= RING {
            ring.pop_front();
        }
        ring.push_back(remembered);
    }

    /// The latest refusals of an address, newest first.
    pub(crate) fn of_address(&self, address: IpAddr) -> Value {
        let address = address.to_canonical();
        self.answer(|remembered| remembered.source == address)
    }

    /// The refusal of one request.
    pub(crate) fn of_request(&self, id: &str) -> Value {
        self.answer(|remembered| !id.is_empty() && *remembered.request_id == *id)
    }

    fn answer(&self, wanted: impl Fn(&Remembered) -> bool) -> Value {
        let mut found: Vec<(Wall, Value)> = Vec::new();
        for ring in &self.rings {
            let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = ring.iter().rev().filter(|remembered| wanted(remembered)).take(ANSWER);
            found.extend(mine.map(|remembered| (remembered.at, remembered.json())));
        }
        found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        found.truncate(ANSWER);
        json!({ "refusals": found.into_iter().map(|(_, json)| json).collect::<Vec<_>>() })
    }
}

impl Remembered {
    fn json(&self) -> Value {
        json!({
            "at": self.at.0,
            "source": self.source,
            "reason": self.reason,
            "status": self.status,
            "request_id": self.request_id,
            "route": self.route,
            "method": self.method,
            "path": self.path,
            "detail": self.detail,
        })
    }
}

/// The start of a text, with what could disturb a terminal replaced.
fn cut(text: &str) -> Box<str> {
    let safe = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(TEXT).map(safe).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use gateway_common::Reason;

    use super::*;

    fn refused(source: &'static str, id: &'static str, at: u64) -> Refused<'static> {
        Refused {
            at: Wall(at),
            source: source.parse().unwrap(),
            reason: Reason::PathInvalid,
            request_id: id,
            route: "",
            method: "GET",
            path: "/a\u{1b}[31m",
            detail: "dot segment",
        }
    }

    #[test]
    fn finds_by_address_newest_first_and_by_request() {
        let memory = Memory::new(2);
        memory.remember(0, &refused("192.0.2.1", "aa", 1));
        memory.remember(1, &refused("192.0.2.1", "bb", 2));
        memory.remember(0, &refused("192.0.2.9", "cc", 3));
        let found = memory.of_address("192.0.2.1".parse().unwrap());
        let ids: Vec<_> =
            found["refusals"].as_array().unwrap().iter().map(|one| &one["request_id"]).collect();
        assert_eq!(ids, ["bb", "aa"]);
        let one = memory.of_request("cc");
        assert_eq!(one["refusals"][0]["reason"], "path_invalid");
        assert_eq!(one["refusals"][0]["path"], "/a?[31m");
    }

    #[test]
    fn forgets_the_oldest_and_fits_a_frame() {
        let memory = Memory::new(1);
        memory.remember(0, &refused("192.0.2.1", "first", 0));
        for at in 1..=RING as u64 {
            memory.remember(0, &refused("192.0.2.2", "later", at));
        }
        assert_eq!(memory.of_request("first")["refusals"].as_array().unwrap().len(), 0);
        let many = memory.of_address("192.0.2.2".parse().unwrap()).to_string();
        assert!(many.len() < crate::ipc::message::FRAME_BYTES / 2);
    }
}
