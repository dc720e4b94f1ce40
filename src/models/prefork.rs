//! N copies of the iterative server, forked in advance, all accepting on one socket: the lecture's "several
//! copies", and UNP section 30.6 ("preforked server, no locking around `accept`").
//!
//! ```text
//! listenfd = listen(); for (i = 0; i < N; i++) if (fork() == 0) for (;;) { connfd = accept(listenfd); dostuff(connfd); }
//! ```
//!
//! A client costs no fork. N clients are served at once; client N + 1 waits until one of them ends. Too few
//! copies make clients wait, too many waste memory. With one listener the copies wait in accept(2), where the
//! kernel wakes one of them; with several they wait in poll(2), and all of them wake up for each client.
//!
//! `clients_max` bounds N and refuses no client: the others wait. The limit per address has no effect: a copy
//! has one client.

use std::io;
use std::time::Duration;

use crate::limits::Limits;
use crate::reactor::Summary;
use crate::session::{Maintenance, Service};
use crate::sys::signals::Signals;
use crate::telemetry::Telemetry;
use crate::time::ServerClock;

use super::accept_loop::{Waiting, drain, serve_next};
use super::blocking::{SLICE_MS, Worker};
use super::supervise::{WorkerJob, WorkerPool};
use super::{BoundListener, Setup};

/// What the parent holds for its copies.
struct Copies<S> {
    listeners: Vec<BoundListener<S>>,
    limits: Limits,
    clock: ServerClock,
    maintenance: Maintenance,
    waiting: Waiting<'static>,
}

/// Serves with `workers` copies, until a signal stops it.
pub(super) fn run<S: Service>(setup: Setup<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let Setup { listeners, limits, workers, telemetry, signals } = setup;
    let workers = workers.min(limits.clients_max as usize);
    log::info!("{workers} processes serve one client each; further clients wait in the backlog");
    let pool = WorkerPool::new(signals, telemetry, limits.drain_ms, workers)?;
    let listeners = BoundListener::all(listeners, &limits);
    let waiting = Waiting::for_all(&listeners)?;
    let (clock, maintenance) = (ServerClock::start(), Maintenance::default());
    pool.supervise(Copies { listeners, limits, clock, maintenance, waiting }, stopping)
}

impl<S: Service> WorkerJob for Copies<S> {
    fn serve(
        &mut self,
        _index: usize,
        parent: u32,
        signals: Signals,
        telemetry: Telemetry,
    ) -> io::Result<()> {
        let services = BoundListener::services(&self.listeners);
        let worker = Worker::new(services, &self.limits, self.clock, telemetry, signals.counts(), SLICE_MS);
        let mut worker = worker.of_parent(parent);
        while !worker.is_stopping() {
            serve_next(&mut worker, &self.listeners, self.waiting)?;
        }
        drain(&mut worker, std::mem::take(&mut self.listeners));
        Ok(())
    }

    fn release(&mut self) {
        self.listeners.clear();
    }

    fn maintain(&mut self) -> Option<Duration> {
        let services = || self.listeners.iter().map(|listener| &listener.served.service);
        let now = self.clock.now();
        self.maintenance.run_due(services(), now);
        self.maintenance.due_in(services(), now)
    }
}
