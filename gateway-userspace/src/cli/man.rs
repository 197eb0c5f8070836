//! `gateway man`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man;

use super::{Cli, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write a page for every command into this folder.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let command = Cli::command();
        if let Some(folder) = self.out {
            return clap_mangen::generate_to(command, &folder)
                .with_context(|| format!("writing pages into {}", folder.display()));
        }
        let mut page = Vec::new();
        Man::new(command).render(&mut page).context("making the manual page")?;
        output::print_bytes(&page)
    }
}
