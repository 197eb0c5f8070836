//! The privileged process. It parses nothing that a stranger sent.

mod address;
mod allows;
mod bans;
pub mod kernel;
mod keys;
mod protect;
mod recent;
mod store;
mod timekeeper;

#[cfg(test)]
mod testing;
