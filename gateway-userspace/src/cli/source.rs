//! Where a configuration comes from: the named file, the usual file, or the embedded default.

use std::{io, path::Path};

use anyhow::{Context as _, anyhow};

use super::output;
use crate::config::{self, Settled, defaults, model::Config, text_of};

/// A checked configuration with its text, which means the same to the proxy.
pub(super) struct Source {
    pub(super) config: Config,
    pub(super) text: String,
    pub(super) origin: String,
}

/// Reads and checks the file that `path` names. Every fault is printed with its line.
pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Source> {
    let (text, origin) = match path {
        Some(path) => (
            text_of(path).with_context(|| format!("reading {}", path.display()))?,
            path.display().to_string(),
        ),
        None => usual()?,
    };
    match config::load_settled(&text, &origin) {
        Ok(Settled { config, text }) => Ok(Source { config, text, origin }),
        Err(faults) => {
            output::complain(&faults.to_string());
            let count = faults.faults.len() + faults.unlisted;
            let plural = if count == 1 { "" } else { "s" };
            Err(anyhow!(
                "{origin} has {count} fault{plural}; correct it and run `gateway check {origin}`"
            ))
        }
    }
}

/// The usual file, or the default if there is none. One that is there but cannot be read is an
/// error: serving something else than was configured would be worse than serving nothing.
fn usual() -> anyhow::Result<(String, String)> {
    match text_of(Path::new(defaults::FILE)) {
        Ok(text) => Ok((text, defaults::FILE.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok((defaults::EMBEDDED.to_owned(), "embedded default".to_owned()))
        }
        Err(error) => Err(anyhow::Error::new(error).context(format!("reading {}", defaults::FILE))),
    }
}
