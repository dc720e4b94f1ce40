//! Slow work of a session, done in threads beside the loop that serves all clients.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{WakeTarget, Waker};

/// Runs work of a session that would delay other clients, such as hashing a password or reading a slow disk.
///
/// Under the reactor a thread beside the loop does it: the session keeps the [`Ticket`] and returns
/// [`Next::Pause`](super::Next::Pause), with a timer for as long as it is willing to wait; it is woken
/// ([`Call::Woken`](super::Call::Woken)) when the work is done, whatever
/// [`Service::wakes`](super::Service::wakes) returns. Threads are started with the first work, so that a
/// process that forks has none. In the other models each client has a process or thread, and the work is done
/// before [`Offload::run`] returns.
///
/// A session gets it from [`ClientInfo::offload`](super::ClientInfo::offload).
///
/// ```
/// use oneloop::session::{Lane, Offload, Outcome};
///
/// let offload = Offload::inline(); // as under a model with a process or thread per client
/// let mut ticket = offload.run(Lane::Compute, || (1..=20).product::<u64>());
/// assert_eq!(ticket.take(), Outcome::Done(2_432_902_008_176_640_000));
/// ```
#[derive(Clone, Debug)]
pub struct Offload(OffloadMode);

#[derive(Clone)]
enum OffloadMode {
    Inline,
    Threads { target: Arc<dyn OffloadTarget>, waker: Waker },
}

/// The resource that the work needs. Each lane has its own threads and its own queue: a disk that does not
/// answer delays no computation. The threads have a lower priority than the loop, where the system supports
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lane {
    /// The processor. One thread.
    Compute,
    /// A disk or another file system, and what is computed from it piece by piece. A few threads, which may
    /// block.
    Disk,
}

/// Whether work may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueBound {
    /// When the queue is full.
    Full,
    /// Only if no thread can be started: there is at most one such work per client.
    OnePerClient,
}

/// A piece of work.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Threads beside a loop.
pub(crate) trait OffloadTarget: Send + Sync {
    /// Queues `job`; gives it back if it is refused.
    fn submit(&self, lane: Lane, bound: QueueBound, job: Job) -> Result<(), Job>;
}

/// What the loop lends for a client that is opened.
#[derive(Clone, Copy)]
pub(crate) struct OffloadSource<'a> {
    pub(crate) target: &'a Arc<dyn OffloadTarget>,
    pub(crate) wakes: &'a Arc<dyn WakeTarget>,
    /// The client's identity: slot and generation.
    pub(crate) client: u64,
}

/// The queue is full: the work was not begun, and is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The claim to the result of some work. When it is dropped, work that has not begun is not done, and the
/// result of other work is dropped.
#[derive(Debug)]
pub struct Ticket<T> {
    slot: Arc<ResultSlot<T>>,
}

/// What [`Ticket::take`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The work is not done yet. The session is woken when it is.
    Pending,
    /// The result. It is given once.
    Done(T),
    /// There is no result: the work panicked, no thread could be started, or the result was already taken.
    Lost,
}

#[derive(Debug)]
struct ResultSlot<T> {
    state: Mutex<ResultState<T>>,
}

#[derive(Debug)]
enum ResultState<T> {
    Pending,
    Done(T),
    Lost,
    /// The ticket was dropped.
    Abandoned,
}

/// Held by the work: wakes the session when it is dropped, with or without a result.
struct Promise<T> {
    slot: Arc<ResultSlot<T>>,
    waker: Waker,
}

impl Offload {
    /// Work is done at once, by the caller.
    pub fn inline() -> Offload {
        Offload(OffloadMode::Inline)
    }

    /// Whether the caller does all work itself.
    #[cfg(feature = "http")]
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self.0, OffloadMode::Inline)
    }

    pub(crate) fn of(source: Option<OffloadSource<'_>>) -> Offload {
        Offload(source.map_or(OffloadMode::Inline, |source| OffloadMode::Threads {
            target: Arc::clone(source.target),
            waker: Waker::new(Arc::clone(source.wakes), source.client),
        }))
    }

    /// Runs `work` here or in a thread. For work that clients can request at will: if the queue is full, it
    /// is refused, and the session should answer that it is too busy.
    ///
    /// # Errors
    /// [`Busy`] if the queue of this lane is full.
    pub fn try_run<T, F>(&self, lane: Lane, work: F) -> Result<Ticket<T>, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.begin(lane, QueueBound::Full, work)
    }

    /// The same for a session that continues what it has begun. It is never refused: the queue is bounded by
    /// the number of clients, so a session must have at most one such ticket.
    pub fn run<T, F>(&self, lane: Lane, work: F) -> Ticket<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let lost = |_: Busy| Ticket { slot: Arc::new(ResultSlot { state: Mutex::new(ResultState::Lost) }) };
        self.begin(lane, QueueBound::OnePerClient, work).unwrap_or_else(lost)
    }

    fn begin<T, F>(&self, lane: Lane, bound: QueueBound, work: F) -> Result<Ticket<T>, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let OffloadMode::Threads { target, waker } = &self.0 else {
            return Ok(Ticket {
                slot: Arc::new(ResultSlot { state: Mutex::new(ResultState::Done(work())) }),
            });
        };
        let slot = Arc::new(ResultSlot { state: Mutex::new(ResultState::Pending) });
        let promise = Promise { slot: Arc::clone(&slot), waker: waker.clone() };
        let ticket = Ticket { slot };
        let job = move || {
            if !promise.is_abandoned() {
                let result = work();
                promise.keep(result);
            }
        };
        match target.submit(lane, bound, Box::new(job)) {
            Ok(()) => Ok(ticket),
            Err(job) => {
                drop(ticket); // before the job, which then wakes no client
                drop(job);
                Err(Busy)
            }
        }
    }
}

