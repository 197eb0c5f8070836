//! The protocol between guard and proxy: versioned, bounded, and ignorant of what either does
//! with a message. A malformed frame ends the connection, and with it that proxy.

pub mod message;
