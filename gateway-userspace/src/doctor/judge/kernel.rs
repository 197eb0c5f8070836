//! What was tried of the kernel, and whether it takes the filter.

use std::{error::Error, io};

use super::{super::finding::Finding, machine::unseen};
use crate::guard::kernel::{
    KernelError,
    probe::{Feature, OLDEST},
};

/// Lines of a verifier's log that tell what it stumbled over: the last.
const LOG_LINES: usize = 3;

pub(in crate::doctor) fn judge(
    features: &[Feature],
    program: &Result<(), KernelError>,
) -> Vec<Finding> {
    let mut findings = vec![filter(program)];
    let names = |wanted: fn(&Feature) -> bool| -> Vec<&str> {
        features.iter().filter(|one| wanted(one)).map(|one| one.name).collect()
    };
    let there = names(|one| matches!(one.there, Ok(true)));
    if !there.is_empty() {
        findings.push(Finding::ok("features", format!("tried and there: {}", there.join(", "))));
    }
    findings.extend(features.iter().filter(|one| matches!(one.there, Ok(false))).map(missing));
    let untried = names(|one| one.there.is_err());
    if !untried.is_empty() {
        findings.push(unseen("features", &format!("whether there are {}", untried.join(", "))));
    }
    findings
}

fn missing(feature: &Feature) -> Finding {
    let Feature { name, since: (major, minor), needed, .. } = feature;
    if *needed {
        let what = format!("{name}: not there, though Linux {major}.{minor} brought it");
        return Finding::fail("features", what)
            .change("boot a kernel with CONFIG_BPF_SYSCALL, as distributions build it");
    }
    let built = if feature.since <= OLDEST { ", this one is built without" } else { "" };
    let what = format!(
        "{name}: not there (Linux {major}.{minor} brought it{built}); the filter works without"
    );
    Finding::note("features", what)
}

fn filter(program: &Result<(), KernelError>) -> Finding {
    let Err(error) = program else {
        return Finding::ok("filter", "this kernel's verifier takes the filter");
    };
    let causes: Vec<String> = causes(error);
    if is_permission(error) {
        return unseen("filter", "whether this kernel's verifier takes the filter");
    }
    Finding::fail("filter", format!("this kernel does not take the filter: {}", causes.join(": ")))
        .change("boot another kernel, or report this with its release: `uname -r`")
}

/// An error and what led to it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// In words; of a verifier's log only the end.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    chain(error)
        .map(|error| {
            let text = error.to_string();
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join(" / ")
        })
        .collect()
}

fn is_permission(error: &(dyn Error + 'static)) -> bool {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.raw_os_error() == Some(libc::EPERM))
}

#[cfg(test)]
mod tests {
    use super::{super::super::finding::Level, *};

    fn feature(needed: bool, there: io::Result<bool>) -> Feature {
        Feature { name: "rings", since: (5, 8), needed, there }
    }

    fn levels(feature: Feature) -> Vec<Level> {
        judge(&[feature], &Ok(())).iter().skip(1).map(|finding| finding.level).collect()
    }

    #[test]
    fn what_is_missing_fails_only_where_it_is_needed() {
        assert_eq!(levels(feature(true, Ok(true))), [Level::Ok]);
        assert_eq!(levels(feature(true, Ok(false))), [Level::Fail]);
        assert_eq!(levels(feature(false, Ok(false))), [Level::Note]);
        let refused = || Err(io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(levels(feature(true, refused())), [Level::Note], "not seen is not absent");
    }

    #[test]
    fn a_refused_filter_fails_and_an_untried_one_does_not() {
        let refused = |code| {
            let source = io::Error::from_raw_os_error(code);
            Err(KernelError::System { doing: "loading".to_owned(), source })
        };
        assert_eq!(filter(&refused(libc::EPERM)).level, Level::Note);
        let failed = filter(&refused(libc::EINVAL));
        assert_eq!(failed.level, Level::Fail);
        assert!(failed.what.contains("loading: Invalid argument"), "{}", failed.what);
        assert_eq!(filter(&Ok(())).level, Level::Ok);
    }
}
