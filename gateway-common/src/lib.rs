//! What the kernel program and the daemons share, `no_std` and free of side effects:
//! the packet parser, the verdict, the numbered reasons and the layout of the maps.
//!
//! Reading order: [`packet`] → [`verdict`] (with [`summary`], [`cover`], [`limit`] and [`syn`]) →
//! [`reason`];
//! [`maps`] and [`event`] are the contract between kernel and userspace.
#![no_std]
#![warn(missing_docs)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "fields of headers are cut out of wider words, and sizes of small structs out of usize"
)]
#![expect(
    clippy::inline_always,
    reason = "the verifier follows one function better than calls, and a call costs a good packet 1 ns"
)]

#[cfg(test)]
extern crate std;

pub mod class;
pub mod cover;
pub mod event;
pub mod limit;
pub mod maps;
pub mod packet;
pub mod reason;
pub mod summary;
pub mod syn;
#[cfg(test)]
mod twin;
pub mod verdict;

pub use class::Class;
pub use reason::{Plane, Reason};
