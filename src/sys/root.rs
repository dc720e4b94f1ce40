//! The directory that a path names now, which may change or vanish, and the other directories that its links
//! may lead into.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::FileStat;

use super::directory::Entries;
use super::files::{Component, DirectoryId, FileKind, Links, OpenDir, Stat};

/// Components of a path and of the targets of its links. Without it a link that grows each time it is
/// followed would keep the server busy. A path without links may have 128.
const STEPS_MAX: u32 = 256;
/// Links that are followed for one path, as many as Linux follows (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;

/// A directory in which files can be opened: the one that its path named at the last check.
#[derive(Debug)]
pub(crate) struct Root {
    /// Absolute, so that the name counts: the working directory may be replaced, too.
    path: PathBuf,
    links: Links,
    /// While none is open: the error of each request for a file.
    dir: Mutex<Result<Arc<OpenDir>, Errno>>,
    /// The directory that contained it at the start, if the path may be refused later: the superuser may
    /// become a user who cannot search all directories above. It proves nothing about those. `None` once a
    /// check of the whole path has not been refused.
    above: Mutex<Option<OwnedFd>>,
    /// Where links may lead outside.
    followed: Vec<Root>,
}

/// What [`Root::renew`] has found.
#[derive(Debug)]
pub(crate) enum Renewal {
    /// The path still leads to the directory that is open.
    Same(DirectoryId),
    /// It names another directory, which is open now.
    Replaced(DirectoryId),
    /// It leads to no directory: nothing is open, and every path is an error of kind `NotFound`.
    Missing,
    /// The system refused the check, or to open the new directory: what is open stays open.
    Refused(io::Error),
    /// The directory that contained it was removed, and the system refuses to look where the path leads now:
    /// nothing is open, and every path is an error of kind `PermissionDenied`.
    OutOfSight,
}

/// Which part of the path a check has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    WholePath,
    /// Its last component, in the directory that contained it at the start.
    LastComponent,
}

impl Root {
    /// Opens the directory at `path`. Where it leads is decided here, and again by [`Root::renew`].
    pub(crate) fn open(path: &Path, links: Links) -> io::Result<Root> {
        let path = std::path::absolute(path)?;
        let dir = Mutex::new(Ok(Arc::new(OpenDir::open(&path, links)?)));
        let above = path.parent().filter(|_| nix::unistd::geteuid().is_root());
        let above = Mutex::new(above.and_then(|above| Some(File::open(above).ok()?.into())));
        Ok(Root { path, links, dir, above, followed: Vec::new() })
    }

    /// Lets links lead into these directories, too.
    pub(crate) fn following(self, followed: Vec<Root>) -> Root {
        Root { followed, ..self }
    }

    /// The directories outside that links may lead into.
    pub(crate) fn followed(&self) -> &[Root] {
        &self.followed
    }

    /// The absolute path. Its symbolic links are as they were given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks which directory the path names now, and opens it if it has changed.
    pub(crate) fn renew(&self) -> (Renewal, Seen) {
        let mut above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        let found = nix::sys::stat::stat(&self.path);
        if found != Err(Errno::EACCES) {
            *above = None;
        } else if let (Some(above), Some(name)) = (&*above, self.path.file_name()) {
            match nix::sys::stat::fstatat(above, name, AtFlags::empty()) {
                // A removed directory has no entries: something else is at its path now, or nothing.
                Err(Errno::ENOENT) if nix::sys::stat::fstat(above).is_ok_and(|above| above.st_nlink == 0) => {
                    self.set(Err(Errno::EACCES));
                    return (Renewal::OutOfSight, Seen::LastComponent);
                }
                Err(Errno::EACCES) => {}
                found => return (self.renew_as(found, Some(above)), Seen::LastComponent),
            }
        }
        (self.renew_as(found, None), Seen::WholePath)
    }

