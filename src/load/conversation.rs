//! An open connection of the load: sends requests and checks replies.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::client_error::ClientError;
use super::workload::{Client, ReplyStatus, Unsolicited};
use crate::connection::{Patience, Polled, ReadOutcome, Transport, WriteOutcome};

/// Requests in one write, at most.
const SLICES_MAX: usize = 16;

/// The work of a connection in one turn, before others have their turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct IoLimits {
    /// Reads, and writes.
    pub(super) calls_max: u32,
    /// Bytes of one system call.
    pub(super) bytes_max: usize,
}

/// When a request was due, and when it was given to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendTimes {
    pub(super) intended_ns: u64,
    pub(super) sent_ns: u64,
}

/// The requests that were begun and not answered. A single request, the common case, needs no allocation.
#[derive(Debug, Default)]
struct InFlight {
    first: Option<SendTimes>,
    rest: VecDeque<SendTimes>,
}

impl InFlight {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    fn push(&mut self, times: SendTimes) {
        match self.first {
            None => self.first = Some(times),
            Some(_) => self.rest.push_back(times),
        }
    }

    fn pop(&mut self) -> Option<SendTimes> {
        let first = self.first.take();
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
        }
        first
    }
}

/// Drives a conversation: it is notified of what happened, and decides what follows.
pub(super) trait Driver {
    /// Reads the time, after something arrived.
    fn read_clock(&mut self);
    /// The time as it was read last.
    fn now_ns(&self) -> u64;
    /// Bytes were read and written.
    fn transferred(&mut self, bytes_in: usize, bytes_out: usize);
    /// A request is answered, with this status if the protocol has one.
    fn answered(&mut self, times: SendTimes, status: Option<u16>) -> AfterReply;
    /// The same, and the connection takes no further request.
    fn answered_last(&mut self, times: SendTimes, status: Option<u16>);
}

/// What a connection does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterReply {
    /// It begins a request that was due at this time.
    Begin(u64),
    /// It stays open.
    KeepOpen,
    /// It takes no further request, and closes after the last answer that is owed.
    Close,
}

/// Why a turn of a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnEnd {
    /// It waits for the next event.
    Waiting,
    /// The limits of a turn are reached, and there is more to do.
    MoreToDo,
    /// The connection takes no further request.
    Finished,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Conversation<C> {
    pub(super) stream: Polled,
    client: C,
    in_flight: InFlight,
    /// The number of the request whose reply comes next.
    answered: u64,
    /// The number of the request that is being written.
    sent: u64,
    /// Bytes of it that were written; before the first request, bytes of the opening.
    written: usize,
    /// Since when the next reply is owed.
    pub(super) owed_since_ns: u64,
}

impl<C: Client> Conversation<C> {
    pub(super) fn new(stream: Polled, client: C) -> Self {
        let in_flight = InFlight::default();
        Conversation { stream, client, in_flight, answered: 0, sent: 0, written: 0, owed_since_ns: 0 }
    }

    /// Requests that were begun and not answered.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether a request was answered on this connection.
    pub(super) fn has_answers(&self) -> bool {
        self.answered > 0
    }

    /// Begins a request that was to be sent at `intended_ns`; the next turn writes it.
    pub(super) fn begin(&mut self, intended_ns: u64, now_ns: u64) {
        self.begin_sent(SendTimes { intended_ns, sent_ns: now_ns }, now_ns);
    }

    /// The same for a request whose latency began before there was a connection.
    pub(super) fn begin_sent(&mut self, times: SendTimes, now_ns: u64) {
        if self.in_flight.first.is_none() {
            self.owed_since_ns = now_ns;
        }
        self.client.begin(self.begun());
        self.in_flight.push(times);
    }

    fn begun(&self) -> u64 {
        self.answered + self.in_flight.len() as u64
    }

    /// Reads, then writes the requests that the replies caused; each within its limits.
    pub(super) fn turn(
        &mut self,
        [reading, writing]: [IoLimits; 2],
        scratch: &mut [u8],
        driver: &mut impl Driver,
    ) -> Result<TurnEnd, ClientError> {
        let read = self.receive(reading, scratch, driver)?;
        if read == TurnEnd::Finished {
            return Ok(TurnEnd::Finished);
        }
        match self.send(writing, driver)? {
            TurnEnd::Waiting => Ok(read),
            written => Ok(written),
        }
    }

