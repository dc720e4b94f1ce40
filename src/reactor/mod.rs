//! One loop for all clients: one thread, one `mio::Poll`, a slab of connections.
//!
//! One turn of the loop, in this order:
//!
//! ```text
//! wait    poll until the nearest deadline; do not wait if work is left over; EINTR is not an error
//! latch   events only set ready bits and enqueue clients: no I/O, nothing is freed
//! signal  stop, drain, reopen
//! pump    each runnable client within its budget; unfinished ones go to the back of the queue
//! expire  deadlines, after I/O: bytes that came in time win
//! reap    deregister, drop, free slots
//! accept  last, in a batch: freed slots are reused, and no event of this turn can reach a new client
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `clients` | the slab, the run queue, deadlines: pump, expire, reap |
//! | `endpoints` | listeners, signals and calls from other code: accept |
//! | `control` | serving, draining, stopped |
//! | `offload` | threads beside the loop, for slow work |
//! | `poller` | the poll and the events of its last wait |

mod clients;
mod control;
mod endpoints;
mod lag;
mod offload;
mod poller;
mod summary;
mod token;
mod wakes;

use std::error::Error;
use std::io;
#[cfg(not(mio_unsupported_force_poll_poll))]
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::{Admission, ListenerService};
use crate::connection::ListenerLayers;
use crate::limits::Limits;
use crate::session::{Maintenance, Now, Service};
use crate::sys::signals::Signals;
use crate::sys::{Address, ListenOptions, Listener};
use crate::telemetry::Telemetry;
use crate::time::{ServerClock, in_words};
pub use clients::slot_bytes;
use clients::{Clients, TurnContext};
use control::{Control, ControlCommand};
use endpoints::Endpoints;
pub use lag::Lag;
use offload::Offloader;
use poller::Poller;
pub use summary::Summary;
use token::{CLIENTS_MAX, Source};
pub use wakes::Handle;

/// A turn that takes longer than this is logged: every other client waited.
const LAG_WARNING: Duration = Duration::from_millis(100);

/// Extra waits: for signals and wakers, for the final wait that finds nothing, and for EINTR.
const REST_WAITS: usize = 8;

/// A server: listeners and clients of one service (or of a closed enum of services) in one loop.
///
/// ```
/// use oneloop::limits::Limits;
/// use oneloop::reactor::Reactor;
/// use oneloop::services::Echo;
///
/// # fn main() -> std::io::Result<()> {
/// let mut reactor = Reactor::new(Limits::default())?;
/// println!("listening on {}", reactor.bind("127.0.0.1:0", Echo)?);
/// # reactor.handle().drain();
/// let summary = reactor.run()?; // until a handle or a signal stops it
/// println!("{summary}");
/// # Ok(())
/// # }
/// ```
pub struct Reactor<S: Service> {
    limits: Limits,
    clock: ServerClock,
    poller: Poller,
    endpoints: Endpoints<S>,
    clients: Clients<S>,
    admission: Admission,
    control: Control,
    telemetry: Telemetry,
    maintenance: Maintenance,
    offloader: Arc<Offloader>,
    lag: Lag,
    /// When the last turn ended.
    turn_ended: Instant,
}

/// What the phases of a turn work on, borrowed apart.
struct Parts<'a, S: Service> {
    endpoints: &'a mut Endpoints<S>,
    clients: &'a mut Clients<S>,
    poller: &'a Poller,
    turn: TurnContext<'a>,
}

/// Where the loop stands after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It takes new clients: call [`Reactor::turn`] again.
    Serving,
    /// It answers what has arrived, and ends: call [`Reactor::turn`] again.
    Draining,
    /// It was stopped, or has drained.
    Stopped,
}

impl<S: Service> Reactor<S> {
    /// A reactor without listeners. To be made after any fork: a poll must not be shared by processes.
    pub fn new(limits: Limits) -> io::Result<Self> {
        let poller = Poller::new(limits.events_per_turn_max)?;
        let reserved = Clients::<S>::to_reserve(&limits);
        let mut admission = Admission::new(&limits, CLIENTS_MAX);
        admission.reserve(reserved);
        let endpoints = Endpoints::new(&poller)?;
        let (wakes, offloader) = (Arc::clone(endpoints.wakes()), Arc::new(Offloader::new()));
        Ok(Reactor {
            clock: ServerClock::start(),
            clients: Clients::new(&limits, reserved, wakes, Arc::clone(&offloader) as Arc<_>),
            endpoints,
            poller,
            admission,
            control: Control::new(),
            telemetry: Telemetry::new(),
            maintenance: Maintenance::default(),
            offloader,
            lag: Lag::default(),
            turn_ended: Instant::now(),
            limits,
        })
    }

