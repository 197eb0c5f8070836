//! What facts come to. Pure: the same facts always get the same findings.

mod driver;
mod interface;
mod kernel;
mod machine;
mod memory;

pub(super) use interface::{judge as interface, none as no_interface};
pub(super) use kernel::judge as features;
pub(super) use machine::judge as machine;

/// Commands that look at what only root may see.
const AS_ROOT: &str = "run `gateway doctor` as root";
