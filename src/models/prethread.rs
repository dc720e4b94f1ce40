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
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::admission::SharedBuffers;
use crate::reactor::Summary;
use crate::session::Service;
use crate::sys::{signals, wait};
use crate::telemetry::{Counters, Reason, Tally};
use crate::time::ServerClock;

use super::accept_loop::{Waiting, drain, serve_next};
use super::blocking::{INTERRUPT_EVERY_MS, SLICE_MS, Worker};
use super::shutdown::end_of_threads;
use super::{BoundListener, Setup};

/// Serves with `workers` threads, until a signal stops it.
pub(super) fn run<S: Service + Send>(setup: Setup<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let Setup { listeners, limits, workers, mut telemetry, mut signals } = setup;
    let workers = workers.min(limits.clients_max as usize);
    log::info!("{workers} threads serve one client each; further clients wait in the backlog");
    let tally = Arc::new(Tally::new()?);
    let (clock, counts) = (ServerClock::start(), signals.counts());
    let buffers = Arc::new(SharedBuffers::new(limits.buffers_bytes_max));
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    {
        let _blocked = signals::block()?; // inherited by the threads: the first thread handles signals
        let shared = BoundListener::all(listeners, &limits);
        let waiting = Waiting::for_all(&shared)?;
        for number in 0..workers {
            let listeners: Vec<BoundListener<S>> = shared.iter().map(BoundListener::share).collect();
            let services = BoundListener::services(&listeners);
            let mut worker = Worker::new(services, &limits, clock, telemetry.share(&tally), counts, SLICE_MS)
                .beside_others(&buffers);
            let work = move || {
                while !worker.is_stopping() {
                    if let Err(error) = serve_next(&mut worker, &listeners, waiting) {
                        return log::error!("thread {number} failed: {error}");
                    }
                }
                drain(&mut worker, listeners);
            };
            let spawned = thread::Builder::new().name(format!("prethread-{number}")).spawn(work);
            threads.push(spawned.map_err(|error| {
                let advice = "use fewer workers, or raise the limit of processes (ulimit -u)";
                io::Error::new(error.kind(), format!("cannot start thread {number}: {error}; {advice}"))
            })?);
        }
    }
    let mut ends_at: Option<Instant> = None;
    // Bound: the drain's deadline, which each thread keeps by itself, and a grace.
    while threads.iter().any(|thread| !thread.is_finished())
        && ends_at.is_none_or(|ends_at| Instant::now() < ends_at)
    {
        let timeout = ends_at.map(|_| Duration::from_millis(INTERRUPT_EVERY_MS));
        wait::readable(&[signals.as_fd()], timeout)?;
        let arrived = signals.take();
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
            threads.iter().filter(|thread| !thread.is_finished()).try_for_each(signals::interrupt)?;
        }
    }
    let mut counters = Counters::of_tally(&tally);
    // Clients whose session computes without end.
    counters.add(Reason::DrainCut, counters.open());
    Ok(Summary::of_counters(counters))
}
