//! The keeper of the proxy: starts it, speaks with it, watches it, and starts it again.
//!
//! A proxy is a process and a connection. The connection's task forwards what the proxy says to
//! the event loop over a bounded queue; the keeper decides what a lost connection or an ended
//! process means.

mod adopt;
mod files;
mod keeper;
mod launch;
mod outfit;
mod process;
mod renewal;
mod session;

pub(super) use self::{
    adopt::{Adopted, Serving, wait_for},
    files::{Files, program},
    keeper::{Keeper, Reaction},
    outfit::{Callers, Outfit, Things},
    process::Process,
    renewal::Renewal,
    session::Numbered,
};