    /// Writes the begun requests, as far as the kernel accepts them.
    fn send(&mut self, limits: IoLimits, driver: &mut impl Driver) -> Result<TurnEnd, ClientError> {
        let mut calls = 0;
        while let Some(part) = self.client.opening(self.written) {
            if part.is_empty() {
                return Ok(TurnEnd::Waiting);
            }
            if calls == limits.calls_max {
                return Ok(TurnEnd::MoreToDo);
            }
            calls += 1;
            let piece = IoSlice::new(&part[..part.len().min(limits.bytes_max)]);
            match self.stream.write(&[piece], false).map_err(|error| ClientError::of(&error))? {
                WriteOutcome::Bytes(len) => {
                    driver.transferred(0, len);
                    self.written += len;
                }
                WriteOutcome::NotNow | WriteOutcome::FileShort => return Ok(TurnEnd::Waiting),
            }
        }
        while self.sent < self.begun() {
            if calls == limits.calls_max {
                return Ok(TurnEnd::MoreToDo);
            }
            calls += 1;
            let put = self.write(limits.bytes_max).map_err(|error| ClientError::of(&error))?;
            match put {
                WriteOutcome::Bytes(len) => {
                    driver.transferred(0, len);
                    if self.wrote(len, driver)? == TurnEnd::Finished {
                        return Ok(TurnEnd::Finished);
                    }
                }
                WriteOutcome::NotNow | WriteOutcome::FileShort => return Ok(TurnEnd::Waiting),
            }
        }
        Ok(TurnEnd::Waiting)
    }

    /// Writes all begun requests in one call, within the bounds. Returns 0 if there are no bytes: the client
    /// only reads.
    fn write(&mut self, bytes_max: usize) -> std::io::Result<WriteOutcome> {
        let begun = self.begun();
        let part = self.client.request(self.sent, self.written);
        let is_all = self.sent + 1 == begun || part.len() >= bytes_max;
        if is_all && !part.is_empty() {
            return self.stream.write(&[IoSlice::new(&part[..part.len().min(bytes_max)])], false);
        }
        let (mut slices, mut count, mut room) = ([IoSlice::new(&[]); SLICES_MAX], 0, bytes_max);
        let (mut number, mut offset) = (self.sent, self.written);
        while number < begun && count < SLICES_MAX && room > 0 {
            let part = self.client.request(number, offset);
            if part.is_empty() {
                (number, offset) = (number + 1, 0);
                continue;
            }
            let len = part.len().min(room);
            slices[count] = IoSlice::new(&part[..len]);
            (count, offset, room) = (count + 1, offset + len, room - len);
        }
        if count == 0 { Ok(WriteOutcome::Bytes(0)) } else { self.stream.write(&slices[..count], false) }
    }

    /// `len` bytes were written: requests that are complete are sent.
    fn wrote(&mut self, mut len: usize, driver: &mut impl Driver) -> Result<TurnEnd, ClientError> {
        let begun = self.begun();
        while self.sent < begun {
            let part = self.client.request(self.sent, self.written);
            if !part.is_empty() {
                let taken = part.len().min(len);
                if taken == 0 {
                    break;
                }
                self.written += taken;
                len -= taken;
                continue;
            }
            let number = self.sent;
            (self.sent, self.written) = (self.sent + 1, 0);
            match self.client.sent(number) {
                ReplyStatus::Incomplete => {}
                ReplyStatus::Complete(_) => {
                    driver.read_clock();
                    if self.complete(driver) == TurnEnd::Finished {
                        return Ok(TurnEnd::Finished);
                    }
                }
                ReplyStatus::Final(_) => {
                    driver.read_clock();
                    return Ok(self.complete_last(driver));
                }
                ReplyStatus::Wrong(what) => return Err(ClientError::WrongBytes(what)),
            }
        }
        Ok(TurnEnd::Waiting)
    }

    fn complete(&mut self, driver: &mut impl Driver) -> TurnEnd {
        let Some(times) = self.in_flight.pop() else { return TurnEnd::Waiting };
        self.answered += 1;
        self.owed_since_ns = driver.now_ns();
        match driver.answered(times, self.client.status()) {
            AfterReply::Begin(next_ns) => self.begin(next_ns, driver.now_ns()),
            AfterReply::Close if self.in_flight.first.is_none() => return TurnEnd::Finished,
            AfterReply::Close | AfterReply::KeepOpen => {}
        }
        TurnEnd::Waiting
    }

    /// Nothing new is begun on a connection that takes no further request.
    fn complete_last(&mut self, driver: &mut impl Driver) -> TurnEnd {
        if let Some(times) = self.in_flight.pop() {
            self.answered += 1;
            driver.answered_last(times, self.client.status());
        }
        TurnEnd::Finished
    }

    /// Removes the requests that were begun and not answered, oldest first.
    pub(super) fn take_unanswered(&mut self) -> VecDeque<SendTimes> {
        let mut unanswered = std::mem::take(&mut self.in_flight.rest);
        if let Some(first) = self.in_flight.first.take() {
            unanswered.push_front(first);
        }
        unanswered
    }

