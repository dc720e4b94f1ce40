//! The product's own way to serve: one thread, one [`mio::Poll`], a slab of connections.
//!
//! One turn of the loop, in this order:
//!
//! ```text
//! wait    poll until the nearest deadline; zero if work is left over; EINTR is no error
//! latch   events only set `ready` bits and enqueue: no I/O, nothing is freed here
//! signal  stop, drain, reopen
//! pump    each runnable connection within its budget; what is left goes to the back of the queue; if the buffers of all
//!         have become too large, who has the largest ends
//! expire  deadlines, after I/O: bytes that came in time win
//! reap    deregister, drop, free slots
//! accept  last, in a batch: it uses slots just freed, and no event of this batch can meet them; each is moved on at once,
//!         and watched if it wants more
//! ```

mod accept;
mod clients;

mod drain;
mod lag;
mod token;
mod wakes;

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use slab::Slab;

use crate::admission::{Admission, IdleOrder, LoopBuffers};
use crate::connection::{Connection, Polled, Scratch, WaitTimeouts};
use crate::limits::{Limits, Overflow};
use crate::session::{Maintenance, Now, Service, Session};
use crate::sys::signals::Signals;
use crate::sys::{Address, ListenOptions, Listener};
use crate::telemetry::{Reason, Telemetry};
use crate::time::{Deadlines, Link, ServerClock};
use accept::{Backlog, ListenerSlot};

pub use drain::Summary;
pub use lag::Lag;
use token::{CLIENTS_MAX, ConnId, LISTENERS_MAX, Name};
pub use wakes::Handle;
use wakes::{StopWish, Wakes};

/// Clients for whom there is room in the tables from the start, so that no turn copies a table that has become too small. Of a
/// table only what is used becomes memory; more clients than these make it grow.
const CLIENTS_RESERVED_MAX: usize = 1 << 20;

/// A turn that takes longer than this is told: every other client waited.
const LAG_WARNING: Duration = Duration::from_millis(100);

/// A server: listeners and clients of one service (or of a closed enum of services) in one loop.
pub struct Reactor<S: Service> {
    poll: Poll,
    events: Events,
    limits: Limits,
    /// How much of it the last wait told.
    told: Told,
    clock: ServerClock,
    listeners: Vec<ListenerSlot<S>>,
    /// By listener; it outlives the listener, because clients do.
    timeouts: Vec<WaitTimeouts>,
    clients: Slab<Slot<S::Session>>,
    generation: u32,
    /// Who has something to do, in order.
    runnable: VecDeque<ConnId>,
    deadlines: Deadlines,
    /// Who is to be freed.
    ended: Vec<u32>,
    idle: Option<IdleOrder>,
    buffers: LoopBuffers,
    admission: Admission,
    /// The listener whose clients are taken first.
    accept_first: usize,
    wakes: Arc<Wakes>,
    woken: Vec<ConnId>,
    wish_seen: StopWish,
    signals: Option<Signals>,
    signals_latched: bool,
    state: State,
    cut: u64,
    scratch: Scratch,
    telemetry: Telemetry,
    maintenance: Maintenance,
    lag: Lag,
}

/// The life of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving,
    /// No listeners any more but for those who wait for a place; who is still there at the deadline is cut.
    Draining {
        due_ms: u64,
    },
    Stopped,
}

/// How much of what is ready a wait told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    All,
    /// It was interrupted, or there was no room for more events: before a client is judged by the clock, there is more to see.
    Part,
}

/// One slot of the slab.
pub(super) struct Slot<S> {
    connection: Connection<S, Polled>,
    generation: u32,
    listener: u16,
    tenant: Tenant,
    place: Place,
}

impl<S: Session> Slot<S> {
    /// Whether its deadline, which was filed, is to be looked at: that of one with more to read, too.
    fn is_to_be_judged(&self, now: Now) -> bool {
        match self.place {
            Place::Waiting => true,
            Place::Runnable => {
                self.connection.is_reading() && self.connection.deadline_ms() <= now.monotonic_ms
            }
            Place::Ended(_) => false,
        }
    }
}

/// What a slot counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tenant {
    Client,
    Refused,
}

/// Where a client is in the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// For an event, a wake or its deadline.
    Waiting,
    /// In the run queue.
    Runnable,
    /// To be freed.
    Ended(Reason),
}

