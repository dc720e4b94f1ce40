//! The path of a Unix socket: made free of what a dead server left, and removed by its owner.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use socket2::{Domain, SockAddr, Socket, Type};

use super::BindErrorKind;

/// A path that this process made; removed at the end, if it is still the same file and the process still the same.
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

/// Removes the socket that a dead server left at `path`. An error if a server answers there, or if what is there is no
/// socket.
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
        // Nothing there, or an error that bind(2) meets again and tells better.
        Err(_) => Ok(()),
    }
}

/// Whether nobody listens: only a refused connection says so. One that may not connect, or finds the queue full, has
/// met a server.
fn is_dead(addr: &SockAddr) -> bool {
    let probe = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(addr)
    };
    probe().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused)
}