    /// Listens at `address` (`127.0.0.1:7007`, `[::1]:0`, `unix:./echo.sock`) and serves `service` there;
    /// returns the address with the real port.
    ///
    /// # Errors
    /// `InvalidInput` if the address is not valid; otherwise the reason why it cannot listen, in words and as
    /// the system's kind (`AddrInUse`).
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
    /// `InvalidInput` once the loop drains or has stopped, and beyond 32,768 listeners; otherwise those of
    /// the system.
    pub fn listen(&mut self, listener: Listener, service: S) -> io::Result<()> {
        self.listen_with(listener, service, ListenerLayers::none())
    }

    /// The same with byte layers between the service and the stream of each client.
    ///
    /// # Errors
    /// As for [`Reactor::listen`].
    pub fn listen_with(&mut self, listener: Listener, service: S, layers: ListenerLayers) -> io::Result<()> {
        if !self.control.is_serving() || self.endpoints.is_full() {
            let why = "the loop takes no more listeners: it drains, or has as many as it can name";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let wakes = service.wakes();
        let served = ListenerService::new(&listener, service.clone(), layers, &self.limits);
        self.endpoints.add_listener(listener, service, &self.poller)?;
        self.clients.add_listener(served);
        if wakes {
            self.endpoints.reserve_wakes(Clients::<S>::to_reserve(&self.limits));
        }
        Ok(())
    }

    /// The addresses of the listeners, in the order in which they were added, with real ports.
    pub fn local_addrs(&self) -> impl Iterator<Item = &Address> {
        self.endpoints.listeners().map(Listener::local_addr)
    }

    /// The address of the first listener, with the real port.
    pub fn local_addr(&self) -> Option<&Address> {
        self.local_addrs().next()
    }

    /// A handle that drains or stops the loop from other code.
    pub fn handle(&self) -> Handle {
        Handle { wakes: Arc::clone(self.endpoints.wakes()) }
    }

    /// Counts ends and answers in `telemetry` from now on.
    pub fn set_telemetry(&mut self, telemetry: Telemetry) {
        self.telemetry = telemetry;
        if let Some(signals) = self.endpoints.signals() {
            self.telemetry.watch_signals(signals.counts());
        }
    }

    /// Handles signals: SIGTERM and SIGINT drain, and stop when they come again; SIGHUP reopens the access
    /// log, and drains when the terminal closes ([`Signals::reopen_on_hangup`] is for telemetry with a file);
    /// SIGUSR1 writes the counters to the log.
    pub fn watch_signals(&mut self, signals: Signals) -> io::Result<()> {
        self.telemetry.watch_signals(signals.counts());
        self.endpoints.watch_signals(signals, &self.poller)
    }

    /// What has happened so far.
    pub fn summary(&self) -> Summary {
        Summary {
            open: self.clients.len(),
            lag: Some(self.lag.clone()),
            ..Summary::of_counters(self.telemetry.counters.clone())
        }
    }

    /// Turns until it is stopped, or has drained.
    ///
    /// # Errors
    /// Only those of the poll itself: an error of a client is that client's.
    pub fn run(&mut self) -> io::Result<Summary> {
        while self.turn_within(None)? != Turn::Stopped {}
        Ok(self.summary())
    }

    /// One turn. It waits at most `wait_max` (`None`: until something happens).
    ///
    /// To live inside another loop, watch the reactor's descriptor there, and call this with a wait of zero
    /// when it is readable and after [`Reactor::wait_max`]:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use oneloop::{limits::Limits, reactor::{Reactor, Turn}, services::Echo};
    /// # fn main() -> std::io::Result<()> {
    /// # let mut reactor = Reactor::new(Limits::default())?;
    /// # reactor.bind("127.0.0.1:0", Echo)?;
    /// # reactor.handle().drain();
    /// while reactor.turn(Some(Duration::ZERO))? != Turn::Stopped {
    ///     let wait_max = reactor.wait_max();
    ///     // wait for the descriptor of the reactor, and for others, at most `wait_max`
    /// #   assert_eq!(wait_max, Some(Duration::ZERO));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A turn measures its wait from the end of the previous one: time that passes between two turns delays
    /// deadlines by as much.
    pub fn turn(&mut self, wait_max: Option<Duration>) -> io::Result<Turn> {
        let turn = self.turn_within(wait_max)?;
        // The caller may wait at the descriptor: a wake before the next turn must make it readable.
        self.endpoints.wakes().may_wait();
        Ok(turn)
    }

    /// One turn. The clock is read twice: after the wait, and at the end.
    fn turn_within(&mut self, wait_max: Option<Duration>) -> io::Result<Turn> {
        self.wait(wait_max)?;
        let woke = Instant::now();
        let now = self.clock.at(woke);
        self.work(now)?;
        self.turn_ended = Instant::now();
        self.note_lag(self.turn_ended - woke);
        Ok(self.control.turn())
    }

    /// What a turn does after its wait.
    fn work(&mut self, now: Now) -> io::Result<()> {
        self.latch();
        self.take_wakes();
        self.handle_signals(now);
        let Parts { clients, mut turn, .. } = self.parts(now);
        clients.pump(&mut turn);
        self.expire(now)?;
        let Parts { endpoints, clients, poller, mut turn } = self.parts(now);
        clients.reap(&mut turn);
        endpoints.accept(clients, poller, &mut turn);
        clients.reap(&mut turn); // clients with the largest buffers, after those of the accepted ones came
        clients.end_turn();
        self.end_drain(now);
        self.telemetry.tick(now.monotonic_ms);
        self.maintenance.run_due(self.endpoints.services(), now);
        Ok(())
    }

    fn wait(&mut self, wait_max: Option<Duration>) -> io::Result<()> {
        let own_max = if self.endpoints.wakes().may_wait() {
            self.wait_max_at(self.turn_ended)
        } else {
            Some(Duration::ZERO)
        };
        let timeout = match (own_max, wait_max) {
            (Some(own), Some(max)) => Some(own.min(max)),
            (own, max) => own.or(max),
        };
        self.poller.wait(timeout)
    }

    /// How long the next turn may wait for events; zero if work is left over, `None` if only an event brings
    /// any.
    pub fn wait_max(&self) -> Option<Duration> {
        if self.endpoints.wakes().is_called() {
            Some(Duration::ZERO)
        } else {
            self.wait_max_at(Instant::now())
        }
    }

    fn wait_max_at(&self, now: Instant) -> Option<Duration> {
        // A caller that watches the descriptor edge-triggered gets no second edge for events that did not fit
        // into the last turn.
        let has_work = !self.poller.has_seen_all()
            || self.endpoints.has_signals()
            || self.clients.has_runnable()
            || (self.admission.is_open() && self.endpoints.has_backlog());
        if has_work || self.control.is_stopped() {
            return Some(Duration::ZERO);
        }
        let next_ms = [
            self.clients.next_deadline_ms(),
            self.telemetry.due_ms(),
            self.maintenance.due_ms(self.endpoints.services()),
            self.admission.resumes_at_ms(),
            self.control.drain_due_ms(),
        ]
        .into_iter()
        .flatten()
        .min()?;
        Some(Duration::from_millis(next_ms.saturating_sub(self.clock.ms(now))))
    }

    /// The parts of the reactor that the phases of a turn work on.
    fn parts(&mut self, now: Now) -> Parts<'_, S> {
        Parts {
            endpoints: &mut self.endpoints,
            clients: &mut self.clients,
            poller: &self.poller,
            turn: TurnContext {
                now,
                mode: self.control.mode(),
                limits: &self.limits,
                admission: &mut self.admission,
                telemetry: &mut self.telemetry,
            },
        }
    }

