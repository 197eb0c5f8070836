//! The `[kernel]` table by itself: what is tried, confirmed and kept as one.

use toml::{Table, de::DeTable};

use super::{
    FaultLog, Faults, load,
    model::{Config, Kernel},
    sections,
    tree::Section,
};

/// A checked `[kernel]` with its text: no comments, keys in order, so that equal tables are equal
/// texts.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelTable {
    pub kernel: Kernel,
    pub text: String,
}

/// What was read of a text: its `[kernel]`, and the rest if there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    pub table: KernelTable,
    /// Of a whole configuration; `None` of a text that has nothing but `[kernel]`.
    pub config: Option<Config>,
}

/// Reads and checks a whole configuration, or a text with no other table than `[kernel]`.
pub fn load_kernel(text: &str, origin: &str) -> Result<Tables, Faults> {
    if !is_alone(text) {
        let config = load(text, origin)?;
        let table = KernelTable { kernel: config.kernel.clone(), text: canonical(text) };
        return Ok(Tables { table, config: Some(config) });
    }
    let log = FaultLog::new(text);
    let (tree, _) = DeTable::parse_recoverable(text);
    let mut root = Section::root(&log, tree.get_ref());
    let kernel = sections::kernel(&mut root);
    root.finish();
    if !log.is_empty() {
        return Err(log.into_faults(origin, false));
    }
    Ok(Tables { table: KernelTable { kernel, text: canonical(text) }, config: None })
}

/// True of sound TOML that has the one table only.
fn is_alone(text: &str) -> bool {
    text.len() <= super::TEXT_BYTES
        && DeTable::parse(text)
            .is_ok_and(|tree| tree.get_ref().keys().all(|key| key.get_ref() == "kernel"))
}

/// The `[kernel]` of a text that was read already; empty if it has none.
fn canonical(text: &str) -> String {
    let kernel = text.parse::<Table>().ok().and_then(|mut tables| tables.remove_entry("kernel"));
    let only: Table = kernel.into_iter().collect();
    toml::to_string(&only).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;

    #[test]
    fn a_table_alone_and_one_in_a_whole_file_are_the_same() {
        let kernel = "[kernel]\n# why\nsyns = \"off\"\ninterfaces = [\"eth0\"]\n[kernel.answers]\nvlan_depth = \"pass\"\n";
        let alone = load_kernel(kernel, "t").unwrap();
        let whole = load_kernel(&format!("{}\n{kernel}", defaults::EMBEDDED), "t").unwrap();
        assert_eq!(alone.table.text, whole.table.text);
        // But for the listeners, of which a table alone knows nothing.
        assert_eq!(alone.table.kernel.on(&whole.table.kernel), whole.table.kernel);
        assert_eq!((alone.config.is_some(), whole.config.is_some()), (false, true));
        assert!(!alone.table.text.contains("why"), "{}", alone.table.text);
        let again = load_kernel(&alone.table.text, "t").unwrap();
        assert_eq!(again, alone);
    }

    #[test]
    fn every_fault_is_told() {
        let faults = load_kernel("[kernel]\nsyn = 5\nlimit_inserts = \"many\"", "t").unwrap_err();
        assert_eq!(faults.faults.len(), 2, "{faults}");
        load_kernel("[kernel", "t").unwrap_err();
    }

    #[test]
    fn a_file_without_the_table_has_the_defaults() {
        let tables = load_kernel(defaults::EMBEDDED, "t").unwrap();
        assert_eq!(tables.table.text, "");
        let empty = load_kernel("", "t").unwrap().table.kernel;
        assert_eq!(empty.on(&tables.table.kernel), tables.table.kernel);
    }
}
