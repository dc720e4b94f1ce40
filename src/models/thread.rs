//! A thread per client: UNP section 26.4, and the concurrent server of section 30.10 with `pthread_create` in
//! place of `fork`.
//!
//! ```text
//! for (;;) { connfd = accept(listenfd); pthread_create(dostuff, connfd); }
//! ```
//!
//! No client waits for another, and a client costs less than a process: a stack, and the start and end of a
//! thread. All share one address space: sessions can wake each other, and a mistake that kills the process
//! ends all clients.
//!
//! The first thread accepts and handles the signals. On a request to stop it interrupts the others until each
//! has noticed.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::{Accepted, ListenerService, SharedBuffers};
use crate::limits::Limits;
use crate::reactor::Summary;
use crate::session::{Peer, Service};
use crate::sys::{Crew, CrewMember, SignalCounts};
use crate::telemetry::{Counters, Reason, Tally, Telemetry};
use crate::time::{CallClock, in_words};

use super::acceptor::{Acceptor, NotServed, WaitEnd};
use super::blocking::{INTERRUPT_EVERY_MS, Interrupter, STACK_BYTES, Services, Worker};
use super::shutdown::{Cuts, THREAD_GRACE_MS, end_of_threads};
use super::{ServedBy, ServerConfig};

/// The data that the threads of clients share with the first thread.
struct Shared {
    tally: Tally,
    buffers: Arc<SharedBuffers>,
    /// A thread that ends leaves its client's address.
    crew: Arc<Crew<Peer>>,
}

/// The first thread's side.
struct Threads<S: Service> {
    acceptor: Acceptor<S>,
    shared: Shared,
}

/// What a thread is given: its client, and what it serves the client with.
struct ClientTask<S> {
    accepted: Accepted,
    served: ListenerService<S>,
    limits: Limits,
    clock: CallClock,
    telemetry: Telemetry,
    signals: SignalCounts,
    buffers: Arc<SharedBuffers>,
}

/// The whole life of a thread.
#[allow(clippy::boxed_local, reason = "moved once, from the heap into its worker: each copy takes stack")]
fn serve<S: Service>(task: Box<ClientTask<S>>, member: &CrewMember<Peer>) {
    let ClientTask { accepted, served, limits, clock, telemetry, signals, buffers } = *task;
    let interrupt_at = |due_ms| member.interrupt_at(due_ms);
    let services = Services::one(served.service.clone());
    let interrupter = Interrupter::thread(&interrupt_at);
    let mut worker = Worker::new(services, limits, clock, telemetry, signals, interrupter);
    worker.share_buffers(buffers);
    worker.serve(&served, accepted);
    member.interrupt_at(worker.next_due_ms()); // the first thread does it in time
}

/// Serves with a thread per client, until a signal stops it.
pub(super) fn run<S: Service + Send>(
    config: ServerConfig<S>,
    stopping: &mut dyn FnMut(),
) -> io::Result<Summary> {
    let tally = Tally::new()?;
    let shared = Shared {
        tally: tally.clone(),
        buffers: Arc::new(SharedBuffers::new(config.limits.buffers_bytes_max)),
        crew: Arc::new(Crew::new()?),
    };
    let telemetry = config.telemetry.counting(&tally); // refused clients count with the others
    let acceptor = Acceptor::new(ServerConfig { telemetry, ..config }, ServedBy::ThisProcess)?;
    let mut threads = Threads { acceptor, shared };
    loop {
        let wants_ends = threads.acceptor.waits_for_end();
        let woken = threads.wait(wants_ends, None)?;
        let arrived = woken.arrived;
        if arrived.reopen {
            threads.acceptor.telemetry.reopen_if_asked();
        }
        if arrived.report {
            log::info!("{} threads: {}", threads.acceptor.clients(), threads.summary());
        }
        if arrived.stops > 0 {
            stopping();
            return threads.drain();
        }
        let Threads { acceptor, shared } = &mut threads;
        acceptor.accept_ready(&woken, |acceptor, at, accepted| start(acceptor, at, accepted, shared));
    }
}

/// Starts a thread for this client.
fn start<S: Service + Send>(
    acceptor: &mut Acceptor<S>,
    at: usize,
    accepted: Accepted,
    shared: &Shared,
) -> Result<(), NotServed> {
    let peer = accepted.peer;
    let task = ClientTask {
        accepted,
        served: acceptor.listeners[at].served.clone(),
        limits: acceptor.limits.clone(),
        clock: acceptor.clock,
        telemetry: acceptor.telemetry.share(&shared.tally),
        signals: acceptor.signals.counts(),
        buffers: Arc::clone(&shared.buffers),
    };
    let started = shared.crew.start(&acceptor.signals, STACK_BYTES, peer, Box::new(task), serve);
    started.map_err(|(error, task)| (task.accepted, error))
}

impl<S: Service + Send> Threads<S> {
    fn summary(&self) -> Summary {
        Summary::of_counters(Counters::of_tally(&self.shared.tally))
    }

    /// Waits, with `wants_ends` also for the next end of a client. Frees the places of clients that have
    /// ended, and interrupts threads whose calls have blocked long enough.
    fn wait(&mut self, wants_ends: bool, timeout: Option<Duration>) -> io::Result<WaitEnd> {
        let Threads { acceptor, shared: Shared { crew, .. } } = self;
        crew.take_left(wants_ends).into_iter().for_each(|peer| acceptor.leave(peer));
        let now_ms = acceptor.clock.now_ms();
        let due = crew.due_ms().map(|due_ms| Duration::from_millis(due_ms.saturating_sub(now_ms)));
        let woken = acceptor.wait(Some(crew.as_fd()), due.into_iter().chain(timeout).min())?;
        if woken.beside {
            crew.silence_bell();
        }
        crew.interrupt_due(acceptor.clock.now_ms());
        crew.take_left(false).into_iter().for_each(|peer| acceptor.leave(peer));
        Ok(woken)
    }

    /// Starts threads for the clients in the backlogs, closes the listeners, and interrupts all threads until
    /// they have ended. The bound is the deadline of the drain, which each thread checks itself, plus a grace
    /// period: a thread whose session computes without end cannot be ended, and its client counts as cut.
    fn drain(mut self) -> io::Result<Summary> {
        let drain = Duration::from_millis(self.acceptor.limits.drain_ms.into());
        log::info!("draining for at most {}; clients: {}", in_words(drain), self.acceptor.clients());
        let mut ends_at = None;
        let cuts = Cuts::new(&self.shared.tally);
        loop {
            let end = end_of_threads(ends_at, self.acceptor.limits.drain_ms, self.acceptor.signals.counts());
            ends_at = Some(end);
            let Threads { acceptor, shared } = &mut self;
            let in_grace = end <= Instant::now() + Duration::from_millis(THREAD_GRACE_MS);
            if in_grace || cuts.have_begun() {
                acceptor.close(); // the drain's own time is over
            } else {
                acceptor.take_backlog(|acceptor, at, accepted| start(acceptor, at, accepted, shared));
            }
            if (shared.crew.running() == 0 && !acceptor.is_open()) || end <= Instant::now() {
                acceptor.release();
                let mut counters = Counters::of_tally(&shared.tally);
                counters.add(Reason::DrainCut, counters.open());
                return Ok(Summary::of_counters(counters));
            }
            shared.crew.interrupt_all();
            self.wait(true, Some(Duration::from_millis(INTERRUPT_EVERY_MS.into())))?;
        }
    }
}
