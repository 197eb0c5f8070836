//! What the kernel program runs by: the policy, built from the configuration at load, and the live
//! switches.

use std::{
    fs::File,
    io::Read as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gateway_common::{
    Reason,
    limit::{self, Limit, RowKeys},
    maps::{
        BanSet, CookiePolicy, POLICY_SLOTS, PORT_WORDS, Policy, PortSet, Settings, flag, port_bit,
        port_word, switch,
    },
};

use super::{
    filter::{KernelError, ShadowOrders},
    list::Entries as _,
    table::Table,
    ticks::Ticks,
};
use crate::config::{
    self,
    model::{Kernel, Mode, Rate, Service, SynCookies},
};

/// What cannot be judged where nobody sees what this host sends.
const NEEDS_SIGHT: u64 = 1 << Reason::UdpAmplification.number();

/// What the packets are judged by, written by this process alone: live switches, and two slots of
/// policy of which the switches choose one.
#[derive(Debug)]
pub(super) struct Live {
    maps: Mutex<Maps>,
    tick_ns: u64,
}

/// The maps, and what was written last.
#[derive(Debug)]
struct Maps {
    settings: Table<u32, Settings>,
    policies: Table<u32, Policy>,
    ports: Table<u32, u64>,
    /// As ordered, whatever of it the filter is told while it is blind.
    now: Settings,
    /// Of each slot, as configured.
    shadows: [u64; POLICY_SLOTS as usize],
    /// Nobody sees what this host sends by some interface.
    blind: bool,
}

impl Maps {
    fn put_settings(&mut self, new: Settings) -> Result<(), KernelError> {
        let enforce = if self.blind { new.enforce & !NEEDS_SIGHT } else { new.enforce };
        self.settings.put(&0, &Settings { enforce, ..new })?;
        self.now = new;
        Ok(())
    }

    fn put_policy(&mut self, slot: u32, mut policy: Policy) -> Result<(), KernelError> {
        let shadow = self.shadows.get(slot as usize).copied().unwrap_or_default();
        let held = if self.blind && !policy.is_closed() { NEEDS_SIGHT } else { 0 };
        policy.shadow = shadow | held;
        self.policies.put(&slot, &policy)
    }
}

impl Live {
    /// Takes the maps over. Sketch keys survive in them, else a restart would give every source a
    /// fresh burst; so do the operator's orders: panic and shadow. A trial does not survive the
    /// guard that began it: the policy of `config` holds in the end. For `blind` see
    /// [`Self::set_blind`].
    pub(super) fn new(
        settings: Table<u32, Settings>,
        policies: Table<u32, Policy>,
        ports: Table<u32, u64>,
        (config, blind): (&Kernel, bool),
        ticks: &Ticks,
    ) -> Result<Self, KernelError> {
        let tick_ns = ticks.tick_ns();
        let old = settings.get(&0)?.unwrap_or_default();
        let rows = if are_keys(&old.rows) { old.rows } else { fresh_keys()? };
        let orders = ShadowOrders { shadow: old.shadow, enforce: old.enforce }.sound();
        let now = Settings {
            flags: old.flags & (flag::PANIC | flag::ALLOW6_WIDE),
            switch: old.switch & (switch::GENERATION_B | switch::POLICY_B | switch::TRIAL),
            shadow: orders.shadow,
            enforce: orders.enforce,
            deadline_ns: old.deadline_ns,
            tick_ns,
            rows,
            events: config.events,
            ..Settings::default()
        };
        let shadows = [0; POLICY_SLOTS as usize];
        let mut maps = Maps { settings, policies, ports, now, shadows, blind };
        maps.put_settings(now)?;
        let live = Self { maps: Mutex::new(maps), tick_ns };
        // No packet is judged by a slot while it is written.
        let in_force = now.policy_slot(ticks.now_ns()?);
        live.fill(in_force ^ 1, config)?;
        live.choose(in_force ^ 1)?;
        live.fill(in_force, config)?;
        Ok(live)
    }

    /// What was written last.
    pub(super) fn now(&self) -> Settings {
        self.lock().now
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.now().has(flag)
    }

    /// Sets or clears a flag, if it is not so already.
    pub(super) fn switch(&self, flag: u32, on: bool) -> Result<(), KernelError> {
        self.change(|settings| {
            settings.flags = if on { settings.flags | flag } else { settings.flags & !flag };
        })
    }

    /// Writes changed settings. The copy into the map is not atomic as a whole, but each word is:
    /// what belongs together is in one word, or written before the switch that makes it count.
    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<(), KernelError> {
        let mut maps = self.lock();
        let mut new = maps.now;
        change(&mut new);
        if new == maps.now { Ok(()) } else { maps.put_settings(new) }
    }

    /// While nobody sees what this host sends, an open policy counts what comes from an amplifier's
    /// port and lets it pass, whoever ordered otherwise: among it are answers to this host's own
    /// questions. A closed one lets in nothing unasked either way.
    pub(super) fn set_blind(&self, blind: bool) -> Result<(), KernelError> {
        let mut maps = self.lock();
        if maps.blind == blind {
            return Ok(());
        }
        maps.blind = blind;
        for slot in 0..POLICY_SLOTS {
            // One word of it changes.
            let policy = maps.policies.get(&slot)?.unwrap_or_default();
            maps.put_policy(slot, policy)?;
        }
        let now = maps.now;
        maps.put_settings(now)
    }

    /// The slot that no packet is judged by while no trial is on.
    pub(super) fn free_slot(&self) -> u32 {
        chosen(&self.now()) ^ 1
    }

    /// Builds the policy as the kernel holds it and writes it into a slot.
    pub(super) fn fill(&self, slot: u32, config: &Kernel) -> Result<(), KernelError> {
        let policy = policy(config, self.tick_ns)?;
        let mut maps = self.lock();
        put_ports(&mut maps.ports, slot, config)?;
        if let Some(shadow) = maps.shadows.get_mut(slot as usize) {
            *shadow = policy.shadow;
        }
        maps.put_policy(slot, policy)
    }

    /// Puts the free slot in force until the deadline: that first, for the switch arms it.
    pub(super) fn begin_trial(&self, deadline_ns: u64) -> Result<(), KernelError> {
        let slot = self.free_slot();
        self.change(|settings| settings.deadline_ns = deadline_ns)?;
        self.change(|settings| {
            settings.switch = with_slot(settings.switch, slot) | switch::TRIAL;
        })
    }

    /// When the trial ends, if one is on.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        let now = self.now();
        (now.switch & switch::TRIAL != 0).then_some(now.deadline_ns)
    }

    /// Ends the trial: what is in force stays.
    pub(super) fn confirm(&self, events: u32) -> Result<(), KernelError> {
        self.choose(chosen(&self.now()))?;
        self.change(|settings| settings.events = events)
    }

    /// Ends the trial: what was in force before it is again.
    pub(super) fn roll_back(&self) -> Result<(), KernelError> {
        self.choose(self.free_slot())
    }

    /// Puts a slot in force without a trial.
    fn choose(&self, slot: u32) -> Result<(), KernelError> {
        self.change(|settings| {
            settings.switch = with_slot(settings.switch, slot) & !switch::TRIAL;
        })
    }

    /// What passes at a moment that would be dropped otherwise, as bits by reason.
    pub(super) fn shadow(&self, now_ns: u64) -> Result<u64, KernelError> {
        let Settings { shadow, enforce, .. } = self.now();
        let enforce = if self.lock().blind { enforce & !NEEDS_SIGHT } else { enforce };
        Ok((self.policy(now_ns)?.shadow & !enforce) | shadow)
    }

    /// The policy that packets are judged by at a moment.
    pub(super) fn policy(&self, now_ns: u64) -> Result<Policy, KernelError> {
        let maps = self.lock();
        Ok(maps.policies.get(&maps.now.policy_slot(now_ns))?.unwrap_or_default())
    }

    /// The generation of bulk bans in force.
    pub(super) fn generation(&self) -> BanSet {
        BanSet::in_force(self.now().switch)
    }

    /// Puts a generation of bulk bans in force, for every packet from the next on.
    pub(super) fn put_in_force(&self, set: BanSet) -> Result<(), KernelError> {
        self.change(|settings| {
            let others = settings.switch & !switch::GENERATION_B;
            let chosen = if set == BanSet::BulkB { switch::GENERATION_B } else { 0 };
            settings.switch = others | chosen;
        })
    }

    fn lock(&self) -> MutexGuard<'_, Maps> {
        // A writer that panicked left the maps as whole as any other: each write is one copy.
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot that the switch names, whatever the deadline says.
const fn chosen(settings: &Settings) -> u32 {
    (settings.switch & switch::POLICY_B) / switch::POLICY_B
}

const fn with_slot(word: u32, slot: u32) -> u32 {
    (word & !switch::POLICY_B) | (slot * switch::POLICY_B)
}

/// Zero multipliers, of a fresh map or a damaged one, would send every source to one cell.
fn are_keys(rows: &[RowKeys]) -> bool {
    rows.iter().flat_map(|row| row.v4.into_iter().chain(row.v6)).all(|key| key & 1 == 1)
}

fn fresh_keys() -> Result<[RowKeys; limit::ROWS as usize], KernelError> {
    let mut bytes = [0; limit::ROWS as usize * size_of::<RowKeys>()];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(
        |source| KernelError::System { doing: "reading random keys".to_owned(), source },
    )?;
    let mut words = bytes
        .chunks_exact(8)
        .map(|chunk| chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte)) | 1);
    let mut pair = || [words.next().unwrap_or(1), words.next().unwrap_or(1)];
    Ok(std::array::from_fn(|_| RowKeys { v4: pair(), v6: pair() }))
}

