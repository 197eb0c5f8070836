//! The protocol between guard and proxy: versioned, bounded, and ignorant of what either does
//! with a message. A malformed frame ends the connection, and with it that proxy.

pub mod channel;
pub(crate) mod descriptors;
pub mod frame;
pub mod handover;
pub mod message;

pub use channel::Channel;
pub use frame::{IpcError, Message, decode, encode};
