//! Events of a server, and their observers.
//!
//! A client that comes, its [`End`] with one [`Reason`], and each [`Answer`] are events. [`Telemetry`] counts
//! them and passes them to its observers: the access log ([`AccessLog`]), [`Metrics`], or any other
//! [`Observer`]. An observer makes text of them if it needs any; no session formats a line of a log.

mod access;
mod diagnostics;
mod event;
mod histogram;
mod metrics;
mod observer;
mod reason;
mod tally;
mod traffic;

use std::fmt;
use std::sync::Arc;

use crate::session::{AnswerDetail, Answers};
use crate::sys::SignalCounts;
#[cfg(feature = "cli")]
pub(crate) use access::TerminalLog;
pub use access::{AccessFormat, AccessLog, AccessTarget};
pub use event::{Answer, Begin, End};
pub use histogram::Histogram;
pub use metrics::{Metrics, MetricsSnapshot};
pub use observer::{Observer, ReopenRequests};
pub use reason::{Counters, Reason};
use tally::Shard;
pub(crate) use tally::Tally;
pub use traffic::Traffic;

/// Counts what happens to the clients of one process or thread, and passes it to the observers.
#[derive(Default)]
pub struct Telemetry {
    /// Clients that came, ends by reason, and what went through.
    pub(crate) counters: Counters,
    /// Where all is counted, too, for other processes or threads to see.
    shard: Option<Shard>,
    observers: Vec<Arc<dyn Observer>>,
    /// The most detail of an answer that an observer needs.
    answer_detail: AnswerDetail,
    /// Whether the observers are those of another thread, which closes them.
    is_shared: bool,
}

impl Telemetry {
    /// Counters only.
    pub fn new() -> Self {
        Telemetry::default()
    }

    /// With one more observer. When the server ends, observers are closed.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.answer_detail = self.answer_detail.max(observer.answer_detail());
        self.observers.push(observer);
        self
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The same, which counts into `tally`, too.
    pub(crate) fn counting(mut self, tally: &Tally) -> Telemetry {
        self.shard = Some(Shard::of(tally));
        self
    }

    /// A copy for children to be forked, which count into `tally`. Each child calls
    /// [`Telemetry::begin_child`] or [`Telemetry::begin_child_with`].
    pub(crate) fn for_children(&self, tally: &Tally) -> Telemetry {
        self.share(tally)
    }

    /// In a child after fork. It keeps the observers with the descriptors that it inherited, so that a parent
    /// without free descriptors can make children.
    pub(crate) fn begin_child(&mut self) {
        self.begin();
        if let Some(shard) = &mut self.shard {
            shard.change();
        }
    }

    /// The same in a child that counts into another tally of the same kind ([`Tally::several`]).
    pub(crate) fn begin_child_with(&mut self, tally: &Tally) {
        self.begin();
        if let Some(shard) = &mut self.shard {
            shard.move_to(tally);
        }
    }

    fn begin(&mut self) {
        self.is_shared = false;
        self.observers.iter().for_each(|observer| observer.forked());
    }

    /// A copy for another thread, with the same observers, which also counts into `tally`.
    pub(crate) fn share(&self, tally: &Tally) -> Telemetry {
        Telemetry {
            counters: Counters::default(),
            shard: Some(Shard::of(tally)),
            observers: self.observers.clone(),
            answer_detail: self.answer_detail,
            is_shared: true,
        }
    }

    /// Whether an observer has a file that SIGHUP reopens.
    pub(crate) fn has_file(&self) -> bool {
        self.observers.iter().any(|observer| observer.has_file())
    }

    /// SIGHUP asks to reopen files from now on.
    pub(crate) fn watch_signals(&mut self, signals: SignalCounts) {
        self.observers.iter().for_each(|observer| observer.watch_reopen(ReopenRequests(signals)));
    }

    fn add_to_tally(&self, counter: usize) {
        if let Some(shard) = &self.shard {
            shard.tally().add(counter, 1);
        }
    }

    /// A client was accepted. It has one end, reported by [`Telemetry::ended`].
    pub(crate) fn accepted(&mut self) {
        self.counters.accepted += 1;
        self.add_to_tally(reason::ACCEPTED);
    }

    /// A client that was accepted is served by the calling thread.
    pub(crate) fn began(&mut self, begin: &Begin) {
        diagnostics::began(begin);
        self.observers.iter().for_each(|observer| observer.began(begin));
    }

    /// A client was lost before it was accepted, or the system refused to accept.
    pub(crate) fn accept_failed(&mut self) {
        self.counters.accept_errors += 1;
        self.add_to_tally(reason::ACCEPT_ERRORS);
    }

    /// Bytes came from a client.
    pub(crate) fn received(&mut self, bytes: u64) {
        self.counters.traffic.received(bytes, self.shard.as_ref());
    }

