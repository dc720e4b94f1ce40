//! Admission: which clients are accepted and served, decided once for all models.
//!
//! ```text
//! accept(2) --error--> try again | wait for the next client | pause until a client ends or a short time has passed
//!     |
//!     v
//!  decide ----> admit
//!     |-------> evict the client that has been idle longest, then admit   (reactor, --overflow evict)
//!     `-------> refuse: the service's last words, or a plain close
//! ```
//!
//! With `--overflow wait` a full server does not accept: clients wait in the kernel's backlog.
//!
//! One [`Admission`] belongs to each loop, accepting process or accepting thread. It holds no client: it
//! counts them.

mod addresses;
mod buffers;
mod failures;
mod idle;
mod service;

use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};

use crate::limits::{Limits, Overflow};
use crate::session::{Peer, Refusal, Service};
use crate::sys::Listener;
use crate::telemetry::{End, Reason, Telemetry};
use addresses::ClientsPerAddress;
pub(crate) use buffers::{BufferShare, LoopBuffers, SharedBuffers};
use failures::{AcceptFailures, AfterFailure};
pub(crate) use idle::IdleOrder;
pub(crate) use service::ListenerService;

/// Decides about new clients, and counts those that were admitted.
#[derive(Debug)]
pub(crate) struct Admission {
    clients_max: u32,
    per_address_max: u32,
    refusals_max: u32,
    overflow: Overflow,
    pause_ms: u32,
    clients: u32,
    /// Refused clients that linger for their last words.
    refused: u32,
    addresses: ClientsPerAddress,
    accepting: AcceptState,
    failures: AcceptFailures,
}

/// Whether accepting makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptState {
    Open,
    /// The last accept failed because descriptors or memory were short: paused until a client ends, or until
    /// this time.
    Paused {
        until_ms: u64,
    },
}

/// A client that was accepted, and is yet to be admitted or refused.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) fd: OwnedFd,
    pub(crate) peer: Peer,
}

/// The outcome of one call of accept(2).
#[derive(Debug)]
pub(crate) enum AcceptOutcome {
    Accepted(Accepted),
    /// This client is lost, or a signal came; other clients may wait.
    Retry,
    /// No client waits.
    Empty,
    /// No client waits, and without a descriptor an accept that should wait returns at once.
    EmptyWithoutWaiting,
    /// A client may wait, but accepting pauses.
    Paused,
}

/// Whether calls on an accepted socket block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketMode {
    Nonblocking,
    Blocking,
}

/// What becomes of an accepted client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionDecision {
    Admit,
    /// Evict an idle client, then admit this one; refuse it if no client is idle.
    AdmitAfterEviction,
    Refuse(Refusal),
}

/// How a client is refused.
#[derive(Debug)]
pub(crate) enum Refused<'a> {
    /// These bytes are sent, and the client may linger for a moment: [`Admission::refused_left`] follows.
    LastWords(&'a [u8], Reason),
    /// It is closed at once.
    Closed(End),
}

impl Admission {
    /// By these limits, for at most `slots_max` clients, refused ones included.
    pub(crate) fn new(limits: &Limits, slots_max: u32) -> Self {
        let refusals_max = limits.refusals_max.min(slots_max / 2);
        Admission {
            clients_max: limits.clients_max.min(slots_max - refusals_max),
            per_address_max: limits.clients_per_address_max,
            refusals_max,
            overflow: limits.overflow,
            pause_ms: limits.accept_pause_ms.max(1),
            clients: 0,
            refused: 0,
            addresses: ClientsPerAddress::default(),
            accepting: AcceptState::Open,
            failures: AcceptFailures::default(),
        }
    }

    /// Makes room for the addresses of this many clients, so that no turn has to copy a table to grow it.
    pub(crate) fn reserve(&mut self, clients: usize) {
        if self.per_address_max > 0 {
            self.addresses.reserve(clients);
        }
    }

    /// Clients that were admitted and have not ended.
    pub(crate) fn clients(&self) -> u32 {
        self.clients
    }

    /// How many more clients can enter, whatever their address; 0 if that is not known.
    pub(crate) fn has_room_for(&self) -> u32 {
        if self.per_address_max > 0 { 0 } else { self.clients_max.saturating_sub(self.clients) }
    }

    fn is_full(&self) -> bool {
        self.clients >= self.clients_max
    }

    /// Whether to accept now.
    pub(crate) fn is_open(&self) -> bool {
        self.accepting == AcceptState::Open && !(self.overflow == Overflow::Wait && self.is_full())
    }

