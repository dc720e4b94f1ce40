//! Taking new clients: last in a turn and in a batch, so that it uses slots just freed and no event of the turn meets them.
//!
//! What `accept` may meet is a state, not a failure: without descriptors accepting pauses until a client ends or a short
//! time has passed; with as many clients as allowed it waits, refuses or evicts.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use crate::connection::{Connection, Polled, Pumped, TurnBudget};
use crate::limits::Overflow;
use crate::session::{Client, Now, Peer, Refusal, Service, Waker};
use crate::sys::{AfterFailure, Listener, Stream};
use crate::telemetry::{End, Reason};

use super::clients::{Did, SlotContext};
use super::token::{CLIENTS_MAX, ConnId, Name};
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

/// Whether new clients are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepting {
    Open,
    /// Without descriptors or memory: until a client ends, or this time.
    Exhausted {
        until_ms: u64,
    },
}

/// How an attempt to take one client ended.
enum Accepted {
    Client(OwnedFd, Peer),
    /// That client is lost, or the call was interrupted: others may wait.
    Next,
    Stop,
}

/// Clients per site, where that is limited.
#[derive(Debug)]
pub(super) struct Sites {
    clients: HashMap<[u8; 9], u32>,
}

impl Sites {
    /// With room for so many clients, each of a site of its own.
    pub(super) fn with_capacity(clients: usize) -> Self {
        Sites { clients: HashMap::with_capacity(clients) }
    }

    fn count(&self, peer: Peer) -> u32 {
        peer.site().and_then(|site| self.clients.get(&site).copied()).unwrap_or(0)
    }

    fn enter(&mut self, peer: Peer) {
        if let Some(site) = peer.site() {
            *self.clients.entry(site).or_insert(0) += 1;
        }
    }

    pub(super) fn leave(&mut self, peer: Peer) {
        if let Some(site) = peer.site()
            && let Some(count) = self.clients.get_mut(&site)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&site);
            }
        }
    }
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
        self.accepting == Accepting::Open
            && !(self.limits.overflow == Overflow::Wait && self.is_full())
            && self.listeners.iter().any(|slot| slot.backlog == Backlog::MayHold)
    }

    fn is_full(&self) -> bool {
        self.clients.len() - self.refused >= self.limits.clients_max as usize || self.has_no_slot()
    }

    /// Whether clients, refused ones among them, have every slot that has a name, whatever their limits would allow.
    fn has_no_slot(&self) -> bool {
        self.clients.len() >= CLIENTS_MAX as usize
    }

    /// Takes up to `accepts_per_turn_max` clients of each listener. The one behind that of the last client is first: else,
    /// with few places or descriptors, a listener with many who wait would keep the others from getting any.
    pub(super) fn accept(&mut self, now: Now) {
        if let Accepting::Exhausted { until_ms } = self.accepting
            && until_ms <= now.monotonic_ms
        {
            self.accepting = Accepting::Open;
        }
        let (first, count) = (self.accept_first, self.listeners.len());
        for index in (first..count).chain(0..first.min(count)) {
            for _ in 0..self.limits.accepts_per_turn_max.max(1) {
                if self.listeners[index].backlog == Backlog::Empty || !self.wants_accept() {
                    break;
                }
                match self.accept_one(index, now) {
                    Accepted::Client(fd, peer) => {
                        self.accept_first = (index + 1) % count;
                        self.admit(index, fd, peer, now);
                    }
                    Accepted::Next => {}
                    Accepted::Stop => break,
                }
            }
        }
    }

    fn accept_one(&mut self, index: usize, now: Now) -> Accepted {
        let slot = &mut self.listeners[index];
        let error = match slot.listener.accept() {
            Ok((fd, addr)) => {
                self.telemetry.accepted();
                self.accept_failures.none();
                return Accepted::Client(fd, addr.map_or(Peer::UNIX, Peer::from));
            }
            Err(error) => error,
        };
        match self.accept_failures.after(&slot.listener, &error, now.monotonic_ms) {
            AfterFailure::Nobody | AfterFailure::NobodyCould => {
                slot.backlog = Backlog::Empty;
                let fd = slot.listener.as_raw_fd();
                self.renew(fd, Name::Listener(index));
                Accepted::Stop
            }
            AfterFailure::Interrupted => Accepted::Next,
            AfterFailure::Lost => {
                self.telemetry.accept_failed();
                Accepted::Next
            }
            AfterFailure::Pause => {
                self.telemetry.accept_failed();
                let until_ms = now.monotonic_ms + u64::from(self.limits.accept_pause_ms.max(1));
                self.accepting = Accepting::Exhausted { until_ms };
                Accepted::Stop
            }
        }
    }

    /// A client has been accepted: it gets a slot, or last words.
    fn admit(&mut self, index: usize, fd: OwnedFd, peer: Peer, now: Now) {
        let site_max = self.limits.clients_per_address_max;
        if site_max > 0 && self.sites.count(peer) >= site_max {
            return self.refuse(index, fd, peer, Refusal::TooManyFromAddress, now);
        }
        if self.is_full() && !self.evict(now) {
            return self.refuse(index, fd, peer, Refusal::TooManyClients, now);
        }
        let id = self.next_id();
        let slot = &self.listeners[index];
        let waker = slot.service.wakes().then(|| Waker::new(Arc::clone(&self.wakes) as Arc<_>, id.to_u64()));
        let client = Client { peer, local: slot.local, waker: waker.as_ref() };
        let Ok(session) = panic::catch_unwind(AssertUnwindSafe(|| slot.service.open(&client))) else {
            log::error!("{peer}: the service panicked when it was opened; the client ends");
            return self.ended(&End {
                reason: Reason::Panicked,
                peer,
                bytes_in: 0,
                bytes_out: 0,
                lasted_ms: 0,
            });
        };
        if site_max > 0 {
            self.sites.enter(peer);
        }
        let stream = Stream::new(fd);
        // A drain looks once at what has come.
        let look = slot.service.client_speaks_first() || self.state != State::Serving;
        let polled = if look { Polled::with_bytes(stream) } else { Polled::new(stream) };
        self.settle(Connection::new(polled, session, peer, now), id, index, Tenant::Client, now);
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
        let reason = Reason::from(why);
        let id = self.next_id();
        let ended = |reason| End { reason, peer, bytes_in: 0, bytes_out: 0, lasted_ms: 0 };
        let service = &self.listeners[index].service;
        let Ok(words) = panic::catch_unwind(AssertUnwindSafe(|| service.refusal(why))) else {
            log::error!("{peer}: the service panicked when it refused; the client ends");
            return self.ended(&ended(Reason::Panicked));
        };
        if words.is_empty() || self.refused >= self.limits.refusals_max as usize || self.has_no_slot() {
            return self.ended(&ended(reason));
        }
        let polled = Polled::new(Stream::new(fd));
        self.refused += 1;
        let connection = Connection::refused(polled, words, reason, peer, now, &self.limits);
        self.settle(connection, id, index, Tenant::Refused, now);
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
