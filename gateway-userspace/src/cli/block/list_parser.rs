//! Reads lists of addresses: one address or prefix a line, `#` starts a comment. The text is a
//! stranger's: lines, portions and what is remembered of bad ones are bounded.

use std::io::{self, BufRead, Read};

use ipnet::IpNet;
use serde::Serialize;

use crate::{cli::output::escape, config::prefix};

/// Bytes of a line, at most; what is longer is no address.
const LINE: u64 = 1024;

/// Bad lines that are told one by one.
const TOLD: usize = 100;

/// Characters of a bad line that are repeated.
const REPEATED: usize = 60;

/// A line that is no entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct BadLine {
    /// From 1.
    pub(super) line: u64,
    pub(super) text: String,
    pub(super) why: String,
}

/// A list as it is read.
pub(super) struct List<R> {
    input: R,
    line: u64,
    /// The first bad lines.
    pub(super) bad: Vec<BadLine>,
    /// How many more there were.
    pub(super) untold: usize,
}

impl<R: BufRead> List<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: 0, bad: Vec::new(), untold: 0 }
    }

    /// The next entries, `most` at most; `None` at the end.
    pub(super) fn portion(&mut self, most: usize) -> io::Result<Option<Vec<IpNet>>> {
        let mut nets = Vec::new();
        while nets.len() < most {
            let Some(line) = self.next_line()? else { break };
            nets.extend(self.entry(&line));
        }
        Ok((!nets.is_empty()).then_some(nets))
    }

    /// The next line without its end, cut at [`LINE`] bytes.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        if self.input.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        if line.last() != Some(&b'\n') {
            self.input.skip_until(b'\n')?;
        }
        Ok(Some(line))
    }

    fn entry(&mut self, line: &[u8]) -> Option<IpNet> {
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        let entry = text.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            return None;
        }
        match prefix::parse(entry) {
            Ok(net) => Some(net),
            Err(error) => {
                self.note(entry, error.to_string());
                None
            }
        }
    }

    fn note(&mut self, entry: &str, why: String) {
        if self.bad.len() >= TOLD {
            self.untold += 1;
            return;
        }
        let text = escape(&entry.chars().take(REPEATED).collect::<String>());
        self.bad.push(BadLine { line: self.line, text, why });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> (Vec<String>, Vec<(u64, String)>) {
        let mut list = List::new(text);
        let mut nets = Vec::new();
        while let Some(portion) = list.portion(2).unwrap() {
            assert!(portion.len() <= 2);
            nets.extend(portion.into_iter().map(prefix::write));
        }
        (nets, list.bad.into_iter().map(|bad| (bad.line, bad.text)).collect())
    }

    #[test]
    fn takes_the_good_and_tells_the_bad_with_lines() {
        let (nets, bad) = read(
            b"\xEF\xBB\xBF192.0.2.1\r\n\n# all\n  2001:db8::/32 # why\nexample.com\n::ffff:192.0.2.2\n\
              192.0.2.7/24\n198.51.100.0/24",
        );
        assert_eq!(nets, ["192.0.2.1", "2001:db8::/32", "192.0.2.2", "198.51.100.0/24"]);
        assert_eq!(bad, [(5, "example.com".to_owned()), (7, "192.0.2.7/24".to_owned())]);
    }

    #[test]
    fn a_long_line_is_one_bad_line_and_the_next_is_read() {
        let mut text = vec![b'1'; 1_000_000];
        text.extend_from_slice(b"\n192.0.2.1\n");
        let (nets, bad) = read(&text);
        assert_eq!(nets, ["192.0.2.1"]);
        assert_eq!(bad.len(), 1);
        assert!(bad[0].1.len() <= REPEATED);
    }

    #[test]
    fn a_line_of_exactly_the_bound_swallows_no_other() {
        let mut text = vec![b'#'; 1023];
        text.extend_from_slice(b"\n192.0.2.1\n");
        assert_eq!(read(&text).0, ["192.0.2.1"]);
        text.insert(0, b'#');
        assert_eq!(read(&text).0, ["192.0.2.1"]);
    }

    #[test]
    fn remembers_a_bounded_number_of_bad_lines() {
        let text = "x\n".repeat(TOLD + 5);
        let mut list = List::new(text.as_bytes());
        assert_eq!(list.portion(10).unwrap(), None);
        assert_eq!((list.bad.len(), list.untold), (TOLD, 5));
    }

    proptest! {
        #[test]
        fn no_list_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..4096)) {
            let (nets, _) = read(&text);
            prop_assert!(nets.len() <= text.len());
        }

        #[test]
        fn every_address_of_a_list_is_taken(addresses in prop::collection::vec(any::<std::net::Ipv4Addr>(), 0..50)) {
            let lines: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let (nets, bad) = read(lines.join("\n").as_bytes());
            prop_assert_eq!(nets, lines);
            prop_assert!(bad.is_empty());
        }
    }
}
