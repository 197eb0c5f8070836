//! What stands between a packet's addresses and its transport header: options, extension headers,
//! fragments, and what is wrong with them where a reason asks for it.

use super::{
    draft::{Draft, extension, fragment},
    recipe::Cook,
    spoilt,
};
use crate::oracle::framing::Network;

impl Cook<'_> {
    pub(super) fn wrap4(&mut self, draft: &mut Draft) {
        let is_fragment = matches!(self.network, Network::V4First | Network::V4Later);
        let with_options = self.network == Network::V4Options || (is_fragment && self.reason == 36);
        if with_options && draft.options.is_empty() {
            let words = self.dice.between(1, 10);
            draft.options = self.dice.bytes(words * 4);
        }
        if self.network == Network::V4First {
            draft.fragment = (0, true);
        } else if is_fragment {
            draft.fragment = (self.later_offset(), self.dice.percent(50));
        } else {
            return;
        }
        self.fit_fragment(draft);
    }

    pub(super) fn wrap6(&mut self, draft: &mut Draft) {
        let is_mapped = self.network == Network::V6Mapped;
        let network = if is_mapped { self.mapped_network() } else { self.network };
        let has_chain = !matches!(network, Network::V6 | Network::V6Unread);
        let most = if network == Network::V6Extended { 8 } else { 3 };
        let least = usize::from(network == Network::V6Extended);
        let count = if has_chain { self.dice.between(least, most) } else { 0 };
        draft.extensions = self.chain(count);
        if network == Network::V6Atomic {
            draft.extensions.push(fragment(0, false));
        }
        if network == Network::V6First || (network == Network::V6Later && self.reason == 39) {
            draft.extensions.push(fragment(0, true));
        }
        if network == Network::V6Later {
            let more = self.dice.percent(50);
            draft.extensions.push(fragment(self.later_offset(), more));
        }
        if matches!(network, Network::V6First | Network::V6Later) {
            self.fit_fragment(draft);
        }
        self.spoil_chain(draft);
    }

    /// What a packet with a mapped source looks like behind it.
    fn mapped_network(&mut self) -> Network {
        match self.reason {
            25 | 26 | 38 => Network::V6Extended,
            27 => Network::V6Later,
            40 if self.dice.percent(50) => Network::V6Later,
            39 | 40 => Network::V6First,
            _ if self.dice.percent(30) => Network::V6Extended,
            _ => Network::V6,
        }
    }

    fn chain(&mut self, count: usize) -> Vec<(u8, Vec<u8>)> {
        let mut headers = Vec::new();
        for index in 0..count {
            let number = match index {
                0 => self.dice.pick(&[0, 60, 43, 51, 135, 139, 140]),
                _ => self.dice.pick(&[60, 43, 51, 135, 139, 140]),
            };
            headers.push(extension(number, self.dice));
        }
        headers
    }

    fn spoil_chain(&mut self, draft: &mut Draft) {
        match self.reason {
            25 => {
                let missing = 9_usize.saturating_sub(draft.extensions.len());
                let more = self.dice.between(0, 2);
                for _ in 0..missing + more {
                    draft.extensions.push(extension(60, self.dice));
                }
            }
            26 => spoilt::chain(draft, self.dice),
            38 => {
                let (kind, left) =
                    self.dice.pick(&[(0, 0), (0, 1), (1, 0), (2, 1), (3, 2), (4, 255)]);
                let mut routing = extension(43, self.dice);
                routing.1.splice(2..4, [kind, left]);
                let at = usize::from(draft.extensions.first().is_some_and(|first| first.0 == 0));
                draft.extensions.insert(at, routing);
            }
            _ => {}
        }
    }

    fn later_offset(&mut self) -> u16 {
        if self.reason == 40 {
            return self.dice.pick(&[1, 2, 3, 8000, 8190, 8191]);
        }
        u16::try_from(self.dice.between(3, 8000)).unwrap_or(3)
    }

    /// Whole units of eight bytes, or for row 40 not.
    fn fit_fragment(&mut self, draft: &mut Draft) {
        let length = draft.payload.len().next_multiple_of(8);
        draft.payload.resize(length, 0);
        if self.reason != 40 {
            return;
        }
        match self.dice.between(0, 3) {
            0 => draft.payload.push(0),
            1 if draft.fragment.0 > 0 => draft.payload.clear(),
            2 if draft.extensions.iter().any(|header| header.0 == 44) => draft.payload.push(7),
            _ => draft.protocol = 6,
        }
    }
}
