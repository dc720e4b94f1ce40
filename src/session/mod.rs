//! The contract between a service and the server: the work for a client as a state machine of bytes in, bytes
//! out.
//!
//! A [`Service`] makes a [`Session`] for each client. A session knows no socket, clock or thread: it gets the
//! bytes that have arrived and the time, and returns what it needs next. Therefore the same session runs in a
//! loop, in a child process or in a thread, and can be tested without any of them (see [`rehearsal`]).
//!
//! A result never depends on how the bytes were split on their way (time excluded).

mod answer;
mod mailbox;
mod maintenance;
mod offload;
mod outbox;
pub mod rehearsal;

pub use answer::{AnswerDetail, AnswerInfo, RequestInfo};
pub use mailbox::{Closed, HeapSize, Mailbox, PostError, Sender};
pub(crate) use maintenance::Maintenance;
pub use offload::{Busy, Lane, Offload, Outcome, Ticket};
pub(crate) use offload::{Job, OffloadSource, OffloadTarget, QueueBound};
pub(crate) use outbox::Answers;
pub use outbox::{Content, FileRange, Full, Outbox};
pub(crate) use outbox::{Front, GATHER_MAX, LENT_BYTES_MIN};

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The work for the clients of a listener: it opens a [`Session`] for each.
///
/// Cloned for each listener, child process and thread. Only models with threads need it to be [`Send`]; a
/// [`crate::reactor::Reactor`] also serves one that holds an [`std::rc::Rc`].
///
/// ```
/// use std::time::Duration;
/// use oneloop::session::{ClientInfo, Input, Outbox, Progress, Service, Session};
///
/// /// Sends a greeting and closes.
/// #[derive(Clone)]
/// struct Greeter(&'static str);
///
/// impl Service for Greeter {
///     type Session = Greeter;
///
///     fn open(&self, _client: &ClientInfo<'_>) -> Greeter {
///         self.clone()
///     }
///
///     fn idle_timeout(&self) -> Option<Duration> {
///         Some(Duration::from_secs(5))
///     }
/// }
///
/// impl Session for Greeter {
///     fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
///         match out.put(self.0.as_bytes()) {
///             Ok(()) => Progress::finish(input.bytes.len()),
///             Err(_) => Progress::need_room(0),
///         }
///     }
/// }
///
/// assert_eq!(oneloop::session::rehearsal::answer(&Greeter("hello\n"), &[], true, 4096), b"hello\n");
/// ```
pub trait Service: Clone + 'static {
    /// The state of one client.
    type Session: Session;

    /// Begins the work for one client. Called after `accept`, before the first [`Session::advance`].
    fn open(&self, client: &ClientInfo<'_>) -> Self::Session;

    /// Whether its sessions are woken ([`ClientInfo::waker`]) by each other or by other threads: only models
    /// whose clients share memory can serve it. Must always return the same.
    fn wakes(&self) -> bool {
        false
    }

    /// Last words to a client that gets no session. A panic here ends only this client, without them.
    fn refusal(&self, _why: Refusal) -> &[u8] {
        b""
    }

    /// How long a client may be without a request, in place of the server's limit (`idle_ms`). `None`: the
    /// limit holds; zero: no deadline.
    fn idle_timeout(&self) -> Option<Duration> {
        None
    }

    /// How long the rest of a request may take from its first byte, in place of the server's limit
    /// (`request_ms`). `None`: the limit holds; zero: no deadline.
    fn request_timeout(&self) -> Option<Duration> {
        None
    }

    /// Whether clients always send first, and wait for an answer. Then the system may delay the accept until
    /// the first bytes, or for a second, so that no process is woken for a client that has sent nothing; and
    /// it may acknowledge these bytes with the answer.
    fn client_speaks_first(&self) -> bool {
        false
    }

    /// When [`Service::maintain`] is to be called, in ms of [`Now::monotonic_ms`]; `None` for never. Called
    /// before each wait, so it must be cheap.
    fn maintenance_due_ms(&self) -> Option<u64> {
        None
    }

    /// Does periodic work that belongs to no client, such as closing files that were not requested lately.
    /// Every process and thread with a clone of the service may call it. It must not block for long; a panic
    /// here ends the process or thread.
    fn maintain(&self, _now: Now) {}
}

