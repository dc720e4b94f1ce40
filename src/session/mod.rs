//! The contract: what is done for a client, as a state machine of bytes in and bytes out.
//!
//! A [`Service`] makes a [`Session`] for each client. A session knows no socket, no clock and no thread: it is given
//! what arrived and the time, and says what it needs next. That is why the same session runs in a loop, in a child
//! process or in a thread, and why it can be tested without any of them (see [`rehearsal`]).
//!
//! A result never depends on how the bytes were split on their way (time excluded).

mod mailbox;
mod maintenance;
mod outbox;
pub mod rehearsal;

pub use mailbox::{Mailbox, Overflowed};
pub(crate) use maintenance::Maintenance;
pub use outbox::{Answers, FileRange, Full, Outbox, Record};
pub(crate) use outbox::{Front, GATHER_MAX};

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What is done for clients: the `dostuff` of the lecture.
///
/// Cloned for each listener, child process and thread. Only models with threads need it to be [`Send`]; a
/// [`crate::reactor::Reactor`] also serves one that holds an [`std::rc::Rc`].
pub trait Service: Clone + 'static {
    /// The state of one client.
    type Session: Session;

    /// Begins the work for one client. Called after `accept`, before the first [`Session::advance`].
    fn open(&self, client: &Client<'_>) -> Self::Session;

    /// Whether its sessions are woken ([`Client::waker`]) by each other or by other threads: only models whose clients share
    /// memory can serve it. Must always return the same.
    fn wakes(&self) -> bool {
        false
    }

    /// Last words to a client that gets no session. A panic here ends that client alone, without them.
    fn refusal(&self, _why: Refusal) -> &[u8] {
        b""
    }

    /// How long a client may be without a request, in place of the server's limit (`idle_ms`). `None`: the limit holds;
    /// zero: no deadline.
    fn idle_timeout(&self) -> Option<Duration> {
        None
    }

    /// How long the rest of a request may take from its first byte, in place of the server's limit (`request_ms`).
    /// `None`: the limit holds; zero: no deadline.
    fn request_timeout(&self) -> Option<Duration> {
        None
    }

    /// Whether clients always speak first, and wait for an answer to what they say. Then the system may hand a client over with
    /// its first bytes, or after a second without any, so that nobody is woken for one that has nothing to say yet; and it may
    /// acknowledge those bytes with the answer.
    fn client_speaks_first(&self) -> bool {
        false
    }

    /// When [`Service::maintain`] is to be called, in ms of [`Now::monotonic_ms`]; `None` for never. Asked before each wait, so it
    /// has to be cheap. Processes that block in a client's read ask at least once a second.
    fn maintenance_due_ms(&self) -> Option<u64> {
        None
    }

    /// Does what is due and belongs to no client: closing what nobody has asked for lately, say. Every process and thread that
    /// has a clone of the service may call it. Must not block for long; a panic here ends the process or thread.
    fn maintain(&self, _now: Now) {}
}

/// The work for one client.
pub trait Session {
    /// Takes a prefix of `input.bytes`, appends to `out`, and says what is needed next.
    ///
    /// The first call ([`Call::Open`]) has no bytes, so a service may speak first; later calls may have nothing new.
    /// Bytes that are not consumed come again, with more behind them. After [`Call::Expired`], and after
    /// [`Next::NeedInput`] at the end of input, the outbox is flushed and the client ends.
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress;

    /// The record of an answer that was begun and whose end was not put. Asked for once, when the client ends, a panic of
    /// [`Session::advance`] included.
    fn unfinished(&mut self) -> Option<Record> {
        None
    }

    /// Bytes that it keeps on the heap for its client alone and that last from call to call: they count with the client's
    /// buffers (`buffers_bytes_max`). Asked for after each turn of the client; it should be cheap.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// What a session is given.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What arrived and was not yet consumed, from the first byte not consumed.
    pub bytes: &'a [u8],
    /// Whether the client has ended its side: nothing comes after `bytes`.
    pub ended: bool,
    /// Why the session is called.
    pub call: Call,
    /// The time, read once a turn.
    pub now: Now,
}

/// Why a session is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The client has just been accepted; there are no bytes yet.
    Open,
    /// There are bytes, or the end of input, or room.
    Ready,
    /// A [`Waker`] of this client was used.
    Woken,
    /// What the session waited for did not come in time. Its last call.
    Expired(Wait),
    /// Like `Ready`, while the server drains: finish what is begun, begin nothing new.
    Stopping,
}

/// What a session says at the end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many of `input.bytes` were taken, from the front.
    pub consumed: usize,
    /// How many of those, the last ones, belong to a request that has not ended. `0` for a session that leaves the bytes of an
    /// incomplete request where they are. See [`Progress::with_unfinished`].
    pub unfinished: usize,
    /// What is needed next.
    pub next: Next,
}

/// What a session waits for when it needs input; it decides the deadline.
///
/// Both deadlines begin anew when bytes of a complete request have been consumed, and only then: neither a byte now and then
/// nor what others have sent to the client moves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The first byte of a request: the client is idle.
    NextRequest,
    /// The rest of a request of which some bytes have come: they are unconsumed, or were reported as
    /// [`Progress::unfinished`]. If there are none, the session is in error ([`Fault::Contract`]).
    Rest,
}

/// What a session needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More bytes than there were (or their end).
    NeedInput(Wait),
    /// Room in the outbox. With an outbox that is empty it is a fault.
    NeedRoom,
    /// To be called again, after others had their turn. The outbox is flushed first.
    Again,
    /// Nothing: the outbox is flushed, then the client ends.
    Finish,
    /// As `Finish`, and the client has said that it sends nothing more: without lingering, if all that it sent was
    /// consumed. Saves what the waiting costs with a connection for each request.
    Close,
    /// Nothing: the client ends at once, the outbox is dropped.
    Abort(Fault),
}

