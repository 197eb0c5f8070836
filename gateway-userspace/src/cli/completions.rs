//! `gateway completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "gateway", &mut script);
        output::print_bytes(&script)
    }
}
