//! The last good key set as the guard keeps it: for a proxy that starts while the provider is away.

use serde::{Deserialize, Serialize};

use super::Known;
use crate::{clock::Wall, config::model::Tokens, proxy::identity::jwt::KeySet};

/// What the guard takes.
const BYTES: usize = 48 * 1024;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Keys of another issuer are of no use.
    issuer: String,
    /// Seconds since 1970.
    confirmed: u64,
    /// The document as it came.
    keys: String,
}

/// `None` where there is too much of it.
pub(super) fn write(settings: &Tokens, text: &[u8], confirmed: Wall) -> Option<Vec<u8>> {
    let keys = String::from_utf8(text.to_vec()).ok()?;
    let kept = Kept { issuer: settings.issuer.clone(), confirmed: confirmed.0, keys };
    serde_json::to_vec(&kept).ok().filter(|kept| kept.len() <= BYTES)
}

pub(super) fn read(text: &[u8], settings: &Tokens) -> Result<Known, &'static str> {
    let kept: Kept = serde_json::from_slice(text).map_err(|_error| "not what was written")?;
    if kept.issuer != settings.issuer {
        return Err("of another issuer");
    }
    let read = KeySet::read(kept.keys.as_bytes(), &settings.algorithms);
    let (keys, _) = read.map_err(|_fault| "without a key that can be used")?;
    Ok(Known { keys, confirmed: Wall(kept.confirmed) })
}