    /// Records the readiness from all events and queues their clients: no I/O, and nothing is freed here.
    fn latch(&mut self) {
        let Reactor { poller, clients, endpoints, .. } = self;
        poller.for_each_event(|source, event| match source {
            Source::Client(id) => clients.latch(id, event),
            Source::Listener(index) => endpoints.latch_listener(index),
            Source::Signals => endpoints.latch_signals(),
            Source::Waker => {} // wakes are taken in each turn
        });
    }

    /// Queues the clients that were woken, and keeps what handles ask for.
    fn take_wakes(&mut self) {
        if let Some(request) = self.endpoints.take_wakes(&mut self.clients) {
            self.control.request(request);
        }
    }

    /// Does what signals and handles ask for.
    fn handle_signals(&mut self, now: Now) {
        let arrived = self.endpoints.take_signals(&self.poller);
        if arrived.reopen {
            self.telemetry.reopen_if_asked();
        }
        if arrived.report {
            log::info!("{}", self.summary());
        }
        match self.control.command(arrived.stops) {
            ControlCommand::Nothing => {}
            ControlCommand::Drain => self.drain(now),
            ControlCommand::Stop => self.stop(now),
        }
    }

    /// Judges clients by their deadlines. After I/O: bytes that came in time win, also those that the wait
    /// did not return.
    fn expire(&mut self, now: Now) -> io::Result<()> {
        if self.clients.has_due(now) {
            self.latch_rest()?;
            let Parts { clients, mut turn, .. } = self.parts(now);
            clients.expire(&mut turn);
        }
        Ok(())
    }

