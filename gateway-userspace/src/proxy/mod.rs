//! proxy

pub mod sandbox;