/// The work for one client: a state machine that is called with what arrived, and answers into an outbox.
///
/// # The contract in ten sentences
///
/// 1. The server calls [`Session::advance`] with the bytes that have arrived and were not consumed, and with
///    the reason of the call; the first call is [`Call::Open`] and has no bytes, so that a service may speak
///    first.
/// 2. The session consumes a prefix of the bytes, puts its answer into the outbox, and returns what it needs
///    next; bytes that are not consumed come again, with later ones, and no answer may depend on how they
///    were split.
/// 3. At each call the outbox is empty, because all that was put has been sent; a put for which there is no
///    room has put nothing, and the session returns [`Next::NeedRoom`] and does it again in the next call.
/// 4. A session that returns [`Next::NeedInput`] is called when bytes come; whether it waits for a request or
///    for the rest of one decides which of the server's deadlines holds ([`Wait`]); when that has passed, it
///    is called once more ([`Call::Expired`]), for its last words.
/// 5. Consumed bytes are complete requests, and begin both deadlines anew, unless the session reports how
///    many of them belong to a request that goes on ([`Progress::with_unfinished`]).
/// 6. A session that returns [`Next::NeedInput`] after the end of input is done: what it has put is sent, and
///    the connection ends.
/// 7. A session that owes an answer which others will bring (a thread, another session, a timer) returns
///    [`Next::Pause`]: nothing is read until a [`Waker`] of the client is used or the timer is due, after the
///    end of input, too; a client that resets the connection ends all the same.
/// 8. A session has one timer, [`Session::timer_due_ms`], which calls it ([`Call::Timer`]) while it waits for
///    input or pauses, and ends nothing; when what a session itself was waiting for did not come in time, it
///    returns [`Next::TimedOut`].
/// 9. When the server drains, the session is called with [`Call::Stopping`] as soon as there is nothing more
///    to read, or at once if it pauses: it finishes what is begun, begins nothing new, and returns
///    [`Next::Finish`] when it is done.
/// 10. A session that panics, or breaks this contract ([`Fault::Contract`]), ends its own client and no
///     other.
///
/// [`rehearsal`] runs a session without sockets and checks the contract. A boxed session is a session, too.
///
/// A protocol of numbers, four bytes each in network byte order: each is answered with the next one. A part
/// of a number is left where it is until the rest has come.
///
/// ```
/// use oneloop::session::{ClientInfo, Input, Outbox, Progress, Service, Session, Wait, rehearsal};
///
/// #[derive(Clone)]
/// struct Successor;
///
/// impl Session for Successor {
///     fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
///         let (numbers, rest) = input.bytes.as_chunks::<4>();
///         for (answered, number) in numbers.iter().enumerate() {
///             let next = u32::from_be_bytes(*number).wrapping_add(1);
///             if out.put(&next.to_be_bytes()).is_err() {
///                 return Progress::need_room(4 * answered); // called again with the rest
///             }
///         }
///         let wait = if rest.is_empty() { Wait::NextRequest } else { Wait::Rest };
///         Progress::need_input(4 * numbers.len(), wait)
///     }
/// }
///
/// impl Service for Successor {
///     type Session = Successor;
///
///     fn open(&self, _client: &ClientInfo<'_>) -> Successor {
///         Successor
///     }
/// }
///
/// let split = [&[0, 0][..], &[0, 6, 0, 0, 1], &[255]];
/// assert_eq!(rehearsal::answer(&Successor, &split, true, 4096), [0, 0, 0, 7, 0, 0, 2, 0]);
/// ```
pub trait Session {
    /// Takes a prefix of `input.bytes`, appends to `out`, and returns what is needed next: see the contract
    /// above.
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress;

    /// The report of an answer that was begun but not completed. Called once, when the client ends, also
    /// after a panic of [`Session::advance`].
    fn unfinished(&mut self) -> Option<AnswerInfo> {
        None
    }

    /// When the session is to be called with [`Call::Timer`], in ms of [`Now::monotonic_ms`]; `None` for
    /// never. Called after each call of the session; it should be cheap. A timer stays due until this returns
    /// a later time or `None`: a session that returns the same time again and does nothing breaks the
    /// contract.
    ///
    /// A session is not called while its output waits to be sent; a timer that expires meanwhile calls it
    /// afterwards.
    fn timer_due_ms(&self) -> Option<u64> {
        None
    }

    /// Heap memory of the session that lasts from call to call and is not shared: it counts as a part of the
    /// client's buffers (`buffers_bytes_max`). Called after each turn of the client; it should be cheap.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// A boxed session, so that one service can have sessions of several types.
impl<S: Session + ?Sized> Session for Box<S> {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        (**self).advance(input, out)
    }