    /// When a pause in accepting ends at the latest; `None` if there is no pause.
    pub(crate) fn resumes_at_ms(&self) -> Option<u64> {
        match self.accepting {
            AcceptState::Paused { until_ms } => Some(until_ms),
            AcceptState::Open => None,
        }
    }

    /// Ends a pause whose time is over.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        if self.resumes_at_ms().is_some_and(|until_ms| until_ms <= now_ms) {
            self.accepting = AcceptState::Open;
        }
    }

    /// Accepts one client, and counts it or the failure in `telemetry`. `now_ms` is called only after a
    /// failure, because accept(2) may have waited.
    pub(crate) fn accept(
        &mut self,
        listener: &Listener,
        mode: SocketMode,
        telemetry: &mut Telemetry,
        now_ms: impl FnOnce() -> u64,
    ) -> AcceptOutcome {
        let accepted = match mode {
            SocketMode::Nonblocking => listener.accept(),
            SocketMode::Blocking => listener.accept_blocking(),
        };
        let error = match accepted {
            Ok((fd, addr)) => {
                telemetry.accepted();
                self.failures.reset(listener);
                return AcceptOutcome::Accepted(Accepted { fd, peer: addr.map_or(Peer::UNIX, Peer::from) });
            }
            Err(error) => error,
        };
        let now_ms = now_ms();
        match self.failures.after(listener, &error, now_ms) {
            AfterFailure::Empty => AcceptOutcome::Empty,
            AfterFailure::EmptyWithoutWaiting => AcceptOutcome::EmptyWithoutWaiting,
            AfterFailure::Interrupted => AcceptOutcome::Retry,
            AfterFailure::Lost => {
                telemetry.accept_failed();
                AcceptOutcome::Retry
            }
            AfterFailure::Pause => {
                telemetry.accept_failed();
                self.accepting = AcceptState::Paused { until_ms: now_ms + u64::from(self.pause_ms) };
                AcceptOutcome::Paused
            }
        }
    }

    /// Decides about a client from this address.
    pub(crate) fn decide(&self, peer: Peer) -> AdmissionDecision {
        if self.per_address_max > 0 && self.addresses.count(peer) >= self.per_address_max {
            AdmissionDecision::Refuse(Refusal::TooManyFromAddress)
        } else if !self.is_full() {
            AdmissionDecision::Admit
        } else if self.overflow == Overflow::Evict {
            AdmissionDecision::AdmitAfterEviction
        } else {
            AdmissionDecision::Refuse(Refusal::TooManyClients)
        }
    }

    /// A client is served from now on.
    pub(crate) fn enter(&mut self, peer: Peer) {
        self.clients += 1;
        if self.per_address_max > 0 {
            self.addresses.enter(peer);
        }
    }

    /// Sets the address of a client that entered without one, as [`Peer::UNIX`]. Returns whether one more
    /// client from this address may stay.
    pub(crate) fn learn_address(&mut self, peer: Peer) -> bool {
        if self.per_address_max == 0 {
            return true;
        }
        let may_stay = self.addresses.count(peer) < self.per_address_max;
        if may_stay {
            self.addresses.enter(peer);
        }
        may_stay
    }

    /// A client that had entered has ended. Its descriptor is free, so accepting may go on.
    pub(crate) fn leave(&mut self, peer: Peer) {
        self.clients -= 1;
        if self.per_address_max > 0 {
            self.addresses.leave(peer);
        }
        self.accepting = AcceptState::Open;
    }

    /// Refuses a client: with the service's last words, if there are any and one more refused client may
    /// linger. A client of a listener with layers is closed at once: it could read the words only after a
    /// handshake, which is not worth its cost.
    pub(crate) fn refuse<'s, S: Service>(
        &mut self,
        served: &'s ListenerService<S>,
        peer: Peer,
        why: Refusal,
    ) -> Refused<'s> {
        if served.layers.is_empty() {
            self.last_words(&served.service, peer, why)
        } else {
            Refused::Closed(unserved(Reason::from(why), peer))
        }
    }

    /// The same for a client whose layers have finished their handshakes.
    pub(crate) fn last_words<'s, S: Service>(
        &mut self,
        service: &'s S,
        peer: Peer,
        why: Refusal,
    ) -> Refused<'s> {
        let Ok(words) = panic::catch_unwind(AssertUnwindSafe(|| service.refusal(why))) else {
            log::error!("{peer}: the service panicked in its refusal; the client ends");
            return Refused::Closed(unserved(Reason::Panicked, peer));
        };
        if words.is_empty() || self.refused >= self.refusals_max {
            return Refused::Closed(unserved(Reason::from(why), peer));
        }
        self.refused += 1;
        Refused::LastWords(words, Reason::from(why))
    }

    /// A refused client that lingered has ended. Its descriptor is free, so accepting may go on.
    pub(crate) fn refused_left(&mut self) {
        self.refused -= 1;
        self.accepting = AcceptState::Open;
    }
}

