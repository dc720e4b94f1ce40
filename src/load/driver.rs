//! What drives a conversation: what it does after an answer, and where its bytes and answers are recorded.

use std::collections::VecDeque;

use super::conversation::{AfterReply, Driver, SendTimes};
use super::recorder::Ledger;
use super::slot::ClientTotals;

/// What an active client does after an answer.
#[derive(Debug)]
pub(super) enum RequestPolicy<'a> {
    /// The closed loop: it sends its next request at once.
    AskAgain,
    /// The open loop: take the request that has waited longest, if there is one.
    TakeWaiting(&'a mut VecDeque<u64>),
    /// The open loop after the last request fell due: the same, and close if no request waits.
    TakeLast(&'a mut VecDeque<u64>),
    /// It has sent its only request, or the run ends.
    Close,
}

/// Drives an active client: all that it does is measured.
pub(super) struct ActiveDriver<'a> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) totals: &'a mut ClientTotals,
    pub(super) policy: RequestPolicy<'a>,
}

impl Driver for ActiveDriver<'_> {
    fn read_clock(&mut self) {
        self.ledger.clock.read();
    }

    fn now_ns(&self) -> u64 {
        self.ledger.clock.now_ns()
    }

    fn transferred(&mut self, bytes_in: usize, bytes_out: usize) {
        self.ledger.recorder.transferred(bytes_in, bytes_out);
        self.totals.bytes += (bytes_in + bytes_out) as u64;
    }

    fn answered_last(&mut self, times: SendTimes, status: Option<u16>) {
        self.ledger.recorder.answered(self.ledger.clock.now_ns(), times, status);
        self.totals.requests += 1;
    }

    fn answered(&mut self, times: SendTimes, status: Option<u16>) -> AfterReply {
        self.answered_last(times, status);
        let now_ns = self.now_ns();
        let (waiting, without_one) = match &mut self.policy {
            RequestPolicy::AskAgain => {
                self.ledger.recorder.outstanding += 1;
                return AfterReply::Begin(now_ns);
            }
            RequestPolicy::Close => return AfterReply::Close,
            RequestPolicy::TakeWaiting(waiting) => (waiting, AfterReply::KeepOpen),
            RequestPolicy::TakeLast(waiting) => (waiting, AfterReply::Close),
        };
        let Some(next_ns) = waiting.pop_front() else { return without_one };
        self.ledger.recorder.sent(now_ns, next_ns);
        AfterReply::Begin(next_ns)
    }
}

/// Drives a slow client, of which only the bytes are counted.
pub(super) struct SlowDriver<'a> {
    pub(super) now_ns: u64,
    pub(super) bytes_in: &'a mut u64,
    pub(super) bytes_out: &'a mut u64,
}

impl Driver for SlowDriver<'_> {
    fn read_clock(&mut self) {}

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn transferred(&mut self, bytes_in: usize, bytes_out: usize) {
        *self.bytes_in += bytes_in as u64;
        *self.bytes_out += bytes_out as u64;
    }

    fn answered(&mut self, _times: SendTimes, _status: Option<u16>) -> AfterReply {
        AfterReply::Begin(self.now_ns)
    }

    fn answered_last(&mut self, _times: SendTimes, _status: Option<u16>) {}
}
