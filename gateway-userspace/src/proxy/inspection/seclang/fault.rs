//! What is wrong with a rule file. A directive, a variable, an operator or an action that the engine
//! does not know is a fault: a rule that is not run as it is written protects nobody.

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct Fault {
    pub(super) file: String,
    /// The line on which the directive begins, from 1.
    pub(super) line: usize,
    pub(super) what: String,
}