    fn unfinished(&mut self) -> Option<AnswerInfo> {
        (**self).unfinished()
    }

    fn timer_due_ms(&self) -> Option<u64> {
        (**self).timer_due_ms()
    }

    /// With the session itself, which is on the heap.
    fn held_bytes(&self) -> usize {
        size_of_val(&**self) + (**self).held_bytes()
    }
}

/// The input of a call of a session.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What arrived and was not yet consumed, from the first byte not consumed.
    pub bytes: &'a [u8],
    /// Whether the client has ended its side: nothing comes after `bytes`.
    pub ended: bool,
    /// Why the session is called.
    pub call: Call,
    /// When the first of `bytes` arrived, in ms of [`Now::monotonic_ms`]; the current time if `bytes` is
    /// empty. After a part was consumed, the rest counts as arrived with the last byte.
    pub arrived_ms: u64,
    /// When the last of `bytes` arrived.
    pub last_arrived_ms: u64,
    /// The time, read once a turn.
    pub now: Now,
}

impl<'a> Input<'a> {
    /// Bytes that have just arrived, and not their end.
    pub fn new(bytes: &'a [u8], call: Call, now: Now) -> Self {
        let now_ms = now.monotonic_ms;
        Input { bytes, ended: false, call, arrived_ms: now_ms, last_arrived_ms: now_ms, now }
    }
}

/// Why a session is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// The client has just been accepted; there are no bytes yet.
    Open,
    /// There are bytes, or the end of input, or room.
    Ready,
    /// A [`Waker`] of this client was used. There may be bytes, too.
    Woken,
    /// The session's timer is due ([`Session::timer_due_ms`]).
    Timer,
    /// The input that the session waited for did not come in time. Its last call: what it puts is sent, then
    /// the client ends.
    Expired(Wait),
    /// Like `Ready`, while the server drains: finish what is begun, begin nothing new.
    Stopping,
}

/// What a session returns from a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many of `input.bytes` were consumed, from the front.
    pub consumed: usize,
    /// How many of the consumed bytes, at their end, belong to an incomplete request. `0` for a session that
    /// does not consume incomplete requests. See [`Progress::with_unfinished`].
    pub unfinished: usize,
    /// What is needed next.
    pub next: Next,
}

/// Breaches of the contract that a single call does not show, or that depend on what the session waited for.
pub(crate) const WAITS_FOR_NO_REQUEST: &str = "it waits for the rest of a request that has not begun";
pub(crate) const ASKS_WITHOUT_END: &str = "it asked to be called again and again, and did nothing";

/// What a session waits for when it needs input; it decides the deadline.
///
/// Both deadlines restart when a complete request was consumed, and only then: neither single bytes nor
/// messages of other clients move them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The first byte of a request: the client is idle.
    NextRequest,
    /// The rest of a request that has begun: some of its bytes are unconsumed, or were reported as
    /// [`Progress::unfinished`]. Without such bytes it is a breach of the contract ([`Fault::Contract`]).
    Rest,
}

/// What a session needs next. The output that was put is sent first, except before `Abort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// More input, or its end.
    NeedInput(Wait),
    /// Room in the outbox: the session is called again when all output has been sent. With an empty outbox it
    /// is a breach of the contract.
    NeedRoom,
    /// Another call, after other clients had their turn.
    Again,
    /// A wake or the session's timer. Nothing is read until then, and no deadline of the server applies,
    /// because the server owes the client an answer. A reset by the client ends it, and a drain calls the
    /// session at once.
    ///
    /// Without a timer a session pauses until it is woken: set one for an answer that may never come.
    Pause,
    /// Nothing: the client ends.
    Finish,
    /// As `Finish`, because something that the session was waiting for did not come in time. The reason in
    /// logs and counters is `service-timeout`.
    TimedOut,
    /// As `Finish`, for a client that has announced that it sends nothing more: closes without lingering, if
    /// all of its input was consumed. With a connection for each request this saves the cost of lingering.
    Close,
    /// Nothing: the client ends at once, the outbox is dropped.
    Abort(Fault),
}

/// Why a session gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The client broke the protocol.
    Protocol,
    /// The client did not read what others sent to it: its [`Mailbox`] was closed.
    Overflow,
    /// A file or another resource failed.
    Resource,
    /// The session broke the contract: it consumed more than its input, asked for room in an empty outbox,
    /// waited for the rest of a request that has not begun, or asked for calls without end and did nothing in
    /// them.
    Contract,
}

