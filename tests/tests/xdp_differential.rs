//! The real program beside an oracle that shares no code with it: random packets in random worlds.
//! `cargo xtask differential` tries millions and shows what was reached.
//!
//! Needs root: a namespace, and programs run by `BPF_PROG_TEST_RUN`.

#[cfg(test)]
mod differential {
    use gateway_tests::{
        differential::{Plan, run},
        skip,
    };

    /// So that a difference found once is found again by everybody.
    const SEED: u64 = 20_260;

    #[test]
    fn filter_and_oracle_agree() {
        if skip::without_root("differential::filter_and_oracle_agree").unwrap() {
            return;
        }
        let plan =
            Plan { seed: SEED, packets: 64_000, at_most: 64_000, per_world: 1_000, goal: 60 };
        println!("seed {SEED}");
        let report = run(&plan, |_| {}).unwrap();
        println!("{}", report.coverage);
        for example in &report.examples {
            println!("{example}");
        }
        assert_eq!(report.differences, 0, "of {} packets", report.packets);
        assert_eq!(report.coverage.surprising(), []);
    }
}