impl<T> Ticket<T> {
    /// The result, if the work is done.
    pub fn take(&mut self) -> Outcome<T> {
        let mut state = self.slot.state();
        match std::mem::replace(&mut *state, ResultState::Lost) {
            ResultState::Pending => {
                *state = ResultState::Pending;
                Outcome::Pending
            }
            ResultState::Done(result) => Outcome::Done(result),
            ResultState::Lost | ResultState::Abandoned => Outcome::Lost,
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.slot.state(), ResultState::Abandoned);
        drop(before); // without the lock
    }
}

impl<T> ResultSlot<T> {
    fn state(&self) -> MutexGuard<'_, ResultState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Promise<T> {
    fn is_abandoned(&self) -> bool {
        matches!(*self.slot.state(), ResultState::Abandoned)
    }

    fn keep(self, result: T) {
        let mut state = self.slot.state();
        if matches!(*state, ResultState::Pending) {
            *state = ResultState::Done(result);
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let mut state = self.slot.state();
        if matches!(*state, ResultState::Pending) {
            *state = ResultState::Lost;
        }
        let is_awaited = !matches!(*state, ResultState::Abandoned);
        drop(state);
        if is_awaited {
            self.waker.wake();
        }
    }
}

impl fmt::Debug for OffloadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OffloadMode::Inline => f.write_str("Inline"),
            OffloadMode::Threads { waker, .. } => f.debug_tuple("Threads").field(waker).finish(),
        }
    }
}

impl fmt::Debug for OffloadSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OffloadSource").field("client", &self.client).finish_non_exhaustive()
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much work waits already")
    }
}

impl std::error::Error for Busy {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    /// Keeps the jobs until they are asked for, and counts wakes.
    #[derive(Default)]
    struct Stage {
        jobs: Mutex<Vec<Job>>,
        room: AtomicU32,
        wakes: AtomicU32,
    }

    impl OffloadTarget for Stage {
        fn submit(&self, _lane: Lane, bound: QueueBound, job: Job) -> Result<(), Job> {
            if bound == QueueBound::Full && self.room.load(SeqCst) == 0 {
                return Err(job);
            }
            self.jobs.lock().unwrap().push(job);
            Ok(())
        }
    }

    impl WakeTarget for Stage {
        fn wake(&self, _client: u64) {
            self.wakes.fetch_add(1, SeqCst);
        }
    }

    fn stage(room: u32) -> (Arc<Stage>, Offload) {
        let stage = Arc::new(Stage { room: AtomicU32::new(room), ..Stage::default() });
        let (target, wakes): (Arc<dyn OffloadTarget>, Arc<dyn WakeTarget>) = (stage.clone(), stage.clone());
        let offload = Offload::of(Some(OffloadSource { target: &target, wakes: &wakes, client: 7 }));
        (stage, offload)
    }

    fn do_all(stage: &Stage) {
        for job in std::mem::take(&mut *stage.jobs.lock().unwrap()) {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        }
    }

    #[test]
    fn a_result_wakes_the_session_once_and_is_taken_once() {
        let (stage, offload) = stage(9);
        let mut ticket = offload.try_run(Lane::Compute, || 7).unwrap();
        assert_eq!((ticket.take(), stage.wakes.load(SeqCst)), (Outcome::Pending, 0));
        do_all(&stage);
        assert_eq!(stage.wakes.load(SeqCst), 1);
        assert_eq!((ticket.take(), ticket.take()), (Outcome::Done(7), Outcome::Lost));
    }

    #[test]
    fn work_that_panics_or_is_dropped_wakes_the_session_without_a_result() {
        let (stage, offload) = stage(9);
        let mut panics = offload.run(Lane::Disk, || -> u8 { panic!("planned") });
        do_all(&stage);
        assert_eq!((panics.take(), stage.wakes.load(SeqCst)), (Outcome::Lost, 1));
        let mut dropped = offload.run(Lane::Disk, || 1);
        stage.jobs.lock().unwrap().clear();
        assert_eq!((dropped.take(), stage.wakes.load(SeqCst)), (Outcome::Lost, 2));
    }

    #[test]
    fn work_of_a_client_that_left_is_not_begun_and_wakes_nothing() {
        let (stage, offload) = stage(9);
        let begun = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&begun);
        drop(offload.run(Lane::Compute, move || counter.fetch_add(1, SeqCst)));
        do_all(&stage);
        assert_eq!((begun.load(SeqCst), stage.wakes.load(SeqCst)), (0, 0));
    }

    #[test]
    fn a_full_queue_refuses_new_work_but_not_continued_work() {
        let (stage, offload) = stage(0);
        assert_eq!(offload.try_run(Lane::Compute, || 1).unwrap_err(), Busy);
        assert_eq!(stage.wakes.load(SeqCst), 0, "what was refused wakes nothing");
        let mut ticket = offload.run(Lane::Compute, || 1);
        do_all(&stage);
        assert_eq!(ticket.take(), Outcome::Done(1));
    }
}
