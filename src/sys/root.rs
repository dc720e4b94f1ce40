//! The directory at a path, as it is now: the path may lead to another one later, or to none.

use std::fs::File;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use super::files::{DirectoryId, Entries, FileKind, Links, OpenDir, Stat};

/// A directory whose inside can be opened: whichever its path led to when it was last looked at.
#[derive(Debug)]
pub(crate) struct Root {
    /// Absolute, so that the name counts: the working directory may be replaced, too.
    path: PathBuf,
    links: Links,
    /// `None` while the path leads to no directory.
    dir: Mutex<Option<Arc<OpenDir>>>,
}

/// What [`Root::renew`] has found.
#[derive(Debug)]
pub(crate) enum Renewal {
    /// The path still leads to the directory that is open.
    Same(DirectoryId),
    /// It leads to another one, which is open now.
    Replaced(DirectoryId),
    /// It leads to no directory: nothing is open, and every path is an error of kind `NotFound`.
    Missing,
    /// The system refused to look, or to open the new one: what was open stays so.
    Refused(io::Error),
}

impl Root {
    /// Opens the directory at `path`. Where it leads is decided here, and again by [`Root::renew`].
    pub(crate) fn open(path: &Path, links: Links) -> io::Result<Root> {
        let path = std::path::absolute(path)?;
        let dir = Mutex::new(Some(Arc::new(OpenDir::open(&path, links)?)));
        Ok(Root { path, links, dir })
    }

    /// The absolute path. Its symbolic links are as they were given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks where the path leads now, and opens that directory if it is another one.
    pub(crate) fn renew(&self) -> Renewal {
        let found = match nix::sys::stat::stat(&self.path).map(Stat::from) {
            Ok(found) if found.kind == FileKind::Directory => Ok(found.directory_id()),
            Ok(_) => Err(Errno::ENOTDIR.into()),
            Err(errno) => Err(errno.into()),
        };
        let opened = match (found, self.current()) {
            (Ok(id), Ok(dir)) if dir.id == id => return Renewal::Same(id),
            (Ok(_), _) => OpenDir::open(&self.path, self.links),
            (Err(error), _) => Err(error),
        };
        match opened {
            Ok(dir) => {
                let id = dir.id;
                self.set(Some(Arc::new(dir)));
                Renewal::Replaced(id)
            }
            // ELOOP: a link that leads to itself, or too many of them.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
                    || error.raw_os_error() == Some(libc::ELOOP) =>
            {
                self.set(None);
                Renewal::Missing
            }
            Err(error) => Renewal::Refused(error),
        }
    }

    fn set(&self, dir: Option<Arc<OpenDir>>) {
        let before = mem::replace(&mut *self.dir.lock().unwrap_or_else(PoisonError::into_inner), dir);
        drop(before); // closed after the lock is released
    }

    fn current(&self) -> io::Result<Arc<OpenDir>> {
        let dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        dir.clone().ok_or_else(|| Errno::ENOENT.into())
    }

    /// The directory that is open now, whatever its path leads to later.
    pub(crate) fn pinned(&self) -> io::Result<Root> {
        let dir = Mutex::new(Some(self.current()?));
        Ok(Root { path: self.path.clone(), links: self.links, dir })
    }

    /// What is at `path` (relative, components separated by `/`; empty for the root itself). Opens nothing
    /// for reading.
    pub(crate) fn stat(&self, path: &[u8]) -> io::Result<Stat> {
        self.current()?.stat(path)
    }

    /// Whether there is a directory at `path`, be it one that may not be read.
    pub(crate) fn is_directory(&self, path: &[u8]) -> bool {
        self.stat(path).is_ok_and(|stat| stat.kind == FileKind::Directory)
    }

    /// Opens the regular file or directory at `path` for reading. Anything else is an error of kind
    /// `PermissionDenied`; a path that leaves the root too.
    pub(crate) fn open_file(&self, path: &[u8]) -> io::Result<(File, Stat)> {
        self.current()?.open_file(path)
    }

    /// The entries of a directory opened by [`Root::open_file`].
    pub(crate) fn entries(dir: File) -> io::Result<Entries> {
        Entries::of(dir)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The content of `file` in the root.
    fn content(root: &Root) -> Option<String> {
        root.open_file(b"file").ok().map(|(file, _)| io::read_to_string(file).unwrap())
    }

    fn make(dir: &Path, content: &str) {
        std::fs::create_dir(dir).unwrap();
        std::fs::write(dir.join("file"), content).unwrap();
    }

    #[test]
    fn the_directory_that_the_path_leads_to_is_opened_and_none_while_it_leads_to_none() {
        for links in [Links::Beneath, Links::Never] {
            let top = tempfile::tempdir().unwrap();
            let (path, other) = (top.path().join("root"), top.path().join("other"));
            make(&path, "old");
            let root = Root::open(&path, links).unwrap();
            assert!(matches!(root.renew(), Renewal::Same(_)));
            std::fs::rename(&path, &other).unwrap();
            assert!(matches!(root.renew(), Renewal::Missing));
            assert_eq!(root.open_file(b"").unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(content(&root), None);
            std::fs::write(&path, "a file").unwrap();
            assert!(matches!(root.renew(), Renewal::Missing));
            std::fs::remove_file(&path).unwrap();
            symlink("root", &path).unwrap();
            assert!(matches!(root.renew(), Renewal::Missing), "a link to itself");
            std::fs::remove_file(&path).unwrap();
            symlink("other", &path).unwrap();
            assert!(matches!(root.renew(), Renewal::Replaced(_)));
            assert_eq!(content(&root).unwrap(), "old");
            std::fs::remove_file(&path).unwrap();
            make(&path, "new");
            assert!(matches!(root.renew(), Renewal::Replaced(_)));
            assert!(matches!(root.renew(), Renewal::Same(_)));
            assert_eq!(content(&root).unwrap(), "new");
        }
    }
}
