//! `gateway run`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::source::{self, Source};
use crate::{app, guard::Options};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration; /etc/gateway/gateway.toml or, without one, the embedded default.
    #[arg(long, value_name = "FILE", env = "GATEWAY_CONFIG")]
    config: Option<PathBuf>,
    /// `off` runs without the packet filter, and without root.
    #[arg(long, value_enum, value_name = "STATE", default_value = "on")]
    kernel: Kernel,
    /// What an earlier program of this process left to this one. Not for people.
    #[arg(long, hide = true, env = crate::app::KEPT, value_name = "JSON")]
    kept: Option<String>,
}

/// `--kernel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kernel {
    /// As the file says.
    On,
    Off,
}

impl Args {
    pub(super) fn run(self, log: &str) -> anyhow::Result<()> {
        let Source { mut config, text, origin } = source::read(self.config.as_deref())?;
        if self.kernel == Kernel::Off {
            config.kernel.enabled = false;
        }
        super::start_log(log)?;
        app::guard(Options { config, text, origin, log: log.to_owned(), kept: self.kept })?;
        Ok(())
    }
}
