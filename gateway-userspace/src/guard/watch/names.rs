//! What interfaces are called. Asked of the kernel once a second at most: a name may change, and
//! an index may come to mean another interface.

use std::{collections::HashMap, sync::Arc};

/// Names kept; one more is asked for each time.
const KEPT: usize = 64;

/// Names by index.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<u32, Arc<str>>);

impl Names {
    /// The name of an interface, or its index where there is none any longer.
    pub(super) fn of(&mut self, index: u32) -> Arc<str> {
        if let Some(name) = self.0.get(&index) {
            return Arc::clone(name);
        }
        let name: Arc<str> = ask(index).unwrap_or_else(|| format!("#{index}")).into();
        if self.0.len() < KEPT {
            self.0.insert(index, Arc::clone(&name));
        }
        name
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

fn ask(index: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(index).ok()?;
    // An index that cannot be one has an empty name in place of an error.
    Some(name.to_string_lossy().into_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_name_or_else_the_index() {
        let mut names = Names::default();
        assert_eq!(&*names.of(1), "lo");
        assert_eq!(&*names.of(u32::MAX), "#4294967295");
    }

    #[test]
    fn keeps_a_bounded_number() {
        let mut names = Names::default();
        for index in 1..10_000 {
            names.of(index);
        }
        assert_eq!(names.0.len(), KEPT);
        names.forget();
        assert!(names.0.is_empty());
    }
}
