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

use crate::admission::Admission;
use crate::reactor::Summary;
use crate::session::Service;
use crate::time::CallClock;

use super::accept_loop::{AcceptWait, drain, serve_next};
use super::blocking::{INTERRUPT_EVERY_MS, Interrupter, Services, Worker};
use super::{BoundListener, ServedBy, ServerConfig};

/// Serves one client after the other, until a signal stops it.
pub(super) fn run<S: Service>(config: ServerConfig<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let listeners = BoundListener::all(config.listeners, &config.limits, ServedBy::ThisProcess);
    let waiting = AcceptWait::for_all(&listeners)?;
    let mut signals = config.signals.alone(INTERRUPT_EVERY_MS)?;
    let (services, clock, counts) = (Services::of(&listeners), CallClock::start(), signals.counts());
    let mut admission = Admission::new(&config.limits, u32::MAX);
    let worker = Worker::new(services, config.limits, clock, config.telemetry, counts, Interrupter::TIMER);
    let mut worker = worker.alone(stopping);
    loop {
        signals.take(); // for its lines in the log: the worker checks the counts
        if worker.is_stopping() {
            break;
        }
        serve_next(&mut worker, &mut admission, &listeners, waiting)?;
    }
    drain(&mut worker, &mut admission, listeners);
    Ok(Summary::of_counters(worker.telemetry.counters.clone()))
}