impl Place {
    fn enqueue(&mut self, id: ConnId, runnable: &mut VecDeque<ConnId>) {
        if *self == Place::Waiting {
            *self = Place::Runnable;
            runnable.push_back(id);
        }
    }
}

/// What one slot of the slab costs with sessions of type `S`, in bytes, its links in the timer wheel and the size of its
/// buffers included: what an idle client costs in this process.
pub const fn slot_bytes<S>() -> usize {
    // A slab entry is the slot or the number of the next vacant one.
    size_of::<(Option<Slot<S>>, Link)>() + size_of::<u32>()
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It does: call [`Reactor::turn`] again.
    GoesOn,
    /// It was stopped, or has drained.
    Stopped,
}

impl<S: Service> Reactor<S> {
    /// A reactor without listeners. To be made after any fork: a poll must not be shared by processes.
    pub fn new(limits: Limits) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), Name::Waker.token())?;
        let room = Self::reserved(&limits);
        let mut admission = Admission::new(&limits, CLIENTS_MAX);
        admission.reserve(room);
        Ok(Reactor {
            events: Events::with_capacity(limits.events_per_turn_max.max(1) as usize),
            told: Told::All,
            clock: ServerClock::start(),
            listeners: Vec::new(),
            timeouts: Vec::new(),
            clients: Slab::with_capacity(room),
            generation: 0,
            runnable: VecDeque::with_capacity(room),
            deadlines: Deadlines::with_capacity(room),
            ended: Vec::with_capacity(room),
            idle: (limits.overflow == Overflow::Evict).then(|| IdleOrder::with_capacity(room)),
            buffers: LoopBuffers::new(limits.buffers_bytes_max, room),
            admission,
            accept_first: 0,
            wakes: Arc::new(Wakes::new(waker)),
            woken: Vec::new(),
            wish_seen: StopWish::None,
            signals: None,
            signals_latched: false,
            state: State::Serving,
            cut: 0,
            scratch: Scratch::new(&limits),
            telemetry: Telemetry::new(),
            maintenance: Maintenance::default(),
            lag: Lag::default(),
            poll,
            limits,
        })
    }

    /// For how many clients there is room from the start: all that the limits allow, as far as the system grants the space.
    fn reserved(limits: &Limits) -> usize {
        let clients = limits.clients_max.saturating_add(limits.refusals_max) as usize;
        let mut room = clients.min(CLIENTS_RESERVED_MAX);
        // Tables would abort the process where this only fails.
        let client_bytes = 2 * slot_bytes::<S::Session>();
        while room > 0 && Vec::<u8>::new().try_reserve_exact(room.saturating_mul(client_bytes)).is_err() {
            room /= 2;
        }
        room
    }

    /// Listens at `address` (`127.0.0.1:7007`, `[::1]:0`, `unix:./echo.sock`) and serves `service` there; returns the
    /// address with the real port.
    ///
    /// # Errors
    /// `InvalidInput` if the address cannot be read; else what kept it from listening, in words and as the system's kind
    /// (`AddrInUse`).
    pub fn bind(&mut self, address: &str, service: S) -> io::Result<Address> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let address: Address = address.parse().map_err(invalid)?;
        let options = ListenOptions { backlog: self.limits.backlog, ..ListenOptions::default() };
        let listener = Listener::bind(&address, &options).map_err(|error| {
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            io::Error::new(source.map_or(io::ErrorKind::Other, io::Error::kind), error)
        })?;
        let local = listener.local_addr().clone();
        self.listen(listener, service)?;
        Ok(local)
    }

    /// Serves `service` to the clients of `listener`.
    ///
    /// # Errors
    /// `InvalidInput` once the loop drains or has stopped, and beyond 32,768 listeners; else those of the system.
    pub fn listen(&mut self, listener: Listener, service: S) -> io::Result<()> {
        if self.state != State::Serving || self.listeners.len() >= LISTENERS_MAX as usize {
            let why = "the loop takes no more listeners: it drains, or has as many as it can name";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let name = Name::Listener(self.listeners.len());
        listener.set_nonblocking(true)?;
        if service.client_speaks_first() {
            listener.clients_speak_first();
        }
        let fd = listener.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), name.token(), Interest::READABLE)?;
        self.timeouts.push(WaitTimeouts::new(&service, &self.limits));
        if service.wakes() {
            let room = Self::reserved(&self.limits);
            self.wakes.reserve(room);
            self.woken.reserve(room);
        }
        self.listeners.push(ListenerSlot::new(listener, service));
        Ok(())
    }

    /// The addresses listened at, in the order in which they were added, with real ports.
    pub fn local_addrs(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().map(|slot| slot.listener.local_addr())
    }

    /// The address of the first listener, with the real port.
    pub fn local_addr(&self) -> Option<&Address> {
        self.local_addrs().next()
    }

    /// A handle that drains or stops the loop from elsewhere.
    pub fn handle(&self) -> Handle {
        Handle { wakes: Arc::clone(&self.wakes) }
    }

    /// Writes ends and answers to `telemetry` from now on.
    pub fn set_telemetry(&mut self, telemetry: Telemetry) {
        self.telemetry = telemetry;
        if let Some(signals) = &self.signals {
            self.telemetry.watch_signals(signals.counts());
        }
    }

    /// Obeys signals: SIGTERM and SIGINT drain, and stop when they come again; SIGHUP reopens the access log, and drains
    /// when the terminal closes ([`Signals::reopen_on_hangup`] is for an access log in a file); SIGUSR1 reports counters to the
    /// log.
    pub fn watch_signals(&mut self, signals: Signals) -> io::Result<()> {
        let fd = signals.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), Name::Signals.token(), Interest::READABLE)?;
        self.telemetry.watch_signals(signals.counts());
        self.signals = Some(signals);
        self.signals_latched = true; // one may have come before
        Ok(())
    }

    /// Turns until it is stopped, or has drained.
    ///
    /// # Errors
    /// Only those of the poll itself: an error of a client is that client's.
    pub fn run(&mut self) -> io::Result<Summary> {
        let mut ended = Instant::now();
        loop {
            let turn;
            (turn, ended) = self.turn_from(ended, None)?;
            if turn == Turn::Stopped {
                return Ok(self.summary());
            }
        }
    }

    /// One turn. It waits at most `wait_max` (`None`: until something happens). To live inside another loop, watch the
    /// reactor's descriptor there, and call this with a wait of zero when it is readable and after
    /// [`Reactor::wait_max`].
    pub fn turn(&mut self, wait_max: Option<Duration>) -> io::Result<Turn> {
        let (turn, _) = self.turn_from(Instant::now(), wait_max)?;
        // The wait may go on elsewhere: a call that comes before the next turn has to show at the descriptor.
        self.wakes.may_wait();
        Ok(turn)
    }

    /// A turn that begins at `begins`; also says when it ended. In steady state the clock is read twice a turn.
    fn turn_from(&mut self, begins: Instant, wait_max: Option<Duration>) -> io::Result<(Turn, Instant)> {
        self.wait(begins, wait_max)?;
        self.go_on(Instant::now())
    }

    /// What follows the wait, which ended at `woke`.
    fn go_on(&mut self, woke: Instant) -> io::Result<(Turn, Instant)> {
        let now = self.clock.at(woke);
        self.latch();
        self.take_wakes();
        self.obey(now);
        self.pump(now);
        self.expire(now)?;
        self.reap(now);
        self.accept(now);
        self.reap(now); // whose buffers were the largest when the accepted ones came
        self.buffers.forget_candidates();
        self.end_drain(now);
        self.telemetry.tick(now.monotonic_ms);
        self.maintenance.run_due(self.listeners.iter().map(|slot| &slot.service), now);
        let ended = Instant::now();
        self.note_lag(ended - woke);
        Ok((if self.state == State::Stopped { Turn::Stopped } else { Turn::GoesOn }, ended))
    }

    /// How long the next turn may wait for events; zero if work is left over, `None` if only an event brings any.
    pub fn wait_max(&self) -> Option<Duration> {
        if self.wakes.is_called() { Some(Duration::ZERO) } else { self.wait_max_at(Instant::now()) }
    }

    fn wait_max_at(&self, now: Instant) -> Option<Duration> {
        // Who watches the descriptor for edges is not told again of events that did not fit into the last turn.
        let has_more = self.told == Told::Part || self.signals_latched || !self.runnable.is_empty();
        if has_more || self.wants_accept() || self.state == State::Stopped {
            return Some(Duration::ZERO);
        }
        let pause_ms = self.admission.resumes_at_ms();
        let drain_ms = match self.state {
            State::Draining { due_ms } => Some(due_ms),
            State::Serving | State::Stopped => None,
        };
        let maintenance_ms = self.maintenance.due_ms(self.listeners.iter().map(|slot| &slot.service));
        let next_ms = [self.deadlines.next_ms(), self.telemetry.due_ms(), maintenance_ms, pause_ms, drain_ms]
            .into_iter()
            .flatten()
            .min()?;
        Some(Duration::from_millis(next_ms.saturating_sub(self.clock.ms(now))))
    }

    fn wait(&mut self, now: Instant, wait_max: Option<Duration>) -> io::Result<()> {
        let own = if self.wakes.may_wait() { self.wait_max_at(now) } else { Some(Duration::ZERO) };
        let timeout = match (own, wait_max) {
            (Some(own), Some(max)) => Some(own.min(max)),
            (own, max) => own.or(max),
        };
        self.look(timeout)
    }

    /// Asks the poll who is ready.
    fn look(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.told = Told::All; // until `latch` finds the events full
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                self.told = Told::Part;
                Ok(())
            }
            polled => polled,
        }
    }

    /// Listeners and signals are read until nothing is left. mio's poll(2) selector forgets an interest with its event, and
    /// is told again then.
    fn renew(&self, fd: RawFd, name: Name) {
        if cfg!(mio_unsupported_force_poll_poll)
            && let Err(error) =
                self.poll.registry().reregister(&mut SourceFd(&fd), name.token(), Interest::READABLE)
        {
            log::error!("{name:?} can no longer be watched: {error}");
        }
    }

    fn note_lag(&mut self, turn: Duration) {
        self.lag.record(turn);
        if turn > LAG_WARNING {
            log::warn!("a turn took {} ms, in which {} clients waited", turn.as_millis(), self.clients.len());
        }
    }
}

