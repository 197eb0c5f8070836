//! Digests, as raw bytes: rule sets put `hexEncode` behind them. Names for values, not protection.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use md5::{Digest, Md5};

pub(super) fn md5(value: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(Md5::digest(value).to_vec())
}

pub(super) fn sha1(value: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(digest(&SHA1_FOR_LEGACY_USE_ONLY, value).as_ref().to_vec())
}