    /// Opens what was `found` at the path, or at its last component in `above`, unless it is open.
    fn renew_as(&self, found: nix::Result<FileStat>, above: Option<&OwnedFd>) -> Renewal {
        let found = match found.map(Stat::from) {
            Ok(found) if found.kind == FileKind::Directory => Ok(found.directory_id()),
            Ok(_) => Err(Errno::ENOTDIR.into()),
            Err(errno) => Err(errno.into()),
        };
        let opened = match (found, self.current()) {
            (Ok(id), Ok(dir)) if dir.id == id => return Renewal::Same(id),
            (Ok(_), _) => match above {
                Some(above) => OpenDir::open_in(above, &self.path, self.links),
                None => OpenDir::open(&self.path, self.links),
            },
            (Err(error), _) => Err(error),
        };
        match opened {
            Ok(dir) => {
                let id = dir.id;
                self.set(Ok(Arc::new(dir)));
                Renewal::Replaced(id)
            }
            // ELOOP: a link that leads to itself, or too many of them.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
                    || error.raw_os_error() == Some(libc::ELOOP) =>
            {
                self.set(Err(Errno::ENOENT));
                Renewal::Missing
            }
            Err(error) => Renewal::Refused(error),
        }
    }

    /// The first link on the way to `path`, relative to the root, where links are followed at all. For what
    /// is written about a path that cannot be opened.
    pub(crate) fn link_on(&self, path: &[u8]) -> Option<PathBuf> {
        let mut there = self.path.clone();
        let components = path.split(|&byte| byte == b'/').take(STEPS_MAX as usize);
        components.filter(|_| self.links == Links::Beneath).find_map(|name| {
            there.push(OsStr::from_bytes(name));
            there.is_symlink().then(|| there.strip_prefix(&self.path).unwrap_or(&there).to_owned())
        })
    }

    /// Whether a directory is open.
    pub(crate) fn is_open(&self) -> bool {
        self.current().is_ok()
    }

    fn set(&self, dir: Result<Arc<OpenDir>, Errno>) {
        let before = mem::replace(&mut *self.dir.lock().unwrap_or_else(PoisonError::into_inner), dir);
        drop(before); // closed after the lock is released
    }

    fn current(&self) -> io::Result<Arc<OpenDir>> {
        let dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(dir.clone()?)
    }

    /// A copy that keeps the directory that is open now, even if its path names another one later. The same
    /// for the directories that links may lead into, as far as they exist.
    pub(crate) fn pinned(&self) -> io::Result<Root> {
        let dir = Mutex::new(Ok(self.current()?));
        let followed = self.followed.iter().filter_map(|root| root.pinned().ok()).collect();
        Ok(Root { path: self.path.clone(), links: self.links, dir, above: Mutex::default(), followed })
    }

    /// What is at `path` (relative, components separated by `/`; empty for the root itself). Opens nothing
    /// for reading.
    pub(crate) fn stat(&self, path: &[u8]) -> io::Result<Stat> {
        self.in_place(path, OpenDir::stat)
    }

    /// Whether there is a directory at `path`, be it one that may not be read.
    pub(crate) fn is_directory(&self, path: &[u8]) -> bool {
        self.stat(path).is_ok_and(|stat| stat.kind == FileKind::Directory)
    }

    /// Opens the regular file or directory at `path` for reading. Anything else is an error of kind
    /// `PermissionDenied`; a path that leaves the root too, unless a link leads it into a followed directory.
    pub(crate) fn open_file(&self, path: &[u8]) -> io::Result<(File, Stat)> {
        self.in_place(path, OpenDir::open_file)
    }

    /// Calls `there` with the directory that contains `path`: this one, or a followed one if the links of
    /// `path` lead there.
    fn in_place<T>(&self, path: &[u8], there: impl Fn(&OpenDir, &[u8]) -> io::Result<T>) -> io::Result<T> {
        let dir = self.current()?;
        match there(&dir, path) {
            Err(error) if !self.followed.is_empty() && may_be_a_link(&error) => {
                // Whatever is changed in between, `there` does not leave the directory that was found here.
                let (dir, path) = self.resolve(dir, path)?;
                there(&dir, &path)
            }
            done => done,
        }
    }

