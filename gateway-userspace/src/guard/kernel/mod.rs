//! The packet filter as the guard sees it; the only user of aya.
//!
//! [`live::Filter`] puts together: [`preconditions`] → [`pins`] (which maps to use) → [`object`]
//! (the program) → [`settings`], [`family`] (the lists, in [`list`] and [`summary`]) → [`attach`].

mod attach;
mod cookies;
mod diagnostics;
mod family;
pub mod filter;
mod list;
mod live;
mod netlink;
mod object;
mod pins;
mod preconditions;
mod settings;
mod status;
mod summary;
mod sys;
mod table;
mod ticks;

pub use filter::{BanSource, KernelBan, KernelError, Off, PacketFilter};
pub use live::Filter;
