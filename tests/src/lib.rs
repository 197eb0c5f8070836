//! The lab: network namespaces joined by veth, real origins and clients, frames made by hand, a
//! counter of its own behind XDP, and the real `gateway` binary between them.
//!
//! - [`netns`], [`veth`]: a private network, taken down with what runs in it
//! - [`packet`], [`inject`], [`receiver`]: numbered frames in, and which of them came through
//! - [`certs`], [`origin`], [`client`], [`load`]: both sides of an exchange, honest or not
//! - [`authority`]: an ACME server that issues certificates
//! - [`provider`]: an `OpenID` provider that issues tokens
//! - [`syns`]: SYN floods, and who is answered
//! - [`datagrams`]: questions over UDP and pings, and their answers
//! - [`foreign`]: a program of somebody else in the slot
//! - [`gateway`], [`settings`]: the binary under test and its configuration
//! - [`lab`]: the usual arrangement of all that
//! - [`oracle`], [`differential`]: a second reading of the packet policy, and random packets for both
//! - [`kernel`], [`pins`]: what tests of the filter alone start from, and what they leave behind
//! - [`wait`], [`skip`], [`digits`]: patience with an end, and honesty about what did not run

pub mod authority;
pub mod certs;
pub mod client;
pub mod datagrams;
pub mod differential;
pub mod digits;
pub mod foreign;
pub mod gateway;
pub mod inject;
pub mod kernel;
pub mod lab;
pub mod load;
pub mod netns;
pub mod oracle;
pub mod origin;
pub mod packet;
pub mod pins;
pub mod provider;
pub mod receiver;
pub mod settings;
pub mod skip;
pub mod syns;
pub mod veth;
pub mod wait;
