//! The client of discard: it only sends.

use super::filler::Filler;
use crate::load::{Client, Flow, ReplyStatus, Workload};

/// Sends requests without a reply. A request is complete when the kernel has taken all of it; any reply is
/// wrong.
#[derive(Clone, Debug)]
pub struct DiscardLoad {
    filler: Filler,
    bytes: u64,
}

/// One connection of [`DiscardLoad`].
#[derive(Debug)]
pub struct DiscardClient {
    load: DiscardLoad,
}

impl DiscardLoad {
    /// Requests of `bytes` each (at least 1), made from `seed`.
    pub fn new(bytes: u64, seed: u64) -> Self {
        DiscardLoad { filler: Filler::new(seed), bytes: bytes.max(1) }
    }
}

impl Workload for DiscardLoad {
    type Client = DiscardClient;

    fn name(&self) -> &'static str {
        "discard"
    }

    fn request_bytes(&self) -> u64 {
        self.bytes
    }

    fn open(&self, _number: u32) -> DiscardClient {
        DiscardClient { load: self.clone() }
    }

    fn flow(&self) -> Flow {
        Flow::ToServer
    }
}

impl Client for DiscardClient {
    fn request(&self, _number: u64, sent: usize) -> &[u8] {
        self.load.filler.at(sent as u64, self.load.bytes - sent as u64)
    }

    fn sent(&mut self, _number: u64) -> ReplyStatus {
        ReplyStatus::Complete(0)
    }

    fn reply(&mut self, _number: u64, bytes: &[u8], _ended: bool) -> ReplyStatus {
        if bytes.is_empty() { ReplyStatus::Incomplete } else { ReplyStatus::Wrong("discard answered") }
    }
}
