//! Which supplier of a split gets a request: by turns that keep the shares, or by client.

use std::cell::Cell;

use http::header::COOKIE;

use crate::{
    config::model::HashKey,
    proxy::{pipeline::context::RequestContext, router::Forward, source, upstream::hash},
};

/// Of the golden ratio: its multiples fall evenly over the numbers, however few are taken.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// One worker's turns, over all routes.
#[derive(Debug, Default)]
pub(super) struct Turns(Cell<u64>);

impl Turns {
    pub(super) fn supplier(&self, forward: &Forward, context: &RequestContext) -> usize {
        if let [only] = forward.shares.as_slice() {
            return only.supplier;
        }
        let number = if forward.sticky { of_client(context) } else { self.next() };
        chosen(forward, number)
    }

    /// Whether this one is among so many of a hundred.
    pub(super) fn is_among(&self, percent: u32) -> bool {
        scaled(self.next(), 100) < u64::from(percent)
    }

    fn next(&self) -> u64 {
        let number = self.0.get().wrapping_add(STEP);
        self.0.set(number);
        number
    }
}

/// What a supplier chooses its target by; `None` where the request has no such thing.
pub(super) fn key(by: &HashKey, context: &RequestContext) -> Option<u64> {
    let headers = &context.head.headers;
    match by {
        HashKey::Client => Some(of_client(context)),
        HashKey::Address => Some(hash(source::counted(context.peer.source))),
        HashKey::Header(name) => headers.get(name).map(|value| hash(value.as_bytes())),
        HashKey::Cookie(name) => {
            let pairs = headers
                .get_all(COOKIE)
                .iter()
                .flat_map(|field| field.as_bytes().split(|b| *b == b';'));
            let value = |pair: &[u8]| {
                let value =
                    pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                Some(hash(value))
            };
            pairs.into_iter().find_map(value)
        }
    }
}

/// The same for every worker and after a restart.
fn of_client(context: &RequestContext) -> u64 {
    match &context.client {
        Some(key) => hash(&key.subject),
        None => hash(source::counted(context.peer.source)),
    }
}

fn chosen(forward: &Forward, number: u64) -> usize {
    let total = forward.shares.iter().map(|share| u64::from(share.weight)).sum();
    let mut left = scaled(number, total);
    for share in &forward.shares {
        let weight = u64::from(share.weight);
        if left < weight {
            return share.supplier;
        }
        left -= weight;
    }
    forward.shares.last().map_or(usize::MAX, |share| share.supplier)
}

/// The number's place below `total`.
fn scaled(number: u64, total: u64) -> u64 {
    let product = u128::from(number) * u128::from(total);
    u64::try_from(product >> 64).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_turns_keep_the_share_already() {
        for percent in [1, 5, 10, 50, 90, 100] {
            let turns = Turns::default();
            let among = (0..1000).filter(|_| turns.is_among(percent)).count();
            let wanted = usize::try_from(percent).unwrap() * 10;
            assert!(among.abs_diff(wanted) <= 3, "{percent}: {among}");
        }
    }
}
