//! The controlling terminal: is there one?
#![allow(unsafe_code)]

use nix::errno::Errno;

/// Whether this process has a controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terminal {
    Open,
    /// There is none: there was never one, or it was closed.
    Gone,
    /// It could not be opened for another reason, such as a lack of descriptors.
    Unknown,
}

/// Looks for it. open(2) and close(2) are async-signal-safe, so a handler may.
pub(super) fn terminal() -> Terminal {
    let flags = libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    match unsafe { libc::open(c"/dev/tty".as_ptr(), flags) } {
        -1 if matches!(Errno::last_raw(), libc::ENXIO | libc::EIO) => Terminal::Gone,
        -1 => Terminal::Unknown,
        fd => {
            // SAFETY: the descriptor was opened above and has no other owner.
            unsafe { libc::close(fd) };
            Terminal::Open
        }
    }
}
