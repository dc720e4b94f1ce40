//! Messages from other sessions or threads to one client's session, bounded by bytes.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Waker;

/// The size of a message, with which a [`Mailbox`] bounds the memory of waiting messages.
pub trait HeapSize {
    /// The bytes that it keeps on the heap.
    fn heap_bytes(&self) -> usize;
}

/// The queue of messages to one client's session, and the waker that calls the session for them.
///
/// The session owns the mailbox and takes messages from it; others post through a [`Sender`]. Each message
/// counts with its bytes and the place that it takes in the queue. A message without room is given back: the
/// sender drops it, waits for room, or closes the mailbox of a client that reads too slowly. When the mailbox
/// is dropped, senders are woken and can post no more.
///
/// ```
/// use std::sync::Arc;
/// use oneloop::session::{ClientInfo, Mailbox, Peer, PostError, WakeTarget, Waker};
///
/// struct Loop; // what has sessions called; a server brings its own
/// impl WakeTarget for Loop {
///     fn wake(&self, client: u64) {
///         println!("client {client} has mail");
///     }
/// }
///
/// let reader = Waker::new(Arc::new(Loop), 7);
/// let mailbox: Mailbox<String> = Mailbox::new(reader, 100);
/// let sender = mailbox.sender();
/// sender.post("hello".to_owned()).unwrap();
/// assert_eq!(sender.post("x".repeat(100)), Err(PostError::Full("x".repeat(100))));
/// assert_eq!(mailbox.take(), Ok(Some("hello".to_owned())));
/// ```
#[derive(Debug)]
pub struct Mailbox<M: HeapSize> {
    shared: Arc<MailboxShared<M>>,
}

/// Posts messages to one [`Mailbox`], from any session or thread.
#[derive(Debug)]
pub struct Sender<M: HeapSize> {
    shared: Arc<MailboxShared<M>>,
}

/// Why a message was not posted; it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostError<M> {
    /// There is no room now.
    Full(M),
    /// The mailbox was closed, or its client has ended.
    Closed(M),
}

/// A sender has closed the mailbox: the messages in it are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

#[derive(Debug)]
struct MailboxShared<M> {
    reader: Waker,
    bytes_max: usize,
    state: Mutex<MailboxState<M>>,
}

#[derive(Debug)]
struct MailboxState<M> {
    messages: VecDeque<M>,
    held_bytes: usize,
    is_closed: bool,
    /// Senders that are woken when there is room, each once.
    waiting: HashMap<(usize, u64), Waker>,
}

impl<M: HeapSize> Mailbox<M> {
    /// A mailbox of the client that `reader` wakes, for messages of `bytes_max` bytes together. An empty
    /// mailbox takes one message of any size, so that no sender waits forever for room.
    pub fn new(reader: Waker, bytes_max: usize) -> Self {
        let state = MailboxState {
            messages: VecDeque::new(),
            held_bytes: 0,
            is_closed: false,
            waiting: HashMap::new(),
        };
        Mailbox { shared: Arc::new(MailboxShared { reader, bytes_max, state: Mutex::new(state) }) }
    }

    /// A way to post to it.
    pub fn sender(&self) -> Sender<M> {
        Sender { shared: Arc::clone(&self.shared) }
    }

    /// Takes the oldest message; `None` if there is none. When half of the room is free, waiting senders are
    /// woken.
    pub fn take(&self) -> Result<Option<M>, Closed> {
        let mut state = self.shared.state();
        if state.is_closed {
            return Err(Closed);
        }
        let Some(message) = state.messages.pop_front() else { return Ok(None) };
        state.held_bytes -= weight(&message);
        if !state.waiting.is_empty() && state.held_bytes <= self.shared.bytes_max / 2 {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            wake_all(waiting);
        }
        Ok(Some(message))
    }

    /// Memory that the messages in it take: part of what its session reports as
    /// [`held_bytes`](super::Session::held_bytes).
    pub fn held_bytes(&self) -> usize {
        self.shared.state().held_bytes
    }
}

impl<M: HeapSize> Drop for Mailbox<M> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<M: HeapSize> Sender<M> {
    /// Posts a message, and wakes the reader ([`Call::Woken`](super::Call::Woken)).
    pub fn post(&self, message: M) -> Result<(), PostError<M>> {
        self.post_with(message, None)
    }

    /// The same from a session that can wait: if there is no room now, `sender` is woken when there may be
    /// some, or when the mailbox has been closed. Until then the session returns
    /// [`Next::Pause`](super::Next::Pause).
    pub fn post_or_wait(&self, message: M, sender: &Waker) -> Result<(), PostError<M>> {
        self.post_with(message, Some(sender))
    }

    /// Closes the mailbox: its messages are dropped, waiting senders are woken, and so is the reader, whose
    /// next [`Mailbox::take`] fails.
    pub fn close(&self) {
        self.shared.close();
        self.shared.reader.wake();
    }

    fn post_with(&self, message: M, sender: Option<&Waker>) -> Result<(), PostError<M>> {
        let mut state = self.shared.state();
        if state.is_closed {
            return Err(PostError::Closed(message));
        }
        let bytes = weight(&message);
        if !state.messages.is_empty() && bytes > self.shared.bytes_max.saturating_sub(state.held_bytes) {
            if let Some(sender) = sender {
                state.waiting.entry(sender.key()).or_insert_with(|| sender.clone());
            }
            return Err(PostError::Full(message));
        }
        state.held_bytes += bytes;
        state.messages.push_back(message);
        drop(state);
        self.shared.reader.wake();
        Ok(())
    }
}

