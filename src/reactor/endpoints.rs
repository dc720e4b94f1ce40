//! What the loop watches in addition to clients: listeners, signals, and calls from other code.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crate::admission::{AcceptOutcome, Accepted, AdmissionDecision, Refused, SocketMode};
use crate::connection::{Connection, Mode, Polled};
use crate::session::{Peer, Refusal, Service};
use crate::sys::signals::ArrivedSignals;
use crate::sys::{Listener, Signals, Stream};
use crate::telemetry::Begin;

use super::clients::{Clients, Tenant, TurnContext};
use super::poller::Poller;
use super::token::{ConnId, LISTENERS_MAX, Source};
use super::wakes::{StopRequest, Wakes};

/// Batches of accepting in which a drain empties the backlogs: at the default batch, more than any backlog
/// holds.
const BACKLOG_BATCHES_MAX: u32 = 1024;

/// Listeners, signals, and calls from other code.
pub(super) struct Endpoints<S> {
    listeners: Vec<ListenerSlot<S>>,
    /// The listener whose clients are accepted first.
    accept_first: usize,
    signals: Option<Signals>,
    signals_latched: bool,
    wakes: Arc<Wakes>,
    /// Clients that were woken; empty between turns.
    woken: Vec<ConnId>,
}

/// One listener and the service of its clients.
struct ListenerSlot<S> {
    listener: Listener,
    service: S,
    backlog: Backlog,
}

/// Whether clients may wait in a listener's queue: listeners are edge-triggered, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backlog {
    /// Not before the next event.
    Empty,
    MayHold,
}

impl<S: Service> Endpoints<S> {
    /// No listeners and no signals.
    pub(super) fn new(poller: &Poller) -> io::Result<Self> {
        let waker = mio::Waker::new(poller.registry(), Source::Waker.token())?;
        Ok(Endpoints {
            listeners: Vec::new(),
            accept_first: 0,
            signals: None,
            signals_latched: false,
            wakes: Arc::new(Wakes::new(waker)),
            woken: Vec::new(),
        })
    }

    /// Whether all tokens for listeners are used.
    pub(super) fn is_full(&self) -> bool {
        self.listeners.len() >= LISTENERS_MAX as usize
    }

    pub(super) fn add_listener(&mut self, listener: Listener, service: S, poller: &Poller) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        if service.client_speaks_first() {
            listener.clients_speak_first();
        }
        poller.watch(listener.as_raw_fd(), Source::Listener(self.listeners.len()))?;
        self.listeners.push(ListenerSlot { listener, service, backlog: Backlog::MayHold });
        Ok(())
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().map(|slot| &slot.listener)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &S> {
        self.listeners.iter().map(|slot| &slot.service)
    }

