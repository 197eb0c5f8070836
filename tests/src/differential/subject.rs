//! The filter under test: loaded, set to a scene, asked about frames.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use gateway_userspace::{
    clock,
    config::model::{Answer, Answers, Kernel, Mode, Policy, SynCookies},
    guard::kernel::{BulkFilter, Filter, PacketFilter as _},
};
use ipnet::IpNet;

use super::{
    dice::Dice,
    draft::{Draft, syn},
    flows::own,
    recipe::{TO4, TO6},
    scene::Scene,
    theme::Course,
};
use crate::{
    netns::{remove, unique},
    oracle::judge::{Action, Outcome, ban},
    wait,
};

/// `xdp_action` numbers.
const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

/// Far longer than a run takes.
const TRIAL: Duration = Duration::from_hours(24);

/// Longer than two ticks of any kernel: what expires at once has expired.
const EXPIRY: Duration = Duration::from_millis(60);

/// What a deadline, or the guard of the exact table, may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The guard grants one entry a second; less what its clock and ours may differ by.
const GRANTED: Duration = Duration::from_millis(900);

/// Packets of one source after which its limit is used up.
const USED_UP: usize = 20;

/// Packets, bytes and packets in shadow, by reason.
pub(super) type Counts = BTreeMap<u8, (u64, u64, u64)>;

/// A filter that leaves nothing behind.
#[derive(Debug)]
pub(super) struct Subject {
    filter: Filter,
    bulk: Box<dyn BulkFilter>,
    pins: PathBuf,
}

impl Drop for Subject {
    fn drop(&mut self) {
        // The next run sweeps what cannot be removed.
        drop(remove(&self.pins));
    }
}

/// A folder for pins that no other run has.
pub(super) fn pins() -> PathBuf {
    Path::new("/sys/fs/bpf").join(unique())
}

impl Subject {
    /// With the limits of a configuration, but every packet passes otherwise.
    pub(super) fn open(kernel: &Kernel) -> Result<Self> {
        let mut filter = Filter::open(&permissive(kernel)).context("opening the filter")?;
        if kernel.syn_cookies.enabled {
            filter.answer_for(&own().collect::<Vec<_>>()).context("naming own addresses")?;
            filter.offer(None).context("setting what cookies offer")?;
            ensure_cookies(&filter)?;
        }
        let bulk = filter.bulk();
        Ok(Self { filter, bulk, pins: kernel.pins.clone() })
    }

    /// Uses up what the scene wants used up; false if the guard of the exact table opened meanwhile.
    pub(super) fn use_up(&mut self, scene: &Scene, dice: &mut Dice) -> Result<bool> {
        let guarded = scene.theme.is_guarded();
        let until = guarded.then(|| self.take_entry(scene, dice)).transpose()?;
        let frames = scene.hosts.iter().map(|host| syn_from(host.address, dice));
        let frames: Vec<_> = frames.collect();
        if scene.world.allow_is_over {
            let address = scene.hosts.first().context("a world without hosts")?.address;
            self.filter.put_allow(IpNet::from(address)).context("allowing a host")?;
        }
        let listeners = scene.world.cookies.iter().flat_map(|cookies| &cookies.listeners);
        let capped = listeners.map(|to| opening(asker(to.ip()), *to, dice));
        let frames: Vec<_> = frames.into_iter().chain(capped.collect::<Vec<_>>()).collect();
        for frame in &frames {
            for _ in 0..USED_UP {
                self.filter.test_run(frame, 1)?;
            }
        }
        Ok(until.is_none_or(|until| clock::now() < until))
    }

    /// Sets lists, policy and orders, as the guard does.
    pub(super) fn set(&mut self, scene: &Scene) -> Result<()> {
        let lists = self.filter.reconcile(&scene.bans, &scene.world.allowed);
        lists.context("setting the lists")?;
        self.bulk.replace(scene.bulk.clone()).context("setting the bulk bans")?;
        while self.bulk.clear_some()? {}
        self.put_in_force(&scene.kernel, scene.course)?;
        self.filter.order_shadow(scene.orders).context("ordering shadow mode")?;
        self.filter.set_panic(scene.world.panic).context("setting panic")?;
        if scene.world.bans.iter().any(|ban| !ban.is_live) {
            wait::pause(EXPIRY);
        }
        if let Some(cookies) = &scene.world.cookies {
            let own: Vec<IpAddr> = cookies.own.iter().copied().collect();
            self.filter.answer_for(&own).context("naming own addresses")?;
        }
        for frame in &scene.departures {
            self.filter.test_departure(frame).context("sending a frame")?;
        }
        Ok(())
    }

    /// By the way that the scene asks for.
    fn put_in_force(&mut self, kernel: &Kernel, course: Course) -> Result<()> {
        if self.filter.trial_left()?.is_some() {
            self.filter.roll_back_policy().context("ending the trial of another world")?;
        }
        let other = opposite(kernel);
        match course {
            Course::Confirmed => self.confirm(kernel),
            Course::OnTrial => {
                self.confirm(&other)?;
                self.filter.try_policy(kernel, TRIAL).context("trying the policy")
            }
            Course::RolledBack => {
                self.confirm(kernel)?;
                self.filter.try_policy(&other, TRIAL).context("trying the opposite")?;
                self.filter.roll_back_policy().context("taking it back")
            }
            Course::Lapsed => {
                self.confirm(kernel)?;
                self.filter.try_policy(&other, EXPIRY).context("trying the opposite")?;
                wait::until("the deadline", PATIENCE, || {
                    let left = self.filter.trial_left().ok()??;
                    left.is_zero().then_some(())
                })
            }
        }
    }

