//! Certificates that are issued and renewed by themselves (RFC 8555). An authority is a stranger, so
//! its words are read here, behind the sandbox; what comes of them is checked, kept by the guard,
//! and taken like any renewed file. One order at a time, on the support thread.

mod answer;
mod board;
mod caller;
mod engine;
mod error;
mod notes;
mod order;
mod schedule;
#[cfg(test)]
mod tests;

pub(crate) use answer::serve;
pub(crate) use board::Board;
pub(crate) use engine::run;
