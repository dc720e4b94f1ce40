//! One open connection of the load: requests go out, replies are checked as they come.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::errors::Class;
use super::{Client, Verdict};
use crate::connection::{Patience, Polled, ReadOutcome, Transport, WriteOutcome};

/// Requests that leave in one write at most.
const SLICES_MAX: usize = 16;

/// What a connection may do in one turn before the others have theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Reads, and writes, each.
    pub(super) calls_max: u32,
    /// Bytes of one call.
    pub(super) bytes_max: usize,
}

/// Requests of one connection that were begun and not answered: when each was to be sent. One of them, the common case,
/// needs no memory of its own.
#[derive(Debug, Default)]
struct InFlight {
    first: Option<u64>,
    rest: VecDeque<u64>,
}

impl InFlight {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    fn push(&mut self, intended_ns: u64) {
        match self.first {
            None => self.first = Some(intended_ns),
            Some(_) => self.rest.push_back(intended_ns),
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let first = self.first.take();
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
        }
        first
    }
}

/// Who is told what a conversation does, and says what comes next.
pub(super) trait Ledger {
    /// The time, read now.
    fn read_clock(&mut self) -> u64;
    /// The time as last read.
    fn now_ns(&self) -> u64;
    /// So many bytes came, so many went.
    fn moved(&mut self, bytes_in: usize, bytes_out: usize);
    /// A request that was to be sent at `intended_ns` is answered.
    fn answered(&mut self, intended_ns: u64) -> Onward;
    /// The same, and the connection takes no further request.
    fn answered_last(&mut self, intended_ns: u64);
}

/// What a connection does behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onward {
    /// It begins a request that was to be sent then.
    Begin(u64),
    /// It stays open.
    Stay,
    /// It takes no further request, and ends behind the last answer that it owes.
    Close,
}

