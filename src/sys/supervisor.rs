//! A supervisor such as systemd: sockets that it opened, and the notification that the server is ready
//! (`sd_listen_fds(3)`, `sd_notify(3)`).
#![allow(unsafe_code)]

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use socket2::{Domain, SockAddr, Socket, Type};

use super::Listener;

/// The first inherited descriptor (`SD_LISTEN_FDS_START`).
const LISTEN_FDS_START: RawFd = 3;
/// More than any supervisor passes; a number above it is a mistake and not a reason for a long loop.
const LISTEN_FDS_MAX: RawFd = 1024;

/// What a supervisor passed to this process.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    /// The sockets of the supervisor, in its order, each with its name (`FileDescriptorName=`), which may be
    /// empty.
    pub listeners: Vec<(String, Listener)>,
    notify: Option<OsString>,
}

/// Why the sockets or variables of the supervisor cannot be used: one line with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SupervisorError(String);

impl fmt::Display for SupervisorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SupervisorError {}

/// A notification to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Clients are served from now on.
    Ready,
    /// The server drains.
    Stopping,
}

impl Supervisor {
    /// Takes over the sockets of the supervisor, and removes its variables from the environment: they are for
    /// this process only. Called once, at the start, by a process with one thread, before it opens any
    /// descriptor.
    pub(crate) fn adopt() -> Result<Self, SupervisorError> {
        let get = |name| env::var(name).unwrap_or_default();
        let (pid, fds, names) = (get("LISTEN_PID"), get("LISTEN_FDS"), get("LISTEN_FDNAMES"));
        let notify = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty());
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"] {
            // SAFETY: the process has one thread, so no other code reads the environment meanwhile.
            unsafe { env::remove_var(name) };
        }
        // Variables for another process, such as the shell that started this one, are ignored.
        if pid != std::process::id().to_string() {
            return Ok(Supervisor { listeners: Vec::new(), notify });
        }
        let count = count(&fds)?;
        let mut names = names.split(':');
        let mut listeners = Vec::new();
        for fd in LISTEN_FDS_START..LISTEN_FDS_START + count {
            let name = names.next().unwrap_or_default().to_owned();
            // SAFETY: fcntl(2) takes any number.
            if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
                return Err(SupervisorError(format!(
                    "LISTEN_FDS={count}, but descriptor {fd} is not open; check the supervisor's setting"
                )));
            }
            // SAFETY: it is open, and the supervisor passed it to this process, which has opened none of its
            // own yet.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            let listener = Listener::from_fd(owned).map_err(|error| SupervisorError(error.to_string()))?;
            listeners.push((name, listener));
        }
        Ok(Supervisor { listeners, notify })
    }

    /// Notifies the supervisor, if it requested notifications. An error is only a warning in the log, and a
    /// full queue is not waited for: the server works without the notification.
    pub(crate) fn notify(&self, notice: Notice) {
        let Some(path) = &self.notify else { return };
        let text: &[u8] = match notice {
            Notice::Ready => b"READY=1",
            Notice::Stopping => b"STOPPING=1",
        };
        if let Err(error) = send(path, text) {
            log::warn!("cannot notify the supervisor at NOTIFY_SOCKET={}: {error}", path.to_string_lossy());
        }
    }
}

fn count(fds: &str) -> Result<RawFd, SupervisorError> {
    match fds.parse() {
        Ok(count @ 0..=LISTEN_FDS_MAX) => Ok(count),
        _ => Err(SupervisorError(format!(
            "LISTEN_FDS=\"{}\" is not a number from 0 to {LISTEN_FDS_MAX}; check the supervisor's setting",
            fds.escape_debug()
        ))),
    }
}

/// `path` is a path, or `@` and the name of an abstract socket. Sent now or not at all.
fn send(path: &OsString, text: &[u8]) -> io::Result<()> {
    let addr = match path.as_bytes().split_first() {
        Some((b'@', name)) => SockAddr::unix(OsString::from_vec([b"\0", name].concat()))?,
        Some((b'/', _)) => SockAddr::unix(path)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is neither a path nor an abstract name",
            ));
        }
    };
    Socket::new(Domain::UNIX, Type::DGRAM, None)?.send_to_with_flags(text, &addr, libc::MSG_DONTWAIT)?;
    Ok(())
}
