//! The entries of a directory, read a few at a time.
//!
//! `readdir(3)` of glibc asks for 32 KiB of entries at once, which takes long where many directories are read
//! in the same turn. On Linux `getdents64(2)` is called here, with a small buffer.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;

use super::files::Stat;

/// The names in a directory, in its own order, without `.` and `..`.
#[derive(Debug)]
pub(crate) struct Entries {
    reader: Reader,
}

impl Entries {
    /// What one keeps of the entries that were read and not taken yet.
    pub(crate) const BUFFER_BYTES: usize = Reader::BUFFER_BYTES;

    pub(super) fn of(dir: File) -> io::Result<Entries> {
        Ok(Entries { reader: Reader::new(dir)? })
    }

    /// What the entry `name` itself is; a link is not followed.
    pub(crate) fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        Ok(fstatat(self.reader.dir(), name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?.into())
    }
}

impl Iterator for Entries {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        // Bound: a directory has two such names.
        loop {
            match self.reader.next_name() {
                Ok(Some(b"." | b"..")) => {}
                Ok(Some(name)) => return Some(Ok(name.to_vec())),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(target_os = "linux")]
use linux::Reader;

#[cfg(target_os = "linux")]
mod linux {
    use super::{BorrowedFd, Errno, File, io};
    use std::os::fd::{AsFd, AsRawFd};

    /// Entries are asked for by this many bytes: some 80 names of 8 bytes, about 20 µs. The longest name of
    /// any file system (FUSE: 1,024 bytes) fits.
    const BUFFER_BYTES: usize = 2 << 10;
    /// Where the fields of `struct linux_dirent64` begin (getdents64(2)).
    const LEN_AT: usize = 16;
    const NAME_AT: usize = 19;

    /// A directory and the entries that were read of it and not taken yet.
    #[derive(Debug)]
    pub(super) struct Reader {
        dir: File,
        buffer: Box<[u8; BUFFER_BYTES]>,
        /// The part of `buffer` that is not taken yet.
        at: usize,
        end: usize,
    }

    impl Reader {
        pub(super) const BUFFER_BYTES: usize = BUFFER_BYTES;

        #[allow(
            clippy::unnecessary_wraps,
            reason = "the reader of other systems fails where readdir(3) does"
        )]
        pub(super) fn new(dir: File) -> io::Result<Reader> {
            Ok(Reader { dir, buffer: Box::new([0; BUFFER_BYTES]), at: 0, end: 0 })
        }

        pub(super) fn dir(&self) -> BorrowedFd<'_> {
            self.dir.as_fd()
        }

        /// The next name; `None` behind the last.
        pub(super) fn next_name(&mut self) -> io::Result<Option<&[u8]>> {
            if self.at == self.end {
                self.end = self.fill()?;
                self.at = 0;
                if self.end == 0 {
                    return Ok(None);
                }
            }
            let entry = &self.buffer[self.at..self.end];
            let bad = || io::Error::from(io::ErrorKind::InvalidData);
            let len = entry.get(LEN_AT..LEN_AT + 2).ok_or_else(bad)?;
            let len = usize::from(u16::from_ne_bytes([len[0], len[1]]));
            let name = entry.get(NAME_AT..len).ok_or_else(bad)?;
            self.at += len;
            Ok(Some(name.split(|&byte| byte == 0).next().unwrap_or_default()))
        }

        /// Reads entries; 0 bytes behind the last.
        fn fill(&mut self) -> io::Result<usize> {
            let (dir, buffer) = (self.dir.as_raw_fd(), self.buffer.as_mut_ptr());
            // SAFETY: the kernel writes at most `BUFFER_BYTES` to `buffer`, which has so many and lives
            // longer than the call; a file closed meanwhile gives an error.
            let read = unsafe { libc::syscall(libc::SYS_getdents64, dir, buffer, BUFFER_BYTES) };
            match Errno::result(read) {
                // The directory was removed: it has no entries left.
                Err(Errno::ENOENT) => Ok(0),
                read => Ok(usize::try_from(read?).unwrap_or(0).min(BUFFER_BYTES)),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
use portable::Reader;

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::{BorrowedFd, File, io};
    use std::os::fd::AsRawFd;

    use nix::dir::{Dir, OwningIter};

    /// A directory that `readdir(3)` reads.
    pub(super) struct Reader {
        names: OwningIter,
        name: Vec<u8>,
    }

    impl std::fmt::Debug for Reader {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Reader").field("dir", &self.names.as_raw_fd()).finish_non_exhaustive()
        }
    }

    impl Reader {
        /// What the system's library keeps for a directory that is read.
        pub(super) const BUFFER_BYTES: usize = 2 << 10;

        pub(super) fn new(dir: File) -> io::Result<Reader> {
            Ok(Reader { names: Dir::from_fd(dir.into())?.into_iter(), name: Vec::new() })
        }

        pub(super) fn dir(&self) -> BorrowedFd<'_> {
            // SAFETY: the descriptor is that of `names`, which owns it and lives longer than what is lent.
            unsafe { BorrowedFd::borrow_raw(self.names.as_raw_fd()) }
        }

        /// The next name; `None` behind the last.
        pub(super) fn next_name(&mut self) -> io::Result<Option<&[u8]>> {
            let Some(entry) = self.names.next() else { return Ok(None) };
            self.name.clear();
            self.name.extend_from_slice(entry?.file_name().to_bytes());
            Ok(Some(&self.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_names_of_a_directory_come_once_however_long_they_are_and_many() {
        let folder = tempfile::tempdir().unwrap();
        let mut made = BTreeSet::new();
        for number in 0..3_000_usize {
            let name = format!("{number}-{}", "n".repeat(number * 7 % 250));
            File::create(folder.path().join(&name)).unwrap();
            made.insert(name.into_bytes());
        }
        made.insert("é\n .".into());
        File::create(folder.path().join("é\n .")).unwrap();
        let entries = Entries::of(File::open(folder.path()).unwrap()).unwrap();
        let read: Vec<Vec<u8>> = entries.map(Result::unwrap).collect();
        assert_eq!(read.len(), made.len());
        assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), made);
        let entries = Entries::of(File::open(folder.path()).unwrap()).unwrap();
        assert_eq!(entries.stat(b"0-").unwrap().identity.size_bytes, 0);
        assert!(entries.stat(b"none").is_err() && entries.stat(b"a\0b").is_err());
    }

    #[test]
    fn a_directory_that_is_removed_while_it_is_open_is_empty() {
        let top = tempfile::tempdir().unwrap();
        let gone = top.path().join("gone");
        std::fs::create_dir(&gone).unwrap();
        let entries = Entries::of(File::open(&gone).unwrap()).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        assert_eq!(entries.map(Result::unwrap).count(), 0);
    }

    #[test]
    fn what_is_no_directory_gives_an_error_and_an_empty_one_nothing() {
        let file = tempfile::tempfile().unwrap();
        let read = Entries::of(file).and_then(|mut entries| entries.next().transpose());
        assert!(read.is_err(), "{read:?}");
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Entries::of(File::open(empty.path()).unwrap()).unwrap().count(), 0);
    }
}
