//! Calls into the loop from other code: wakers of clients, and the handle that drains or stops it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::WakeTarget;

use super::token::ConnId;

/// What the loop shares with its callers.
#[derive(Debug)]
pub(super) struct Wakes {
    calls: Mutex<Calls>,
    /// One of [`WORKING`], [`WAITING`], [`CALLED`], so that a turn without a call takes no lock.
    at: AtomicU8,
    waker: mio::Waker,
}

/// The loop is at work, and checks for calls before it waits.
const WORKING: u8 = 0;
/// The loop waits, or is about to: a call must also end the wait.
const WAITING: u8 = 1;
/// There was a call since the loop last checked.
const CALLED: u8 = 2;

#[derive(Debug)]
struct Calls {
    /// The clients to run, each once, in the order of their first wakes.
    queue: Vec<ConnId>,
    queued: HashSet<ConnId>,
    stop: StopRequest,
}

/// What a handle asks of the loop; the strongest request counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopRequest {
    #[default]
    None,
    Drain,
    Stop,
}

impl Wakes {
    pub(super) fn new(waker: mio::Waker) -> Self {
        let calls = Calls { queue: Vec::new(), queued: HashSet::new(), stop: StopRequest::None };
        Wakes { calls: Mutex::new(calls), at: AtomicU8::new(WAITING), waker }
    }

    /// Makes room for this many clients that are woken at once.
    pub(super) fn reserve(&self, clients: usize) {
        let mut calls = self.calls();
        calls.queue.reserve(clients);
        calls.queued.reserve(clients);
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called before the loop waits, in its own poll or at its descriptor in another loop. Returns `false` if
    /// there was a call, so that it must not wait. From here on a call ends the wait.
    pub(super) fn may_wait(&self) -> bool {
        self.at.compare_exchange(WORKING, WAITING, Ordering::SeqCst, Ordering::SeqCst) != Err(CALLED)
    }

    /// Whether there was a call since the loop last checked.
    pub(super) fn is_called(&self) -> bool {
        self.at.load(Ordering::SeqCst) == CALLED
    }

    /// Moves the clients that were woken since the last call to `woken`. Returns a request to stop, if one
    /// came.
    pub(super) fn take(&self, woken: &mut Vec<ConnId>) -> Option<StopRequest> {
        // Before the calls are taken: a call between the two is then seen by the next turn as well.
        if self.at.swap(WORKING, Ordering::SeqCst) != CALLED {
            return None;
        }
        let mut calls = self.calls();
        calls.queued.clear();
        woken.append(&mut calls.queue);
        Some(calls.stop)
    }

    fn call(&self, call: impl FnOnce(&mut Calls)) {
        call(&mut self.calls());
        if self.at.swap(CALLED, Ordering::SeqCst) == WAITING
            && let Err(error) = self.waker.wake()
        {
            log::error!("cannot wake the loop: {error}");
        }
    }
}

impl WakeTarget for Wakes {
    fn wake(&self, client: u64) {
        let id = ConnId::from_u64(client);
        self.call(|calls| {
            if calls.queued.insert(id) {
                calls.queue.push(id);
            }
        });
    }
}

/// Drains or stops a [`super::Reactor`], from any thread.
///
/// ```
/// # use oneloop::{limits::Limits, reactor::Reactor, services::Echo};
/// # fn main() -> std::io::Result<()> {
/// let mut reactor = Reactor::new(Limits::default())?;
/// reactor.bind("127.0.0.1:0", Echo)?;
/// let handle = reactor.handle();
/// let other = std::thread::spawn(move || handle.drain()); // clients get what they asked for, then `run` returns
/// reactor.run()?;
/// # other.join().unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) wakes: Arc<Wakes>,
}

impl Handle {
    /// Has the loop take no new clients, answer what has arrived, and end within `drain_ms`.
    pub fn drain(&self) {
        self.wakes.call(|calls| calls.stop = calls.stop.max(StopRequest::Drain));
    }

    /// Has the loop end at once; open clients are cut.
    pub fn stop(&self) {
        self.wakes.call(|calls| calls.stop = StopRequest::Stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a client that is woken faster than the loop turns makes the queue grow without end.
    #[test]
    fn a_client_is_queued_once_however_often_it_is_woken_and_in_the_order_of_the_first_wakes() {
        let poll = mio::Poll::new().unwrap();
        let wakes = Wakes::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let ids = [(7, 1), (3, 1), (7, 2)].map(|(slot, generation)| ConnId { slot, generation });
        for round in 0..2 {
            for _ in 0..100 {
                for id in ids {
                    wakes.wake(id.to_u64());
                }
            }
            let mut woken = Vec::new();
            assert_eq!(wakes.take(&mut woken), Some(StopRequest::None));
            assert_eq!(woken, ids, "round {round}");
            assert_eq!(wakes.take(&mut woken), None, "there was no call since");
        }
    }
}
