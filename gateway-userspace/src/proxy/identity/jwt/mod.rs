//! Signed tokens (RFC 7515, 7517, 7519, 9068), judged as RFC 8725 asks: one form, one reading of
//! every byte, the algorithm by the key and never by the token. Pure: no clock, no network. It does
//! not decide which keys are an issuer's, nor what a caller may do.

mod claims;
mod compact;
mod key;
mod set;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use gateway_common::Reason;

pub use self::{
    claims::{Rules, Times, time_of},
    compact::{Compact, Form},
    key::{Key, KeyFault},
    set::{KeySet, SetFault, Skipped},
};

/// Why a token is refused. The detail is ours and never the token's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    pub detail: &'static str,
}

impl Fault {
    pub const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail }
    }
}

/// What a token proved.
#[derive(Debug, Clone)]
pub struct Verified {
    pub times: Times,
    /// It stops being valid when its issuer takes this key back.
    pub key: std::sync::Arc<Key>,
}

/// Judges a token that was read: type, key, signature, then what it says.
pub fn verify(
    token: &Compact<'_>,
    rules: &Rules,
    keys: &KeySet,
    now: u64,
) -> Result<Verified, Fault> {
    rules.check_type(token)?;
    let key = keys.verify(token)?;
    rules.check_parties(token)?;
    let times = rules.check_times(token, now)?;
    Ok(Verified { times, key })
}
