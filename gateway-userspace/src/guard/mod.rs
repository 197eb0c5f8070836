//! The privileged process. It parses nothing that a stranger sent.
//!
//! Reading order: [`run`](self::run) → `core` (what happens about what) → `bans` (who is banned)
//! → `kernel`, `store`, `worker`, `control` (the edges).

mod accounts;
mod address;
mod allows;
mod bans;
mod control;
mod core;
mod error;
mod events;
mod folder_watch;
mod folders;
mod kept;
pub mod kernel;
mod keys;
mod listeners;
mod policy;
mod protect;
mod recent;
mod run;
mod store;
mod surroundings;
mod sysctl;
mod timekeeper;
mod watch;
mod whole_file;
mod worker;

#[cfg(test)]
mod testing;

pub(crate) use kept::VARIABLE as KEPT;

pub use self::{
    error::GuardError,
    run::{Options, run},
    store::StoreError,
};

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
