//! `gateway doctor`: what keeps the packet filter from running here, or from running at its best,
//! with the command that changes it. It needs no running gateway, no file, and changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    output::{self, Output, escape},
    source,
};
use crate::{
    config::{self, defaults, model::Kernel},
    doctor::{self, Finding, Level, Report},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Look at this interface instead of the configured ones; may be repeated.
    #[arg(long, short, value_name = "IF")]
    interface: Vec<String>,
    /// The configuration; /etc/gateway/gateway.toml if left out, or the default without it.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// For scripts: the count first.
#[derive(Serialize)]
struct Printed<'a> {
    failed: usize,
    warned: usize,
    findings: &'a [Finding],
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (kernel, fault) = settings(self.config.as_deref())?;
        let named = if self.interface.is_empty() { &kernel.interfaces } else { &self.interface };
        let mut report = Report::default();
        report.add("configuration", fault.into_iter().collect());
        report.findings.extend(doctor::examine(&kernel, named).findings);
        let failed = report.count(Level::Fail);
        let printed =
            Printed { failed, warned: report.count(Level::Warn), findings: &report.findings };
        self.output.print(&printed, |_| show(&report))?;
        match failed {
            0 => Ok(()),
            1 => {
                Err(anyhow::anyhow!("one finding fails: the packet filter will not run like this"))
            }
            _ => Err(anyhow::anyhow!(
                "{failed} findings fail: the packet filter will not run like this"
            )),
        }
    }
}

/// The configured kernel part. A file that cannot be used is a finding, not the end: the machine
/// can be looked at without.
fn settings(file: Option<&Path>) -> anyhow::Result<(Kernel, Option<Finding>)> {
    let error = match source::read(file) {
        Ok(source) => return Ok((source.config.kernel, None)),
        Err(error) => error,
    };
    let path = file.unwrap_or(Path::new(defaults::FILE)).display();
    let what = format!("the configuration cannot be used: {}", output::chain(&error));
    let fault = if is_hidden(&error) {
        Finding::note("file", what).change("run `gateway doctor` as root")
    } else {
        Finding::fail("file", what).change(format!("gateway check {path}"))
    };
    let default = config::load(defaults::EMBEDDED, "embedded default");
    let default = default.map_err(|faults| anyhow::anyhow!("{faults}"))?;
    Ok((default.kernel, Some(fault)))
}

/// Not for this user to read.
fn is_hidden(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.into_iter().any(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}

/// A paragraph a place, a line a finding, with what to change below it.
pub(crate) fn show(report: &Report) -> String {
    let mut lines = Vec::new();
    let mut place = "";
    let width = report.findings.iter().map(|finding| finding.about.len()).max().unwrap_or(0);
    for finding in &report.findings {
        if finding.place != place {
            place = &finding.place;
            let gap = if lines.is_empty() { "" } else { "\n" };
            lines.push(format!("{gap}{}", escape(place).to_uppercase()));
        }
        let Finding { about, level, what, change, .. } = finding;
        lines.push(format!("{:<4}  {about:<width$}  {}", level.name(), escape(what)));
        if let Some(change) = change {
            lines.push(format!("{:6}{:width$}  -> {}", "", "", escape(change)));
        }
    }
    lines.push(format!(
        "\n{} ok, {} to note, {} to mend, {} failed",
        report.count(Level::Ok),
        report.count(Level::Note),
        report.count(Level::Warn),
        report.count(Level::Fail)
    ));
    lines.join("\n")
}
