//! The files rules come in: all of them at once, in memory, since what reads rules opens nothing.

use std::io;

/// Files by their paths.
#[derive(Debug, Default, Clone)]
pub struct Files {
    all: Vec<(String, Vec<u8>)>,
}

impl Files {
    pub fn new(mut all: Vec<(String, Vec<u8>)>) -> Self {
        all.sort();
        Self { all }
    }

    pub(super) fn get(&self, path: &str) -> Option<&[u8]> {
        self.all.iter().find(|(known, _)| known == path).map(|(_, content)| content.as_slice())
    }

    /// Paths that a pattern of `Include` means: `*` stands for any part of a file's name.
    pub(super) fn matching(&self, pattern: &str) -> Vec<&str> {
        let paths = self.all.iter().map(|(path, _)| path.as_str());
        paths.filter(|path| fits(path, pattern)).collect()
    }

    /// A file that a rule names, beside the rule's own or by its whole path.
    pub(super) fn beside(&self, own: &str, name: &str) -> io::Result<Vec<u8>> {
        let name = name.strip_prefix("./").unwrap_or(name);
        let found = self.get(&joined(own, name)).or_else(|| self.get(name));
        found.map(<[u8]>::to_vec).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// A path as the file at `own` means it.
pub(super) fn joined(own: &str, name: &str) -> String {
    if name.starts_with('/') {
        return name.to_owned();
    }
    let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn fits(path: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return path == pattern };
    let Some(rest) = path.strip_prefix(before) else { return false };
    let name = rest.split('/').next().unwrap_or_default();
    // The star ends with its folder.
    (0..=name.len()).any(|at| rest.get(at..).is_some_and(|rest| fits(rest, after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_in_their_folder() {
        let files = Files::new(vec![
            ("r/a.conf".to_owned(), vec![1]),
            ("r/b.data".to_owned(), vec![2]),
            ("r/sub/c.conf".to_owned(), vec![3]),
        ]);
        assert_eq!(files.matching("r/*.conf"), ["r/a.conf"]);
        assert_eq!(files.matching("r/*/*.conf"), ["r/sub/c.conf"]);
        assert_eq!(files.beside("r/a.conf", "b.data").unwrap(), [2]);
        assert!(files.beside("r/sub/c.conf", "b.data").is_err());
    }
}
