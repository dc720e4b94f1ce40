//! Files beneath one directory, and nothing outside it: the containment of the HTTP service.
//!
//! On Linux the kernel resolves each path in one call that cannot leave the root (`openat2(2)` with
//! `RESOLVE_BENEATH`): links are followed as long as they stay inside. Where that call is missing or denied
//! (a sandbox, macOS), each component is opened separately and no link is followed. Only regular files and
//! directories are ever opened for reading: the type is read from a handle that cannot block or read
//! (`O_PATH`), so a FIFO or a device is never touched.
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

/// How often a path is resolved again if a concurrent rename disturbed it (`EAGAIN`, `openat2(2)`).
#[cfg(target_os = "linux")]
const RESOLVE_TRIES_MAX: u32 = 8;
/// Components of a path. Without it a request could make the walk take thousands of calls.
const COMPONENTS_MAX: usize = 128;

/// Reading without side effects: no waiting for a FIFO's writer, no controlling terminal, nothing inherited.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// What is done with symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Links {
    /// Followed while they stay beneath the root, where the kernel can promise that; else not at all.
    #[default]
    Beneath,
    /// Never followed.
    Never,
}

/// An open directory. Paths resolved in it never leave it, even if it is renamed.
#[derive(Debug)]
pub(super) struct OpenDir {
    fd: OwnedFd,
    pub(super) id: DirectoryId,
    /// Its path without links, as it was when it was opened.
    pub(super) real: PathBuf,
    resolver: Resolver,
}

/// What a name in a directory is.
pub(super) enum Component {
    /// A link, with its target.
    Link(Vec<u8>),
    /// A directory, from which resolution continues.
    Directory(OwnedFd),
    /// Anything else.
    File,
}

/// Which directory it is: device and inode. No other directory has them while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DirectoryId(u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolver {
    #[cfg(target_os = "linux")]
    Kernel,
    Walk,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link (only seen by [`Entries::stat`]).
    Link,
    /// Anything else: never opened.
    Special,
}

/// Identifies one version of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileIdentity {
    /// The device it is on.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was last modified: seconds since 1970.
    pub modified_s: i64,
    /// And the nanoseconds.
    pub modified_ns: u32,
}

/// What a file is, and in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Its content.
    pub identity: FileIdentity,
    /// The last change of content, permissions or times, in seconds since 1970. Users cannot set it
    /// (`st_ctime`, stat(2)).
    pub changed_s: i64,
    /// And the nanoseconds.
    pub changed_ns: u32,
}

impl OpenDir {
    pub(super) fn open(path: &Path, links: Links) -> io::Result<OpenDir> {
        OpenDir::of(nix::fcntl::open(path, DIRECTORY, Mode::empty())?, path, links)
    }

    /// The same for a path that cannot be used, but for its last component in the directory `above`.
    pub(super) fn open_in(above: &OwnedFd, path: &Path, links: Links) -> io::Result<OpenDir> {
        let name = path.file_name().ok_or(Errno::ENOENT)?;
        OpenDir::of(nix::fcntl::openat(above, name, DIRECTORY, Mode::empty())?, path, links)
    }

    fn of(fd: OwnedFd, path: &Path, links: Links) -> io::Result<OpenDir> {
        let (id, resolver) = (stat_of(&fd)?.directory_id(), Resolver::choose(&fd, links));
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Ok(OpenDir { fd, id, real, resolver })
    }

