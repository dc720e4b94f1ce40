//! The client of echo: expects the bytes that it sent.

use super::filler::Filler;
use crate::load::{Client, ReplyStatus, Workload};

/// Sends pieces of a random stream, each client its own, and expects each back.
#[derive(Clone, Debug)]
pub struct EchoLoad {
    filler: Filler,
    bytes: u64,
}

/// One connection of [`EchoLoad`].
#[derive(Debug)]
pub struct EchoClient {
    filler: Filler,
    place: u64,
    bytes: u64,
    received: u64,
}

impl EchoLoad {
    /// Requests of `bytes` each (at least 1), made from `seed`.
    pub fn new(bytes: u64, seed: u64) -> Self {
        EchoLoad { filler: Filler::new(seed), bytes: bytes.max(1) }
    }
}

impl Workload for EchoLoad {
    type Client = EchoClient;

    fn name(&self) -> &'static str {
        "echo"
    }

    fn request_bytes(&self) -> u64 {
        self.bytes
    }

    fn open(&self, number: u32) -> EchoClient {
        let place = Filler::place(number);
        EchoClient { filler: self.filler.clone(), place, bytes: self.bytes, received: 0 }
    }
}

impl Client for EchoClient {
    fn request(&self, number: u64, sent: usize) -> &[u8] {
        let sent = sent as u64;
        self.filler.at(
            self.place.wrapping_add(number.wrapping_mul(self.bytes)).wrapping_add(sent),
            self.bytes - sent,
        )
    }

    fn reply(&mut self, number: u64, bytes: &[u8], _ended: bool) -> ReplyStatus {
        let (mut taken, start) = (0, self.place.wrapping_add(number.wrapping_mul(self.bytes)));
        // Bounded by the bytes received: each piece has at least one.
        while taken < bytes.len() && self.received < self.bytes {
            let due = (self.bytes - self.received).min((bytes.len() - taken) as u64);
            let expected = self.filler.at(start.wrapping_add(self.received), due);
            if bytes[taken..taken + expected.len()] != *expected {
                return ReplyStatus::Wrong("the echo differs from what was sent");
            }
            taken += expected.len();
            self.received += expected.len() as u64;
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

    fn whole(client: &EchoClient, number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let part @ [_, ..] = client.request(number, bytes.len()) {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    #[test]
    fn an_echo_in_any_pieces_is_right() {
        for size in [1, 64, 65_536, 200_000] {
            let load = EchoLoad::new(size, 7);
            let mut client = load.open(3);
            let (first, second) = (whole(&client, 0), whole(&client, 1));
            assert_eq!(first.len() as u64, size);
            for piece in first[..first.len() - 1].chunks(10_000) {
                assert_eq!(client.reply(0, piece, false), ReplyStatus::Incomplete);
            }
            let tail = [&first[first.len() - 1..], &second[..]].concat();
            assert_eq!(client.reply(0, &tail, false), ReplyStatus::Complete(1));
            assert_eq!(client.reply(1, &second, false), ReplyStatus::Complete(second.len()));
        }
    }

    #[test]
    fn replies_of_another_request_or_client_and_changed_ones_are_wrong() {
        let load = EchoLoad::new(64, 7);
        let (mut client, other) = (load.open(0), load.open(1));
        let mut changed = whole(&client, 0);
        changed[63] ^= 1;
        for wrong in [whole(&client, 1), whole(&other, 0), changed] {
            assert!(matches!(client.reply(0, &wrong, false), ReplyStatus::Wrong(_)));
            client = load.open(0);
        }
    }
}
