//! The client of message, the service of the classic tutorial.

use crate::load::{Client, ReplyStatus, Workload};
use crate::services::Message;

/// Sends one message that ends with a newline, and expects the answer of the tutorial and the end of the
/// connection.
#[derive(Clone, Copy, Debug)]
pub struct MessageLoad {
    text: [u8; Message::BYTES_MAX],
    len: u8,
}

/// One connection of [`MessageLoad`].
#[derive(Debug)]
pub struct MessageClient {
    load: MessageLoad,
    received: u8,
}

impl MessageLoad {
    /// Messages of `bytes` bytes, clamped to 1..=[`Message::BYTES_MAX`].
    pub fn new(bytes: u64) -> Self {
        let len = bytes.clamp(1, Message::BYTES_MAX as u64) as u8;
        let mut text = [0; Message::BYTES_MAX];
        for (at, byte) in text.iter_mut().enumerate() {
            *byte = if at + 1 == usize::from(len) { b'\n' } else { b'a' + (at % 26) as u8 };
        }
        MessageLoad { text, len }
    }
}

impl Workload for MessageLoad {
    type Client = MessageClient;

    fn name(&self) -> &'static str {
        "message"
    }

    fn request_bytes(&self) -> u64 {
        self.len.into()
    }

    fn open(&self, _number: u32) -> MessageClient {
        MessageClient { load: *self, received: 0 }
    }

    fn one_shot(&self) -> bool {
        true
    }
}

impl Client for MessageClient {
    fn request(&self, _number: u64, sent: usize) -> &[u8] {
        &self.load.text[sent..usize::from(self.load.len)]
    }

    fn reply(&mut self, _number: u64, bytes: &[u8], ended: bool) -> ReplyStatus {
        let due = &Message::ANSWER[usize::from(self.received)..];
        if !due.starts_with(bytes) {
            return ReplyStatus::Wrong("the answer is not the message service's");
        }
        self.received += bytes.len() as u8;
        if ended && bytes.len() == due.len() {
            ReplyStatus::Final(bytes.len())
        } else {
            ReplyStatus::Incomplete
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_complete_when_the_connection_ends_after_it() {
        let mut client = MessageLoad::new(64).open(0);
        assert_eq!(client.request(0, 0).len(), 64);
        assert_eq!(client.request(0, 63), b"\n");
        assert_eq!(client.request(0, 64), b"");
        assert_eq!(client.reply(0, b"I got your", false), ReplyStatus::Incomplete);
        assert_eq!(client.reply(0, b" message", false), ReplyStatus::Incomplete);
        assert_eq!(client.reply(0, b"", true), ReplyStatus::Final(0));
    }

    #[test]
    fn too_much_too_little_and_something_else_are_wrong() {
        let reply = |bytes: &[u8], ended| MessageLoad::new(1).open(0).reply(0, bytes, ended);
        assert!(matches!(reply(b"I got your message!", false), ReplyStatus::Wrong(_)));
        assert!(matches!(reply(b"go away", false), ReplyStatus::Wrong(_)));
        assert_eq!(reply(b"I got your messag", true), ReplyStatus::Incomplete, "cut short");
    }
}
