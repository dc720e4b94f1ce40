//! The path of a Unix socket: made free of what a dead server left, and removed by its owner.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use socket2::{Domain, SockAddr, Socket, Type};

use super::BindErrorKind;

/// A path that this process made; removed at the end, if it is still the same file and the process still the
/// same.
#[derive(Debug)]
pub(super) struct OwnedPath {
    /// Absolute: the working directory may change.
    path: PathBuf,
    /// A child that inherits this value by fork does not own the path.
    process: u32,
    /// Another server may have replaced the path.
    file: (u64, u64),
}

impl OwnedPath {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let file = identity(&fs::symlink_metadata(&path)?);
        Ok(OwnedPath { path, process: std::process::id(), file })
    }

    /// Sets the permission bits. A link that took the place of the path is not followed.
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_bits_truncate(mode as nix::libc::mode_t);
        fchmodat(nix::fcntl::AT_FDCWD, &self.path, mode, FchmodatFlags::NoFollowSymlink)?;
        Ok(())
    }

    /// Gives it to this user and group. A link that took the place of the path is not followed.
    pub(super) fn set_owner(&self, user: u32, group: u32) -> io::Result<()> {
        std::os::unix::fs::lchown(&self.path, Some(user), Some(group))
    }
}

impl Drop for OwnedPath {
    fn drop(&mut self) {
        let ours = || fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.file);
        if std::process::id() == self.process
            && ours()
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// How often another server's turn is waited for, and how long each time, in ms. It takes a few calls of the
/// system.
const TURN_TRIES_MAX: u32 = 100;
/// See `TURN_TRIES_MAX`.
const TURN_PAUSE_MS: u64 = 10;

/// While this exists, no other oneloop server creates a socket in the same directory: between bind(2) and
/// listen(2) a live server looks like a dead one, and its path would be taken.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _lock: Option<Flock<fs::File>>,
}

impl DirectoryLock {
    /// Waits for the lock of the directory, within a bound. If it cannot be acquired (no permission, or
    /// another process holds it for too long), the server continues without it: a conflict needs two servers
    /// that start at the same moment.
    pub(super) fn take(path: &Path) -> DirectoryLock {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let options = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_DIRECTORY).open(directory);
        let Ok(mut file) = options else { return DirectoryLock { _lock: None } };
        for _ in 0..TURN_TRIES_MAX {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return DirectoryLock { _lock: Some(lock) },
                Err((file, Errno::EWOULDBLOCK)) => file,
                Err(_) => break,
            };
            std::thread::sleep(Duration::from_millis(TURN_PAUSE_MS));
        }
        DirectoryLock { _lock: None }
    }
}

/// The path of a Unix address, for people: an abstract name (unix(7)) is shown after an `@`.
pub(super) fn shown(addr: &SockAddr) -> PathBuf {
    #[cfg(target_os = "linux")]
    if let Some(name) = addr.as_abstract_namespace() {
        return format!("@{}", String::from_utf8_lossy(name)).into();
    }
    addr.as_pathname().map(Into::into).unwrap_or_default()
}

/// Removes the socket that a dead server has left at `path`. An error if a server answers there, or if it is
/// not a socket.
pub(super) fn make_free(path: &Path, addr: &SockAddr) -> Result<(), (BindErrorKind, io::Error)> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err((BindErrorKind::NotASocket, io::ErrorKind::AlreadyExists.into()))
        }
        Ok(_) if is_dead(addr) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err((BindErrorKind::of(&error), error)),
            _ => Ok(()),
        },
        Ok(_) => Err((BindErrorKind::InUse, io::ErrorKind::AddrInUse.into())),
        // The path is free, or bind(2) meets the same error and reports it better.
        Err(_) => Ok(()),
    }
}

/// Whether no server listens, which only a refused connection proves. If connect(2) is not permitted, or the
/// queue is full, there is a server.
fn is_dead(addr: &SockAddr) -> bool {
    let probe = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(addr)
    };
    probe().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused)
}