    /// Latches events that the wait did not return, and events that came between the wait and the reading of
    /// the clock (the process may have been stopped there). The bound is more waits than all registered
    /// descriptors can fill.
    fn latch_rest(&mut self) -> io::Result<()> {
        let watched = self.clients.len() + self.endpoints.listeners().count();
        for _ in 0..watched / self.poller.events_max() + REST_WAITS {
            self.poller.wait(Some(Duration::ZERO))?;
            self.latch();
            if self.poller.has_seen_all() {
                break;
            }
        }
        Ok(())
    }

    /// Accepts all clients from the backlogs, closes the listeners, and makes every client read once more.
    fn drain(&mut self, now: Now) {
        let drain = Duration::from_millis(self.limits.drain_ms.into());
        log::info!("draining for at most {}; clients: {}", in_words(drain), self.clients.len());
        self.control.start_drain(now.monotonic_ms + u64::from(self.limits.drain_ms));
        let Parts { endpoints, clients, poller, mut turn } = self.parts(now);
        endpoints.drain_backlog(clients, poller, &mut turn);
        clients.read_all_once_more();
    }

    /// Ends a drain: when all clients have ended and none waits to be accepted, or at its deadline.
    fn end_drain(&mut self, now: Now) {
        let Some(due_ms) = self.control.drain_due_ms() else { return };
        self.endpoints.close_if_empty(&self.poller);
        let all_done = self.clients.is_empty() && !self.endpoints.has_listeners();
        if all_done || due_ms <= now.monotonic_ms {
            self.stop(now);
        }
    }

    fn stop(&mut self, now: Now) {
        self.endpoints.close(&self.poller);
        let Parts { clients, mut turn, .. } = self.parts(now);
        clients.cut_all(&mut turn);
        self.control.stop();
        self.telemetry.flush();
    }

    fn note_lag(&mut self, turn: Duration) {
        self.lag.record(turn);
        if turn > LAG_WARNING {
            log::warn!(
                "a turn of the loop took {} ms, while {} clients waited",
                turn.as_millis(),
                self.clients.len()
            );
        }
    }
}

/// The descriptor of the poll: readable when a turn has something to do. mio's selector for poll(2) has no
/// descriptor.
#[cfg(not(mio_unsupported_force_poll_poll))]
impl<S: Service> AsRawFd for Reactor<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.poller.as_raw_fd()
    }
}

/// What waits for the access log is written, and clients that are still open are counted as cut.
impl<S: Service> Drop for Reactor<S> {
    fn drop(&mut self) {
        let now = self.clock.now();
        let Parts { clients, mut turn, .. } = self.parts(now);
        clients.cut_all(&mut turn);
        self.telemetry.flush();
        self.offloader.close();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
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
            let (counted, held) = reactor.clients.buffers_bytes();
            assert_eq!(counted, held);
            assert!(held <= BYTES_MAX, "{held} bytes");
            most_bytes = most_bytes.max(held);
        }
        let gone = reactor.summary().counters.of(Reason::BuffersFull);
        assert!(most_bytes > BYTES_MAX / 2 && gone > 30, "{most_bytes} bytes, {gone} gone");
        assert_eq!(reactor.clients.len() as u64 + gone, CLIENTS as u64);
    }

    /// A process that is stopped right after its wait reads the clock when it continues.
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

        reactor.wait(Some(Duration::ZERO)).unwrap();
        client.write_all(b"in time").unwrap();
        let late = Instant::now() + Duration::from_secs(90);
        for _ in 0..4 {
            let now = reactor.clock.at(late);
            reactor.work(now).unwrap();
            reactor.wait(Some(Duration::ZERO)).unwrap();
        }
        let mut answer = [0; 7];
        client.read_exact(&mut answer).expect("it is answered, not ended");
        assert_eq!(&answer, b"in time");
    }
}