/// The poll's own descriptor: readable when a turn has something to do. mio's poll(2) selector has none.
#[cfg(not(mio_unsupported_force_poll_poll))]
impl<S: Service> AsRawFd for Reactor<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

/// An unfinished access log is written, and clients that are still there are counted as cut.
impl<S: Service> Drop for Reactor<S> {
    fn drop(&mut self) {
        self.cut_all(self.clock.now());
        self.telemetry.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::services::Echo;
    use crate::telemetry::Reason;

    #[test]
    fn at_the_end_of_each_turn_the_buffers_are_within_the_bound_and_what_is_counted_is_what_is_held() {
        const CLIENTS: usize = 60;
        const BYTES_MAX: u64 = 128 << 10;
        let limits = Limits { buffers_bytes_max: BYTES_MAX, ..Limits::default() };
        let directory = tempfile::tempdir().unwrap();
        let address = format!("unix:{}", directory.path().join("echo.sock").display());
        let mut reactor = Reactor::new(limits).unwrap();
        reactor.bind(&address, Echo).unwrap();
        let connect = || {
            let client = UnixStream::connect(&address["unix:".len()..]).unwrap();
            client.set_nonblocking(true).unwrap();
            client
        };
        let mut clients: Vec<UnixStream> = (0..CLIENTS).map(|_| connect()).collect();
        let mut most_bytes = 0;
        // Bound: the kernel takes about 200 KiB of what each sends and does not read.
        for _ in 0..100 {
            for client in &mut clients {
                let _ = client.write(&[7; 8 << 10]);
            }
            reactor.turn(Some(Duration::ZERO)).unwrap();
            let held = reactor.clients.iter().map(|(_, slot)| slot.connection.memory_bytes() as u64);
            assert_eq!(reactor.buffers.sum_bytes(), held.sum::<u64>());
            assert!(reactor.buffers.sum_bytes() <= BYTES_MAX, "{:?}", reactor.buffers);
            most_bytes = most_bytes.max(reactor.buffers.sum_bytes());
        }
        let gone = reactor.summary().counters.of(Reason::BuffersFull);
        assert!(most_bytes > BYTES_MAX / 2 && gone > 30, "{most_bytes} bytes, {gone} gone");
        assert_eq!(reactor.clients.len() as u64 + gone, CLIENTS as u64);
    }
}
