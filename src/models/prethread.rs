//! N threads started in advance, each accepting for itself: UNP section 30.11 ("prethreaded server,
//! per-thread `accept`").
//!
//! ```text
//! listenfd = listen();
//! for (i = 0; i < N; i++) pthread_create(for (;;) { connfd = accept(listenfd); dostuff(connfd); });
//! ```
//!
//! Like the copies of [`super::prefork`], in one address space: cheaper to start, and sessions can wake each
//! other; but a mistake that kills the process ends all clients. N clients are served at once; client N + 1
//! waits.
//!
//! The first thread handles the signals. On a request to stop it interrupts the others until each has
//! noticed. A session that computes without end keeps its thread until the process ends; its client counts as
//! cut.
//!
//! `clients_max` bounds N and refuses no client: the others wait. The limit per address has no effect.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::{Admission, SharedBuffers};
use crate::limits::Limits;
use crate::reactor::Summary;
use crate::session::Service;
use crate::sys::{Crew, CrewMember, SignalCounts, crew};
use crate::telemetry::{Counters, Reason, Tally, Telemetry};
use crate::time::CallClock;

use super::accept_loop::{AcceptWait, drain, serve_next};
use super::blocking::{INTERRUPT_EVERY_MS, Interrupter, STACK_BYTES, Services, Worker};
use super::shutdown::end_of_threads;
use super::{BoundListener, ServedBy, ServerConfig};

/// The data of a thread.
struct WorkerTask<S> {
    number: usize,
    listeners: Vec<BoundListener<S>>,
    waiting: AcceptWait,
    limits: Limits,
    clock: CallClock,
    telemetry: Telemetry,
    signals: SignalCounts,
    buffers: Arc<SharedBuffers>,
}

/// The whole life of a thread.
#[allow(clippy::boxed_local, reason = "moved once, from the heap into its worker: each copy takes stack")]
fn serve<S: Service>(task: Box<WorkerTask<S>>, member: &CrewMember<()>) {
    let WorkerTask { number, listeners, waiting, limits, clock, telemetry, signals, buffers } = *task;
    crew::name_thread(&format!("prethread-{number}"));
    let interrupt_at = |due_ms| member.interrupt_at(due_ms);
    let (services, interrupter) = (Services::of(&listeners), Interrupter::thread(&interrupt_at));
    let mut admission = Admission::new(&limits, u32::MAX);
    let mut worker = Worker::new(services, limits, clock, telemetry, signals, interrupter);
    worker.share_buffers(buffers);
    while !worker.is_stopping() {
        if let Err(error) = serve_next(&mut worker, &mut admission, &listeners, waiting) {
            return log::error!("thread {number} failed: {error}");
        }
    }
    drain(&mut worker, &mut admission, listeners);
}

/// Serves with `workers` threads, until a signal stops it.
pub(super) fn run<S: Service + Send>(
    config: ServerConfig<S>,
    stopping: &mut dyn FnMut(),
) -> io::Result<Summary> {
    let ServerConfig { listeners, limits, workers, mut telemetry, signals } = config;
    let workers = workers.min(limits.clients_max as usize);
    log::info!("{workers} threads serve one client each; further clients wait in the backlog");
    let tally = Tally::new()?;
    let mut signals = signals.hold()?;
    let (clock, counts) = (CallClock::start(), signals.counts());
    let buffers = Arc::new(SharedBuffers::new(limits.buffers_bytes_max));
    let crew = Arc::new(Crew::new()?);
    {
        let shared = BoundListener::all(listeners, &limits, ServedBy::ThisProcess);
        let waiting = AcceptWait::for_all(&shared)?;
        for number in 0..workers {
            let task = WorkerTask {
                number,
                listeners: shared.iter().map(BoundListener::share).collect(),
                waiting,
                limits: limits.clone(),
                clock,
                telemetry: telemetry.share(&tally),
                signals: counts,
                buffers: Arc::clone(&buffers),
            };
            crew.start(&signals, STACK_BYTES, (), Box::new(task), serve).map_err(|(error, _job)| {
                let advice = "use fewer workers, or raise the limit of processes (ulimit -u)";
                io::Error::new(error.kind(), format!("cannot start thread {number}: {error}; {advice}"))
            })?;
        }
    }
    let mut ends_at: Option<Instant> = None;
    // Bounded by the deadline of the drain, which each thread checks itself, plus a grace period.
    while crew.running() > 0 && ends_at.is_none_or(|ends_at| Instant::now() < ends_at) {
        let now_ms = clock.now_ms();
        let due = crew.due_ms().map(|due_ms| Duration::from_millis(due_ms.saturating_sub(now_ms)));
        let drain = ends_at.map(|_| Duration::from_millis(INTERRUPT_EVERY_MS.into()));
        crew.take_left(true); // this may be the end of the last thread
        if crew.running() == 0 {
            break;
        }
        let (arrived, ready) = signals.wait([crew.as_fd()], due.into_iter().chain(drain).min())?;
        if ready.is(0) {
            crew.silence_bell();
        }
        crew.interrupt_due(clock.now_ms());
        if arrived.reopen {
            telemetry.reopen_if_asked();
        }
        if arrived.report {
            log::info!("{workers} threads: {}", Summary::of_counters(Counters::of_tally(&tally)));
        }
        if counts.stops() > 0 {
            if ends_at.is_none() {
                stopping();
            }
            ends_at = Some(end_of_threads(ends_at, limits.drain_ms, counts));
            crew.interrupt_all();
        }
    }
    let mut counters = Counters::of_tally(&tally);
    // The clients whose session computes without end.
    counters.add(Reason::DrainCut, counters.open());
    Ok(Summary::of_counters(counters))
}
