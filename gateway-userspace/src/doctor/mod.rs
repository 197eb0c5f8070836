//! Why the packet filter would not run here, or not at its best: facts about kernel, machine and
//! interfaces, gathered from the kernel itself, and what they come to. Nothing is changed.
//!
//! [`facts`] reads and judges nothing; [`judge`] is pure.

mod facts;
mod finding;
mod judge;

pub(crate) use finding::{Finding, Level, Report};

use crate::config::model::Kernel;

/// Looks at the machine and at these interfaces, with the settings of `kernel`.
pub(crate) fn examine(kernel: &Kernel, interfaces: &[String]) -> Report {
    let machine = facts::Machine::gather(kernel);
    let mut report = Report::default();
    report.add("machine", judge::machine(&machine));
    report.add("kernel", judge::features(&machine.features, &machine.program));
    for name in interfaces {
        let found = facts::Interface::gather(name);
        report.add(name, judge::interface(name, found.as_ref(), kernel.attach));
    }
    if interfaces.is_empty() {
        report.add("interfaces", vec![judge::no_interface(&facts::names())]);
    }
    report
}
