//! A route's `openapi`: the contract that requests and answers are held to.

use std::path::PathBuf;

/// A contract, and how strictly it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenApi {
    /// The contract's own document first, then those that it refers to.
    pub documents: Vec<PathBuf>,
    /// What stands in front of its paths; `None` is the path of its first server.
    pub base: Option<String>,
    pub unknown: Unknown,
    /// Answers are held to it too.
    pub answers: bool,
}

/// What becomes of parameters and members that the contract does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unknown {
    Refuse,
    /// The supplier, or the client, gets the rest.
    Remove,
    Pass,
}
