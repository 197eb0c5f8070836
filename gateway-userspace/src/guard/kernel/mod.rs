//! The packet filter as the guard sees it; the only user of aya.
//!
//! [`live::Filter`] puts together: [`preconditions`] → [`pins`] (which maps to use) → [`object`]
//! (the program) → [`settings`], [`family`] (the lists, in [`list`], [`marks`] and [`summary`]),
//! [`bulk`] (whole generations of bans) → [`attach`].

mod ahead;
mod attach;
mod bulk;
mod cookies;
mod diagnostics;
mod drops;
mod egress;
mod family;
pub mod filter;
mod list;
mod live;
mod mapped;
mod marks;
pub(crate) mod netlink;
mod object;
mod pins;
mod preconditions;
pub(crate) mod probe;
mod settings;
mod share;
mod slots;
mod status;
mod summary;
mod sys;
mod table;
mod tc;
mod ticks;
mod value;

pub use drops::{DropEvent, Snippet, Transport};
pub use filter::{
    BanSource, Bulk, BulkFilter, KernelBan, KernelError, Loaded, Off, PacketFilter, Record,
    ShadowOrders,
};
pub use live::Filter;
pub use netlink::{LinkWatch, News};
