//! An initial file system as the kernel unpacks it: a cpio archive in the `newc` form.
//!
//! The form is described by the kernel's `Documentation/driver-api/early-userspace/buffer-format`:
//! for each file a header of hexadecimal fields, its name and its bytes, each padded to four.

use std::collections::BTreeSet;
use std::io::{self, Write};

/// Written last, so that the kernel knows that nothing is missing.
const TRAILER: &str = "TRAILER!!!";

/// Type bits of a mode, from `include/uapi/linux/stat.h`.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An archive that is being written.
pub(super) struct Archive<W> {
    out: W,
    serial: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// An empty archive.
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            serial: 0,
            directories: BTreeSet::new(),
        }
    }

    /// Adds a directory and those it lies in.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let part = &path[..end];
            if !part.is_empty() && self.directories.insert(part.to_owned()) {
                self.entry(part, DIRECTORY | 0o755, &[])?;
            }
        }
        Ok(())
    }

    /// Adds a file that may be executed, and the directories it lies in.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.parent_of(path)?;
        self.entry(path.trim_start_matches('/'), REGULAR | 0o755, bytes)
    }

    /// Adds a symbolic link, and the directories it lies in.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parent_of(path)?;
        let path = path.trim_start_matches('/');
        self.entry(path, SYMLINK | 0o777, target.as_bytes())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.entry(TRAILER, 0, &[])?;
        self.out.flush()
    }

    fn parent_of(&mut self, path: &str) -> io::Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) => self.directory(parent),
            None => Ok(()),
        }
    }

    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.serial += 1;
        let size = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let name_size = u32::try_from(name.len() + 1).map_err(|_| io::ErrorKind::InvalidInput)?;
        // Inode, mode, owner, group, links, time, size, device, device of the node, name, checksum.
        let fields = [
            self.serial,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        let header = 6 + 8 * fields.len();
        self.padded(name.as_bytes(), header + name.len() + 1, 1)?;
        self.padded(bytes, bytes.len(), 0)
    }

    /// Writes `bytes`, `nuls` zeroes, and zeroes until `length` is a multiple of four.
    fn padded(&mut self, bytes: &[u8], length: usize, nuls: usize) -> io::Result<()> {
        self.out.write_all(bytes)?;
        let padding = nuls + length.next_multiple_of(4) - length;
        self.out.write_all(&[0; 4][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut out = Vec::new();
        let mut archive = Archive::new(&mut out);
        archive.file("/bin/deep/er/one", b"12345").unwrap();
        archive.file("/bin/deep/four", b"1234").unwrap();
        archive.link("/bin/sh", "busybox").unwrap();
        archive.directory("/proc").unwrap();
        archive.finish().unwrap();
        out
    }

    #[test]
    fn every_part_begins_at_a_multiple_of_four() {
        let bytes = archive();
        assert_eq!(bytes.len() % 4, 0);
        let magics = bytes.windows(6).enumerate();
        let begins: Vec<usize> = magics
            .filter(|(_, window)| window == b"070701")
            .map(|(at, _)| at)
            .collect();
        // Four directories, two files, a link and the trailer.
        assert_eq!(begins.len(), 4 + 2 + 1 + 1);
        assert!(begins.iter().all(|at| at % 4 == 0), "{begins:?}");
    }

    #[test]
    fn the_sizes_lead_from_entry_to_entry() {
        let bytes = archive();
        let field = |at: usize, index: usize| {
            let start = at + 6 + 8 * index;
            let text = std::str::from_utf8(&bytes[start..start + 8]).unwrap();
            usize::from_str_radix(text, 16).unwrap()
        };
        let (mut at, mut names) = (0, Vec::new());
        while at < bytes.len() {
            let (size, name_size) = (field(at, 6), field(at, 11));
            let name_at = at + 110;
            let name = std::str::from_utf8(&bytes[name_at..name_at + name_size - 1]).unwrap();
            names.push((name, size));
            at = (name_at + name_size).next_multiple_of(4) + size.next_multiple_of(4);
        }
        let expected = [
            ("bin", 0),
            ("bin/deep", 0),
            ("bin/deep/er", 0),
            ("bin/deep/er/one", 5),
            ("bin/deep/four", 4),
            ("bin/sh", 7),
            ("proc", 0),
            (TRAILER, 0),
        ];
        assert_eq!(names, expected);
    }
}
