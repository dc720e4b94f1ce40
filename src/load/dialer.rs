//! Which clients connect, when, and how.

use std::collections::VecDeque;
use std::io;

use super::client_error::ClientError;
use super::connector::{Connector, DialOutcome};
use super::plan::Plan;
use super::portion::Portion;

/// Connections under way at once: more would overflow queues of the server that are not the subject of the
/// test.
const CONNECTING_MAX: u32 = 512;
/// How long no client connects after the queue of a Unix socket was full. No event reports that it has room
/// again.
const BUSY_NS: u64 = 1_000_000;

/// The queue of clients that wait to connect, and the connections under way.
#[derive(Debug)]
pub(super) struct Dialer {
    connector: Connector,
    queue: VecDeque<u32>,
    connecting: u32,
    not_before_ns: u64,
}

impl Dialer {
    pub(super) fn new(plan: &Plan, portion: Portion) -> io::Result<Self> {
        Ok(Dialer {
            connector: Connector::new(&plan.target, &plan.sources, portion)?,
            queue: VecDeque::new(),
            connecting: 0,
            not_before_ns: 0,
        })
    }

    pub(super) fn push(&mut self, client: u32) {
        self.queue.push_back(client);
    }

    pub(super) fn pop(&mut self) -> Option<u32> {
        self.queue.pop_front()
    }

    /// Keeps only the clients in the queue for which `keep` holds.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.queue.retain(|&client| keep(client));
    }

    /// When the next client may connect; `u64::MAX`: not before a connection under way ends.
    pub(super) fn next_ns(&self) -> u64 {
        let may = !self.queue.is_empty() && self.connecting < CONNECTING_MAX;
        if may { self.not_before_ns } else { u64::MAX }
    }

    /// Starts a connection; [`Dialer::ended`] reports its end, whatever it is.
    pub(super) fn dial(&mut self, is_slow_reader: bool) -> Result<DialOutcome, ClientError> {
        let dialed = self.connector.connect(is_slow_reader)?;
        self.connecting += u32::from(matches!(dialed, DialOutcome::Started(_)));
        Ok(dialed)
    }

    /// A connection under way was established or failed.
    pub(super) fn ended(&mut self) {
        self.connecting -= 1;
    }

    /// The queue of the server is full: the client stays first in line.
    pub(super) fn retry(&mut self, client: u32, now_ns: u64) {
        self.queue.push_front(client);
        self.not_before_ns = now_ns + BUSY_NS;
    }
}
