//! Bans: what touches the neighbourhood first, then only the look-ups that can hit. The dynamic
//! bans, then the generation of bulk bans that is in force.

use super::Rules;
use crate::{
    Reason,
    cover::{self, Detail4, Group4, HASHED6, Kinds6},
    maps::{BanKey, BanSet, TailKey},
    packet::Source,
};

/// A ban found in a table.
pub trait BanEntry {
    /// End on the tick clock, zero for ever.
    fn expires_ns(&self) -> u64;
    /// Length of its prefix.
    fn length(&self) -> u8;
    /// Counts a packet that met it `now`.
    fn hit(&self, now: u64);
}

/// What the rules of this file look up.
pub trait BanTables {
    /// A ban.
    type Ban: BanEntry;
    /// The word as it is at this moment, read exactly once: who read the generation twice could
    /// judge one packet by halves of two.
    fn read_once(&self, word: &u32) -> u32;
    /// The bytes as they are, of which the compiler knows nothing. It would else begin to reckon
    /// with an address before it is known that there is one, out of registers that hold none,
    /// which the kernel's verifier refuses.
    fn settled<const N: usize>(&self, address: [u8; N]) -> [u8; N];
    /// A group of the IPv4 summary.
    fn ban4_summary(&self, group: u32) -> Option<&Group4>;
    /// A word of the IPv4 details.
    fn ban4_detail(&self, word: u32) -> u64;
    /// The ban of exactly this prefix.
    fn find4(&self, key: &BanKey<4>) -> Option<Self::Ban>;
    /// A word of the IPv6 summary.
    fn ban6_summary(&self, word: u32) -> u64;
    /// A word of kinds of bans in hashed /48s.
    fn ban6_fine(&self, word: u32) -> u64;
    /// A word of kinds of bans in hashed /32s.
    fn ban6_coarse(&self, word: u32) -> u64;
    /// The ban of exactly this prefix, of a length in [`HASHED6`].
    fn find6(&self, key: &BanKey<16>) -> Option<Self::Ban>;
    /// Of all other lengths, the longest up to the key's that covers it.
    fn find6_tail(&self, key: TailKey) -> Option<Self::Ban>;
}

/// Expired bans of the trie a look-up steps over to wider ones beneath. The guard removes expired
/// bans within seconds; more than this many nested in one another at once would have to be made on
/// purpose.
const EXPIRED_STEPS: u32 = 8;

/// No IPv4 ban is wider.
const WIDEST4: u32 = 8;

#[inline(always)]
pub(super) fn ban_on<T: BanTables>(
    source: Source,
    rules: &Rules<'_>,
    tables: &T,
    now: u64,
) -> Option<Reason> {
    let switch = &rules.settings.switch;
    match source {
        Source::Unknown => None,
        Source::V4(address) => ban4_on(tables.settled(address), switch, tables, now),
        Source::V6(address) => ban6_on(tables.settled(address), switch, tables, now),
    }
}

#[inline(always)]
fn ban4_on<T: BanTables>(address: [u8; 4], switch: &u32, tables: &T, now: u64) -> Option<Reason> {
    let bucket = cover::bucket4(address);
    let (group, bit) = cover::summary4(bucket);
    let [dynamic, a, b, wider_a, wider_b, hosts_a, hosts_b, _] = *tables.ban4_summary(group)?;
    let bulk = BanSet::in_force(tables.read_once(switch));
    let (in_bulk, wider, hosts) =
        if let BanSet::BulkB = bulk { (b, wider_b, hosts_b) } else { (a, wider_a, hosts_a) };
    if (dynamic | in_bulk) & bit == 0 {
        return None;
    }
    let found = Found4 { bucket, address, tables, now };
    let mut reason = None;
    if dynamic & bit != 0 {
        let detail = found.detail(BanSet::Dynamic);
        let may_be_host = detail.has_host(address);
        reason = found
            .host(BanSet::Dynamic, may_be_host)
            .or_else(|| found.prefix(BanSet::Dynamic, detail));
    }
    if reason.is_none() && in_bulk & bit != 0 {
        reason = found.host(bulk, hosts & cover::host4(address) != 0);
        if reason.is_none() && wider & bit != 0 {
            reason = found.prefix(bulk, found.detail(bulk));
        }
    }
    reason
}

/// An address in a neighbourhood with bans.
struct Found4<'a, T> {
    bucket: u32,
    address: [u8; 4],
    tables: &'a T,
    now: u64,
}

/// The longest ban first: it is the one that gets the hit.
impl<T: BanTables> Found4<'_, T> {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "sixteen of the bits")]
    fn detail(&self, set: BanSet) -> Detail4 {
        let (word, shift) = cover::detail4(set, self.bucket);
        Detail4((self.tables.ban4_detail(word) >> shift) as u16)
    }

    #[inline(always)]
    fn host(&self, set: BanSet, may_be: bool) -> Option<Reason> {
        let is_banned = may_be && self.holds(BanKey::new(set, self.address, 32));
        is_banned.then_some(Reason::BanHost)
    }

    #[inline(always)]
    fn prefix(&self, set: BanSet, detail: Detail4) -> Option<Reason> {
        let inside = detail.lengths_inside(set, self.address);
        if inside != 0 {
            for step in 0..7 {
                if inside >> (6 - step) & 1 == 1 && self.holds(key4(set, self.address, 31 - step)) {
                    return Some(Reason::BanPrefix);
                }
            }
        }
        // All but the longest cover are looked up only while it has expired and is not yet removed.
        let mut length = detail.cover();
        for _ in 0..=24 - WIDEST4 {
            if length < WIDEST4 {
                return None;
            }
            if self.holds(key4(set, self.address, length)) {
                return Some(Reason::BanPrefix);
            }
            length -= 1;
        }
        None
    }

    #[inline(always)]
    fn holds(&self, key: BanKey<4>) -> bool {
        holds(self.tables.find4(&key), self.now)
    }
}

