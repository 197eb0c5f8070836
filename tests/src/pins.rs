//! A folder of pins that goes with the test.

use std::path::PathBuf;

use crate::netns::{remove, unique};

/// Where the filter of one case pins.
#[derive(Debug)]
pub struct Pins(pub PathBuf);

impl Pins {
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self(PathBuf::from("/sys/fs/bpf").join(unique()))
    }

    /// Those of the filter's layouts and capacities.
    pub fn folders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for folder in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            drop(remove(&folder.path()));
        }
        drop(remove(&self.0));
    }
}
