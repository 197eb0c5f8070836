//! What the kernel program and the daemons share, `no_std` and free of side effects:
//! the packet parser, the verdict, the numbered reasons and the layout of the maps.
//!
//! Reading order: [`packet`] → [`verdict`] (with [`limit`]) → [`reason`]; [`maps`] and [`event`]
//! are the contract between kernel and userspace.
#![no_std]
#![warn(missing_docs)]

pub mod reason;

pub use reason::{Plane, Reason};