/// The prefix of `length`, of 8 to 31, that an address is in.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 31")]
fn key4(set: BanSet, address: [u8; 4], length: u32) -> BanKey<4> {
    let mask = u32::MAX << ((32 - length) & 31);
    let masked = u32::from_be_bytes(address) & mask;
    BanKey::new(set, masked.to_be_bytes(), length as u8)
}

#[inline(always)]
fn ban6_on<T: BanTables>(address: [u8; 16], switch: &u32, tables: &T, now: u64) -> Option<Reason> {
    let (fine_bucket, coarse_bucket) = (cover::fine6(address), cover::coarse6(address));
    let (fine_word, fine_bit) = cover::fine_summary6(fine_bucket);
    let (coarse_word, coarse_bit) = cover::coarse_summary6(coarse_bucket);
    let in_fine = tables.ban6_summary(fine_word) & fine_bit != 0;
    let in_coarse = tables.ban6_summary(coarse_word) & coarse_bit != 0;
    if !in_fine && !in_coarse {
        return None;
    }
    let (word, shift) = cover::bucket6(fine_bucket);
    let fine = if in_fine { tables.ban6_fine(word) >> shift } else { 0 };
    let (word, shift) = cover::bucket6(coarse_bucket);
    let coarse = if in_coarse { tables.ban6_coarse(word) >> shift } else { 0 };
    let bulk = BanSet::in_force(tables.read_once(switch));
    for set in [BanSet::Dynamic, bulk] {
        let fine = near(fine, set, address);
        let coarse = kinds(coarse, set);
        if (fine | coarse) != 0
            && let Some(reason) = ban6_in(set, address, (fine, coarse), tables, now)
        {
            return Some(reason);
        }
    }
    None
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "eight of the bits")]
const fn kinds(bucket: u64, set: BanSet) -> u8 {
    (bucket >> cover::kinds6(set, 0).1) as u8
}

/// Without those that are in another part of the /48.
#[inline(always)]
const fn near(bucket: u64, set: BanSet, address: [u8; 16]) -> u8 {
    let kinds = kinds(bucket, set);
    match cover::near6(set, address) {
        Some(bit) if bucket & bit as u64 == 0 => kinds & !Kinds6::NEAR,
        Some(_) | None => kinds,
    }
}

#[inline(always)]
fn ban6_in<T: BanTables>(
    set: BanSet,
    address: [u8; 16],
    (fine, coarse): (u8, u8),
    tables: &T,
    now: u64,
) -> Option<Reason> {
    let hashed = (fine & 0xf) | (coarse & 0xf) << 4;
    if fine & Kinds6::host(address) != 0
        && holds(tables.find6(&BanKey::new(set, address, 128)), now)
    {
        return Some(Reason::BanHost);
    }
    if hashed >> 1 != 0 {
        for step in 1..8 {
            if hashed >> step & 1 == 1
                && holds(tables.find6(&key6(set, address, length6(step))), now)
            {
                return Some(Reason::BanPrefix);
            }
        }
    }
    if (fine | coarse) & Kinds6::OTHER == 0 {
        return None;
    }
    tail_holds(set, address, tables, now)
}

/// [`HASHED6`] without memory: the kernel program has none but maps.
#[inline(always)]
const fn length6(step: u32) -> u32 {
    match step {
        1 => 64,
        2 => 56,
        _ => 60 - 4 * step,
    }
}

const _: () = {
    let mut step = 1;
    while step < HASHED6.len() {
        #[expect(clippy::cast_possible_truncation, reason = "eight lengths")]
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        let same = length6(step as u32) == HASHED6[step] as u32;
        assert!(same);
        step += 1;
    }
};

/// The prefix of `length`, of 32 to 64, that an address is in.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 64")]
fn key6(set: BanSet, address: [u8; 16], length: u32) -> BanKey<16> {
    let upper = (u128::from_be_bytes(address) >> 64) as u64 & (u64::MAX << ((64 - length) & 63));
    BanKey::new(set, (u128::from(upper) << 64).to_be_bytes(), length as u8)
}

/// The longest prefix decides, unless it expired: then the next wider one.
#[inline(always)]
fn tail_holds<T: BanTables>(
    set: BanSet,
    address: [u8; 16],
    tables: &T,
    now: u64,
) -> Option<Reason> {
    let mut length = 127;
    for _ in 0..EXPIRED_STEPS {
        let ban = tables.find6_tail(TailKey::new(set, address, length))?;
        if is_in_force(&ban, now) {
            ban.hit(now);
            return Some(Reason::BanPrefix);
        }
        length = u32::from(ban.length()).checked_sub(1)?;
    }
    None
}

/// Counts the packet on a ban in force.
#[inline(always)]
fn holds<B: BanEntry>(ban: Option<B>, now: u64) -> bool {
    match ban {
        Some(ban) if is_in_force(&ban, now) => {
            ban.hit(now);
            true
        }
        _ => false,
    }
}

#[inline(always)]
fn is_in_force(ban: &impl BanEntry, now: u64) -> bool {
    let expires = ban.expires_ns();
    expires == 0 || now < expires
}
