//! What the kernel program runs by: the policy, built from the configuration at load, and the live
//! switches.

use std::{
    fs::File,
    io::Read as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use gateway_common::{
    Reason,
    limit::{Limit, RowKeys},
    maps::{CookiePolicy, POLICY_SLOTS, Policy, Settings, flag},
};

use super::{filter::KernelError, list::Entries as _, table::Table};
use crate::config::model::{Answer, Answers, Kernel, Mode, Rate, SynCookies};

/// The settings in the kernel, written by this process alone. The copy is not atomic, but after
/// load only the flags change, and they are one word.
#[derive(Debug)]
pub(super) struct Live {
    table: Mutex<Table<u32, Settings>>,
    base: Settings,
    flags: AtomicU32,
}

impl Live {
    /// Takes the map over. Sketch keys survive in it, else a restart would give every source a
    /// fresh burst; so does the operator's panic switch.
    pub(super) fn new(
        mut table: Table<u32, Settings>,
        policies: &mut Table<u32, Policy>,
        config: &Kernel,
        tick_ns: u64,
    ) -> Result<Self, KernelError> {
        let old = table.get(&0)?.unwrap_or_default();
        let rows = if are_keys(&old.rows) { old.rows } else { fresh_keys()? };
        let policy = policy(config, tick_ns)?;
        for slot in 0..POLICY_SLOTS {
            policies.put(&slot, &policy)?;
        }
        let base = Settings {
            flags: old.flags & (flag::PANIC | flag::BAN6_WIDE | flag::ALLOW6_WIDE),
            tick_ns,
            shadow: if config.mode == Mode::Shadow { u64::MAX } else { 0 },
            rows,
            events: config.events,
            ..Settings::default()
        };
        table.put(&0, &base)?;
        Ok(Self { table: Mutex::new(table), base, flags: AtomicU32::new(base.flags) })
    }

    /// True if what any reason drops only counts.
    pub(super) const fn is_shadow(&self) -> bool {
        self.base.shadow != 0
    }

    pub(super) fn has(&self, bit: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & bit != 0
    }

    /// Sets or clears a bit, if it is not so already.
    pub(super) fn switch(&self, bit: u32, on: bool) -> Result<(), KernelError> {
        // A writer that panicked left the map as whole as any other: it is one copy.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.flags.load(Ordering::Relaxed);
        let new = if on { old | bit } else { old & !bit };
        if new != old {
            table.put(&0, &Settings { flags: new, ..self.base })?;
            self.flags.store(new, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Zero multipliers, of a fresh map or a damaged one, would send every source to one cell.
fn are_keys(rows: &[RowKeys]) -> bool {
    rows.iter().flat_map(|row| row.v4.into_iter().chain(row.v6)).all(|key| key & 1 == 1)
}

fn fresh_keys() -> Result<[RowKeys; 2], KernelError> {
    let mut bytes = [0; 64];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(
        |source| KernelError::System { doing: "reading random keys".to_owned(), source },
    )?;
    let mut words = bytes
        .chunks_exact(8)
        .map(|chunk| chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte)) | 1);
    let mut pair = || [words.next().unwrap_or(1), words.next().unwrap_or(1)];
    Ok([RowKeys { v4: pair(), v6: pair() }, RowKeys { v4: pair(), v6: pair() }])
}

fn policy(config: &Kernel, tick_ns: u64) -> Result<Policy, KernelError> {
    Ok(Policy {
        drops: drops(&config.answers),
        packets: limit("packets", &config.packets, tick_ns)?,
        allow: limit("allow_limit", &config.allow_limit, tick_ns)?,
        inserts: Limit::new(
            1_000_000_000 / u64::from(config.limit_inserts.max(1)),
            config.limit_inserts,
        ),
        cookies: cookies(&config.syn_cookies, tick_ns)?,
    })
}

/// Never on where they are not enabled.
fn cookies(config: &SynCookies, tick_ns: u64) -> Result<CookiePolicy, KernelError> {
    let hold = if config.enabled { config.hold.as_nanos() } else { 0 };
    Ok(CookiePolicy {
        above: limit("syn_cookies.above", &config.above, tick_ns)?,
        most: limit("syn_cookies.most", &config.most, tick_ns)?,
        hold_ns: u64::try_from(hold).unwrap_or(u64::MAX),
    })
}

/// The limit as the kernel holds it. Its clock moves by ticks: a burst shorter than two of them
/// would cut the rate.
fn limit(key: &'static str, rate: &Rate, tick_ns: u64) -> Result<Limit, KernelError> {
    let interval = u64::try_from(rate.interval().as_nanos()).unwrap_or(u64::MAX / (1 << 20));
    let limit = Limit::new(interval, rate.burst);
    if limit.burst_ns < 2 * tick_ns {
        let least = (2 * tick_ns).div_ceil(limit.interval_ns);
        return Err(KernelError::Burst { key, least, tick: Duration::from_nanos(tick_ns) });
    }
    Ok(limit)
}

fn drops(answers: &Answers) -> u64 {
    let rows = [
        (Reason::EthernetTruncated, answers.ethernet_truncated),
        (Reason::VlanDepth, answers.vlan_depth),
        (Reason::EtherTypeUnknown, answers.ether_type_unknown),
        (Reason::Ipv4Malformed, answers.ipv4_malformed),
        (Reason::Ipv6Malformed, answers.ipv6_malformed),
        (Reason::ExtensionDepth, answers.extension_depth),
        (Reason::ExtensionMalformed, answers.extension_malformed),
        (Reason::LaterFragment, answers.later_fragment),
        (Reason::TransportMalformed, answers.transport_malformed),
        (Reason::LimitInserts, answers.limit_inserts),
    ];
    let bit = |(reason, answer): (Reason, Answer)| {
        if answer == Answer::Drop { 1 << reason.number() } else { 0 }
    };
    rows.into_iter().map(bit).fold(0, |bits, bit| bits | bit)
}
