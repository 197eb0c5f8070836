//! `gateway panic`: the way out when the filter locks out whom it should not.

use clap::Subcommand;

use super::{Context, client};
use crate::control::Request;

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Let every packet pass, whatever is banned. Bans are kept and hold again after `restore`; what
    /// passes meanwhile is counted as `panic_pass` alone.
    Pass,
    /// Filter again as configured.
    Restore,
}

impl Command {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let request = match self {
            Self::Pass => Request::PanicPass,
            Self::Restore => Request::PanicRestore,
        };
        client::order(&context.socket, &request)
    }
}