/// Why a conversation rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Until the next event.
    Waits,
    /// For its next turn only: there is more to do.
    Again,
    /// For good: the reply was the last of this connection.
    Over,
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
    /// Bytes of it that are written.
    written: usize,
    /// Since when the reply that comes next is owed.
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

    /// Begins a request that was to be sent at `intended_ns`; [`Conversation::send`] writes it.
    pub(super) fn begin(&mut self, intended_ns: u64, now_ns: u64) {
        if self.in_flight.first.is_none() {
            self.owed_since_ns = now_ns;
        }
        self.in_flight.push(intended_ns);
    }

    fn begun(&self) -> u64 {
        self.answered + self.in_flight.len() as u64
    }

    /// Writes what was begun, as far as the kernel takes it.
    pub(super) fn send(&mut self, budget: Budget, ledger: &mut impl Ledger) -> Result<Rest, Class> {
        let mut calls = 0;
        while self.sent < self.begun() {
            if calls == budget.calls_max {
                return Ok(Rest::Again);
            }
            calls += 1;
            let put = self.write(budget.bytes_max).map_err(|error| Class::of(&error))?;
            match put {
                WriteOutcome::Bytes(len) => {
                    ledger.moved(0, len);
                    if self.wrote(len, ledger)? == Rest::Over {
                        return Ok(Rest::Over);
                    }
                }
                WriteOutcome::NotNow | WriteOutcome::FileShort => return Ok(Rest::Waits),
            }
        }
        Ok(Rest::Waits)
    }

    /// One write of all that was begun, up to the bounds. Zero bytes if there are none: the client only listens.
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

    /// Takes note of `len` bytes written: whole requests are sent.
    fn wrote(&mut self, mut len: usize, ledger: &mut impl Ledger) -> Result<Rest, Class> {
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
                Verdict::More => {}
                Verdict::Done(_) => {
                    ledger.read_clock();
                    if self.complete(ledger) == Rest::Over {
                        return Ok(Rest::Over);
                    }
                }
                Verdict::Last(_) => {
                    ledger.read_clock();
                    return Ok(self.complete_last(ledger));
                }
                Verdict::Wrong(what) => return Err(Class::WrongBytes(what)),
            }
        }
        Ok(Rest::Waits)
    }

    fn complete(&mut self, ledger: &mut impl Ledger) -> Rest {
        let Some(intended_ns) = self.in_flight.pop() else { return Rest::Waits };
        self.answered += 1;
        self.owed_since_ns = ledger.now_ns();
        match ledger.answered(intended_ns) {
            Onward::Begin(next_ns) => self.begin(next_ns, ledger.now_ns()),
            Onward::Close if self.in_flight.first.is_none() => return Rest::Over,
            Onward::Close | Onward::Stay => {}
        }
        Rest::Waits
    }

    /// Nothing new is begun on a connection that takes no further request.
    fn complete_last(&mut self, ledger: &mut impl Ledger) -> Rest {
        if let Some(intended_ns) = self.in_flight.pop() {
            self.answered += 1;
            ledger.answered_last(intended_ns);
        }
        Rest::Over
    }

    /// Takes the requests away that were begun and not answered: when each was to be sent, the oldest first.
    pub(super) fn take_unanswered(&mut self) -> VecDeque<u64> {
        let mut unanswered = std::mem::take(&mut self.in_flight.rest);
        if let Some(first) = self.in_flight.first.take() {
            unanswered.push_front(first);
        }
        unanswered
    }

    /// When each request was to be sent that was begun and not answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = u64> {
        self.in_flight.first.iter().chain(&self.in_flight.rest).copied()
    }

    /// Reads and checks what came.
    pub(super) fn receive(
        &mut self,
        budget: Budget,
        scratch: &mut [u8],
        ledger: &mut impl Ledger,
    ) -> Result<Rest, Class> {
        let scratch_len = scratch.len().min(budget.bytes_max);
        for _ in 0..budget.calls_max {
            if !self.stream.may_read() {
                return Ok(Rest::Waits);
            }
            let got = self.stream.read(&mut scratch[..scratch_len], Patience::Now);
            match got.map_err(|error| Class::of(&error))? {
                ReadOutcome::NotNow | ReadOutcome::Overhead => return Ok(Rest::Waits),
                ReadOutcome::End => {
                    ledger.read_clock();
                    return self.ended(ledger);
                }
                ReadOutcome::Bytes(len) => {
                    ledger.read_clock();
                    ledger.moved(len, 0);
                    if self.take(&scratch[..len], ledger)? == Rest::Over {
                        return Ok(Rest::Over);
                    }
                }
            }
        }
        Ok(if self.stream.may_read() { Rest::Again } else { Rest::Waits })
    }

    fn take(&mut self, mut bytes: &[u8], ledger: &mut impl Ledger) -> Result<Rest, Class> {
        // Bounded by the bytes: each reply takes some, or the connection is over.
        while !bytes.is_empty() {
            if self.in_flight.first.is_none() {
                return Err(Class::WrongBytes("bytes came that no request had asked for"));
            }
            let (taken, is_last) = match self.client.reply(self.answered, bytes, false) {
                Verdict::More => return Ok(Rest::Waits),
                Verdict::Done(0) => return Err(Class::WrongBytes("a reply without bytes")),
                Verdict::Done(taken) => (taken, false),
                Verdict::Last(taken) => (taken, true),
                Verdict::Wrong(what) => return Err(Class::WrongBytes(what)),
            };
            self.is_sent(ledger)?;
            let rest = if is_last { self.complete_last(ledger) } else { self.complete(ledger) };
            bytes = &bytes[taken.min(bytes.len())..];
            if rest == Rest::Over {
                return self.is_right_behind_last(bytes, is_last).map(|()| Rest::Over);
            }
        }
        Ok(Rest::Waits)
    }

    /// Behind the last reply nothing may come, but from a server that speaks unasked: it may not know that this was the last.
    fn is_right_behind_last(&mut self, bytes: &[u8], is_last: bool) -> Result<(), Class> {
        if bytes.is_empty() {
            return Ok(());
        }
        let is_unasked = !is_last && self.client.request(self.answered, 0).is_empty();
        match is_unasked.then(|| self.client.reply(self.answered, bytes, false)) {
            None => Err(Class::WrongBytes("bytes came behind the last reply")),
            Some(Verdict::Wrong(what)) => Err(Class::WrongBytes(what)),
            Some(_) => Ok(()),
        }
    }

    /// A reply may not be whole before its request is.
    fn is_sent(&mut self, ledger: &mut impl Ledger) -> Result<(), Class> {
        if self.answered >= self.sent {
            // A request without bytes is sent as soon as it was begun.
            self.wrote(0, ledger)?;
        }
        if self.answered < self.sent {
            Ok(())
        } else {
            Err(Class::WrongBytes("the reply came before the request"))
        }
    }

    fn ended(&mut self, ledger: &mut impl Ledger) -> Result<Rest, Class> {
        if self.in_flight.first.is_none() {
            // A server may end a connection on which nothing is owed, once it has served it.
            return if self.answered > 0 { Ok(Rest::Over) } else { Err(Class::ClosedEarly) };
        }
        match self.client.reply(self.answered, &[], true) {
            Verdict::Done(_) | Verdict::Last(_) => {
                self.is_sent(ledger)?;
                Ok(self.complete_last(ledger))
            }
            Verdict::More => Err(Class::ClosedEarly),
            Verdict::Wrong(what) => Err(Class::WrongBytes(what)),
        }
    }
}
