//! What observers get: the begin and the end of a client, and an answer.

use crate::session::{AnswerInfo, Peer};

use super::Reason;

/// The begin of service for a client, by the calling process and thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Its address.
    pub peer: Peer,
    /// Its slot in the loop of the calling thread; `None` if the client has its own process or thread.
    pub slot: Option<u32>,
}

/// The end of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Why it ended.
    pub reason: Reason,
    /// Its address.
    pub peer: Peer,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// From `accept` to its end, in ms.
    pub lasted_ms: u64,
}

/// An answer that is complete or was cut: nothing more of it will be sent.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The address of its client.
    pub peer: Peer,
    /// The session's report of the answer.
    pub info: &'a AnswerInfo,
    /// Bytes of it that were written to the socket, including its head.
    pub sent_bytes: u64,
    /// Whether that is the whole answer; if not, the client has ended.
    pub is_complete: bool,
    /// When its last byte was handed to the system, or its client ended, in ms of the server's clock.
    pub ended_ms: u64,
}

impl Answer<'_> {
    /// Bytes that were handed to the system, without the head.
    pub fn content_bytes(&self) -> u64 {
        self.sent_bytes.saturating_sub(self.info.head_bytes.into())
    }

    /// From the first byte of the request to the last byte handed to the system, in ms. Both times are those
    /// of the server's clock, which the reactor reads once a turn: an answer within the turn that received
    /// its request took 0 ms.
    pub fn latency_ms(&self) -> u64 {
        self.ended_ms.saturating_sub(self.info.began_ms)
    }
}