    /// The requests that were begun and not answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = SendTimes> {
        self.in_flight.first.iter().chain(&self.in_flight.rest).copied()
    }

    /// Reads and checks replies.
    fn receive(
        &mut self,
        limits: IoLimits,
        scratch: &mut [u8],
        driver: &mut impl Driver,
    ) -> Result<TurnEnd, ClientError> {
        let scratch_len = scratch.len().min(limits.bytes_max);
        for _ in 0..limits.calls_max {
            if !self.stream.may_read() {
                return Ok(TurnEnd::Waiting);
            }
            let got = self.stream.read(&mut scratch[..scratch_len], Patience::Now);
            match got.or_else(|error| self.end_of(&error))? {
                ReadOutcome::NotNow | ReadOutcome::Overhead => return Ok(TurnEnd::Waiting),
                ReadOutcome::End => {
                    driver.read_clock();
                    return self.ended(driver);
                }
                ReadOutcome::Bytes(len) => {
                    driver.read_clock();
                    driver.transferred(len, 0);
                    if self.take(&scratch[..len], driver)? == TurnEnd::Finished {
                        return Ok(TurnEnd::Finished);
                    }
                }
            }
        }
        Ok(if self.stream.may_read() { TurnEnd::MoreToDo } else { TurnEnd::Waiting })
    }

    /// A reset while no reply is owed is an end: some servers close idle connections this way.
    fn end_of(&self, error: &std::io::Error) -> Result<ReadOutcome, ClientError> {
        match ClientError::of(error) {
            ClientError::Reset if self.in_flight.first.is_none() => Ok(ReadOutcome::End),
            error => Err(error),
        }
    }

    fn take(&mut self, mut bytes: &[u8], driver: &mut impl Driver) -> Result<TurnEnd, ClientError> {
        // Bounded by the bytes: each reply takes at least one, or the connection ends.
        while !bytes.is_empty() {
            if let Some(unsent) = self.client.opening(self.written) {
                let is_sent = unsent.is_empty();
                match self.client.opening_reply(bytes, false) {
                    ReplyStatus::Incomplete => return Ok(TurnEnd::Waiting),
                    ReplyStatus::Complete(taken @ 1..) if is_sent => {
                        self.written = 0;
                        bytes = &bytes[taken.min(bytes.len())..];
                        continue;
                    }
                    ReplyStatus::Complete(_) | ReplyStatus::Final(_) => {
                        return Err(ClientError::WrongBytes("the reply came before the request"));
                    }
                    ReplyStatus::Wrong(what) => return Err(ClientError::WrongBytes(what)),
                }
            }
            if self.in_flight.first.is_none() {
                return match self.client.unasked(bytes) {
                    Unsolicited::Ignored => Ok(TurnEnd::Waiting),
                    Unsolicited::Closing => Ok(TurnEnd::Finished),
                    Unsolicited::Wrong(what) => Err(ClientError::WrongBytes(what)),
                };
            }
            let (taken, is_last) = match self.client.reply(self.answered, bytes, false) {
                ReplyStatus::Incomplete => return Ok(TurnEnd::Waiting),
                ReplyStatus::Complete(0) => return Err(ClientError::WrongBytes("a reply without bytes")),
                ReplyStatus::Complete(taken) => (taken, false),
                ReplyStatus::Final(taken) => (taken, true),
                ReplyStatus::Wrong(what) => return Err(ClientError::WrongBytes(what)),
            };
            self.check_sent(driver)?;
            let rest = if is_last { self.complete_last(driver) } else { self.complete(driver) };
            bytes = &bytes[taken.min(bytes.len())..];
            if rest == TurnEnd::Finished {
                return self.check_after_last(bytes, is_last).map(|()| TurnEnd::Finished);
            }
        }
        Ok(TurnEnd::Waiting)
    }

    /// After the last reply nothing may follow, except from a server that sends unasked: it may not know that
    /// this was the last.
    fn check_after_last(&mut self, bytes: &[u8], is_last: bool) -> Result<(), ClientError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let is_unasked = !is_last && self.client.request(self.answered, 0).is_empty();
        match is_unasked.then(|| self.client.reply(self.answered, bytes, false)) {
            None if self.client.unasked(bytes) == Unsolicited::Ignored => Ok(()),
            None => Err(ClientError::WrongBytes("bytes after the last reply")),
            Some(ReplyStatus::Wrong(what)) => Err(ClientError::WrongBytes(what)),
            Some(_) => Ok(()),
        }
    }

    /// A reply may not be complete before its request is sent.
    fn check_sent(&mut self, driver: &mut impl Driver) -> Result<(), ClientError> {
        if self.answered >= self.sent {
            // A request without bytes is sent as soon as it is begun.
            self.wrote(0, driver)?;
        }
        if self.answered < self.sent {
            Ok(())
        } else {
            Err(ClientError::WrongBytes("the reply came before the request"))
        }
    }

    fn ended(&mut self, driver: &mut impl Driver) -> Result<TurnEnd, ClientError> {
        if self.in_flight.first.is_none() {
            return Ok(TurnEnd::Finished); // a server that owes no reply may close at any time
        }
        if self.client.opening(self.written).is_some() {
            return Err(ClientError::ClosedEarly);
        }
        match self.client.reply(self.answered, &[], true) {
            ReplyStatus::Complete(_) | ReplyStatus::Final(_) => {
                self.check_sent(driver)?;
                Ok(self.complete_last(driver))
            }
            ReplyStatus::Incomplete => Err(ClientError::ClosedEarly),
            ReplyStatus::Wrong(what) => Err(ClientError::WrongBytes(what)),
        }
    }
}
