//! HTTP message signatures (RFC 9421) and body digests (RFC 9530), over header maps: nothing here
//! reads the clock, a body or a file. A signature's algorithm is its key's, never what the message
//! says it is.

mod algorithm;
mod base;
mod component;
mod digest;
mod fault;
mod message;
mod sign;
#[cfg(test)]
mod tests;
mod verify;

pub use self::{
    algorithm::{Algorithm, KeyFault, SigningKey, VerifyingKey},
    component::Component,
    digest::{Checker, Digests, content_digest},
    fault::Fault,
    message::{Message, Request, Response},
    sign::{Signed, Statement, sign},
    verify::{Claim, Policy, claim},
};
