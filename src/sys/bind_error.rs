//! Why a socket does not listen.

use std::fmt;
use std::io;

use super::Address;

/// Why it was not possible to listen: one line with the reason, the address and what to do.
#[derive(Debug)]
pub struct BindError {
    /// Where: an [`Address`] as text, or the number of an inherited descriptor.
    pub place: String,
    /// What.
    pub kind: BindErrorKind,
    pub(super) source: io::Error,
}

/// What kept a socket from listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindErrorKind {
    /// Another socket listens there.
    InUse,
    /// The port, or the directory of the path, needs privileges.
    Privileges,
    /// The address does not belong to this machine.
    NotAvailable,
    /// The path does not fit into a socket address.
    PathTooLong,
    /// The path is not a socket.
    NotASocket,
    /// The directory of the path does not exist.
    NoDirectory,
    /// An inherited descriptor is not a listening stream socket.
    NotListening,
    /// An address that no socket can have in this form.
    Unusable,
    /// No file descriptor is free.
    NoDescriptors,
    /// Anything else, in the system's words.
    Other,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.place)?;
        let unix = self.place.starts_with("unix:");
        match self.kind {
            BindErrorKind::InUse if unix => {
                f.write_str("a server is listening there; stop it, or use another path")
            }
            BindErrorKind::InUse => {
                f.write_str("the port is in use; use another (0 is any free port), or stop the program that uses it")
            }
            BindErrorKind::Privileges if unix => {
                f.write_str("permission denied; use a path in a directory that you may write to")
            }
            BindErrorKind::Privileges => f.write_str(
                "the port needs privileges; use one from 1024 on, or start as root with --user",
            ),
            BindErrorKind::NotAvailable => {
                f.write_str("this machine does not have that address; use one of its addresses, or * for all")
            }
            BindErrorKind::PathTooLong => {
                f.write_str("the path is too long for a socket (about 100 bytes); use a shorter one")
            }
            BindErrorKind::NotASocket => {
                f.write_str("the file at that path is not a socket; move it, or use another path")
            }
            BindErrorKind::NoDirectory => {
                f.write_str("the directory does not exist; create it, or use another path")
            }
            BindErrorKind::NotListening => {
                f.write_str("the inherited descriptor is not a listening stream socket; check the supervisor's configuration")
            }
            BindErrorKind::Unusable => f.write_str(
                "a socket cannot have that address; write IPv4 as 127.0.0.1:7007, and a link-local address with its interface, \
                 as in [fe80::1%eth0]:7007",
            ),
            BindErrorKind::NoDescriptors => {
                f.write_str("no file descriptor is free; raise the limit (ulimit -n)")
            }
            BindErrorKind::Other => self.source.fmt(f),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl BindErrorKind {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                BindErrorKind::NoDescriptors
            }
            _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => BindErrorKind::NotAvailable,
            io::ErrorKind::InvalidInput => BindErrorKind::Unusable,
            io::ErrorKind::AddrInUse => BindErrorKind::InUse,
            io::ErrorKind::PermissionDenied => BindErrorKind::Privileges,
            io::ErrorKind::AddrNotAvailable => BindErrorKind::NotAvailable,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => BindErrorKind::NoDirectory,
            _ => BindErrorKind::Other,
        }
    }
}

impl BindError {
    pub(super) fn new(address: &Address, source: io::Error) -> Self {
        BindError { place: address.to_string(), kind: BindErrorKind::of(&source), source }
    }
}
