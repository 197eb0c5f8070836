//! The gateway: an XDP firewall and an API gateway that act as one.
//!
//! # Layout, in the order of the flow
//!
//! - [`config`]: the file, checked whole, as a model
//! - [`guard`]: the privileged process: kernel, bans, store, control socket, the proxy's keeper
//! - [`ipc`]: the protocol between guard and proxy, and nothing else
//! - [`proxy`]: the unprivileged process: every byte from the network is parsed here
//! - [`telemetry`]: metrics and access log
//! - [`control`]: what the command line and the guard say to each other
//! - [`sampled`]: of sampled drops
//! - `doctor`: what keeps the packet filter from running, or from running at its best
//! - [`cli`]: one subcommand a file
//! - [`app`]: joins the parts
//! - [`clock`]: the one clock

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub(crate) mod doctor;
pub mod guard;
pub mod ipc;
pub mod proxy;
pub mod sampled;
pub mod telemetry;
