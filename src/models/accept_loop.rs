//! The accept loop of the models in which a worker serves one client at a time: [`super::iterative`],
//! [`super::prefork`] and [`super::prethread`].

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::admission::{AcceptOutcome, Admission, SocketMode};
use crate::session::Service;
use crate::sys::wait;

use super::BoundListener;
use super::blocking::Worker;

/// Pause in ms when accept(2) returns at once because no descriptor is free.
const UNWAITED_PAUSE_MS: u64 = 100;

/// How a worker waits for its next client.
#[derive(Clone, Copy)]
pub(super) enum AcceptWait {
    /// In accept(2), for a single listener: the kernel wakes one of the waiting workers.
    Accepts,
    /// In poll(2), for several listeners. The kernel wakes all waiting workers, all but one in vain.
    Polls,
}

impl AcceptWait {
    /// The cheapest wait for workers that share these listeners; sets the listeners to blocking or
    /// nonblocking.
    pub(super) fn for_all<S>(listeners: &[BoundListener<S>]) -> io::Result<Self> {
        let alone = listeners.len() == 1;
        for listener in listeners {
            listener.socket.set_nonblocking(!alone)?;
        }
        Ok(if alone { AcceptWait::Accepts } else { AcceptWait::Polls })
    }
}

/// Waits for a client and serves it to its end. Returns without a client when the worker must check its clock
/// and flags.
pub(super) fn serve_next<S: Service, H: FnMut()>(
    worker: &mut Worker<'_, S, H>,
    admission: &mut Admission,
    listeners: &[BoundListener<S>],
    waiting: AcceptWait,
) -> io::Result<()> {
    if !worker.may_block() {
        return Ok(());
    }
    if let AcceptWait::Accepts = waiting {
        return match take(worker, admission, &listeners[0])? {
            // A worker that drains alone has set the listener, which all share, not to block.
            TakeOutcome::None => listeners[0].socket.set_nonblocking(false),
            TakeOutcome::NoneWithoutWaiting => {
                wait::readable([], Some(Duration::from_millis(UNWAITED_PAUSE_MS)))?;
                Ok(())
            }
            TakeOutcome::OneOrMore => Ok(()),
        };
    }
    let ready = wait::readable(listeners.iter().map(|listener| listener.socket.as_fd()), worker.wait_max())?;
    for (_, listener) in listeners.iter().enumerate().filter(|(at, _)| ready.is(*at)) {
        take(worker, admission, listener)?;
    }
    Ok(())
}

/// The outcome of [`take`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakeOutcome {
    /// A client was served or lost, or accepting has paused: another may wait.
    OneOrMore,
    /// No client waits.
    None,
    /// No client waits, and accept(2) returns at once where it should wait.
    NoneWithoutWaiting,
}

/// Accepts one client and serves it to its end. If accepting pauses, waits for the end of the pause.
fn take<S: Service, H: FnMut()>(
    worker: &mut Worker<'_, S, H>,
    admission: &mut Admission,
    listener: &BoundListener<S>,
) -> io::Result<TakeOutcome> {
    let clock = worker.clock;
    let now_ms = || clock.now_ms();
    if admission.resumes_at_ms().is_some() {
        admission.tick(now_ms()); // the pause was waited for
    }
    match admission.accept(&listener.socket, SocketMode::Blocking, &mut worker.telemetry, now_ms) {
        AcceptOutcome::Accepted(accepted) => {
            worker.serve(&listener.served, accepted);
        }
        AcceptOutcome::Paused => {
            let until_ms = admission.resumes_at_ms();
            let pause = until_ms.map(|until_ms| Duration::from_millis(until_ms.saturating_sub(now_ms())));
            wait::readable([], pause)?;
        }
        AcceptOutcome::Retry => {}
        AcceptOutcome::Empty => return Ok(TakeOutcome::None),
        AcceptOutcome::EmptyWithoutWaiting => return Ok(TakeOutcome::NoneWithoutWaiting),
    }
    Ok(TakeOutcome::OneOrMore)
}

/// Serves the clients in the backlogs, as far as the drain's deadline allows, and closes the listeners.
/// Clients that still wait then, or come later, are reset by the kernel. Bound: the backlog, and the
/// deadline.
pub(super) fn drain<S: Service, H: FnMut()>(
    worker: &mut Worker<'_, S, H>,
    admission: &mut Admission,
    listeners: Vec<BoundListener<S>>,
) {
    for listener in listeners {
        if let Err(error) = listener.socket.set_nonblocking(true) {
            log::warn!("{}: clients in its backlog are lost: {error}", listener.socket.local_addr());
            continue;
        }
        while !worker.is_over() {
            if !matches!(take(worker, admission, &listener), Ok(TakeOutcome::OneOrMore)) {
                break;
            }
        }
    }
    worker.telemetry.flush();
}
