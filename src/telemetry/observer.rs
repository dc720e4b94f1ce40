//! The trait for receivers of a server's events.

use super::{Answer, Begin, End};
use crate::session::AnswerDetail;
use crate::sys::SignalCounts;

/// How often SIGHUP has asked to reopen files.
#[derive(Clone, Copy, Debug)]
pub struct ReopenRequests(pub(super) SignalCounts);

impl ReopenRequests {
    /// The number until now. A file that was opened at another number is to be reopened.
    pub fn count(self) -> u32 {
        self.0.reopens()
    }
}

/// Gets what happens in a server: a log, a counter, an exporter.
///
/// Every thread that serves clients calls it, each for the clients that it serves. A child process has its
/// own copy: an observer that counts over all processes uses memory that they share, as
/// [`Metrics`](super::Metrics) does. Called on the path of each request, so no function may block. A panic
/// ends the process or thread.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use oneloop::session::AnswerDetail;
/// use oneloop::telemetry::{Answer, Observer, Telemetry};
///
/// /// Counts answers that were not sent in full.
/// #[derive(Default)]
/// struct Incomplete(AtomicU64);
///
/// impl Observer for Incomplete {
///     fn answer_detail(&self) -> AnswerDetail {
///         AnswerDetail::Outcome
///     }
///
///     fn answered(&self, answer: &Answer<'_>) {
///         if !answer.is_complete {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let incomplete = Arc::new(Incomplete::default());
/// let telemetry = Telemetry::new().with_observer(incomplete.clone());
/// ```
pub trait Observer: Send + Sync {
    /// How much detail of each answer it needs. Called once.
    fn answer_detail(&self) -> AnswerDetail {
        AnswerDetail::Count
    }

    /// A client was accepted, and the calling thread serves it. Not called for one that is refused.
    fn began(&self, _begin: &Begin) {}

    /// An answer was sent, or its client ended before that. Called if [`Observer::answer_detail`] is more
    /// than [`AnswerDetail::Count`].
    fn answered(&self, _answer: &Answer<'_>) {}

    /// A client ended, or was refused.
    fn ended(&self, _end: &End) {}

    /// When [`Observer::tick`] is to be called, in ms of the server's clock; `None` for never. Called before
    /// each wait.
    fn due_ms(&self) -> Option<u64> {
        None
    }

    /// Time has passed. Called at least once a turn, or before each call that may block.
    fn tick(&self, _now_ms: u64) {}

    /// The next call may be late: what waits to be written is written, as far as that does not block.
    fn flush(&self) {}

    /// Whether it has a file that SIGHUP reopens. If so, the server does not end when its terminal closes.
    fn has_file(&self) -> bool {
        false
    }

    /// `requests` counts from now on how often SIGHUP has asked to reopen files. Called before the server
    /// starts.
    fn watch_reopen(&self, _requests: ReopenRequests) {}

    /// Reopens its file if SIGHUP has asked for that since it was last opened: it was renamed (rotation).
    fn reopen_if_asked(&self) {}

    /// This is the copy in a child process that was just forked: what waits here is its parent's.
    fn forked(&self) {}

    /// The server ends. May take a moment.
    fn close(&self) {}
}
