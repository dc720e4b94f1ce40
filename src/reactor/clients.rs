//! What a turn does with open clients: latch, pump, expire, reap.

use std::io;
use std::time::Duration;

use crate::connection::{Context, Mode, Pumped, TimeSource, TurnBudget};
use crate::session::{Now, Service};
use crate::telemetry::{End, Reason};

use super::token::{ConnId, Name};
use super::{Backlog, Place, Reactor, Slot, State, Tenant, Told};

/// A client and what its connection is given, borrowed apart from the rest of the reactor.
pub(super) struct SlotContext<'a, S: Service> {
    pub(super) slot: &'a mut Slot<S::Session>,
    pub(super) context: Context<'a>,
}

/// Which way a client is moved on.
#[derive(Clone, Copy)]
enum Move {
    Pump,
    Expire,
}

/// Whether bytes went in or out when a client was moved on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    Nothing,
    Something,
}

/// Rounds for what is watched beside clients and listeners, for the last one, which finds no more, and for interruptions.
const REST_ROUNDS: usize = 8;

impl<S: Service> Reactor<S> {
    pub(super) fn context(&mut self, key: usize, now: Now) -> SlotContext<'_, S> {
        let slot = &mut self.clients[key];
        let context = Context {
            clock: TimeSource::Turn(now),
            limits: &self.limits,
            timeouts: self.timeouts[usize::from(slot.listener)],
            scratch: &mut self.scratch,
            telemetry: &mut self.telemetry,
            mode: if matches!(self.state, State::Serving) { Mode::Serving } else { Mode::Draining },
        };
        SlotContext { slot, context }
    }

    /// Keeps what the events say, and queues their clients: no I/O, and nothing is freed here.
    pub(super) fn latch(&mut self) {
        let mut events = 0;
        for event in &self.events {
            events += 1;
            match Name::of(event.token()) {
                Name::Client(id) => {
                    let slot = self.clients.get_mut(id.slot as usize);
                    if let Some(slot) = slot.filter(|slot| slot.generation == id.generation) {
                        slot.connection.transport_mut().latch(event);
                        slot.place.enqueue(id, &mut self.runnable);
                    }
                }
                Name::Listener(index) => {
                    if let Some(listener) = self.listeners.get_mut(index) {
                        listener.backlog = Backlog::MayHold;
                    }
                }
                Name::Signals => self.signals_latched = true,
                Name::Waker => {} // wakes are taken each turn
            }
        }
        if events >= self.events.capacity() {
            self.told = Told::Part;
        }
    }

    /// Latches what the wait did not tell, and what came between it and the reading of the clock: the process may have been
    /// stopped there. Bound: more rounds than the clients and all else that is watched could fill.
    fn latch_rest(&mut self) -> io::Result<()> {
        let rounds_max = (self.clients.len() + self.listeners.len()) / self.events.capacity() + REST_ROUNDS;
        for _ in 0..rounds_max {
            self.look(Some(Duration::ZERO))?;
            self.latch();
            if self.told == Told::All {
                break;
            }
        }
        Ok(())
    }

    /// Queues who was woken, and hears what is wished of the loop.
    pub(super) fn take_wakes(&mut self) {
        if let Some(wish) = self.wakes.take(&mut self.woken) {
            self.wish_seen = wish;
        }
        for id in self.woken.drain(..) {
            let slot = self.clients.get_mut(id.slot as usize);
            if let Some(slot) = slot.filter(|slot| slot.generation == id.generation) {
                slot.connection.wake();
                slot.place.enqueue(id, &mut self.runnable);
            }
        }
    }

    /// Gives each client that can move its share. Bound: those who were in the queue before; the rest is for the next turn.
    pub(super) fn pump(&mut self, now: Now) {
        for _ in 0..self.runnable.len() {
            let Some(id) = self.runnable.pop_front() else { break };
            let key = id.slot as usize;
            if let Some(slot) = self.clients.get_mut(key)
                && slot.generation == id.generation
                && slot.place == Place::Runnable
            {
                slot.place = Place::Waiting;
                self.move_on(key, id, now, Move::Pump);
            }
        }
    }

    /// Looks at those whose filed time has come. After I/O: bytes that came in time win, also those that the wait could not
    /// tell of. One that is queued because it has more to write is filed again when that is done. Bound: those that are due
    /// now.
    ///
    /// # Errors
    /// Only those of the poll.
    pub(super) fn expire(&mut self, now: Now) -> io::Result<()> {
        self.deadlines.advance(now.monotonic_ms);
        if self.deadlines.has_due() {
            self.latch_rest()?;
        }
        while let Some(key) = self.deadlines.pop_due() {
            if let Some(slot) = self.clients.get(key)
                && slot.is_to_be_judged(now)
            {
                let id = ConnId { slot: key as u32, generation: slot.generation };
                self.move_on(key, id, now, Move::Expire);
            }
        }
        Ok(())
    }

    fn move_on(&mut self, key: usize, id: ConnId, now: Now, how: Move) {
        let SlotContext { slot, mut context } = self.context(key, now);
        let budget = TurnBudget::of_turn(context.limits);
        let before_bytes = slot.connection.moved_bytes();
        let pumped = match how {
            Move::Pump => slot.connection.pump(&mut context, budget),
            Move::Expire => slot.connection.expire(&mut context, budget),
        };
        let did = if slot.connection.moved_bytes() == before_bytes { Did::Nothing } else { Did::Something };
        self.moved(key, id, pumped, did);
        self.weigh(key, now);
    }

    /// Counts what a client that was moved on holds now. If that is too much for all together, who holds most ends.
    pub(super) fn weigh(&mut self, key: usize, now: Now) {
        if !self.buffers.are_bounded() {
            return;
        }
        self.buffers.set(key, self.clients[key].connection.memory_bytes());
        while let Some(key) = self.buffers.next_to_go() {
            if self.buffers.is_to_warn(now.monotonic_ms) {
                log::warn!(
                    "the buffers of all clients take {} bytes, more than {}: the clients with the largest are reset",
                    self.buffers.sum_bytes(),
                    self.buffers.bytes_max()
                );
            }
            self.buffers.set(key, 0);
            if let Some(idle) = &mut self.idle {
                idle.remove(key);
            }
            let SlotContext { slot, mut context } = self.context(key, now);
            slot.connection.cut(Reason::BuffersFull, &mut context);
            slot.place = Place::Ended(Reason::BuffersFull);
            self.ended.push(key as u32);
        }
    }

    /// A client has been moved on as far as it got: where is its place now?
    pub(super) fn moved(&mut self, key: usize, id: ConnId, pumped: Pumped, did: Did) {
        let slot = &mut self.clients[key];
        match pumped {
            Pumped::Established | Pumped::Waits => self.deadlines.file(key, slot.connection.deadline_ms()),
            Pumped::More => {
                // Also one whose bytes never end has a deadline for what it sends.
                if slot.connection.is_reading() {
                    self.deadlines.file(key, slot.connection.deadline_ms());
                }
                slot.place.enqueue(id, &mut self.runnable);
            }
            Pumped::Ended(reason) => {
                slot.place = Place::Ended(reason);
                self.ended.push(key as u32);
            }
        }
        if let Some(idle) = &mut self.idle {
            let is_idle =
                slot.tenant == Tenant::Client && pumped == Pumped::Waits && slot.connection.is_idle();
            match (is_idle, did) {
                (true, Did::Something) => idle.became_idle(key),
                (true, Did::Nothing) => idle.remained_idle(key),
                (false, _) => idle.remove(key),
            }
        }
    }

    /// Frees the slots of those who ended. Nothing names them any more but stale tokens, which their generation unmasks.
    pub(super) fn reap(&mut self, now: Now) {
        while let Some(key) = self.ended.pop() {
            let key = key as usize;
            if let Some(Place::Ended(reason)) = self.clients.get(key).map(|slot| slot.place) {
                self.free(key, reason, now);
            }
        }
    }

    pub(super) fn free(&mut self, key: usize, reason: Reason, now: Now) {
        self.deadlines.forget(key);
        self.buffers.set(key, 0);
        if let Some(idle) = &mut self.idle {
            idle.remove(key);
        }
        let slot = self.clients.remove(key);
        match slot.tenant {
            Tenant::Refused => self.admission.refused_left(),
            Tenant::Client => self.admission.leave(slot.connection.peer()),
        }
        let end = slot.connection.end(reason, now);
        drop(slot);
        self.ended(&end);
    }

    /// Writes an end down.
    pub(super) fn ended(&mut self, end: &End) {
        self.telemetry.ended(end);
        if end.reason == Reason::DrainCut {
            self.cut += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use crate::reactor::{Limits, Reactor};
    use crate::services::Echo;

    /// A process that is stopped right behind its wait reads the clock when it goes on.
    #[test]
    fn bytes_that_come_between_the_wait_and_the_reading_of_the_clock_win() {
        let directory = tempfile::tempdir().unwrap();
        let address = format!("unix:{}", directory.path().join("echo.sock").display());
        let mut reactor = Reactor::new(Limits { idle_ms: 60_000, ..Limits::default() }).unwrap();
        reactor.bind(&address, Echo).unwrap();
        let mut client = UnixStream::connect(&address["unix:".len()..]).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for _ in 0..3 {
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(reactor.clients.len(), 1);

        reactor.wait(Instant::now(), Some(Duration::ZERO)).unwrap();
        client.write_all(b"in time").unwrap();
        let goes_on = Instant::now() + Duration::from_secs(90);
        reactor.go_on(goes_on).unwrap();
        for _ in 0..3 {
            reactor.wait(goes_on, Some(Duration::ZERO)).unwrap();
            reactor.go_on(goes_on).unwrap();
        }
        let mut answer = [0; 7];
        client.read_exact(&mut answer).expect("it is answered, not ended");
        assert_eq!(&answer, b"in time");
    }
}
