//! Reads the text of a configuration file, bounded.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::TEXT_BYTES;

/// The text of a file. One over the bound is cut one byte behind it, which `load` then refuses
/// with a message of its own.
pub fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(TEXT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
        let what = format!("line {line} is not UTF-8 text; save the file as UTF-8");
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}
