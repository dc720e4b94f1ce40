//! Two servers with a mistake: a child per client, where the parent does not wait for its children or does
//! not close `newS`. Used only by the scenes that show the effect of the mistake.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use super::report::{listen, report, served_here};
use super::sighting::ServerEvent;
use crate::sys::process::{self, ForkSide};
use crate::sys::{Listener, Signals};

/// What the parent forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForgottenCall {
    /// waitpid(2): children that have ended stay zombies.
    NoWait,
    /// close(newS): no connection ends, and the descriptors grow.
    NoClose,
}

/// How often a child interrupts its blocked calls once a signal has come, in ms.
const INTERRUPT_EVERY_MS: u32 = 20;
/// Bytes that a child reads at once.
const BUFFER_BYTES: usize = 4096;

/// Serves with a child per client, until a signal stops it.
pub(super) fn run(mistake: ForgottenCall) -> io::Result<()> {
    let mut signals = Signals::install()?.hold()?;
    let s = listen(None)?;
    s.set_nonblocking(true)?;
    let mut forgotten = Vec::new();
    loop {
        let (arrived, _) = signals.wait([s.as_fd()], None)?;
        if arrived.stops > 0 {
            return Ok(());
        }
        if mistake == ForgottenCall::NoClose {
            // The only thing that this parent does right.
            while process::reap()?.is_some() {}
        }
        let Some((new_s, port)) = accept(&s)? else { continue };
        match process::fork(&mut signals, INTERRUPT_EVERY_MS)? {
            ForkSide::Child(_) => process::work_and_exit(|| {
                s.close_in_child();
                do_stuff(new_s, port);
                report(port, ServerEvent::Ended);
                0
            }),
            // The mistake: newS stays open.
            ForkSide::Parent(_) if mistake == ForgottenCall::NoClose => forgotten.push(new_s),
            ForkSide::Parent(_) => drop(new_s),
        }
    }
}

/// The next client and its port; `None` if it has gone meanwhile.
fn accept(s: &Listener) -> io::Result<Option<(TcpStream, u16)>> {
    match s.accept() {
        Ok((fd, Some(addr))) => {
            let new_s = TcpStream::from(fd);
            new_s.set_nonblocking(false)?;
            Ok(Some((new_s, addr.port())))
        }
        Ok((_, None)) => Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Sends back what the client sends, until it closes its side. An error ends it, too.
fn do_stuff(mut new_s: TcpStream, port: u16) {
    report(port, ServerEvent::Began(served_here(None)));
    let mut buffer = [0; BUFFER_BYTES];
    while let Ok(bytes @ 1..) = new_s.read(&mut buffer) {
        report(port, ServerEvent::Read(bytes));
        if new_s.write_all(&buffer[..bytes]).is_err() {
            return;
        }
        report(port, ServerEvent::Answered(bytes));
    }
}
