//! The script, and all that was seen while it was followed.

use std::cell::{Cell, RefCell};
use std::io;

use oneloop::session::{AnswerInfo, Call, Next};

/// The script, and all that was seen.
pub(super) struct World<'a> {
    pub(super) script: Cell<&'a [u8]>,
    pub(super) seen: RefCell<Seen>,
    pub(super) again_max: u32,
}

/// What was seen.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
pub(super) struct Seen {
    /// Bytes that the stream gave, and how many of them the session consumed.
    pub(super) read: Vec<u8>,
    pub(super) consumed: usize,
    /// Bytes that were put and stand, from the first one; and those that the stream took.
    pub(super) put: Vec<u8>,
    pub(super) taken: Vec<u8>,
    /// How many bytes of either are of memory, not of files.
    pub(super) put_memory: usize,
    pub(super) taken_memory: usize,
    /// For each answer where in `put` it ends, and the bytes of its head.
    pub(super) answers: Vec<(usize, u32)>,
    /// The last result of the session.
    pub(super) said: Option<Next>,
    /// The session has broken the contract.
    pub(super) is_at_fault: bool,
    pub(super) idle_calls: u32,
    /// The last bytes consumed belong to a request that has not ended.
    pub(super) is_inside_request: bool,
    pub(super) is_expired: bool,
    pub(super) is_woken: bool,
    /// Why the session was called last, and its timer.
    pub(super) called: Option<Call>,
    pub(super) timer_due_ms: Option<u64>,
    /// An answer that the session still has when the client ends.
    pub(super) unfinished: Option<AnswerInfo>,
    pub(super) unfinished_calls: u32,
    /// Calls of the session and of the stream.
    pub(super) advances: u32,
    pub(super) reads: u32,
    pub(super) writes: u32,
    /// The last read, or write, would have blocked, and nothing has happened since.
    pub(super) reads_block: bool,
    pub(super) writes_block: bool,
    pub(super) has_input_ended: bool,
    pub(super) stream_error: Option<io::ErrorKind>,
    pub(super) was_file_short: bool,
    pub(super) is_shut: bool,
    /// The system may hold back what was written last, because more was announced.
    pub(super) is_held: bool,
    /// How many of the bytes taken the client has acknowledged.
    pub(super) acknowledged: usize,
    /// How the stream is to be closed.
    pub(super) close: Option<Close>,
}

/// How the stream is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    InOrder,
    Reset,
}

impl World<'_> {
    /// The next byte of the script; 0 after its end.
    pub(super) fn next(&self) -> u8 {
        let Some((&first, rest)) = self.script.get().split_first() else { return 0 };
        self.script.set(rest);
        first
    }

    pub(super) fn is_over(&self) -> bool {
        self.script.get().is_empty()
    }

    pub(super) fn below(&self, n: usize) -> usize {
        usize::from(self.next()) % n.max(1)
    }

    pub(super) fn one_in(&self, n: usize) -> bool {
        !self.is_over() && self.below(n) == 0
    }

    /// From 1 to `max`: all or one in most cases.
    pub(super) fn part(&self, max: usize) -> usize {
        match self.next() {
            _ if self.is_over() => max,
            0..100 => max,
            100..150 => 1,
            n => (1 + max * usize::from(n - 150) / 106).min(max),
        }
    }
}
