//! The privileged process. It parses nothing that a stranger sent.

pub mod kernel;
