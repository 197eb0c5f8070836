//! The filter under test: loaded, set to a scene, asked about frames.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use gateway_userspace::{
    config::model::{Answer, Answers, Kernel, Mode, Policy},
    guard::kernel::{BulkFilter, Filter, PacketFilter as _},
};
use ipnet::IpNet;

use super::{
    dice::Dice,
    draft::{Draft, tcp},
    scene::Scene,
};
use crate::{
    netns::{remove, unique},
    oracle::judge::Outcome,
    wait,
};

/// `xdp_action` numbers.
const DROP: u32 = 1;
const PASS: u32 = 2;

/// Far longer than a run takes.
const TRIAL: Duration = Duration::from_hours(24);

/// Longer than two ticks of any kernel: what expires at once has expired.
const EXPIRY: Duration = Duration::from_millis(60);

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
        let permissive = Kernel {
            answers: Answers::all(Answer::Pass),
            policy: Policy::Open,
            mode: Mode::Enforce,
            shadow: Vec::new(),
            ..kernel.clone()
        };
        let filter = Filter::open(&permissive).context("opening the filter")?;
        let bulk = filter.bulk();
        Ok(Self { filter, bulk, pins: kernel.pins.clone() })
    }

    /// Uses up what the scene wants used up.
    pub(super) fn use_up(&mut self, scene: &Scene, dice: &mut Dice) -> Result<()> {
        let frames = scene.hosts.iter().map(|host| syn_from(host.address, dice));
        let frames: Vec<_> = frames.collect();
        if scene.world.allow_is_over {
            let address = scene.hosts.first().context("a world without hosts")?.address;
            self.filter.put_allow(IpNet::from(address)).context("allowing a host")?;
        }
        for frame in &frames {
            for _ in 0..USED_UP {
                self.filter.test_run(frame, 1)?;
            }
        }
        Ok(())
    }

    /// Sets lists, policy and orders, as the guard does.
    pub(super) fn set(&mut self, scene: &Scene) -> Result<()> {
        let lists = self.filter.reconcile(&scene.bans, &scene.world.allowed);
        lists.context("setting the lists")?;
        self.bulk.replace(scene.bulk.clone()).context("setting the bulk bans")?;
        while self.bulk.clear_some()? {}
        self.filter.try_policy(&scene.kernel, TRIAL).context("trying the policy")?;
        self.filter.confirm_policy(&scene.kernel).context("confirming the policy")?;
        self.filter.order_shadow(scene.orders).context("ordering shadow mode")?;
        self.filter.set_panic(scene.world.panic).context("setting panic")?;
        if scene.world.bans.iter().any(|ban| !ban.is_live) {
            wait::pause(EXPIRY);
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> Result<Counts> {
        let counters = self.filter.counters().context("reading the counters")?;
        let counts = counters.iter().filter_map(|count| {
            let reason = u8::try_from(count.reason).ok()?;
            Some((reason, (count.packets, count.bytes, count.shadow_packets)))
        });
        Ok(counts.collect())
    }

    /// Whether a frame passes.
    pub(super) fn passes(&self, frame: &[u8]) -> Result<bool> {
        let (action, _) = self.filter.test_run(frame, 1).context("running a frame")?;
        ensure!(matches!(action, PASS | DROP), "the filter answered {action}");
        Ok(action == PASS)
    }

    /// What becomes of one frame.
    pub(super) fn judge(&self, frame: &[u8]) -> Result<Vec<Outcome>> {
        let before = self.counts()?;
        let passes = self.passes(frame)?;
        let grown = growth(&before, &self.counts()?);
        Ok(grown
            .iter()
            .map(|(reason, (_, _, shadow))| Outcome {
                reason: *reason,
                passes,
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

fn syn_from(source: IpAddr, dice: &mut Dice) -> Vec<u8> {
    let destination = match source {
        IpAddr::V4(_) => IpAddr::from([80, 81, 82, 83]),
        IpAddr::V6(_) => Ipv6Addr::new(0x2a01, 0x111, 0, 0, 0, 0, 0, 0x80).into(),
    };
    Draft {
        tags: Vec::new(),
        source,
        destination,
        hop_limit: 64,
        options: Vec::new(),
        fragment: (0, false),
        extensions: Vec::new(),
        protocol: 6,
        payload: tcp(40_000, 443, 2, dice),
    }
    .frame()
}
