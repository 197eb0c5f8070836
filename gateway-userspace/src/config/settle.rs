//! Writes into a text what it leaves to the process that reads it, for the process that reads it
//! next: guard and proxy are different users, and must mean the same folders.

use std::path::Path;

use toml::{
    Spanned, Value,
    de::{DeTable, DeValue},
};

use super::{Faults, load, model::Config};

/// A text that means the same to every reader.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub text: String,
    pub config: Config,
}

/// Reads, checks and settles a configuration.
pub fn load_settled(text: &str, origin: &str) -> Result<Settled, Faults> {
    let config = load(text, origin)?;
    let text = with_folders(text, &config).unwrap_or_else(|| text.to_owned());
    Ok(Settled { config: load(&text, origin)?, text })
}

/// The text with both folders in `[guard]`; nothing if they are there.
fn with_folders(text: &str, config: &Config) -> Option<String> {
    let tree = DeTable::parse(text).ok()?;
    let guard = tree.get_ref().get("guard");
    let missing: Vec<(&str, String)> = [("run", &config.guard.run), ("state", &config.guard.state)]
        .into_iter()
        .filter(|(key, _)| !has(guard, key))
        .map(|(key, folder)| (key, quoted(folder)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let written = |prefix: &str, between: &str| {
        let keys = missing.iter().map(|(key, value)| format!("{prefix}{key} = {value}"));
        keys.collect::<Vec<_>>().join(between)
    };
    let Some(guard) = guard else {
        return Some(format!("{text}\n[guard]\n{}\n", written("", "\n")));
    };
    let at = guard.span().start;
    match text.get(at..)?.chars().next()? {
        '[' => {
            let end = text.get(at..)?.find('\n').map_or(text.len(), |length| at + length);
            insert(text, end, &format!("\n{}", written("", "\n")))
        }
        '{' if is_empty(guard) => insert(text, at + 1, &written(" ", ",")),
        '{' => insert(text, at + 1, &format!("{},", written(" ", ","))),
        // Dotted keys at the file's top, before any table.
        _ => {
            let top = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
            insert(text, top, &format!("{}\n", written("guard.", "\n")))
        }
    }
}

fn has(guard: Option<&Spanned<DeValue<'_>>>, key: &str) -> bool {
    let table = guard.and_then(|guard| guard.get_ref().as_table());
    table.is_some_and(|table| table.contains_key(key))
}

fn is_empty(guard: &Spanned<DeValue<'_>>) -> bool {
    guard.get_ref().as_table().is_some_and(DeTable::is_empty)
}

fn quoted(folder: &Path) -> String {
    Value::String(folder.display().to_string()).to_string()
}

fn insert(text: &str, at: usize, new: &str) -> Option<String> {
    let (before, behind) = text.split_at_checked(at)?;
    Some(format!("{before}{new}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;

    fn settled(guard: &str) -> Settled {
        load_settled(&format!("{guard}\n{}", defaults::EMBEDDED), "t").unwrap()
    }

    #[test]
    fn every_way_to_write_the_table_is_settled() {
        for guard in [
            "",
            "[guard]",
            "[guard] # folders",
            "[guard]\nuser = \"u\"",
            "[guard]\nrun = \"/r\"",
            "[guard]\nstate = \"/s\"\n[bans]\nthreshold = 5",
            "guard = {}",
            "guard = { user = \"u\" }",
            "guard = {state = \"/s\", user = \"u\"}",
            "guard.user = \"u\"",
            "\u{feff}guard.user = \"u\"",
            "guard.run = \"/r\"\nguard.user = \"u\"",
            "[ \"guard\" ]\nuser = \"u\"",
        ] {
            let settled = settled(guard);
            let folders = with_folders(&settled.text, &settled.config);
            assert_eq!(folders, None, "{guard} became {}", settled.text);
            let before = load(&format!("{guard}\n{}", defaults::EMBEDDED), "t").unwrap();
            assert_eq!(settled.config, before, "{guard}");
        }
    }

    #[test]
    fn a_settled_text_is_not_touched_again() {
        let once = settled("[guard]\nrun = \"/r\"\nstate = \"/s\"");
        assert_eq!(once.config.guard.run, Path::new("/r"));
        assert_eq!(load_settled(&once.text, "t").unwrap(), once);
        assert_eq!(
            once.text,
            format!("[guard]\nrun = \"/r\"\nstate = \"/s\"\n{}", defaults::EMBEDDED)
        );
    }
}
