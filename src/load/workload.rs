//! What a client of the load does: the counterpart of [`crate::session`]. It knows no socket, no clock, no rate.

/// What clients do: the counterpart of [`crate::session::Service`].
pub trait Workload {
    /// One connection's state.
    type Client: Client;

    /// The name in reports.
    fn name(&self) -> &str;

    /// What is asked for, as reports tell, such as the target of an HTTP request, where there is something to choose.
    fn resource(&self) -> Option<&str> {
        None
    }

    /// Bytes of one request, as reports tell; 0 where that has no meaning.
    fn request_bytes(&self) -> u64 {
        0
    }

    /// A new connection of the active client with this number. A client that connects again keeps its number.
    fn open(&self, number: u32) -> Self::Client;

    /// Whether the server ends each connection after one reply, as the message service does: then each request has a
    /// connection of its own.
    fn one_shot(&self) -> bool {
        false
    }

    /// Which ways bytes go: a slow client can be slow only where there are some.
    fn flow(&self) -> Flow {
        Flow::BothWays
    }
}

/// Which ways the bytes of a service go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Requests and replies.
    BothWays,
    /// The client only sends.
    ToServer,
    /// The client only reads.
    ToClient,
}

/// One connection of a [`Workload`]: what to send, and of what came back: more, done, or wrong.
///
/// Requests of a connection have numbers, from 0. Several may be under way at once (`Plan::depth`); replies come in
/// the order of requests.
///
/// ```
/// use oneloop::load::{Client, ReplyStatus};
///
/// /// Asks PING, expects PONG and a newline.
/// struct Ping {
///     received: usize,
/// }
///
/// impl Client for Ping {
///     fn request(&self, _number: u64, sent: usize) -> &[u8] {
///         &b"PING\n"[sent..]
///     }
///
///     fn reply(&mut self, _number: u64, bytes: &[u8], _ended: bool) -> ReplyStatus {
///         let expected = &b"PONG\n"[self.received..];
///         let taken = bytes.len().min(expected.len());
///         if bytes[..taken] != expected[..taken] {
///             return ReplyStatus::Wrong("no PONG");
///         }
///         self.received = (self.received + taken) % 5;
///         if self.received == 0 && taken > 0 { ReplyStatus::Complete(taken) } else { ReplyStatus::Incomplete }
///     }
/// }
/// ```
pub trait Client {
    /// What is to be sent of the request `number` after its first `sent` bytes; nothing if those were all.
    ///
    /// It may give the rest in pieces. The same arguments give the same bytes: it may be asked again.
    fn request(&self, number: u64, sent: usize) -> &[u8];

    /// All of the request `number` was taken by the kernel. [`ReplyStatus::Complete`] where no reply is to come.
    fn sent(&mut self, _number: u64) -> ReplyStatus {
        ReplyStatus::Incomplete
    }

    /// These bytes came in reply to the request `number`; `ended` says that the server has ended its side and nothing
    /// follows them.
    fn reply(&mut self, number: u64, bytes: &[u8], ended: bool) -> ReplyStatus;
}

/// What is to be thought of what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyStatus {
    /// All is right so far and taken; the reply goes on. At the end of input this is a reply that was cut short.
    Incomplete,
    /// The reply is whole and right; it took so many of the bytes.
    Complete(usize),
    /// The same, and the connection takes no further request: bytes behind it are wrong.
    Final(usize),
    /// Not what had to come, and what is wrong.
    Wrong(&'static str),
}
