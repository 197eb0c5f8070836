//! An archive in the form the kernel unpacks its first files from (`newc`, in the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst). Written here, not by cpio(1): a
//! device node and root as owner need no root this way.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// What ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Paths without a leading slash; sorted, so that a folder comes before what it holds.
#[derive(Debug, Default)]
pub(super) struct Archive(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    mode: u32,
    device: (u32, u32),
    content: Vec<u8>,
}

impl Archive {
    /// Adds a file, with the folders on its way.
    pub(super) fn file(&mut self, path: &str, content: Vec<u8>) {
        self.add(path, Entry { mode: FILE, device: (0, 0), content });
    }

    pub(super) fn folder(&mut self, path: &str) {
        self.add(path, Entry { mode: FOLDER, device: (0, 0), content: Vec::new() });
    }

    pub(super) fn character_device(&mut self, path: &str, device: (u32, u32)) {
        self.add(path, Entry { mode: CHARACTER_DEVICE, device, content: Vec::new() });
    }

    fn add(&mut self, path: &str, entry: Entry) {
        let path = path.trim_start_matches('/');
        if let Some((folder, _)) = path.rsplit_once('/')
            && !self.0.contains_key(folder)
        {
            self.folder(folder);
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// Writes the whole archive.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for (number, (path, entry)) in (1_u32..).zip(&self.0) {
            write_entry(out, number, path, entry)?;
        }
        let end = Entry { mode: 0, device: (0, 0), content: Vec::new() };
        write_entry(out, 0, TRAILER, &end)
    }
}

fn write_entry(out: &mut impl Write, number: u32, path: &str, entry: &Entry) -> io::Result<()> {
    let length = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    let (name, size) = (length(path.len() + 1)?, length(entry.content.len())?);
    let (major, minor) = entry.device;
    // inode, mode, uid, gid, links, mtime, size, device, special device, name, checksum
    let fields = [number, entry.mode, 0, 0, 1, 0, size, 0, 0, major, minor, name, 0];
    out.write_all(b"070701")?;
    for field in fields {
        write!(out, "{field:08x}")?;
    }
    out.write_all(path.as_bytes())?;
    out.write_all(&[0])?;
    // The head has 110 bytes; name and content end on multiples of four.
    pad(out, 110 + path.len() + 1)?;
    out.write_all(&entry.content)?;
    pad(out, entry.content.len())
}

fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    let missing = written.next_multiple_of(4) - written;
    out.write_all([0; 4].get(..missing).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_first_and_everything_is_aligned() {
        let mut archive = Archive::default();
        archive.file("/lib/x/odd", vec![7; 5]);
        archive.character_device("dev/console", (5, 1));
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();
        let names: Vec<_> = archive.0.keys().map(String::as_str).collect();
        assert_eq!(names, ["dev", "dev/console", "lib", "lib/x", "lib/x/odd"]);
        let heads: Vec<_> = bytes.windows(6).enumerate().filter(|(_, w)| w == b"070701").collect();
        assert_eq!(heads.len(), names.len() + 1, "and the trailer");
        assert!(heads.iter().all(|(offset, _)| offset % 4 == 0));
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn heads_read_as_the_kernel_reads_them() {
        let mut archive = Archive::default();
        archive.file("init", b"#!/bin/sh\n".to_vec());
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();
        let field = |index: usize| {
            let text = std::str::from_utf8(&bytes[6 + index * 8..14 + index * 8]).unwrap();
            u32::from_str_radix(text, 16).unwrap()
        };
        assert_eq!((field(1), field(6), field(11)), (0o100_755, 10, 5));
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..126], b"#!/bin/sh\n");
    }
}
