//! `gateway shadow`: count what would be dropped, and let it pass.

use clap::Subcommand;

use super::{Context, client};
use crate::control::Request;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let pass and count what these classes would drop, whatever [kernel] says.
    On {
        /// bans, limits, malformed, policy, syns; all of them if left out.
        #[arg(value_name = "CLASS")]
        classes: Vec<String>,
    },
    /// Drop it, whatever [kernel] says.
    Off {
        /// bans, limits, malformed, policy, syns; all of them if left out.
        #[arg(value_name = "CLASS")]
        classes: Vec<String>,
    },
    /// Take these orders back: as [kernel] says.
    Reset,
}

impl Command {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let request = match self {
            Self::On { classes } => Request::Shadow { on: true, classes },
            Self::Off { classes } => Request::Shadow { on: false, classes },
            Self::Reset => Request::ShadowReset,
        };
        client::order(&context.socket, &request)
    }
}