/// Why a client gets no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There are `clients_max` clients.
    TooManyClients,
    /// There are `clients_per_address_max` clients from its address.
    TooManyFromAddress,
    /// The process or thread for it could not be made.
    NoWorker,
    /// The server drains.
    Stopping,
}

/// The time, read once a turn and passed in: nothing under `session`, `services` and `connection` reads a
/// clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the server started; never goes back.
    pub monotonic_ms: u64,
    /// The time of day.
    pub wall: SystemTime,
}

impl Now {
    /// The time `span` from now, in ms of [`Now::monotonic_ms`]: for [`Session::timer_due_ms`].
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use oneloop::session::Now;
    ///
    /// let now = Now { monotonic_ms: 1_000, wall: SystemTime::now() };
    /// assert_eq!(now.after_ms(Duration::from_secs(5)), 6_000);
    /// ```
    pub fn after_ms(self, span: Duration) -> u64 {
        self.monotonic_ms.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The properties of a client when its session is opened.
#[derive(Clone, Copy, Debug)]
pub struct ClientInfo<'a> {
    /// The client's address.
    pub peer: Peer,
    /// The address it was accepted at.
    pub local: Peer,
    /// The server name that the client requested, if a layer knows it (TLS: SNI).
    pub server_name: Option<&'a str>,
    /// The application protocol that a layer has negotiated with the client (TLS: ALPN).
    pub protocol: Option<&'a [u8]>,
    pub(crate) waker: Option<&'a Waker>,
    pub(crate) offload: Option<OffloadSource<'a>>,
}

impl<'a> ClientInfo<'a> {
    /// A client without a waker, for tests and models without a shared address space.
    pub fn new(peer: Peer, local: Peer) -> Self {
        ClientInfo { peer, local, server_name: None, protocol: None, waker: None, offload: None }
    }

    /// The same client with a waker.
    pub fn with_waker(self, waker: &'a Waker) -> Self {
        ClientInfo { waker: Some(waker), ..self }
    }

    /// A handle with which other sessions, or other threads, call this client's session ([`Call::Woken`]).
    ///
    /// # Panics
    /// If [`Service::wakes`] is false.
    pub fn waker(&self) -> Waker {
        self.waker.expect("Service::wakes returns true where a waker is needed").clone()
    }

    /// Runs slow work for this client without delaying others.
    pub fn offload(&self) -> Offload {
        Offload::of(self.offload)
    }
}

/// The address of one end of a stream, in 19 bytes: a connection keeps it for its whole life.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(PeerInner);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum PeerInner {
    V4([u8; 4], [u8; 2]),
    V6([u8; 16], [u8; 2]),
    Unix,
}

impl Peer {
    /// The address of a Unix socket, which has no useful one.
    pub const UNIX: Peer = Peer(PeerInner::Unix);

    /// The internet address, `None` for a Unix socket. An IPv4 client of a dual socket appears as IPv4.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.0 {
            PeerInner::V4(ip, port) => Some((ip, u16::from_ne_bytes(port)).into()),
            PeerInner::V6(ip, port) => Some((ip, u16::from_ne_bytes(port)).into()),
            PeerInner::Unix => None,
        }
    }

    /// The network that limits per address count as one client: the IPv4 address, or the IPv6 /64 (RFC 6177:
    /// the smallest block that a customer is assigned); `None` for a Unix socket.
    pub fn network(&self) -> Option<[u8; 9]> {
        let mut network = [0; 9];
        match self.0 {
            PeerInner::V4(ip, _) => network[1..5].copy_from_slice(&ip),
            PeerInner::V6(ip, _) => {
                network[0] = 1;
                network[1..].copy_from_slice(&ip[..8]);
            }
            PeerInner::Unix => return None,
        }
        Some(network)
    }
}

