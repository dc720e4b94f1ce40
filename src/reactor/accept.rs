//! Taking new clients: last in a turn and in a batch, so that it uses slots just freed and no event of the turn meets them.
//!
//! What `accept` may meet is a state, not a failure: without descriptors accepting pauses until a client ends or a short
//! time has passed; with as many clients as allowed it waits, refuses or evicts.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use crate::admission::{AcceptOutcome, Accepted, Decision, Refused, SocketMode, open_session, unserved};
use crate::connection::{Connection, Layers, Polled, Pumped, TurnBudget};
use crate::session::{Client, Now, Peer, Refusal, Service, Waker};
use crate::sys::{Listener, Stream};
use crate::telemetry::Reason;

use super::clients::{Did, SlotContext};
use super::token::{ConnId, Name};
use super::{Place, Reactor, Slot, State, Tenant};

/// How many idle clients are looked at before one of them is evicted: a system call each, for every client that comes.
const EVICT_LOOKS_MAX: usize = 16;

/// One listener and the service of its clients.
pub(super) struct ListenerSlot<S> {
    pub(super) listener: Listener,
    pub(super) service: S,
    pub(super) backlog: Backlog,
    local: Peer,
}

/// Whether somebody may wait in a listener's queue: listeners are edge-triggered, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backlog {
    /// The next event tells.
    Empty,
    MayHold,
}

impl<S: Service> ListenerSlot<S> {
    pub(super) fn new(listener: Listener, service: S) -> Self {
        let local = listener.local_socket_addr().map_or(Peer::UNIX, Peer::from);
        ListenerSlot { listener, service, backlog: Backlog::MayHold, local }
    }
}

impl<S: Service> Reactor<S> {
    /// Whether a turn now would take clients.
    pub(super) fn wants_accept(&self) -> bool {
        self.admission.is_open() && self.listeners.iter().any(|slot| slot.backlog == Backlog::MayHold)
    }

    /// Takes up to `accepts_per_turn_max` clients of each listener. The one behind that of the last client is first: else,
    /// with few places or descriptors, a listener with many who wait would keep the others from getting any.
    pub(super) fn accept(&mut self, now: Now) {
        self.admission.tick(now.monotonic_ms);
        let (first, count) = (self.accept_first, self.listeners.len());
        for index in (first..count).chain(0..first.min(count)) {
            for _ in 0..self.limits.accepts_per_turn_max.max(1) {
                if self.listeners[index].backlog == Backlog::Empty || !self.admission.is_open() {
                    break;
                }
                match self.accept_one(index, now) {
                    AcceptOutcome::Accepted(accepted) => {
                        self.accept_first = (index + 1) % count;
                        self.admit(index, accepted, now);
                    }
                    AcceptOutcome::Retry => {}
                    AcceptOutcome::Empty | AcceptOutcome::EmptyWithoutWaiting => {
                        let slot = &mut self.listeners[index];
                        slot.backlog = Backlog::Empty;
                        let fd = slot.listener.as_raw_fd();
                        self.renew(fd, Name::Listener(index));
                    }
                    AcceptOutcome::Paused => break,
                }
            }
        }
    }

    fn accept_one(&mut self, index: usize, now: Now) -> AcceptOutcome {
        let listener = &self.listeners[index].listener;
        self.admission.accept(listener, SocketMode::Nonblocking, &mut self.telemetry, || now.monotonic_ms)
    }

    /// A client has been accepted: it gets a slot, or last words.
    fn admit(&mut self, index: usize, accepted: Accepted, now: Now) {
        let Accepted { fd, peer } = accepted;
        match self.admission.decide(peer) {
            Decision::Admit => {}
            Decision::AdmitAfterEviction if self.evict(now) => {}
            Decision::AdmitAfterEviction => {
                return self.refuse(index, fd, peer, Refusal::TooManyClients, now);
            }
            Decision::Refuse(why) => return self.refuse(index, fd, peer, why, now),
        }
        let id = self.next_id();
        let slot = &self.listeners[index];
        let waker = slot.service.wakes().then(|| Waker::new(Arc::clone(&self.wakes) as Arc<_>, id.to_u64()));
        let client = Client { waker: waker.as_ref(), ..Client::new(peer, slot.local) };
        let Some(session) = open_session(&slot.service, &client) else {
            return self.ended(&unserved(Reason::Panicked, peer));
        };
        self.admission.enter(peer);
        let stream = Stream::new(fd);
        // A drain looks once at what has come.
        let look = slot.service.client_speaks_first() || self.state != State::Serving;
        let polled = if look { Polled::with_bytes(stream) } else { Polled::new(stream) };
        let mut connection = Connection::accepted(polled, Layers::none(), peer, now, &self.limits);
        connection.open(session);
        self.settle(connection, id, index, Tenant::Client, now);
    }

    /// Makes room by ending the client that has been idle longest, where that is the policy: of the first few, one that has
    /// taken its answer, which loses nothing.
    fn evict(&mut self, now: Now) -> bool {
        let Some(idle) = &self.idle else { return false };
        let at_rest =
            idle.oldest_first().take(EVICT_LOOKS_MAX).find(|&key| self.clients[key].connection.is_at_rest());
        let Some(slot) = at_rest.or_else(|| idle.oldest()) else { return false };
        let mut ctx = self.context(slot, now);
        ctx.slot.connection.cut(Reason::Evicted, &mut ctx.context);
        self.free(slot, Reason::Evicted, now);
        true
    }

    fn refuse(&mut self, index: usize, fd: OwnedFd, peer: Peer, why: Refusal, now: Now) {
        let id = self.next_id();
        match self.admission.refuse(&self.listeners[index].service, peer, why) {
            Refused::LastWords(words, reason) => {
                let polled = Polled::new(Stream::new(fd));
                let connection = Connection::refused(polled, words, reason, peer, now, &self.limits);
                self.settle(connection, id, index, Tenant::Refused, now);
            }
            Refused::Closed(end) => self.ended(&end),
        }
    }

    fn next_id(&mut self) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        ConnId { slot: self.clients.vacant_key() as u32, generation: self.generation }
    }

    /// Gives a client its slot and moves it on at once: a service that speaks first does so, and of a client that does its
    /// first bytes may be there. Only one that wants more than that is watched. (What has come before it is registered
    /// gives an event, too.)
    fn settle(
        &mut self,
        connection: Connection<S::Session, Polled>,
        id: ConnId,
        index: usize,
        tenant: Tenant,
        now: Now,
    ) {
        let (generation, listener) = (id.generation, index as u16);
        let key =
            self.clients.insert(Slot { connection, generation, listener, tenant, place: Place::Waiting });
        debug_assert_eq!(key, id.slot as usize);
        let SlotContext { slot, mut context } = self.context(key, now);
        let budget = TurnBudget::of_turn(context.limits);
        let pumped = slot.connection.pump(&mut context, budget);
        if let Pumped::Ended(reason) = pumped {
            return self.free(key, reason, now);
        }
        let polled = self.clients[key].connection.transport_mut();
        if let Err(error) = polled.register(self.poll.registry(), Name::Client(id).token()) {
            log::warn!("{}: cannot be watched: {error}", self.clients[key].connection.peer());
            let SlotContext { slot, mut context } = self.context(key, now);
            slot.connection.cut(Reason::Failed, &mut context);
            return self.free(key, Reason::Failed, now);
        }
        self.moved(key, id, pumped, Did::Something);
        self.weigh(key, now);
    }
}
