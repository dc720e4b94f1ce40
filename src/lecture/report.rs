//! The output of a server of a scene: its address, and then a line for each step of serving a client
//! ([`ServerLine`]). Each line is written by the serving process or thread, in one write(2) to a pipe, which
//! is atomic at this length (`PIPE_BUF`).

use std::fmt;
use std::io;

use super::sighting::{ServedIn, ServerEvent, ServerLine};
use crate::sys::clock::monotonic_ns;
use crate::sys::process::CallingThread;
use crate::sys::{ListenOptions, Listener};

/// What the line begins with by which a server reports where it listens.
pub(super) const LISTENING: &str = "listening on lecture@";

/// Listens at a free port, and prints it.
pub(super) fn listen(backlog: Option<u32>) -> io::Result<Listener> {
    let default = ListenOptions::default();
    let options = ListenOptions { backlog: backlog.unwrap_or(default.backlog), ..default };
    let any = "127.0.0.1:0".parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let listener = Listener::bind(&any, &options).map_err(|error| io::Error::other(error.to_string()))?;
    print(format_args!("{LISTENING}{}", listener.local_addr()));
    Ok(listener)
}

/// Prints a line in one write. Errors are ignored: if the reader is gone, this process is about to be ended.
fn print(line: fmt::Arguments<'_>) {
    let _ = nix::unistd::write(io::stdout(), format!("{line}\n").as_bytes());
}

/// Reports what the calling process or thread has just done for a client.
pub(super) fn report(port: u16, event: ServerEvent) {
    print(format_args!("{}", ServerLine { at_ns: monotonic_ns(), port, event }));
}

/// The calling process or thread, as what serves a client.
pub(super) fn served_here(slot: Option<u32>) -> ServedIn {
    ServedIn { process: std::process::id(), thread: CallingThread::number(), slot }
}
