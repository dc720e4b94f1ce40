//! The client of chargen: it only reads.

use crate::load::{Client, Flow, ReplyStatus, Workload};
use crate::services::Chargen;

/// Reads the pattern of RFC 864. A request is complete after a fixed number of bytes.
#[derive(Clone, Copy, Debug)]
pub struct ChargenLoad {
    bytes: u64,
}

/// One connection of [`ChargenLoad`].
#[derive(Debug)]
pub struct ChargenClient {
    bytes: u64,
    received: u64,
    /// How far into the pattern the stream is.
    at: usize,
}

impl ChargenLoad {
    /// A request is complete after `bytes` bytes (at least 1).
    pub fn new(bytes: u64) -> Self {
        ChargenLoad { bytes: bytes.max(1) }
    }
}

impl Workload for ChargenLoad {
    type Client = ChargenClient;

    fn name(&self) -> &'static str {
        "chargen"
    }

    fn request_bytes(&self) -> u64 {
        self.bytes
    }

    fn open(&self, _number: u32) -> ChargenClient {
        ChargenClient { bytes: self.bytes, received: 0, at: 0 }
    }

    fn flow(&self) -> Flow {
        Flow::ToClient
    }
}

impl Client for ChargenClient {
    fn request(&self, _number: u64, _sent: usize) -> &[u8] {
        &[]
    }

    fn reply(&mut self, _number: u64, bytes: &[u8], _ended: bool) -> ReplyStatus {
        let cycle = Chargen::pattern();
        let mut taken = 0;
        // Bounded by the bytes received: each piece has at least one.
        while taken < bytes.len() && self.received < self.bytes {
            let due = usize::try_from(self.bytes - self.received).unwrap_or(usize::MAX);
            let len = due.min(bytes.len() - taken).min(cycle.len() - self.at);
            if bytes[taken..taken + len] != cycle[self.at..self.at + len] {
                return ReplyStatus::Wrong("the characters are not the pattern of RFC 864");
            }
            taken += len;
            self.received += len as u64;
            self.at = (self.at + len) % cycle.len();
        }
        if self.received < self.bytes {
            return ReplyStatus::Incomplete;
        }
        self.received = 0;
        ReplyStatus::Complete(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_goes_on_over_requests_and_around() {
        let stream: Vec<u8> = Chargen::pattern().iter().copied().cycle().take(20_000).collect();
        let mut client = ChargenLoad::new(9_000).open(0);
        assert_eq!(client.reply(0, &stream[..5_000], false), ReplyStatus::Incomplete);
        assert_eq!(client.reply(0, &stream[5_000..], false), ReplyStatus::Complete(4_000));
        assert_eq!(client.reply(1, &stream[9_000..], false), ReplyStatus::Complete(9_000));
        assert!(
            matches!(client.reply(2, &stream[..10], false), ReplyStatus::Wrong(_)),
            "it does not begin anew"
        );
    }
}
