//! Request bodies as rules see them: named arguments, files, text, and ModSecurity's flags.
//!
//! Every reader is bounded in count, depth and length, and goes over a body once. What is wrong
//! with a body is said beside what was read until there, because rules ask for both.

pub mod json;
pub mod multipart;
pub mod xml;

/// How much a reader takes in before it says that it is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments, files and attributes, counted together.
    pub items: usize,
    pub depth: usize,
    /// One line of a part's head.
    pub header_line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { items: 1000, depth: 512, header_line: 4096 }
    }
}

/// One `ARGS_POST`: several may have one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// What stopped a reader: `REQBODY_ERROR_MSG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("more than the limit of arguments")]
    TooMany,
    #[error("nested deeper than the limit")]
    TooDeep,
    #[error("not UTF-8")]
    Coding,
    #[error("JSON: {0}")]
    Json(&'static str),
    #[error("XML: {0}")]
    Xml(&'static str),
    #[error("multipart: {0}")]
    Multipart(&'static str),
}

#[cfg(test)]
mod tests;
