//! Nonces that need no memory: a stretch of time, and that it was us who named it. The key lives as
//! long as the process.

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq as _;

use crate::clock::Wall;

/// Seconds. A nonce is good for the stretch it was made in and the next.
const STRETCH: u64 = 60;

/// Bytes of the tag that are written.
const TAG: usize = 16;

/// `None` where there was no randomness to make a key of: then no nonce is ours.
#[derive(Debug)]
pub(super) struct Nonces(Option<hmac::Key>);

impl Nonces {
    pub(super) fn new() -> Self {
        Self(hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok())
    }

    pub(super) fn of(&self, now: Wall) -> String {
        self.at(now.0 / STRETCH).unwrap_or_default()
    }

    pub(super) fn is_ours(&self, nonce: &str, now: Wall) -> bool {
        let stretch = now.0 / STRETCH;
        let good = [Some(stretch), stretch.checked_sub(1)].into_iter().flatten();
        good.filter_map(|stretch| self.at(stretch))
            .any(|ours| bool::from(ours.as_bytes().ct_eq(nonce.as_bytes())))
    }

    fn at(&self, stretch: u64) -> Option<String> {
        let tag = hmac::sign(self.0.as_ref()?, &stretch.to_be_bytes());
        let tag = tag.as_ref().get(..TAG)?;
        Some(BASE64_URL_SAFE_NO_PAD.encode([&stretch.to_be_bytes(), tag].concat()))
    }
}
