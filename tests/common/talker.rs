//! A client behind the toy layer of [`super::layers`], over a socket.

use std::io::Read;

use super::Client;
use super::layers::FramesClient;

/// A socket, and the client's side of the toy on it.
pub struct Talker {
    pub client: Client,
    pub toy: FramesClient,
}

impl Talker {
    pub fn new(client: Client, toy: FramesClient) -> Talker {
        Talker { client, toy }
    }

    pub fn try_send(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece) {
            if self.client.try_send(piece).is_err() {
                return; // the next read returns the reason
            }
        }
    }

    /// Reads once; whether the connection goes on.
    pub fn read(&mut self) -> bool {
        let mut buf = [0; 4096];
        let Ok(len) = self.client.socket().read(&mut buf) else { return false };
        let reply = self.toy.receive(&buf[..len]);
        self.try_send(&reply, 3);
        len > 0 && !self.toy.was_alerted
    }

    /// Shakes hands; whether the server goes on.
    pub fn establish(&mut self, piece: usize) -> bool {
        let begins = self.toy.begin();
        self.try_send(&begins, piece);
        while !self.toy.is_established() {
            if !self.read() {
                return false;
            }
        }
        true
    }

    /// Sends lines and the end of them, in pieces; what comes back until the server ends.
    pub fn converse(&mut self, lines: &[u8], piece: usize) -> Vec<u8> {
        if !self.establish(piece) {
            return Vec::new();
        }
        let bytes = [self.toy.send(lines), self.toy.end()].concat();
        let mut sender = self.client.another_handle();
        std::thread::scope(|scope| {
            scope.spawn(move || bytes.chunks(piece).all(|piece| sender.try_send(piece).is_ok()));
            while self.read() {}
        });
        self.toy.got.clone()
    }
}