    /// The type of `name` in `dir`, a directory beneath this one, or in this one itself. No link is followed.
    pub(super) fn component(&self, dir: Option<&OwnedFd>, name: &[u8]) -> io::Result<Component> {
        let dir = dir.unwrap_or(&self.fd);
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        Ok(match Stat::from(fstatat(dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?).kind {
            FileKind::Link => {
                Component::Link(nix::fcntl::readlinkat(dir, name.as_c_str())?.as_bytes().to_vec())
            }
            FileKind::Directory => Component::Directory(enter(dir, &name)?),
            FileKind::File | FileKind::Special => Component::File,
        })
    }

    /// The directory at `path`, from which resolution continues; `None` for this one itself. No link is
    /// followed.
    pub(super) fn directory(&self, path: &[u8]) -> io::Result<Option<OwnedFd>> {
        if path.is_empty() { Ok(None) } else { self.walk(path, enter).map(Some) }
    }

    pub(super) fn stat(&self, path: &[u8]) -> io::Result<Stat> {
        match self.resolver {
            #[cfg(target_os = "linux")]
            Resolver::Kernel => stat_of(resolve(&self.fd, path, OFlag::O_PATH | OFlag::O_CLOEXEC)?),
            Resolver::Walk => self.walk(path, |dir, name| {
                let stat = Stat::from(fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?);
                if stat.kind == FileKind::Link { Err(Errno::ELOOP.into()) } else { Ok(stat) }
            }),
        }
    }

    pub(super) fn open_file(&self, path: &[u8]) -> io::Result<(File, Stat)> {
        // Opening a device for reading may already have an effect, so check the type first.
        self.stat(path)?.readable()?;
        let file = File::from(match self.resolver {
            #[cfg(target_os = "linux")]
            Resolver::Kernel => resolve(&self.fd, path, READ)?,
            Resolver::Walk => self.walk(path, |dir, name| {
                Ok(nix::fcntl::openat(dir, name, READ | OFlag::O_NOFOLLOW, Mode::empty())?)
            })?,
        });
        // It may have been replaced in between; O_NONBLOCK kept even that from blocking.
        let stat = stat_of(&file)?;
        stat.readable()?;
        Ok((file, stat))
    }

    /// Opens all components of `path` but the last, following no link, and has `last` do the rest.
    fn walk<T>(&self, path: &[u8], last: impl Fn(&OwnedFd, &CStr) -> io::Result<T>) -> io::Result<T> {
        let mut components = path.split(|&byte| byte == b'/').filter(|component| !component.is_empty());
        let mut held: Option<OwnedFd> = None;
        let mut name = components.next().unwrap_or(b".");
        for _ in 0..COMPONENTS_MAX {
            if name == b".." {
                return Err(Errno::EACCES.into());
            }
            let c_name = CString::new(name).map_err(|_| Errno::EINVAL)?;
            let dir = held.as_ref().unwrap_or(&self.fd);
            let Some(next) = components.next() else { return last(dir, &c_name) };
            held = Some(enter(dir, &c_name)?);
            name = next;
        }
        Err(Errno::ENAMETOOLONG.into())
    }
}

/// Opens a directory to resolve paths in it. Fails for a link.
fn enter(dir: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = WALK | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::openat(dir, name, flags, Mode::empty())?)
}

/// Opens `path` in one call of the kernel, which never leaves `dir`.
#[cfg(target_os = "linux")]
fn resolve(dir: &OwnedFd, path: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    use nix::fcntl::{OpenHow, ResolveFlag, openat2};
    let beneath = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags).resolve(beneath);
    let path = if path.is_empty() { b"." } else { path };
    let mut result = Err(Errno::EAGAIN);
    for _ in 0..RESOLVE_TRIES_MAX {
        result = openat2(dir, path, how);
        if !matches!(result, Err(Errno::EAGAIN | Errno::EINTR)) {
            break;
        }
    }
    // EXDEV: it would leave the root. ENXIO: a socket, or a device without a driver.
    result.map_err(|errno| {
        if matches!(errno, Errno::EXDEV | Errno::ENXIO) { Errno::EACCES } else { errno }.into()
    })
}

/// A directory on the way is only passed through.
#[cfg(target_os = "linux")]
const WALK: OFlag = OFlag::O_PATH;
#[cfg(not(target_os = "linux"))]
const WALK: OFlag = OFlag::O_RDONLY;