impl From<SocketAddr> for Peer {
    fn from(addr: SocketAddr) -> Self {
        let port = addr.port().to_ne_bytes();
        match addr.ip().to_canonical() {
            IpAddr::V4(ip) => Peer(PeerInner::V4(ip.octets(), port)),
            IpAddr::V6(ip) => Peer(PeerInner::V6(ip.octets(), port)),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket_addr() {
            Some(addr) => addr.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Calls one client's session, from any session or thread.
///
/// Wakes coalesce until the session has been called; a wake of a client that has ended does nothing, even
/// when another client has its slot.
#[derive(Clone)]
pub struct Waker {
    target: Arc<dyn WakeTarget>,
    client: u64,
}

/// The receiver of wakes: each model whose clients share memory has one.
pub trait WakeTarget: Send + Sync {
    /// Queues the client with this identity (slot and generation) to run. Must not block for long.
    fn wake(&self, client: u64);
}

impl Waker {
    /// A waker of the client with this identity (slot and generation), by way of `target`.
    pub fn new(target: Arc<dyn WakeTarget>, client: u64) -> Self {
        Waker { target, client }
    }

    /// Two wakers with the same key wake the same client.
    pub(crate) fn key(&self) -> (usize, u64) {
        (Arc::as_ptr(&self.target).cast::<()>() as usize, self.client)
    }

    /// Makes the server call the session with [`Call::Woken`] when its output has been sent: one call for any
    /// number of wakes before it. If the session was not called yet, its first call may be enough.
    pub fn wake(&self) {
        self.target.wake(self.client);
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Progress {
    /// How this breaks the contract, as the result of a call with `len` bytes that has put what is in `out`.
    #[inline]
    pub(crate) fn broken_rule(&self, len: usize, out: &Outbox) -> Option<&'static str> {
        if self.consumed > len {
            Some("it consumed more bytes than there were")
        } else if self.unfinished > self.consumed {
            Some("it reported more unfinished bytes than it consumed")
        } else if self.next == Next::NeedRoom && !out.has_content() {
            Some("it asked for room in an empty outbox")
        } else {
            None
        }
    }

    /// What is needed next, when `consumed` bytes have been taken.
    pub fn new(consumed: usize, next: Next) -> Self {
        Progress { consumed, unfinished: 0, next }
    }

    /// The same if the last `bytes` of the consumed ones belong to an incomplete request, such as a long body
    /// that is consumed as it comes. The request keeps its deadline, which began with its first byte.
    #[must_use]
    pub fn with_unfinished(self, bytes: usize) -> Self {
        Progress { unfinished: bytes, ..self }
    }

    /// More input is needed: another request, or the rest of one.
    pub fn need_input(consumed: usize, wait: Wait) -> Self {
        Progress { consumed, unfinished: 0, next: Next::NeedInput(wait) }
    }

    /// Room is needed.
    pub fn need_room(consumed: usize) -> Self {
        Progress { consumed, unfinished: 0, next: Next::NeedRoom }
    }

    /// A wake or the timer is needed, and nothing is to be read before.
    pub fn pause(consumed: usize) -> Self {
        Progress::new(consumed, Next::Pause)
    }

    /// Something that the session was waiting for did not come in time: flush and end.
    pub fn timed_out(consumed: usize) -> Self {
        Progress::new(consumed, Next::TimedOut)
    }

    /// Another call is needed, after other clients had their turn.
    pub fn again(consumed: usize) -> Self {
        Progress { consumed, unfinished: 0, next: Next::Again }
    }

    /// Nothing more is needed: flush and end.
    pub fn finish(consumed: usize) -> Self {
        Progress { consumed, unfinished: 0, next: Next::Finish }
    }

    /// Nothing more is needed, and the client sends nothing more: flush and end.
    pub fn close(consumed: usize) -> Self {
        Progress { consumed, unfinished: 0, next: Next::Close }
    }

    /// The client ends at once.
    pub fn abort(fault: Fault) -> Self {
        Progress { consumed: 0, unfinished: 0, next: Next::Abort(fault) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_address_or_an_ipv6_64_and_a_mapped_client_is_ipv4() {
        let network = |addr: &str| Peer::from(addr.parse::<SocketAddr>().unwrap()).network();
        assert_eq!(network("[2001:db8:1:2:aaaa::1]:1"), network("[2001:db8:1:2:bbbb::2]:2"));
        assert_ne!(network("[2001:db8:1:2::1]:1"), network("[2001:db8:1:3::1]:1"));
        assert_ne!(network("192.0.2.1:1"), network("192.0.2.2:1"));
        assert_eq!(network("[::ffff:192.0.2.1]:1"), network("192.0.2.1:9"));
        assert_eq!(Peer::UNIX.network(), None);
        assert_eq!(size_of::<Peer>(), 19, "a connection keeps it for its whole life");
    }
}
