//! One client at a time: the first server of the lecture, and of UNP chapter 30 ("iterative server", section
//! 30.5).
//!
//! ```text
//! for (;;) { connfd = accept(listenfd); dostuff(connfd); close(connfd); }
//! ```
//!
//! Nothing is simpler, and nothing costs less per client. The second client waits in the kernel's backlog
//! until the first has ended: a client that stalls stops the server for as long as its deadlines allow.

use std::io;
use std::os::fd::AsFd;

use crate::reactor::Summary;
use crate::session::Service;
use crate::time::ServerClock;

use super::accept_loop::{Waiting, drain, serve_next};
use super::blocking::{INTERRUPT_EVERY_MS, SLICE_ALONE_MS, Worker};
use super::{BoundListener, Setup};

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
        setup.signals.take(); // the worker looks at the counts
    }
    drain(&mut worker, listeners);
    Ok(Summary::of_counters(worker.telemetry.counters.clone()))
}