impl<M: HeapSize> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<M> MailboxShared<M> {
    fn state(&self) -> MutexGuard<'_, MailboxState<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.held_bytes = 0;
        let (messages, waiting) = (std::mem::take(&mut state.messages), std::mem::take(&mut state.waiting));
        drop(state);
        drop(messages);
        wake_all(waiting);
    }
}

fn wake_all(waiting: HashMap<(usize, u64), Waker>) {
    for sender in waiting.into_values() {
        sender.wake();
    }
}

/// How many bytes a message counts as. Its entry in the queue counts, too: otherwise empty messages would
/// have no bound.
fn weight<M: HeapSize>(message: &M) -> usize {
    size_of::<M>() + message.heap_bytes()
}

impl<M> fmt::Display for PostError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PostError::Full(_) => "no room in the mailbox",
            PostError::Closed(_) => "the mailbox is closed",
        })
    }
}

impl<M: fmt::Debug> std::error::Error for PostError<M> {}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mailbox was closed by a sender")
    }
}

impl std::error::Error for Closed {}

/// Shared bytes count in each mailbox: it may hold the last reference.
impl HeapSize for Arc<[u8]> {
    fn heap_bytes(&self) -> usize {
        self.len()
    }
}

impl HeapSize for Arc<str> {
    fn heap_bytes(&self) -> usize {
        self.len()
    }
}

impl HeapSize for Vec<u8> {
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl HeapSize for String {
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::WakeTarget;

    /// Records the clients that were woken.
    #[derive(Default)]
    struct WokenClients(Mutex<Vec<u64>>);

    impl WakeTarget for WokenClients {
        fn wake(&self, client: u64) {
            self.0.lock().unwrap().push(client);
        }
    }

    impl WokenClients {
        fn waker(self: &Arc<Self>, client: u64) -> Waker {
            Waker::new(Arc::clone(self) as Arc<_>, client)
        }

        fn take(&self) -> Vec<u64> {
            let mut woken = std::mem::take(&mut *self.0.lock().unwrap());
            woken.sort_unstable();
            woken
        }
    }

    const READER: u64 = 1;
    /// Of a message of ten bytes.
    const WEIGHT: usize = size_of::<Arc<[u8]>>() + 10;

    fn message(byte: u8) -> Arc<[u8]> {
        Arc::from([byte; 10])
    }

    fn for_messages(messages: usize, woken: &Arc<WokenClients>) -> Mailbox<Arc<[u8]>> {
        Mailbox::new(woken.waker(READER), messages * WEIGHT)
    }

    #[test]
    fn a_message_without_room_is_returned_and_queued_messages_stay() {
        let woken = Arc::new(WokenClients::default());
        let mailbox = for_messages(2, &woken);
        let sender = mailbox.sender();
        assert_eq!((sender.post(message(0)), sender.post(message(1))), (Ok(()), Ok(())));
        assert_eq!(sender.post(message(2)), Err(PostError::Full(message(2))));
        assert_eq!(mailbox.held_bytes(), 2 * WEIGHT);
        assert_eq!(mailbox.take(), Ok(Some(message(0))));
        assert_eq!(sender.post(message(3)), Ok(()));
        let rest = std::iter::from_fn(|| mailbox.take().unwrap()).collect::<Vec<_>>();
        assert_eq!((rest, mailbox.held_bytes()), (vec![message(1), message(3)], 0));
        assert_eq!(woken.take(), [READER; 3], "each that was posted wakes");
    }

    #[test]
    fn messages_without_bytes_are_bounded_too_and_one_that_is_too_long_has_an_empty_mailbox() {
        let woken = Arc::new(WokenClients::default());
        let mailbox: Mailbox<Vec<u8>> = Mailbox::new(woken.waker(READER), 1000);
        let sender = mailbox.sender();
        let posted = (0..10_000).take_while(|_| sender.post(Vec::new()).is_ok()).count();
        assert_eq!(posted, 1000 / size_of::<Vec<u8>>());
        while mailbox.take().unwrap().is_some() {}
        assert_eq!(sender.post(vec![0; 5000]), Ok(()));
        assert_eq!(sender.post(Vec::new()), Err(PostError::Full(Vec::new())));
    }

    #[test]
    fn senders_that_wait_are_woken_once_when_half_of_the_room_is_free() {
        let woken = Arc::new(WokenClients::default());
        let mailbox = for_messages(4, &woken);
        let sender = mailbox.sender();
        (0..4).for_each(|byte| sender.post(message(byte)).unwrap());
        for waiting in [10, 11, 10, 11] {
            let refused = sender.post_or_wait(message(9), &woken.waker(waiting));
            assert_eq!(refused, Err(PostError::Full(message(9))));
        }
        woken.take();
        mailbox.take().unwrap();
        assert!(woken.take().is_empty(), "a quarter is free");
        mailbox.take().unwrap();
        assert_eq!(woken.take(), [10, 11]);
        mailbox.take().unwrap();
        assert!(woken.take().is_empty(), "once");
    }

    #[test]
    fn senders_that_wait_are_woken_when_the_reader_has_ended_or_is_closed_by_another_sender() {
        let woken = Arc::new(WokenClients::default());
        for closes in [true, false] {
            let mailbox = for_messages(1, &woken);
            let sender = mailbox.sender();
            sender.post(message(0)).unwrap();
            assert!(sender.post_or_wait(message(1), &woken.waker(10)).is_err());
            woken.take();
            if closes {
                sender.clone().close();
                assert_eq!(woken.take(), [READER, 10]);
                assert_eq!((mailbox.take(), mailbox.held_bytes()), (Err(Closed), 0));
            } else {
                drop(mailbox);
                assert_eq!(woken.take(), [10]);
            }
            assert_eq!(sender.post_or_wait(message(1), &woken.waker(10)), Err(PostError::Closed(message(1))));
        }
    }
}