/// Why a session gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client broke the protocol.
    Protocol,
    /// The client did not read what others sent it: its [`Mailbox`] overflowed.
    Overflow,
    /// A file or another resource failed.
    Resource,
    /// The session broke the contract: it consumed more than there was, asked for room in an empty outbox, waited for the rest
    /// of a request that has not begun, or asked for more calls without end.
    Contract,
}

/// Why a client gets no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The time, read once a turn and passed in: nothing under `session`, `services` and `connection` reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the server started; never goes back.
    pub monotonic_ms: u64,
    /// The time of day.
    pub wall: SystemTime,
}

/// What a service learns of a client.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The client's address.
    pub peer: Peer,
    /// The address it was accepted at.
    pub local: Peer,
    /// The name of the server that the client asked for, where a layer knows it (TLS: SNI).
    pub server_name: Option<&'a str>,
    /// The application protocol that a layer has agreed on with the client (TLS: ALPN).
    pub protocol: Option<&'a [u8]>,
    pub(crate) waker: Option<&'a Waker>,
}

impl<'a> Client<'a> {
    /// A client without a waker, for tests and models without a shared address space.
    pub fn new(peer: Peer, local: Peer) -> Self {
        Client { peer, local, server_name: None, protocol: None, waker: None }
    }

    /// The same client with a waker.
    pub fn with_waker(self, waker: &'a Waker) -> Self {
        Client { waker: Some(waker), ..self }
    }

    /// A handle with which other sessions, or other threads, call this client's session ([`Call::Woken`]).
    ///
    /// # Panics
    /// If [`Service::wakes`] is false.
    pub fn waker(&self) -> Waker {
        self.waker.expect("Service::wakes returns true where a waker is needed").clone()
    }
}

/// An address of a stream's end, in 20 bytes: a connection keeps it for its whole life.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(PeerInner);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum PeerInner {
    V4([u8; 4], [u8; 2]),
    V6([u8; 16], [u8; 2]),
    Unix,
}

impl Peer {
    /// The end of a Unix socket: it has no address worth telling.
    pub const UNIX: Peer = Peer(PeerInner::Unix);

    /// The internet address, `None` for a Unix socket. An IPv4 client of a dual socket appears as IPv4.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.0 {
            PeerInner::V4(ip, port) => Some((ip, u16::from_ne_bytes(port)).into()),
            PeerInner::V6(ip, port) => Some((ip, u16::from_ne_bytes(port)).into()),
            PeerInner::Unix => None,
        }
    }

    /// What limits per address count as one client: the IPv4 address, or the IPv6 /64 (RFC 6177: a site's smallest
    /// assignment); `None` for a Unix socket.
    pub fn site(&self) -> Option<[u8; 9]> {
        let mut site = [0; 9];
        match self.0 {
            PeerInner::V4(ip, _) => site[1..5].copy_from_slice(&ip),
            PeerInner::V6(ip, _) => {
                site[0] = 1;
                site[1..].copy_from_slice(&ip[..8]);
            }
            PeerInner::Unix => return None,
        }
        Some(site)
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
/// Wakes coalesce until the session has been called; a wake of a client that has ended does nothing, even when another
/// client has its slot.
#[derive(Clone)]
pub struct Waker {
    target: Arc<dyn WakeTarget>,
    client: u64,
}

/// Where wakes go: each model whose clients share memory has one.
pub trait WakeTarget: Send + Sync {
    /// Queues the client with this identity (slot and generation) to run. Must not block for long.
    fn wake(&self, client: u64);
}

impl Waker {
    /// A waker of the client with this identity (slot and generation), by way of `target`.
    pub fn new(target: Arc<dyn WakeTarget>, client: u64) -> Self {
        Waker { target, client }
    }

    /// Has the session called with [`Call::Woken`], once for any number of wakes before that call, when what waits in its
    /// outbox has been sent. A session that was not called yet need not get a call beside its first one.
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
    /// What is needed next, when `consumed` bytes have been taken.
    pub fn new(consumed: usize, next: Next) -> Self {
        Progress { consumed, unfinished: 0, next }
    }

    /// The same where the last `bytes` of those consumed belong to a request that goes on: a long body that is taken as it comes.
    /// The request keeps its deadline, which began with its first byte.
    #[must_use]
    pub fn with_unfinished(self, bytes: usize) -> Self {
        Progress { unfinished: bytes, ..self }
    }

    /// All of it was `consumed`; more is needed.
    pub fn need_input(consumed: usize, wait: Wait) -> Self {
        Progress { consumed, unfinished: 0, next: Next::NeedInput(wait) }
    }

    /// Room is needed.
    pub fn need_room(consumed: usize) -> Self {
        Progress { consumed, unfinished: 0, next: Next::NeedRoom }
    }

    /// Another call is needed, after others had their turn.
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
    fn a_site_is_an_ipv4_address_or_an_ipv6_64_and_a_mapped_client_is_ipv4() {
        let site = |addr: &str| Peer::from(addr.parse::<SocketAddr>().unwrap()).site();
        assert_eq!(site("[2001:db8:1:2:aaaa::1]:1"), site("[2001:db8:1:2:bbbb::2]:2"));
        assert_ne!(site("[2001:db8:1:2::1]:1"), site("[2001:db8:1:3::1]:1"));
        assert_ne!(site("192.0.2.1:1"), site("192.0.2.2:1"));
        assert_eq!(site("[::ffff:192.0.2.1]:1"), site("192.0.2.1:9"));
        assert_eq!(Peer::UNIX.site(), None);
        assert_eq!(size_of::<Peer>(), 19, "a connection keeps it for its whole life");
    }
}
