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

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::admission::{Accepted, SharedBuffers};
use crate::reactor::Summary;
use crate::session::{Peer, Service};
use crate::sys::signals;
use crate::telemetry::{Counters, Reason, Tally};

use super::Setup;
use super::acceptor::{Acceptor, NotServed};
use super::blocking::{INTERRUPT_EVERY_MS, SLICE_MS, Worker};
use super::shutdown::{THREAD_GRACE_MS, end_of_threads};

/// Finished threads that are kept before they are looked for: a look costs time for each.
const FINISHED_MAX: usize = 64;

/// What the threads of clients share with the first one.
struct Shared {
    tally: Arc<Tally>,
    buffers: Arc<SharedBuffers>,
    /// Clients that have ended since the first thread last looked.
    left: Mutex<Vec<Peer>>,
    /// Wakes the first thread, which may wait for a place to become free.
    bell: UnixStream,
}

/// Reports the end of a client's thread when it is dropped, whatever ended the thread.
struct Leaving {
    shared: Arc<Shared>,
    peer: Peer,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut left = self.shared.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(self.peer);
        let first = left.len() == 1;
        drop(left);
        if first {
            // It fails only when a byte is in the pipe already.
            let _ = (&self.shared.bell).write(&[0]);
        }
    }
}

/// The first thread's side.
struct Threads<S: Service> {
    acceptor: Acceptor<S>,
    shared: Arc<Shared>,
    bell: UnixStream,
    running: Vec<JoinHandle<()>>,
}

/// Serves with a thread per client, until a signal stops it.
pub(super) fn run<S: Service + Send>(setup: Setup<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let (bell, far) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let tally = Arc::new(Tally::new()?);
    let shared = Arc::new(Shared {
        tally: Arc::clone(&tally),
        buffers: Arc::new(SharedBuffers::new(setup.limits.buffers_bytes_max)),
        left: Mutex::default(),
        bell: far,
    });
    let telemetry = setup.telemetry.counting(&tally); // refused clients count with the others
    let acceptor = Acceptor::new(Setup { telemetry, ..setup })?;
    let mut threads = Threads { acceptor, shared, bell, running: Vec::new() };
    loop {
        let (arrived, ready) = threads.wait(None)?;
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
        let Threads { acceptor, shared, running, .. } = &mut threads;
        acceptor
            .accept_ready(&ready, |acceptor, at, accepted| spawn(acceptor, at, accepted, shared, running));
    }
}

/// Starts a thread for this client.
fn spawn<S: Service + Send>(
    acceptor: &mut Acceptor<S>,
    at: usize,
    accepted: Accepted,
    shared: &Arc<Shared>,
    running: &mut Vec<JoinHandle<()>>,
) -> Result<(), NotServed> {
    let telemetry = acceptor.telemetry.share(&shared.tally);
    let served = acceptor.listeners[at].served.clone();
    let (limits, clock, shared) = (acceptor.limits.clone(), acceptor.clock, Arc::clone(shared));
    let signals = acceptor.signals.counts();
    // The client moves to the thread only once there is one.
    let place = Arc::new(Mutex::new(Some(accepted)));
    let taken = Arc::clone(&place);
    let work = move || {
        let Some(accepted) = taken.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let leaving = Leaving { shared, peer: accepted.peer };
        let mut worker =
            Worker::new(vec![served.service.clone()], &limits, clock, telemetry, signals, SLICE_MS)
                .beside_others(&leaving.shared.buffers);
        worker.serve(&served, accepted);
        drop(worker);
        drop(leaving);
    };
    let spawned =
        signals::block().and_then(|_blocked| thread::Builder::new().name("client".into()).spawn(work));
    match spawned {
        Ok(thread) => {
            running.push(thread);
            Ok(())
        }
        Err(error) => match place.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(accepted) => Err((accepted, error)),
            None => Ok(()),
        },
    }
}

impl<S: Service + Send> Threads<S> {
    fn summary(&self) -> Summary {
        Summary::of_counters(Counters::of_tally(&self.shared.tally))
    }

    /// Waits, and frees the places of clients that have ended.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<(signals::Arrived, Vec<usize>)> {
        let heard = self.acceptor.wait(Some(self.bell.as_fd()), timeout)?;
        // Emptied before the list is taken: a client that ends later writes again. It holds one byte at most.
        let _ = (&self.bell).read(&mut [0; 16]);
        let left = std::mem::take(&mut *self.shared.left.lock().unwrap_or_else(PoisonError::into_inner));
        for peer in left {
            self.acceptor.leave(peer);
        }
        if self.running.len() > self.acceptor.clients() as usize + FINISHED_MAX {
            self.running.retain(|thread| !thread.is_finished());
        }
        Ok(heard)
    }

    /// Starts threads for the clients in the backlogs, closes the listeners, and interrupts all threads until
    /// they have ended. Bound: the drain's deadline, which each of them keeps by itself, and a grace: a
    /// thread whose session computes without end cannot be ended, and its client counts as cut.
    fn drain(mut self) -> io::Result<Summary> {
        let drain = Duration::from_millis(self.acceptor.limits.drain_ms.into());
        log::info!("draining: {} clients have up to {drain:?} to finish", self.acceptor.clients());
        let mut ends_at = None;
        loop {
            let end = end_of_threads(ends_at, self.acceptor.limits.drain_ms, self.acceptor.signals.counts());
            ends_at = Some(end);
            let Threads { acceptor, shared, running, .. } = &mut self;
            if end <= Instant::now() + Duration::from_millis(THREAD_GRACE_MS) {
                acceptor.close(); // the drain's own time is over
            } else {
                acceptor
                    .take_backlog(|acceptor, at, accepted| spawn(acceptor, at, accepted, shared, running));
            }
            running.retain(|thread| !thread.is_finished());
            if (running.is_empty() && !acceptor.is_open()) || end <= Instant::now() {
                acceptor.release();
                let mut counters = Counters::of_tally(&shared.tally);
                counters.add(Reason::DrainCut, counters.open());
                return Ok(Summary::of_counters(counters));
            }
            running.iter().try_for_each(signals::interrupt)?;
            self.wait(Some(Duration::from_millis(INTERRUPT_EVERY_MS)))?;
        }
    }
}