    /// Bytes went to a client.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.counters.traffic.sent(bytes, self.shard.as_ref());
    }

    /// Answers began.
    pub(crate) fn count_answers(&mut self, answers: &Answers) {
        self.counters.traffic.answered(answers, self.shard.as_ref());
    }

    /// How much sessions are to report of each answer.
    pub(crate) fn answer_detail(&self) -> AnswerDetail {
        self.answer_detail
    }

    /// Nothing more is sent of an answer.
    pub(crate) fn answered(&mut self, answer: &Answer<'_>) {
        self.observers.iter().for_each(|observer| observer.answered(answer));
    }

    /// A client ended.
    pub(crate) fn ended(&mut self, end: &End) {
        self.counters.count(end.reason);
        self.add_to_tally(end.reason as usize);
        diagnostics::ended(end);
        self.observers.iter().for_each(|observer| observer.ended(end));
    }

    /// When [`Telemetry::tick`] is due, in ms of the server's clock.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.observers.iter().filter_map(|observer| observer.due_ms()).min()
    }

    /// Lets observers do what is due. Called once a turn.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        self.observers.iter().for_each(|observer| observer.tick(now_ms));
    }

    /// In a child: the observers belong to the child's own telemetry, which closes them.
    pub(crate) fn leave_to_child(&mut self) {
        self.is_shared = true;
    }

    /// Closes the observers, unless they are those of another thread.
    pub(crate) fn close(&mut self) {
        if !std::mem::replace(&mut self.is_shared, true) {
            self.observers.iter().for_each(|observer| observer.close());
        }
    }

    /// Has observers write what waits, as far as that does not block.
    pub(crate) fn flush(&mut self) {
        self.observers.iter().for_each(|observer| observer.flush());
    }

    /// Reopens files after SIGHUP: they were renamed (rotation). If threads share the observers, one thread
    /// must call this.
    pub(crate) fn reopen_if_asked(&mut self) {
        self.observers.iter().for_each(|observer| observer.reopen_if_asked());
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("counters", &self.counters)
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::session::{AnswerInfo, Peer};

    /// Writes down what it is called with.
    #[derive(Default)]
    struct Diary {
        detail: AnswerDetail,
        calls: Mutex<Vec<&'static str>>,
    }

    impl Diary {
        fn note(&self, call: &'static str) {
            self.calls.lock().unwrap().push(call);
        }

        fn take(&self) -> Vec<&'static str> {
            std::mem::take(&mut self.calls.lock().unwrap())
        }
    }

    impl Observer for Diary {
        fn answer_detail(&self) -> AnswerDetail {
            self.detail
        }
        fn answered(&self, _answer: &Answer<'_>) {
            self.note("answered");
        }
        fn ended(&self, _end: &End) {
            self.note("ended");
        }
        fn forked(&self) {
            self.note("forked");
        }
        fn close(&self) {
            self.note("closed");
        }
    }

    fn happen(telemetry: &mut Telemetry) {
        let info = AnswerInfo { status: None, head_bytes: 0, began_ms: 0, request: None };
        let (peer, sent_bytes) = (Peer::UNIX, 0);
        telemetry.answered(&Answer { peer, info: &info, sent_bytes, is_complete: true, ended_ms: 0 });
        telemetry.ended(&End { reason: Reason::Finished, peer, bytes_in: 0, bytes_out: 0, lasted_ms: 0 });
    }

    #[test]
    fn the_most_that_an_observer_wants_decides_what_sessions_report() {
        let mut telemetry = Telemetry::new();
        assert_eq!(telemetry.answer_detail(), AnswerDetail::Count);
        for detail in [AnswerDetail::Outcome, AnswerDetail::Request, AnswerDetail::Count] {
            telemetry = telemetry.with_observer(Arc::new(Diary { detail, ..Diary::default() }));
        }
        let tally = Tally::new().unwrap();
        assert_eq!(telemetry.share(&tally).answer_detail(), AnswerDetail::Request);
    }

    #[test]
    fn threads_share_the_observers_and_only_the_one_that_has_them_closes_them() {
        let (diary, tally) = (Arc::new(Diary::default()), Tally::new().unwrap());
        let telemetry = Telemetry::new().with_observer(diary.clone()).counting(&tally);
        let mut shared = telemetry.share(&tally);
        happen(&mut shared);
        drop(shared);
        assert_eq!(diary.take(), ["answered", "ended"]);
        assert_eq!(Counters::of_tally(&tally).of(Reason::Finished), 1);
        drop(telemetry);
        assert_eq!(diary.take(), ["closed"]);
    }

    #[test]
    fn a_child_keeps_the_observers_and_begins_with_counters_of_its_own() {
        let diary = Arc::new(Diary::default());
        let mut telemetry = Telemetry::new().with_observer(diary.clone());
        happen(&mut telemetry);
        let tally = Tally::new().unwrap();
        let mut child = telemetry.for_children(&tally);
        child.begin_child();
        telemetry.leave_to_child();
        drop(telemetry);
        assert_eq!((child.counters().total(), diary.take()), (0, vec!["answered", "ended", "forked"]));
        happen(&mut child);
        drop(child);
        assert_eq!(diary.take(), ["answered", "ended", "closed"]);
    }
}
