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

use crate::admission::Admission;
use crate::reactor::Summary;
use crate::session::{Maintenance, Service};
use crate::sys::HeldSignals;
use crate::telemetry::Telemetry;
use crate::time::CallClock;

use super::accept_loop::{AcceptWait, drain, serve_next};
use super::blocking::{INTERRUPT_EVERY_MS, Interrupter, Services, Worker};
use super::supervise::{WorkerJob, WorkerPool};
use super::{BoundListener, ServedBy, ServerConfig};

/// What the parent holds for its copies.
struct Copies<S> {
    listeners: Vec<BoundListener<S>>,
    clock: CallClock,
    maintenance: Maintenance,
    waiting: AcceptWait,
    /// What a copy serves with. Made before the fork: what each makes for itself is memory of each.
    worker: Worker<'static, S>,
    admission: Admission,
}

/// Serves with `workers` copies, until a signal stops it.
#[inline(never)] // what is on the stack at the fork is copied for each copy
pub(super) fn run<S: Service>(config: ServerConfig<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let ServerConfig { listeners, limits, workers, telemetry, signals } = config;
    let workers = workers.min(limits.clients_max as usize);
    log::info!("{workers} processes serve one client each; further clients wait in the backlog");
    let counts = signals.counts();
    let pool = WorkerPool::new(signals, telemetry, limits.drain_ms, workers)?;
    let listeners = BoundListener::all(listeners, &limits, ServedBy::Children);
    let waiting = AcceptWait::for_all(&listeners)?;
    let (clock, maintenance) = (CallClock::start(), Maintenance::default());
    let admission = Admission::new(&limits, u32::MAX);
    let services = Services::of(&listeners);
    let worker = Worker::new(services, limits, clock, Telemetry::new(), counts, Interrupter::TIMER);
    let worker = worker.for_children();
    pool.supervise(Copies { listeners, clock, maintenance, waiting, worker, admission }, stopping)
}

impl<S: Service> WorkerJob for Copies<S> {
    const INTERRUPT_EVERY_MS: u32 = INTERRUPT_EVERY_MS;

    fn serve(
        &mut self,
        _index: usize,
        parent: u32,
        _signals: &mut HeldSignals,
        telemetry: Telemetry,
    ) -> io::Result<()> {
        let Copies { worker, admission, listeners, waiting, .. } = self;
        worker.telemetry = telemetry;
        worker.begin_child(parent);
        while !worker.is_stopping() {
            serve_next(worker, admission, listeners, *waiting)?;
        }
        drain(worker, admission, std::mem::take(listeners));
        worker.telemetry.close();
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
