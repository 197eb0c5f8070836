use core::cell::Cell as Word;

use proptest::prelude::*;

use super::*;
use crate::{
    packet::{Packet, Source},
    twin::{PROCESSORS, Sample, Twin, sample},
    verdict::{self, Action, LimitTables as _},
};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 17_000_000_000_000;
const RATE: u64 = 20_000;
const BURST: u32 = 40_000;

#[derive(Default)]
struct Here(Word<Lease>);

impl Slot for Here {
    fn read(&self) -> Lease {
        self.0.get()
    }

    fn write(&self, lease: Lease) {
        self.0.set(lease);
    }
}

fn from(source: [u8; 4]) -> Packet {
    Packet { protocol: 17, destination_port: 53, ..Packet::of(Source::V4(source)) }
}

fn wide() -> Sample {
    sample().with(|policy| policy.packets = Limit::new(SECOND / RATE, BURST))
}

fn passes(twin: &Twin, sample: &Sample, source: [u8; 4], now: u64) -> bool {
    let now = now / sample.settings.tick_ns * sample.settings.tick_ns;
    verdict::decide(&from(source), &sample.rules(), twin, now).action == Action::Pass
}

/// Arrival time of the source's first cell, beyond now: what was counted.
fn counted(twin: &Twin, sample: &Sample, source: [u8; 4], now: u64) -> u64 {
    let [first, ..] = &sample.settings.rows;
    let prefix = u64::from(u32::from_be_bytes(source)) << 32;
    let cell = twin.sketch(super::super::sketch_index(first.v4, prefix, 0)).unwrap();
    super::super::Cell::load(&cell).saturating_sub(now) / sample.policy.packets.interval_ns
}

#[test]
fn who_sends_once_pays_for_one_and_who_goes_on_pays_for_many_at_once() {
    let slot = Here::default();
    let lends = || true;
    assert_eq!(spend(&slot, 7, START, lends), Due::Leased(1));
    for _ in 0..3 {
        assert_eq!(spend(&slot, 7, START, lends), Due::Leased(LEASED));
        for _ in 1..LEASED {
            assert_eq!(spend(&slot, 7, START + LEASE_NS / 2, lends), Due::Nothing);
        }
    }
    revoke(&slot);
    assert_eq!(spend(&slot, 7, START, lends), Due::Leased(1));
}

#[test]
fn a_lease_ends_with_its_time_and_with_a_clock_set_anew() {
    for (later, due) in
        [(LEASE_NS, Due::Nothing), (LEASE_NS + LEFT + 1, Due::Leased(1)), (SECOND, Due::Leased(1))]
    {
        let slot = Here::default();
        spend(&slot, 7, START, || true);
        spend(&slot, 7, START, || true);
        assert_eq!(spend(&slot, 7, START + later, || true), due, "{later}");
    }
    let slot = Here::default();
    spend(&slot, 7, START, || true);
    spend(&slot, 7, START, || true);
    assert_eq!(spend(&slot, 7, START - SECOND, || true), Due::Leased(1));
}

#[test]
fn a_flood_of_others_takes_no_lease_away() {
    let slot = Here::default();
    spend(&slot, 7, START, || true);
    spend(&slot, 7, START, || true);
    for other in 100..200 {
        assert_eq!(spend(&slot, other, START, || true), Due::Alone);
    }
    assert_eq!(spend(&slot, 7, START, || true), Due::Nothing);
}

#[test]
fn narrow_limits_lend_nothing() {
    assert!(Limit::new(SECOND / RATE, BURST).lends());
    assert!(Limit::default().lends(), "a limit that is off");
    for narrow in [Limit::new(SECOND / 1000, 2000), Limit::new(SECOND / 100_000, 50_000)] {
        assert!(!narrow.lends(), "{narrow:?}");
        let sample = sample().with(|policy| policy.packets = narrow);
        let twin = Twin::new();
        for packet in 1..=20 {
            assert!(passes(&twin, &sample, [192, 0, 2, 1], START));
            assert_eq!(counted(&twin, &sample, [192, 0, 2, 1], START), packet);
        }
    }
}

/// Packets of one source at `tenths` of its limit, on all processors in turn, in runs of `run`.
fn flood(sample: &Sample, tenths: u64, run: u64, seconds: u64) -> u64 {
    let twin = Twin::new();
    let gap = SECOND * 10 / (RATE * tenths);
    let packets = seconds * SECOND / gap;
    (0..packets)
        .filter(|packet| {
            twin.processor.set((packet / run) as usize % PROCESSORS);
            passes(&twin, sample, [192, 0, 2, 1], START + packet * gap)
        })
        .count() as u64
}

#[test]
fn a_source_over_its_limit_gets_the_limit_on_however_many_processors() {
    let (sample, seconds) = (wide(), 4);
    let granted = u64::from(BURST) + RATE * seconds;
    for tenths in [15, 20, 40, 200] {
        for run in [1, LEASED + 1, 1000] {
            let passed = flood(&sample, tenths, run, seconds);
            assert!(passed * 100 <= granted * 105, "{tenths}, {run}: {passed} of {granted}");
            let offered = (RATE * tenths / 10 * seconds).min(granted);
            assert!(passed * 100 >= offered * 95, "{tenths}, {run}: {passed} of {offered}");
        }
    }
}

/// The worst for a lease: two packets and a pause as long as it lasts.
#[test]
fn what_leases_waste_costs_a_source_nothing_below_its_limit() {
    let sample = wide();
    let twin = Twin::new();
    for burst in 0..1000 {
        for processor in 0..PROCESSORS {
            twin.processor.set(processor);
            for _ in 0..2 {
                let now = START + burst * 2 * LEASE_NS;
                assert!(passes(&twin, &sample, [192, 0, 2, 1], now), "{burst}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Any pattern of bunches on any processors stays under the bound of the module's text.
    #[test]
    fn no_pattern_gets_more(
        bunches in proptest::collection::vec(
            (0..PROCESSORS, 1u64..30_000, 0u64..1_500_000_000), 1..40),
        tick in prop_oneof![Just(1_000_000u64), Just(4_000_000), Just(10_000_000)],
    ) {
        let mut sample = wide();
        sample.settings.tick_ns = tick;
        let twin = Twin::new();
        let (mut at, mut passed) = (0u64, 0u64);
        for (processor, packets, pause) in bunches {
            twin.processor.set(processor);
            for _ in 0..packets {
                passed += u64::from(passes(&twin, &sample, [192, 0, 2, 1], START + at));
            }
            at += pause;
        }
        let limit = sample.policy.packets;
        let bound =
            limit.burst_ns + limit.slack_ns + 2 * limit.interval_ns + at + tick + LEASE_NS;
        prop_assert!(passed * limit.interval_ns <= bound, "{passed} in {at} ns");
    }

    /// Nobody is counted on another's lease.
    #[test]
    fn senders_have_names_of_their_own(keys: [u64; 2], one: u64, other: u64) {
        let keys = keys.map(|key| key | 1);
        let (name, slot) = lease_of(keys, one, 4);
        prop_assert!(slot < LEASES);
        if one != other {
            prop_assert_ne!(name, lease_of(keys, other, 4).0);
        }
    }
}
