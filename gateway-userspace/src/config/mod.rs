//! Configuration: raw text → every fault found at once → a checked model.

pub mod model;
