//! What a guest said, line by line: the harnesses' own words, and marked lines of its init.

use std::collections::BTreeMap;

use super::Scope;
use crate::test::Tally;

/// Instructions the verifier walked through, by program.
pub(super) type Costs = BTreeMap<String, u64>;

/// One kernel's run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What the kernel calls itself; empty if it never came up.
    pub(super) release: String,
    pub(super) tally: Tally,
    pub(super) costs: Costs,
    /// Everything that makes the run a failure, but for single tests.
    pub(super) faults: Vec<String>,
    is_complete: bool,
}

impl Outcome {
    /// Takes in one line.
    pub(super) fn read(&mut self, line: &str) {
        let Some((word, rest)) = line.strip_prefix('@').and_then(|line| line.split_once(' '))
        else {
            self.is_complete |= line == "@end";
            self.tally.read(line);
            return;
        };
        match word {
            "kernel" => rest.clone_into(&mut self.release),
            "program" => self.add_cost(rest),
            "refused" => self.faults.push(format!("the verifier refused `{rest}`")),
            "exit" if !rest.ends_with(" 0") => self.faults.push(format!("exit status: {rest}")),
            "skip" => self.tally.add_skips(rest),
            _ => {}
        }
    }

    fn add_cost(&mut self, text: &str) {
        let Some((name, count)) = text.split_once(' ') else { return };
        match count.parse() {
            Ok(count) => drop(self.costs.insert(name.to_owned(), count)),
            Err(_) => println!("this kernel does not tell how long it verified `{name}`"),
        }
    }

    /// Judges the whole, after the last line.
    pub(super) fn close(&mut self, scope: Scope) {
        if self.release.is_empty() {
            self.faults.push("the kernel did not come up".to_owned());
        } else if !self.is_complete {
            self.faults.push("the guest ended before its tests".to_owned());
        }
        if scope == Scope::Tests && self.is_complete && self.tally.passed == 0 {
            self.faults.push("no test ran".to_owned());
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.faults.is_empty() && self.tally.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(lines: &[&str]) -> Outcome {
        let mut outcome = Outcome::default();
        for line in lines {
            outcome.read(line);
        }
        outcome.close(Scope::Tests);
        outcome
    }

    #[test]
    fn reads_a_good_run() {
        let outcome = outcome_of(&[
            "@kernel 6.1.0-50-cloud-amd64",
            "@program gateway 4711",
            "@exit verifier 0",
            "test xdp::bans::ends ... ok",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "@exit xdp 0",
            "@skip xdp::speed::costs: measures nothing under emulation",
            "@end",
        ]);
        assert!(outcome.is_good(), "{outcome:?}");
        assert_eq!(outcome.release, "6.1.0-50-cloud-amd64");
        assert_eq!(outcome.costs.get("gateway"), Some(&4711));
        assert_eq!((outcome.tally.passed, outcome.tally.skipped.len()), (1, 1));
    }

    #[test]
    fn no_end_no_success() {
        let whole = [
            "@kernel 6.1",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "@end",
        ];
        assert!(outcome_of(&whole).is_good());
        for missing in 0..whole.len() {
            let mut lines = whole.to_vec();
            lines.remove(missing);
            assert!(!outcome_of(&lines).is_good(), "without {:?}", whole[missing]);
        }
        let with = |line| outcome_of(&[whole[0], line, whole[1], whole[2]]);
        assert!(!with("@refused gateway").is_good());
        assert!(!with("@exit xdp 134").is_good());
        assert!(!with("test result: FAILED. 0 passed; 1 failed;").is_good());
    }
}