/// The end of a client that was accepted and got no session.
pub(crate) fn unserved(reason: Reason, peer: Peer) -> End {
    End { reason, peer, bytes_in: 0, bytes_out: 0, lasted_ms: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{ClientInfo, Input, Outbox, Progress, Session};

    fn admission(overflow: Overflow) -> Admission {
        let limits = Limits {
            clients_max: 3,
            clients_per_address_max: 2,
            refusals_max: 1,
            overflow,
            ..Limits::default()
        };
        Admission::new(&limits, u32::MAX)
    }

    fn peer(host: u8) -> Peer {
        Peer::from(std::net::SocketAddr::from(([192, 0, 2, host], 1)))
    }

    #[test]
    fn the_limit_per_address_is_asked_first_and_each_end_makes_room() {
        let mut admission = admission(Overflow::Refuse);
        admission.enter(peer(1));
        admission.enter(peer(1));
        assert_eq!(admission.decide(peer(1)), AdmissionDecision::Refuse(Refusal::TooManyFromAddress));
        assert_eq!(admission.decide(peer(2)), AdmissionDecision::Admit);
        admission.enter(peer(2));
        assert_eq!(admission.decide(peer(1)), AdmissionDecision::Refuse(Refusal::TooManyFromAddress));
        assert_eq!(admission.decide(peer(3)), AdmissionDecision::Refuse(Refusal::TooManyClients));
        admission.leave(peer(1));
        assert_eq!(admission.decide(peer(1)), AdmissionDecision::Admit);
    }

    #[test]
    fn a_full_server_refuses_evicts_or_does_not_accept_as_the_overflow_policy_says() {
        let full = |overflow| {
            let mut admission = admission(overflow);
            (1..=3).for_each(|host| admission.enter(peer(host)));
            (admission.is_open(), admission.decide(peer(4)))
        };
        assert_eq!(full(Overflow::Refuse), (true, AdmissionDecision::Refuse(Refusal::TooManyClients)));
        assert_eq!(full(Overflow::Evict), (true, AdmissionDecision::AdmitAfterEviction));
        assert!(!full(Overflow::Wait).0, "the others wait in the backlog");
    }

    #[test]
    fn a_pause_ends_with_its_time_or_with_a_client() {
        let mut admission = admission(Overflow::Refuse);
        admission.enter(peer(1));
        let pause = |admission: &mut Admission| admission.accepting = AcceptState::Paused { until_ms: 100 };
        pause(&mut admission);
        admission.tick(99);
        assert!(!admission.is_open());
        admission.tick(100);
        assert!(admission.is_open());
        pause(&mut admission);
        admission.leave(peer(1));
        assert!(admission.is_open());
    }

    #[derive(Clone)]
    struct Refuses(&'static [u8]);

    impl Service for Refuses {
        type Session = Silent;

        fn open(&self, _client: &ClientInfo<'_>) -> Silent {
            panic!("the test's own panic")
        }

        fn refusal(&self, _why: Refusal) -> &[u8] {
            self.0
        }
    }

    struct Silent;

    impl Session for Silent {
        fn advance(&mut self, input: Input<'_>, _out: &mut Outbox) -> Progress {
            Progress::finish(input.bytes.len())
        }
    }

    #[test]
    fn at_most_refusals_max_clients_linger_for_last_words_and_a_service_without_words_closes() {
        let mut admission = admission(Overflow::Refuse);
        let mut refuse = |words| match admission.last_words(&Refuses(words), peer(1), Refusal::TooManyClients)
        {
            Refused::LastWords(..) => "words",
            Refused::Closed(end) => {
                assert_eq!(end.reason, Reason::from(Refusal::TooManyClients));
                "closed"
            }
        };
        assert_eq!([refuse(b""), refuse(b"full"), refuse(b"full")], ["closed", "words", "closed"]);
        admission.refused_left();
        assert!(matches!(
            admission.last_words(&Refuses(b"full"), peer(1), Refusal::TooManyClients),
            Refused::LastWords(..)
        ));
    }
}
