//! Calls into the loop from elsewhere: wakers of clients, and the handle that drains or stops it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::WakeTarget;

use super::token::ConnId;

/// What is shared between the loop and those who call it.
#[derive(Debug)]
pub(super) struct Wakes {
    state: Mutex<State>,
    waker: mio::Waker,
}

#[derive(Debug, Default)]
struct State {
    /// Whom to run, each once, in the order of the first wake.
    queue: Vec<ConnId>,
    queued: HashSet<ConnId>,
    stop: StopWish,
    at: Loop,
}

/// Whether a wake must also end the loop's wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Loop {
    /// It looks here before it waits.
    #[default]
    Working,
    Waiting,
}

/// What somebody wants of the loop, the strongest wish so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopWish {
    #[default]
    None,
    Drain,
    Stop,
}

impl Wakes {
    pub(super) fn new(waker: mio::Waker) -> Self {
        Wakes { state: Mutex::default(), waker }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop is about to wait: whether it may, because nothing has come. From here on a wake ends the wait.
    pub(super) fn may_wait(&self, wish_seen: StopWish) -> bool {
        let mut state = self.state();
        let nothing = state.queue.is_empty() && state.stop == wish_seen;
        state.at = if nothing { Loop::Waiting } else { Loop::Working };
        nothing
    }

    /// Moves who was woken to `woken`; says what is wished of the loop.
    pub(super) fn take(&self, woken: &mut Vec<ConnId>) -> StopWish {
        let mut state = self.state();
        state.at = Loop::Working;
        state.queued.clear();
        woken.append(&mut state.queue);
        state.stop
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waits = state.at == Loop::Waiting;
        state.at = Loop::Working;
        drop(state);
        if waits && let Err(error) = self.waker.wake() {
            log::error!("cannot wake the loop: {error}");
        }
    }
}

impl WakeTarget for Wakes {
    fn wake(&self, client: u64) {
        let id = ConnId::from_u64(client);
        self.change(|state| {
            if state.queued.insert(id) {
                state.queue.push(id);
            }
        });
    }
}

/// Drains or stops a [`super::Reactor`], from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) wakes: Arc<Wakes>,
}

impl Handle {
    /// Has the loop take no new clients, answer what has arrived, and end within `drain_ms`.
    pub fn drain(&self) {
        self.wakes.change(|state| state.stop = state.stop.max(StopWish::Drain));
    }

    /// Has the loop end at once; open clients are cut.
    pub fn stop(&self) {
        self.wakes.change(|state| state.stop = StopWish::Stop);
    }
}