impl Resolver {
    #[cfg(target_os = "linux")]
    fn choose(dir: &OwnedFd, links: Links) -> Resolver {
        match links {
            Links::Beneath if resolve(dir, b"", OFlag::O_PATH | OFlag::O_CLOEXEC).is_ok() => Resolver::Kernel,
            _ => Resolver::Walk,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn choose(_dir: &OwnedFd, _links: Links) -> Resolver {
        Resolver::Walk
    }
}

/// What an open file is, and in which state.
pub(crate) fn stat_of(file: impl AsFd) -> io::Result<Stat> {
    Ok(fstat(file)?.into())
}

impl Stat {
    /// Which directory it is.
    pub(crate) fn directory_id(&self) -> DirectoryId {
        DirectoryId(self.identity.device, self.identity.inode)
    }

    fn readable(&self) -> io::Result<()> {
        match self.kind {
            FileKind::File | FileKind::Directory => Ok(()),
            FileKind::Link | FileKind::Special => Err(Errno::EACCES.into()),
        }
    }
}

impl From<FileStat> for Stat {
    #[allow(clippy::cast_sign_loss, clippy::cast_lossless, clippy::unnecessary_cast)] // widths differ by system
    fn from(stat: FileStat) -> Stat {
        let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => FileKind::File,
            SFlag::S_IFDIR => FileKind::Directory,
            SFlag::S_IFLNK => FileKind::Link,
            _ => FileKind::Special,
        };
        Stat {
            kind,
            identity: FileIdentity {
                device: stat.st_dev as u64,
                inode: stat.st_ino as u64,
                size_bytes: stat.st_size.max(0) as u64,
                modified_s: stat.st_mtime as i64,
                modified_ns: stat.st_mtime_nsec as u32,
            },
            changed_s: stat.st_ctime as i64,
            changed_ns: stat.st_ctime_nsec as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::root::Root;
    use super::*;

    const BOTH: [Links; 2] = [Links::Beneath, Links::Never];

    fn tree() -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "inside").unwrap();
        std::fs::write(top.path().join("secret"), "outside").unwrap();
        symlink("a/b/file", root.join("in")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink(top.path().join("secret"), root.join("absolute")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        top
    }

    #[test]
    fn nothing_outside_the_root_is_opened_by_either_way_of_resolving() {
        let top = tree();
        for links in BOTH {
            let root = Root::open(&top.path().join("root"), links).unwrap();
            let (_, stat) = root.open_file(b"a/b/file").unwrap();
            assert_eq!((stat.kind, stat.identity.size_bytes), (FileKind::File, 6));
            assert_eq!(root.open_file(b"").unwrap().1.kind, FileKind::Directory);
            let hostile: [&[u8]; 8] = [
                b"out",
                b"up/secret",
                b"..",
                b"a/../../secret",
                b"absolute",
                b"magic/etc/passwd",
                b"loop",
                b"a\0b",
            ];
            for path in hostile {
                assert!(root.stat(path).is_err(), "{links:?}: {}", path.escape_ascii());
                assert!(root.open_file(path).is_err(), "{links:?}: {}", path.escape_ascii());
            }
            assert_eq!(root.open_file(b"nothing").unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn a_file_swapped_for_a_link_while_it_is_opened_never_leads_outside() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let top = tree();
        let dir = top.path().join("root");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (file, kept) = (dir.join("a/b/file"), dir.join("kept"));
                while !done.load(Ordering::Relaxed) {
                    std::fs::rename(&file, &kept).unwrap();
                    symlink("../../../secret", &file).unwrap();
                    std::fs::remove_file(&file).unwrap();
                    std::fs::rename(&kept, &file).unwrap();
                }
            });
            let mut seen = std::collections::HashSet::new();
            for links in BOTH {
                let root = Root::open(&dir, links).unwrap();
                for _ in 0..20_000 {
                    if let Ok((file, _)) = root.open_file(b"a/b/file") {
                        seen.insert(std::io::read_to_string(file).unwrap());
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
            assert!(!seen.contains("outside"), "{seen:?}");
        });
    }

    #[test]
    fn a_link_that_stays_inside_is_followed_unless_links_never_are() {
        let top = tree();
        let open = |links| Root::open(&top.path().join("root"), links).unwrap().open_file(b"in").is_ok();
        assert!(!open(Links::Never));
        if cfg!(target_os = "linux") {
            assert!(open(Links::Beneath), "openat2 is denied here: this test needs it");
        }
    }

    #[test]
    fn special_files_are_neither_opened_nor_waited_for() {
        let top = tree();
        let dir = top.path().join("root");
        nix::unistd::mkfifo(&dir.join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
        for links in BOTH {
            let root = Root::open(&dir, links).unwrap();
            for name in [&b"fifo"[..], b"socket"] {
                assert_eq!(root.stat(name).unwrap().kind, FileKind::Special);
                assert_eq!(root.open_file(name).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            }
        }
        let devices = Root::open(Path::new("/dev"), Links::Beneath).unwrap();
        assert_eq!(devices.open_file(b"zero").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn entries_are_all_names_with_their_types() {
        let top = tree();
        let root = Root::open(&top.path().join("root"), Links::Beneath).unwrap();
        let mut entries = Root::entries(root.open_file(b"").unwrap().0).unwrap();
        let mut names: Vec<_> = entries.by_ref().map(Result::unwrap).collect();
        names.sort();
        assert_eq!(names.join(&b' '), b"a absolute in loop magic out up");
        assert_eq!(entries.stat(b"a").unwrap().kind, FileKind::Directory);
        assert_eq!(entries.stat(b"out").unwrap().kind, FileKind::Link);
    }
}