    fn confirm(&mut self, kernel: &Kernel) -> Result<()> {
        self.filter.try_policy(kernel, TRIAL).context("trying the policy")?;
        self.filter.confirm_policy(kernel).context("confirming the policy")
    }

    /// Takes the one entry that the exact table grants a second; until when it grants no other.
    pub(super) fn close_guard(&mut self, scene: &Scene, dice: &mut Dice) -> Result<Instant> {
        self.filter.try_policy(&permissive(&scene.kernel), TRIAL).context("opening the policy")?;
        let until = self.take_entry(scene, dice);
        self.filter.roll_back_policy().context("closing the policy")?;
        until
    }

    /// Strangers go over their limit until one is granted an entry.
    fn take_entry(&self, scene: &Scene, dice: &mut Dice) -> Result<Instant> {
        let granted = wait::until("an entry of the exact table", PATIENCE, || {
            let frame = frame_of_a_stranger(scene, dice);
            self.filter.test_run(&frame, 1).ok()?;
            let asked = clock::now();
            let [outcome] = self.judge(&frame).ok()?.try_into().ok()?;
            (outcome.reason == 0).then_some(asked)
        });
        Ok(granted? + GRANTED)
    }

    pub(super) fn counts(&self) -> Result<Counts> {
        let counters = self.filter.counters().context("reading the counters")?;
        let counts = counters.iter().filter_map(|count| {
            let reason = u8::try_from(count.reason).ok()?;
            Some((reason, (count.packets, count.bytes, count.shadow_packets)))
        });
        Ok(counts.collect())
    }

    /// Where a frame goes.
    pub(super) fn action(&self, frame: &[u8]) -> Result<Action> {
        let (action, _) = self.filter.test_run(frame, 1).context("running a frame")?;
        match action {
            PASS => Ok(Action::Pass),
            DROP => Ok(Action::Drop),
            TX => Ok(Action::Answer),
            other => bail!("the filter answered {other}"),
        }
    }

    /// What becomes of one frame.
    pub(super) fn judge(&self, frame: &[u8]) -> Result<Vec<Outcome>> {
        let before = self.counts()?;
        let action = self.action(frame)?;
        let grown = growth(&before, &self.counts()?);
        Ok(grown
            .iter()
            .map(|(reason, (_, _, shadow))| Outcome {
                reason: *reason,
                action,
                in_shadow: *shadow > 0,
            })
            .collect())
    }
}

/// What was counted between two readings.
pub(super) fn growth(before: &Counts, after: &Counts) -> Counts {
    let grown = after.iter().filter_map(|(reason, new)| {
        let old = before.get(reason).copied().unwrap_or_default();
        let more = (new.0 - old.0, new.1 - old.1, new.2 - old.2);
        (more != (0, 0, 0)).then_some((*reason, more))
    });
    grown.collect()
}

/// Everything passes but what is limited.
fn permissive(kernel: &Kernel) -> Kernel {
    Kernel {
        answers: Answers::all(Answer::Pass),
        policy: Policy::Open,
        mode: Mode::Enforce,
        shadow: Vec::new(),
        ..kernel.clone()
    }
}

/// Judged otherwise wherever a policy can be: what is in force is plain to see.
fn opposite(kernel: &Kernel) -> Kernel {
    let flipped = |answers: Answers, row| match kernel.answers.of(row) {
        Answer::Pass => answers.with(row, Answer::Drop),
        Answer::Drop => answers.with(row, Answer::Pass),
    };
    Kernel {
        answers: Answers::rows().fold(kernel.answers, flipped),
        policy: if kernel.policy == Policy::Open { Policy::Closed } else { Policy::Open },
        mode: Mode::Enforce,
        shadow: Vec::new(),
        services: Vec::new(),
        listening: Vec::new(),
        amplifiers: Vec::new(),
        syn_cookies: SynCookies { enabled: false, ..kernel.syn_cookies },
        ..kernel.clone()
    }
}

fn ensure_cookies(filter: &Filter) -> Result<()> {
    filter.lacks_for_cookies().map_or(Ok(()), |why| bail!("no SYN cookies: {why}"))
}

fn syn_from(source: IpAddr, dice: &mut Dice) -> Vec<u8> {
    let destination = if source.is_ipv4() { IpAddr::from(TO4) } else { TO6.into() };
    opening(source, SocketAddr::new(destination, 443), dice)
}

/// Somebody on no list and behind no limit, who asks a listener.
fn asker(to: IpAddr) -> IpAddr {
    if to.is_ipv4() { [46, 1, 2, 3].into() } else { [0x2a04, 1, 2, 3, 4, 5, 6, 7].into() }
}

/// The first SYN of a source that no list knows.
fn frame_of_a_stranger(scene: &Scene, dice: &mut Dice) -> Vec<u8> {
    loop {
        let [b, c, d, ..] = dice.word().to_be_bytes();
        let source = IpAddr::from([97, b, c, d]);
        let is_allowed = scene.world.allowed.iter().any(|net| net.contains(&source));
        if !is_allowed && ban(&scene.world, source).is_none() {
            return syn_from(source, dice);
        }
    }
}

fn opening(source: IpAddr, to: SocketAddr, dice: &mut Dice) -> Vec<u8> {
    let mut draft = Draft {
        tags: Vec::new(),
        source,
        destination: to.ip(),
        hop_limit: 64,
        options: Vec::new(),
        damage: 0,
        fragment: (0, false),
        extensions: Vec::new(),
        protocol: 6,
        payload: syn(40_000, to.port(), dice),
    };
    draft.seal();
    draft.frame()
}