    pub(super) fn has_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }

    pub(super) fn watch_signals(&mut self, signals: Signals, poller: &Poller) -> io::Result<()> {
        poller.watch(signals.as_raw_fd(), Source::Signals)?;
        self.signals = Some(signals);
        self.signals_latched = true; // a signal may have come before
        Ok(())
    }

    pub(super) fn signals(&self) -> Option<&Signals> {
        self.signals.as_ref()
    }

    pub(super) fn wakes(&self) -> &Arc<Wakes> {
        &self.wakes
    }

    /// Makes room for this many clients that are woken at once.
    pub(super) fn reserve_wakes(&mut self, clients: usize) {
        self.wakes.reserve(clients);
        self.woken.reserve(clients);
    }

    /// A listener's queue may hold clients.
    pub(super) fn latch_listener(&mut self, index: usize) {
        if let Some(slot) = self.listeners.get_mut(index) {
            slot.backlog = Backlog::MayHold;
        }
    }

    /// Signals may have arrived.
    pub(super) fn latch_signals(&mut self) {
        self.signals_latched = true;
    }

    pub(super) fn has_signals(&self) -> bool {
        self.signals_latched
    }

    /// The signals that arrived since the last call.
    pub(super) fn take_signals(&mut self, poller: &Poller) -> ArrivedSignals {
        match &mut self.signals {
            Some(signals) if self.signals_latched => {
                self.signals_latched = false;
                let arrived = signals.take();
                poller.renew(signals.as_raw_fd(), Source::Signals);
                arrived
            }
            _ => ArrivedSignals::default(),
        }
    }

    /// Passes the wakes that came since the last call to their clients. Returns a request to stop, if one
    /// came.
    pub(super) fn take_wakes(&mut self, clients: &mut Clients<S>) -> Option<StopRequest> {
        let requested = self.wakes.take(&mut self.woken);
        self.woken.drain(..).for_each(|id| clients.wake(id));
        requested
    }

    /// Whether clients may wait in a listener's queue.
    pub(super) fn has_backlog(&self) -> bool {
        self.listeners.iter().any(|slot| slot.backlog == Backlog::MayHold)
    }

    /// Accepts up to `accepts_per_turn_max` clients of each listener. The first is the listener after that of
    /// the last client: otherwise, when places or descriptors are few, a listener with a long queue would
    /// starve the others.
    pub(super) fn accept(&mut self, clients: &mut Clients<S>, poller: &Poller, turn: &mut TurnContext<'_>) {
        turn.admission.tick(turn.now.monotonic_ms);
        let (first, count) = (self.accept_first, self.listeners.len());
        for index in (first..count).chain(0..first.min(count)) {
            for _ in 0..turn.limits.accepts_per_turn_max.max(1) {
                if self.listeners[index].backlog == Backlog::Empty || !turn.admission.is_open() {
                    break;
                }
                let (listener, now_ms) = (&self.listeners[index].listener, turn.now.monotonic_ms);
                match turn.admission.accept(listener, SocketMode::Nonblocking, turn.telemetry, || now_ms) {
                    AcceptOutcome::Accepted(accepted) => {
                        self.accept_first = (index + 1) % count;
                        Self::admit(index, accepted, clients, poller, turn);
                    }
                    AcceptOutcome::Retry => {}
                    AcceptOutcome::Empty | AcceptOutcome::EmptyWithoutWaiting => {
                        poller.renew(listener.as_raw_fd(), Source::Listener(index));
                        self.listeners[index].backlog = Backlog::Empty;
                    }
                    AcceptOutcome::Paused => break,
                }
            }
        }
    }

    /// Gives an accepted client a slot, or refuses it.
    fn admit(
        index: usize,
        accepted: Accepted,
        clients: &mut Clients<S>,
        poller: &Poller,
        turn: &mut TurnContext<'_>,
    ) {
        let peer = accepted.peer;
        // Layers may find an address other than that of the socket.
        let (known_peer, tenant) = if clients.served(index).layers.is_empty() {
            (peer, Tenant::Client)
        } else {
            (Peer::UNIX, Tenant::Handshaking)
        };
        let refusal = match turn.admission.decide(known_peer) {
            AdmissionDecision::Admit => None,
            AdmissionDecision::AdmitAfterEviction if clients.evict(turn) => None,
            AdmissionDecision::AdmitAfterEviction => Some(Refusal::TooManyClients),
            AdmissionDecision::Refuse(why) => Some(why),
        };
        let id = clients.next_id();
        let (served, stream) = (clients.served(index), Stream::new(accepted.fd));
        if let Some(why) = refusal {
            match turn.admission.refuse(served, peer, why) {
                Refused::LastWords(words, reason) => {
                    let transport = Polled::new(stream);
                    let connection =
                        Connection::refused(transport, words, reason, peer, turn.now, turn.limits);
                    clients.add(id, connection, Tenant::Refused, index, poller.registry(), turn);
                }
                Refused::Closed(end) => turn.telemetry.ended(&end),
            }
            return;
        }
        turn.admission.enter(known_peer);
        turn.telemetry.began(&Begin { peer, slot: Some(id.slot) });
        // In a drain, each client reads once.
        let may_have_bytes = served.service.client_speaks_first() || turn.mode == Mode::Draining;
        let transport = if may_have_bytes { Polled::with_bytes(stream) } else { Polled::new(stream) };
        let layers = served.layers.make();
        let connection = Connection::accepted(transport, layers, peer, turn.now, turn.limits);
        clients.add(id, connection, tenant, index, poller.registry(), turn);
    }

    /// In a drain: accepts all clients from the backlogs, and closes the listeners, which resets clients that
    /// come later. A listener stays open while a client waits there because no place is free.
    pub(super) fn drain_backlog(
        &mut self,
        clients: &mut Clients<S>,
        poller: &Poller,
        turn: &mut TurnContext<'_>,
    ) {
        self.listeners.iter_mut().for_each(|slot| slot.backlog = Backlog::MayHold);
        for _ in 0..BACKLOG_BATCHES_MAX {
            if !turn.admission.is_open() || !self.has_backlog() {
                return self.close_if_empty(poller);
            }
            self.accept(clients, poller, turn);
        }
        self.close(poller); // clients come faster than they can be accepted
    }

    /// Closes the listeners once all backlogs are empty.
    pub(super) fn close_if_empty(&mut self, poller: &Poller) {
        if !self.has_backlog() {
            self.close(poller);
        }
    }

    /// Closes the listeners, after removing them from the poll: a supervisor's duplicate of a listener would
    /// still wake the loop, and poll(2) reports a closed descriptor forever.
    pub(super) fn close(&mut self, poller: &Poller) {
        for slot in self.listeners.drain(..) {
            poller.unwatch(slot.listener.as_raw_fd());
        }
    }
}