fn policy(config: &Kernel, tick_ns: u64) -> Result<Policy, KernelError> {
    Ok(Policy {
        drops: config.answers.drops(),
        shadow: shadow(config),
        packets: ceiling("packets", config.packets.as_ref(), tick_ns)?,
        packets_neighbourhood: ceiling(
            "packets_neighbourhood",
            config.packets_neighbourhood.as_ref(),
            tick_ns,
        )?,
        syns: ceiling("syns", config.syns.as_ref(), tick_ns)?,
        syns_neighbourhood: ceiling(
            "syns_neighbourhood",
            config.syns_neighbourhood.as_ref(),
            tick_ns,
        )?,
        allow: limit("allow_limit", &config.allow_limit, tick_ns)?,
        inserts: Limit::new(
            1_000_000_000 / u64::from(config.limit_inserts.max(1)),
            config.limit_inserts,
        ),
        cookies: cookies(&config.syn_cookies, tick_ns)?,
        protocols: protocols(&config.services),
        flow_ns: nanoseconds(config.flow_timeout),
        closed: u64::from(config.policy == config::model::Policy::Closed),
    })
}

fn protocols(services: &[Service]) -> [u64; 4] {
    let mut words = [0; 4];
    for service in services {
        if let Service::Ip(number) = service
            && let Some(word) = words.get_mut(usize::from(number >> 6))
        {
            *word |= 1 << (number & 63);
        }
    }
    words
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes the sets of ports of one slot. A slot in force would show packets a mix for as long as
/// this takes: what changes while packets flow goes to the other one.
fn put_ports(ports: &mut Table<u32, u64>, slot: u32, config: &Kernel) -> Result<(), KernelError> {
    let keys: Vec<u32> = (slot * PORT_WORDS..(slot + 1) * PORT_WORDS).collect();
    let mut words = vec![0_u64; keys.len()];
    let mut set = |set, port| {
        if let Some(word) = words.get_mut(port_word(0, set, port) as usize) {
            *word |= port_bit(port);
        }
    };
    for service in &config.services {
        match service {
            Service::Tcp(port) => set(PortSet::Tcp, *port),
            Service::Udp(port) => set(PortSet::Udp, *port),
            Service::Ip(_) => {}
        }
    }
    config.listening.iter().for_each(|port| set(PortSet::Tcp, *port));
    config.amplifiers.iter().for_each(|port| set(PortSet::Amplifiers, *port));
    ports.put_all(&keys, &words).1
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

/// All zeroes for a limit that is off.
fn ceiling(key: &'static str, rate: Option<&Rate>, tick_ns: u64) -> Result<Limit, KernelError> {
    rate.map_or(Ok(Limit::default()), |rate| limit(key, rate, tick_ns))
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

fn shadow(config: &Kernel) -> u64 {
    match config.mode {
        Mode::Shadow => u64::MAX,
        Mode::Enforce => config.shadow.iter().fold(0, |bits, class| bits | class.bits()),
    }
}
