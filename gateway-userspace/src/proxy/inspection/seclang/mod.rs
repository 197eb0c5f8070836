//! The engine for SecLang, the language of ModSecurity's rules and of the OWASP Core Rule Set. Runs
//! rule files as they are: what they say and this engine does not know is a fault when they are
//! read, with its file and line. What rules find is told; what happens then, the stage decides.
//!
//! How: [`RuleSet::load`] reads files into rules and plans what they share. A [`Transaction`] holds
//! one request; each of its values is searched once for all rules (`matcher`), and only rules that
//! can match are run.

mod action;
mod bodies;
mod changes;
mod fault;
mod files;
mod kept;
mod lexer;
mod load;
mod matcher;
mod message;
mod rule;
mod run;
mod selftest;
mod texts;
mod transaction;
mod variable;
mod words;

pub use self::{
    bodies::read_body,
    fault::Fault,
    files::Files,
    kept::Kept,
    message::Body,
    rule::{Note, RuleSet},
    selftest::SelfTestError,
    transaction::{Exclude, Head, Hit, Interruption, Settings, Spent, Transaction},
    variable::Variable,
};

#[cfg(test)]
mod tests;
