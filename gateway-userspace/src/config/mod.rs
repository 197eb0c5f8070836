//! Configuration: raw text → every fault found at once → a checked model.

mod answers;
mod bypass;
pub mod changes;
mod compressing;
pub mod defaults;
mod fault;
mod forwarding;
mod kernel_table;
mod matching;
pub mod model;
mod origin;
pub mod places;
pub mod prefix;
mod sections;
mod settle;
mod supplying;
mod text;
mod transforming;
mod tree;
pub mod units;
mod url;

use toml::de::DeTable;

use fault::FaultLog;
pub use fault::{Fault, Faults};
pub use kernel_table::{KernelTable, Tables, load_kernel};
use model::Config;
pub use settle::{Settled, load_settled};
pub use text::text_of;
use tree::Section;

/// Bytes of a configuration, at most: ten thousand routes fit.
pub const TEXT_BYTES: usize = 4 << 20;

/// What is lawful but may not be meant; told whenever a configuration is checked or started.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = bypass::warnings(config);
    warnings.extend(compressing::warnings(config));
    warnings
}

/// Reads and checks a whole configuration. `origin` names the text in messages.
pub fn load(text: &str, origin: &str) -> Result<Config, Faults> {
    let log = FaultLog::new(text);
    if text.len() > TEXT_BYTES {
        log.note(0, "", "is too large", format!("write {TEXT_BYTES} bytes at most"));
        return Err(log.into_faults(origin, false));
    }
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        log.note(at, "", error.message(), instead_of(error.message()));
    }
    // A key written twice leaves the tree whole; behind other errors it is guesswork.
    if errors.iter().any(|error| error.message() != DUPLICATE) {
        return Err(log.into_faults(origin, true));
    }
    let mut root = Section::root(&log, tree.get_ref());
    let config = sections::read(&mut root);
    root.finish();
    if log.is_empty() { Ok(config) } else { Err(log.into_faults(origin, false)) }
}

/// The parser's words for a key written twice.
const DUPLICATE: &str = "duplicate key";

fn instead_of(message: &str) -> &'static str {
    if message == DUPLICATE { "write it once" } else { "correct the TOML here" }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
