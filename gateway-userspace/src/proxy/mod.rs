//! proxy

pub mod upstream;
