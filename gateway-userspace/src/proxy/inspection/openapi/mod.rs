//! Contracts: OpenAPI 3.0 and 3.1 documents, compiled once, that say of a request whether it is one
//! the API knows, and of an answer whether it is one it promised. Patterns run in linear time
//! and nothing is fetched. Says nothing about who may ask.

mod contract;
mod document;
mod escape;
mod fault;
mod judge;
mod lift;
mod media;
mod operation;
mod parameter;
mod prepare;
mod schema;
mod shape;

pub(crate) use self::{
    contract::{Contract, Settings},
    escape::names_one,
    fault::Fault,
    judge::{Breach, BreachKind},
    operation::Operation,
};

#[cfg(test)]
mod tests;
