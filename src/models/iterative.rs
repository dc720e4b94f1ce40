//! One client at a time: the first server of the lecture, and of UNP chapter 30 ("iterative server", section 30.5).
//!
//! ```text
//! for (;;) { connfd = accept(listenfd); dostuff(connfd); close(connfd); }
//! ```
//!
//! Nothing is simpler, and nothing costs less per client. The second client waits in the kernel's backlog until the first has
//! ended, whatever it does: a client that stalls stops all, for as long as its deadlines allow.
//!
//! The copies of [`super::prefork`] and the threads of [`super::prethread`] do just this, N of them side by side.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::admission::AcceptOutcome;
use crate::reactor::Summary;
use crate::session::Service;
use crate::sys::wait;
use crate::time::ServerClock;

use super::blocking::{INTERRUPT_EVERY_MS, SLICE_ALONE_MS, SLICE_MS, Worker};
use super::{BoundListener, Setup};

/// How long to wait where accept(2) should and does not, for want of descriptors, in ms.
const UNWAITED_PAUSE_MS: u64 = 100;

/// Serves one client after the other, until a signal stops it.
pub(super) fn run<S: Service>(mut setup: Setup<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let listeners = BoundListener::all(setup.listeners, &setup.limits);
    setup.signals = setup.signals.alone(INTERRUPT_EVERY_MS as u32)?;
    let (services, clock) = (BoundListener::services(&listeners), ServerClock::start());
    let signals = setup.signals.counts();
    let worker = Worker::new(services, &setup.limits, clock, setup.telemetry, signals, SLICE_ALONE_MS);
    let mut worker = worker.alone(stopping);
    while !worker.is_stopping() {
        // The pipe of the signals is waited for beside the listeners, so that none is missed.
        serve_next(&mut worker, &listeners, Waiting::Polls(Some(setup.signals.as_fd())))?;
        setup.signals.take(); // the worker looks at what they ask for
    }
    drain(&mut worker, listeners);
    Ok(Summary::of_counters(worker.telemetry.counters.clone()))
}

/// How a worker waits for its next client.
#[derive(Clone, Copy)]
pub(super) enum Waiting<'a> {
    /// In accept(2), for the one listener: the kernel wakes one of those who wait there.
    Accepts,
    /// In poll(2), for any of several listeners, or for this descriptor. All who wait are woken, and all but one in vain.
    Polls(Option<BorrowedFd<'a>>),
}

impl Waiting<'_> {
    /// The cheapest way for these listeners; sets them to block, or not to.
    pub(super) fn for_all<S>(listeners: &[BoundListener<S>]) -> io::Result<Self> {
        // Elsewhere than on Linux nothing ends a wait in accept(2) but a client.
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

/// Waits for a client, or until something else is to be looked at, and serves whoever came.
pub(super) fn serve_next<S: Service, H: FnMut()>(
    worker: &mut Worker<S, H>,
    listeners: &[BoundListener<S>],
    waiting: Waiting<'_>,
) -> io::Result<()> {
    let Waiting::Polls(beside) = waiting else {
        return match take(worker, &listeners[0], None)? {
            // The wait was over; or one worker drains alone and has set the listener, which all share, not to block.
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

/// Accepts one client and serves it to its end. If accepting pauses, waits for the end of the pause, or for `beside`.
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

/// Serves who waits in the backlog, as far as the drain's deadline allows, and closes the listeners. Who is still there
/// then, or comes later, is reset by the kernel. Bound: the backlog, and the deadline.
pub(super) fn drain<S: Service, H: FnMut()>(worker: &mut Worker<S, H>, listeners: Vec<BoundListener<S>>) {
    for listener in listeners {
        if let Err(error) = listener.socket.set_nonblocking(true) {
            log::warn!("{}: who waits there is lost: {error}", listener.socket.local_addr());
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
