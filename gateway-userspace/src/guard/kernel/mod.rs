//! The packet filter as the guard sees it; the only user of aya.

pub mod filter;

pub use filter::{BanSource, KernelBan, KernelError, Off, PacketFilter};
