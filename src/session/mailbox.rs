//! Messages from other sessions to one client: bounded, because the client may not read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Waker;

/// A bounded queue of messages to one client's session, and the waker that has it called for them.
///
/// The session keeps one clone and takes with [`Mailbox::take`]; others keep clones and [`Mailbox::post`].
#[derive(Debug)]
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
}

#[derive(Debug)]
struct Shared<M> {
    waker: Waker,
    messages_max: usize,
    state: Mutex<State<M>>,
}

#[derive(Debug)]
enum State<M> {
    Open(VecDeque<M>),
    /// A message did not fit: the reader is too slow and ends.
    Overflowed,
}

/// The mailbox was full once: its reader ends with [`super::Fault::Overflow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflowed;

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Mailbox { shared: Arc::clone(&self.shared) }
    }
}

impl<M> Mailbox<M> {
    /// A mailbox of the client that `waker` wakes, for at most `messages_max` messages not yet taken.
    pub fn new(waker: Waker, messages_max: usize) -> Self {
        let state = Mutex::new(State::Open(VecDeque::new()));
        Mailbox { shared: Arc::new(Shared { waker, messages_max, state }) }
    }

    /// Leaves a message and wakes the reader. A message over the bound marks the mailbox as overflowed instead; what
    /// was in it is dropped, and the reader is woken to learn of it. (While its client takes nothing of what waits in the
    /// outbox no session is called: then the minimum rate is the client's end.)
    pub fn post(&self, message: M) -> Result<(), Overflowed> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let posted = match &mut *state {
            State::Open(messages) if messages.len() < self.shared.messages_max => {
                messages.push_back(message);
                Ok(())
            }
            State::Open(_) | State::Overflowed => {
                *state = State::Overflowed;
                Err(Overflowed)
            }
        };
        drop(state);
        self.shared.waker.wake();
        posted
    }

    /// How many messages more it takes before it overflows; an error if it has. Who posts much can let the reader run first.
    pub fn room(&self) -> Result<usize, Overflowed> {
        match &*self.shared.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Open(messages) => Ok(self.shared.messages_max - messages.len()),
            State::Overflowed => Err(Overflowed),
        }
    }

    /// Takes the oldest message, `None` if there is none, an error if one was lost.
    pub fn take(&self) -> Result<Option<M>, Overflowed> {
        match &mut *self.shared.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Open(messages) => Ok(messages.pop_front()),
            State::Overflowed => Err(Overflowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::session::WakeTarget;

    #[derive(Default)]
    struct Bell(AtomicU32);

    impl WakeTarget for Bell {
        fn wake(&self, _client: u64) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_left_over_the_bound_marks_the_mailbox_and_each_message_wakes() {
        let bell = Arc::new(Bell::default());
        let mailbox = Mailbox::new(Waker::new(Arc::clone(&bell) as Arc<_>, 7), 2);
        assert_eq!((mailbox.post('a'), mailbox.post('b'), mailbox.take()), (Ok(()), Ok(()), Ok(Some('a'))));
        assert_eq!((mailbox.room(), mailbox.post('c'), mailbox.room()), (Ok(1), Ok(()), Ok(0)));
        assert_eq!((mailbox.post('d'), mailbox.room()), (Err(Overflowed), Err(Overflowed)));
        assert_eq!(mailbox.take(), Err(Overflowed), "one was lost, so none that came before it counts");
        assert_eq!((mailbox.post('e'), mailbox.take()), (Err(Overflowed), Err(Overflowed)));
        assert_eq!(bell.0.load(Ordering::Relaxed), 5);
    }
}
