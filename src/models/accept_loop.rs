//! The accept loop of the models in which a worker serves one client at a time: [`super::iterative`],
//! [`super::prefork`] and [`super::prethread`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::admission::AcceptOutcome;
use crate::session::Service;
use crate::sys::wait;

use super::BoundListener;
use super::blocking::{SLICE_MS, Worker};

/// How long to wait where accept(2) should and does not, for want of descriptors, in ms.
const UNWAITED_PAUSE_MS: u64 = 100;

/// How a worker waits for its next client.
#[derive(Clone, Copy)]
pub(super) enum Waiting<'a> {
    /// In accept(2), for the one listener: the kernel wakes one of the workers that wait there.
    Accepts,
    /// In poll(2), for any of several listeners, or for this descriptor. All workers that wait are woken, all
    /// but one in vain.
    Polls(Option<BorrowedFd<'a>>),
}

impl Waiting<'_> {
    /// The cheapest way for workers that share these listeners; sets the listeners to block, or not to.
    pub(super) fn for_all<S>(listeners: &[BoundListener<S>]) -> io::Result<Self> {
        // Only on Linux does a wait in accept(2) end without a client.
        let alone = cfg!(target_os = "linux") && listeners.len() == 1;
        for listener in listeners {
            listener.socket.set_nonblocking(!alone)?;
            if alone {
                listener.socket.set_accept_timeout(Some(Duration::from_millis(SLICE_MS)))?;
            }
        }
        Ok(if alone { Waiting::Accepts } else { Waiting::Polls(None) })
    }
}

/// Waits for a client and serves it to its end. Returns without one when the worker has to look at its clock
/// and flags.
pub(super) fn serve_next<S: Service, H: FnMut()>(
    worker: &mut Worker<S, H>,
    listeners: &[BoundListener<S>],
    waiting: Waiting<'_>,
) -> io::Result<()> {
    let Waiting::Polls(beside) = waiting else {
        return match take(worker, &listeners[0], None)? {
            // The wait timed out; or a worker that drains alone has set the listener, which all share, not to
            // block.
            Taken::None => listeners[0].socket.set_nonblocking(false),
            Taken::NoneWithoutWaiting => {
                wait::readable(&[], Some(Duration::from_millis(UNWAITED_PAUSE_MS)))?;
                Ok(())
            }
            Taken::OneOrMore => Ok(()),
        };
    };
    let sockets = listeners.iter().map(|listener| listener.socket.as_fd());
    let fds: Vec<BorrowedFd<'_>> = sockets.chain(beside).collect();
    let timeout = match beside {
        Some(_) => worker.wait_max(),
        None => Some(Duration::from_millis(SLICE_MS)),
    };
    let ready = wait::readable(&fds, timeout)?;
    for (listener, _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
        take(worker, listener, beside)?;
    }
    Ok(())
}

/// The outcome of [`take`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// A client was served or lost, or accepting has paused: another may wait.
    OneOrMore,
    /// No client waits.
    None,
    /// No client waits, and accept(2) returns at once where it should wait.
    NoneWithoutWaiting,
}

/// Accepts one client and serves it to its end. If accepting pauses, waits for the end of the pause, or for
/// `beside`.
fn take<S: Service, H: FnMut()>(
    worker: &mut Worker<S, H>,
    listener: &BoundListener<S>,
    beside: Option<BorrowedFd<'_>>,
) -> io::Result<Taken> {
    match worker.accept(&listener.socket) {
        AcceptOutcome::Accepted(accepted) => {
            worker.serve(&listener.served, accepted);
        }
        AcceptOutcome::Paused => {
            let fds: Vec<BorrowedFd<'_>> = beside.into_iter().collect();
            wait::readable(&fds, worker.accept_pause())?;
        }
        AcceptOutcome::Retry => {}
        AcceptOutcome::Empty => return Ok(Taken::None),
        AcceptOutcome::EmptyWithoutWaiting => return Ok(Taken::NoneWithoutWaiting),
    }
    Ok(Taken::OneOrMore)
}

/// Serves the clients in the backlogs, as far as the drain's deadline allows, and closes the listeners.
/// Clients that still wait then, or come later, are reset by the kernel. Bound: the backlog, and the
/// deadline.
pub(super) fn drain<S: Service, H: FnMut()>(worker: &mut Worker<S, H>, listeners: Vec<BoundListener<S>>) {
    for listener in listeners {
        if let Err(error) = listener.socket.set_nonblocking(true) {
            log::warn!("{}: clients in its backlog are lost: {error}", listener.socket.local_addr());
            continue;
        }
        while !worker.is_over() {
            if !matches!(take(worker, &listener, None), Ok(Taken::OneOrMore)) {
                break;
            }
        }
    }
    worker.telemetry.flush();
}
