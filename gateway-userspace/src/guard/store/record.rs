//! How things lie in the store: postcard, in tables whose names carry their version.

use gateway_common::Reason;
use ipnet::IpNet;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    clock::Wall,
    guard::{
        allows::Allow,
        bans::{Ban, Offender},
        kernel::BanSource,
        keys::StoredKey,
        policy::StoredPolicy,
    },
};

/// A thing with a form in the store.
pub(super) trait Record: Sized {
    type Stored: Serialize + DeserializeOwned;

    fn stored(&self) -> Self::Stored;
    /// `None` for values this version does not know.
    fn read(stored: Self::Stored) -> Option<Self>;
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Nothing stored has a form that postcard refuses; an empty record would read as corrupt.
    postcard::to_stdvec(value).unwrap_or_default()
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

pub(super) fn decode_net(bytes: &[u8]) -> Option<IpNet> {
    decode::<IpNet>(bytes).map(|net| net.trunc())
}

#[derive(Serialize, Deserialize)]
pub(super) struct BanV1 {
    source: u8,
    reason: u16,
    since: u64,
    expires: Option<u64>,
    note: String,
}

impl Record for Ban {
    type Stored = BanV1;

    fn stored(&self) -> BanV1 {
        BanV1 {
            source: self.source.number(),
            reason: self.reason.number(),
            since: self.since.0,
            expires: self.expires.map(|at| at.0),
            note: self.note.as_ref().to_owned(),
        }
    }

    fn read(stored: BanV1) -> Option<Self> {
        Some(Self {
            source: BanSource::from_number(stored.source)?,
            reason: Reason::from_number(stored.reason)?,
            since: Wall(stored.since),
            expires: stored.expires.map(Wall),
            note: stored.note.into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AllowV1 {
    since: u64,
    note: String,
}

impl Record for Allow {
    type Stored = AllowV1;

    fn stored(&self) -> AllowV1 {
        AllowV1 { since: self.since.0, note: self.note.clone() }
    }

    fn read(stored: AllowV1) -> Option<Self> {
        Some(Self { since: Wall(stored.since), note: stored.note })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeyV1 {
    hash: [u8; 32],
    identity: String,
    client: String,
    since: u64,
    expires: Option<u64>,
    revoked: bool,
}

impl Record for StoredKey {
    type Stored = KeyV1;

    fn stored(&self) -> KeyV1 {
        KeyV1 {
            hash: self.hash,
            identity: self.identity.clone(),
            client: self.client.clone(),
            since: self.since.0,
            expires: self.expires.map(|at| at.0),
            revoked: self.revoked,
        }
    }

    fn read(stored: KeyV1) -> Option<Self> {
        Some(Self {
            hash: stored.hash,
            identity: stored.identity,
            client: stored.client,
            since: Wall(stored.since),
            expires: stored.expires.map(Wall),
            revoked: stored.revoked,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct OffenderV1 {
    bans: u32,
    until: u64,
}

impl Record for Offender {
    type Stored = OffenderV1;

    fn stored(&self) -> OffenderV1 {
        OffenderV1 { bans: self.bans, until: self.until.0 }
    }

    fn read(stored: OffenderV1) -> Option<Self> {
        Some(Self { bans: stored.bans, until: Wall(stored.until) })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct PolicyV1 {
    text: String,
    origin: String,
    file: [u8; 32],
    tried: Option<[u8; 32]>,
}

impl Record for StoredPolicy {
    type Stored = PolicyV1;

    fn stored(&self) -> PolicyV1 {
        let Self { text, origin, file, tried } = self.clone();
        PolicyV1 { text, origin, file, tried }
    }

    fn read(stored: PolicyV1) -> Option<Self> {
        let PolicyV1 { text, origin, file, tried } = stored;
        Some(Self { text, origin, file, tried })
    }
}
