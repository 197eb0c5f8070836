//! `gateway pipeline`: the stage lists, as they run.

use serde::Serialize;

use super::output::{Output, table};
use crate::proxy::pipeline::describe;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

/// One stage.
#[derive(Serialize)]
struct Line {
    list: &'static str,
    stage: &'static str,
    purpose: &'static str,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let lines = describe().into_iter().map(|line| Line {
            list: line.list,
            stage: line.stage.name,
            purpose: line.stage.purpose,
        });
        let lines: Vec<Line> = lines.collect();
        self.output.print(lines.as_slice(), show)
    }
}

fn show(lines: &[Line]) -> String {
    let row = |line: &Line| [line.list, line.stage, line.purpose].map(str::to_owned);
    table(["LIST", "STAGE", "WHAT IT DOES"], lines.iter().map(row))
}