    /// Where the links of `path` lead: the directory, and the path beneath it, without links. An error of
    /// kind `PermissionDenied` if that is outside this directory and those that are followed.
    fn resolve(&self, dir: Arc<OpenDir>, path: &[u8]) -> io::Result<(Arc<OpenDir>, Vec<u8>)> {
        let mut place = dir;
        // `passed`: the components resolved so far, without links. `held`: their directory, unless it is
        // `place` itself. `left`: the components to resolve, in reverse order.
        let mut passed: Vec<Vec<u8>> = Vec::new();
        let mut held = None;
        let mut left = Vec::new();
        push_components(&mut left, path);
        let mut links = 0;
        for _ in 0..STEPS_MAX {
            let Some(name) = left.pop() else { return Ok((place, passed.join(&b'/'))) };
            if name == b".." {
                // From the target of a link: a requested path contains no `..`.
                if passed.pop().is_some() {
                    held = place.directory(&passed.join(&b'/'))?;
                } else {
                    let above = place.real.parent().unwrap_or(Path::new("/")).to_owned();
                    place = self.place(above, &mut left)?;
                    held = None;
                }
                continue;
            }
            match place.component(held.as_ref(), &name)? {
                Component::Link(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        break;
                    }
                    push_components(&mut left, &target);
                    if target.starts_with(b"/") {
                        place = self.place(PathBuf::from("/"), &mut left)?;
                        passed.clear();
                        held = None;
                    }
                }
                Component::Directory(next) => {
                    held = Some(next);
                    passed.push(name);
                }
                Component::File if left.is_empty() => passed.push(name),
                Component::File => return Err(Errno::ENOTDIR.into()),
            }
        }
        Err(Errno::ELOOP.into())
    }

    /// Finds the allowed directory (this one or a followed one) that the absolute path `at`, extended by the
    /// components of `left`, reaches first. Removes the components it used. Paths outside are compared, not
    /// resolved.
    fn place(&self, mut at: PathBuf, left: &mut Vec<Vec<u8>>) -> io::Result<Arc<OpenDir>> {
        for _ in 0..STEPS_MAX {
            for root in std::iter::once(self).chain(&self.followed) {
                let dir = root.current();
                if at == root.path || dir.as_ref().is_ok_and(|dir| at == dir.real) {
                    return dir;
                }
            }
            match left.pop().ok_or(Errno::EACCES)? {
                name if name == b".." => drop(at.pop()),
                name => at.push(OsStr::from_bytes(&name)),
            }
        }
        Err(Errno::ELOOP.into())
    }

    /// The entries of a directory opened by [`Root::open_file`].
    pub(crate) fn entries(dir: File) -> io::Result<Entries> {
        Entries::of(dir)
    }
}

/// Whether the error may be that of a path with a link that leads outside, or that is not followed.
fn may_be_a_link(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(libc::ELOOP)
}

/// Puts the components of `path` on a stack, the first at its end.
fn push_components(stack: &mut Vec<Vec<u8>>, path: &[u8]) {
    let components = path.split(|&byte| byte == b'/').rev();
    stack.extend(components.filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec));
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
    fn the_directory_at_the_path_is_opened_and_none_while_there_is_none() {
        for links in [Links::Beneath, Links::Never] {
            let top = tempfile::tempdir().unwrap();
            let (path, other) = (top.path().join("root"), top.path().join("other"));
            make(&path, "old");
            let root = Root::open(&path, links).unwrap();
            assert!(matches!(root.renew(), (Renewal::Same(_), Seen::WholePath)));
            std::fs::rename(&path, &other).unwrap();
            assert!(matches!(root.renew().0, Renewal::Missing));
            assert_eq!(root.open_file(b"").unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(content(&root), None);
            std::fs::write(&path, "a file").unwrap();
            assert!(matches!(root.renew().0, Renewal::Missing));
            std::fs::remove_file(&path).unwrap();
            symlink("root", &path).unwrap();
            assert!(matches!(root.renew().0, Renewal::Missing), "a link to itself");
            std::fs::remove_file(&path).unwrap();
            symlink("other", &path).unwrap();
            assert!(matches!(root.renew().0, Renewal::Replaced(_)));
            assert_eq!(content(&root).unwrap(), "old");
            std::fs::remove_file(&path).unwrap();
            make(&path, "new");
            assert!(matches!(root.renew().0, Renewal::Replaced(_)));
            assert!(matches!(root.renew().0, Renewal::Same(_)));
            assert_eq!(content(&root).unwrap(), "new");
        }
    }
}
