//! Threads beside the loop, for work of sessions that would delay other clients.
//!
//! A thread is started when work waits and no thread is free, so a server without such work has one thread.
//! Processes that fork have no reactor, and so none of these threads.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::session::{Job, Lane, OffloadTarget, QueueBound};
use crate::sys::{process, signals};

/// Threads of [`Lane::Compute`]. A single one leaves the other processors to the loop.
const COMPUTE_THREADS_MAX: usize = 1;
/// Threads of [`Lane::Disk`]: as many as a site sends archives at a time. Each may wait for a disk that does
/// not answer, and with fewer threads the archives of a healthy disk would wait for it.
const DISK_THREADS_MAX: usize = 16;
/// The longest queue of a lane for work that may be refused. In a longer queue, work would wait longer than
/// clients do: a password with bcrypt's usual cost takes 50 ms.
const QUEUE_MAX: usize = 64;

/// The lanes of one loop.
pub(super) struct Offloader {
    compute: Arc<LaneQueue>,
    disk: Arc<LaneQueue>,
}

/// The work and the threads of one lane.
struct LaneQueue {
    lane: Lane,
    threads_max: usize,
    state: Mutex<LaneState>,
    /// There is work, or the lane was closed.
    changed: Condvar,
}

#[derive(Default)]
struct LaneState {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    /// The loop has ended.
    is_closed: bool,
}

impl Offloader {
    pub(super) fn new() -> Offloader {
        let lane = |lane, threads_max| {
            let (state, changed) = (Mutex::default(), Condvar::new());
            Arc::new(LaneQueue { lane, threads_max, state, changed })
        };
        Offloader {
            compute: lane(Lane::Compute, COMPUTE_THREADS_MAX),
            disk: lane(Lane::Disk, DISK_THREADS_MAX),
        }
    }

    /// Drops the work that waits, and has each thread end after its current job. The threads are not joined:
    /// a disk may not answer for hours.
    pub(super) fn close(&self) {
        for queue in [&self.compute, &self.disk] {
            let mut state = queue.state();
            state.is_closed = true;
            let jobs = std::mem::take(&mut state.jobs);
            drop(state);
            queue.changed.notify_all();
            drop(jobs);
        }
    }
}

impl OffloadTarget for Offloader {
    fn submit(&self, lane: Lane, bound: QueueBound, job: Job) -> Result<(), Job> {
        let queue = match lane {
            Lane::Compute => &self.compute,
            Lane::Disk => &self.disk,
        };
        let mut state = queue.state();
        let is_full = bound == QueueBound::Full && state.jobs.len() >= QUEUE_MAX;
        if state.is_closed || is_full {
            return Err(job);
        }
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            queue.changed.notify_one();
        } else if state.threads < queue.threads_max {
            state.threads += 1;
            drop(state);
            LaneQueue::start_thread(queue);
        }
        Ok(())
    }
}

impl LaneQueue {
    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread that was counted. If the lane has no other, its work is dropped: the sessions that
    /// wait for it are woken, without a result.
    fn start_thread(queue: &Arc<LaneQueue>) {
        let work = {
            let queue = Arc::clone(queue);
            move || queue.work()
        };
        let name = match queue.lane {
            Lane::Compute => "compute",
            Lane::Disk => "disk",
        };
        // Signals are handled by the loop's thread.
        let spawned =
            signals::block().and_then(|_blocked| thread::Builder::new().name(name.into()).spawn(work));
        if let Err(error) = spawned {
            log::error!("cannot start a thread beside the loop: {error}");
            let mut state = queue.state();
            state.threads -= 1;
            let lost = if state.threads == 0 { std::mem::take(&mut state.jobs) } else { VecDeque::new() };
            drop(state);
            drop(lost);
        }
    }

    /// A thread: does what waits, until the loop has ended.
    fn work(&self) {
        process::lower_priority_of_thread();
        loop {
            let mut state = self.state();
            let job = loop {
                if state.is_closed {
                    state.threads -= 1;
                    return;
                }
                if let Some(job) = state.jobs.pop_front() {
                    break job;
                }
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            };
            drop(state);
            if panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!("work beside the loop panicked; its client gets no result");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn submit(
        offloader: &Offloader,
        lane: Lane,
        bound: QueueBound,
        job: impl FnOnce() + Send + 'static,
    ) -> bool {
        offloader.submit(lane, bound, Box::new(job)).is_ok()
    }

    #[test]
    fn threads_are_started_with_the_first_work_and_no_more_than_the_lane_has() {
        let offloader = Offloader::new();
        assert_eq!(offloader.disk.state().threads, 0);
        let (started, starts) = mpsc::channel();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        for _ in 0..3 * DISK_THREADS_MAX {
            let (started, gate) = (started.clone(), Arc::clone(&gate));
            let job = move || {
                started.send(()).unwrap();
                let open = gate.0.lock().unwrap();
                drop(gate.1.wait_while(open, |open| !*open).unwrap());
            };
            assert!(submit(&offloader, Lane::Disk, QueueBound::Full, job));
        }
        for _ in 0..DISK_THREADS_MAX {
            starts.recv().unwrap();
        }
        assert_eq!(offloader.disk.state().threads, DISK_THREADS_MAX);
        assert_eq!(offloader.compute.state().threads, 0, "no work, no thread");
        assert!(starts.try_recv().is_err(), "the rest waits");
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        for _ in 0..2 * DISK_THREADS_MAX {
            starts.recv().unwrap();
        }
        offloader.close();
    }

    #[test]
    fn a_lane_that_is_stuck_fills_refuses_and_holds_up_no_other_lane() {
        let offloader = Offloader::new();
        let (release, gate) = mpsc::channel::<()>();
        let (entered, entries) = mpsc::channel();
        let stuck = move || {
            entered.send(()).unwrap();
            let _ = gate.recv();
        };
        assert!(submit(&offloader, Lane::Compute, QueueBound::Full, stuck));
        entries.recv().unwrap();
        for _ in 0..QUEUE_MAX {
            assert!(submit(&offloader, Lane::Compute, QueueBound::Full, || ()));
        }
        assert!(!submit(&offloader, Lane::Compute, QueueBound::Full, || ()), "full");
        assert!(submit(&offloader, Lane::Compute, QueueBound::OnePerClient, || ()));
        let (done, ends) = mpsc::channel();
        assert!(submit(&offloader, Lane::Disk, QueueBound::Full, move || done.send(()).unwrap()));
        ends.recv().unwrap();
        offloader.close();
        assert_eq!(offloader.compute.state().jobs.len(), 0, "what waited is dropped");
        assert!(!submit(&offloader, Lane::Disk, QueueBound::Full, || ()), "closed");
        drop(release);
    }

    #[test]
    fn a_panic_ends_no_thread() {
        let offloader = Offloader::new();
        let (done, ends) = mpsc::channel();
        assert!(submit(&offloader, Lane::Compute, QueueBound::Full, || panic!("planned")));
        assert!(submit(&offloader, Lane::Compute, QueueBound::Full, move || done.send(()).unwrap()));
        ends.recv().unwrap();
        offloader.close();
    }
}
