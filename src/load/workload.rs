//! What clients of the load send and expect: the counterpart of [`crate::session`]. It knows no socket, clock
//! or rate.

use super::report::RequestSettings;

/// The state shared by all clients of a run: the counterpart of [`crate::session::Service`]. The threads of a
/// run ([`super::Plan::threads`]) share it; a client belongs to one thread.
pub trait Workload: Sync {
    /// The state of one connection.
    type Client: Client;

    /// The name in reports.
    fn name(&self) -> &str;

    /// What is requested, for reports, such as the target of an HTTP request; `None` where there is nothing
    /// to choose.
    fn resource(&self) -> Option<&str> {
        None
    }

    /// What requests have beside that, and how replies are checked, for reports; `None` if
    /// [`Workload::request_bytes`] says all.
    fn request_settings(&self) -> Option<RequestSettings> {
        None
    }

    /// The size of one request in bytes, for reports; 0 if that has no meaning.
    fn request_bytes(&self) -> u64 {
        0
    }

    /// Opens a connection of the client with this number. A client that connects again keeps its number.
    fn open(&self, number: u32) -> Self::Client;

    /// Whether the server closes each connection after one reply, as the message service does. Then each
    /// request has its own connection.
    fn one_shot(&self) -> bool {
        false
    }

    /// Other counters of the clients, for reports: names, such as `redirects_followed`, with counts of the
    /// whole run.
    fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// The directions in which bytes flow: a slow client is slow in one of them.
    fn flow(&self) -> Flow {
        Flow::BothWays
    }
}

/// In which directions the bytes of a service flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Requests and replies.
    BothWays,
    /// The client only sends.
    ToServer,
    /// The client only reads.
    ToClient,
}

/// One connection of a [`Workload`]: what it sends, and whether the replies are right.
///
/// Requests of a connection are numbered from 0. Several may be in flight ([`super::Plan::depth`]); replies
/// come in the order of the requests.
///
/// ```
/// use oneloop::load::{Client, ReplyStatus};
///
/// /// Sends PING, expects PONG; a newline ends both.
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
    /// The bytes, from `sent` on, that a connection sends before its first request, such as a login. Empty
    /// while the client must wait for the server, such as for a greeting. `None`: requests may follow.
    ///
    /// Requests that are begun wait for it, and their latency includes it.
    fn opening(&self, _sent: usize) -> Option<&[u8]> {
        None
    }

    /// Checks bytes of the reply to what [`Client::opening`] sent, in the same way as [`Client::reply`].
    /// After [`ReplyStatus::Complete`] that is called again for what follows.
    fn opening_reply(&mut self, _bytes: &[u8], _ended: bool) -> ReplyStatus {
        ReplyStatus::Wrong("unsolicited bytes")
    }

    /// Request `number` begins: the next, in order. Whatever differs between requests is chosen here.
    fn begin(&mut self, _number: u64) {}

    /// The bytes of request `number` that follow its first `sent` bytes; empty once all are sent.
    ///
    /// It may return the rest in pieces. It may be called again, and must return the same bytes for the same
    /// arguments. For a number that was not begun, it returns any byte, or nothing if the server sends
    /// without a request.
    fn request(&self, number: u64, sent: usize) -> &[u8];

    /// Request `number` was written completely. Returns [`ReplyStatus::Complete`] if there is no reply to it.
    fn sent(&mut self, _number: u64) -> ReplyStatus {
        ReplyStatus::Incomplete
    }

    /// Checks bytes of the reply to request `number`. `ended` is true if the server has closed its side, so
    /// that nothing follows.
    fn reply(&mut self, number: u64, bytes: &[u8], ended: bool) -> ReplyStatus;

    /// The status of the reply that was completed last, in protocols that have one (HTTP: 100 to 599). The
    /// report counts replies by status.
    fn status(&self) -> Option<u16> {
        None
    }

    /// Bytes that come while no reply is owed.
    fn unasked(&mut self, _bytes: &[u8]) -> Unsolicited {
        Unsolicited::Wrong("unsolicited bytes")
    }
}

/// The meaning of bytes that come while no reply is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsolicited {
    /// They are allowed and ignored.
    Ignored,
    /// The server announces that it ends the connection, which may happen at any time.
    Closing,
    /// They are an error, with the reason.
    Wrong(&'static str),
}

/// The state of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyStatus {
    /// All bytes are right so far, and the reply continues. At the end of input, the reply is incomplete.
    Incomplete,
    /// The reply is complete and right, and has this many of the bytes.
    Complete(usize),
    /// The same, and the connection takes no further request: bytes after the reply are wrong.
    Final(usize),
    /// The bytes are wrong, and why.
    Wrong(&'static str),
}
