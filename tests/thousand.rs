//! A thousand clients at once, in a `mio` poll loop of this test's own: a client of the server's own kind.
//!
//! Where a new test goes: here if it opens nearly as many descriptors itself as a process may commonly have,
//! which is 1,024: no other test fits beside it.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use oneloop_tests::{PATIENCE, Random, Server};

const CLIENTS: usize = 1000;
const REQUESTS: usize = 10;
const REQUEST_BYTES_MAX: usize = 3000;

/// One client: sends its bytes in random pieces and compares what comes back.
struct Client {
    stream: TcpStream,
    text: Vec<u8>,
    sent: usize,
    received: usize,
    /// It sends up to here, then waits for the answer.
    request_end: usize,
}

impl Client {
    fn connect(addr: SocketAddr, random: &mut Random) -> Client {
        let len = REQUESTS + random.below(REQUESTS * REQUEST_BYTES_MAX);
        let stream = TcpStream::connect(addr).unwrap();
        Client { stream, text: random.bytes(len), sent: 0, received: 0, request_end: 0 }
    }

    /// Goes on until all has come back, or the socket has nothing more to take or give (`WouldBlock`).
    fn go_on(&mut self, random: &mut Random, scratch: &mut [u8]) -> std::io::Result<()> {
        loop {
            if self.received == self.text.len() {
                return Ok(());
            }
            if self.received == self.request_end {
                self.request_end = self.text.len().min(self.sent + 1 + random.below(REQUEST_BYTES_MAX));
            }
            if self.sent < self.request_end {
                let piece = 1 + random.below(self.request_end - self.sent);
                self.sent += self.stream.write(&self.text[self.sent..self.sent + piece])?;
                continue;
            }
            match self.stream.read(scratch)? {
                0 => panic!("it ended after {} of {} bytes", self.received, self.text.len()),
                len => {
                    let expected = &self.text[self.received..self.received + len];
                    assert!(&scratch[..len] == expected, "wrong bytes at {}", self.received);
                    self.received += len;
                }
            }
        }
    }
}

#[test]
fn a_thousand_clients_in_one_loop_each_have_their_own_bytes_back() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let addr = server.address("echo").tcp();
    let mut random = Random::new();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(256);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(addr, &mut random)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut client.stream, Token(index), interest).unwrap();
    }
    let mut scratch = [0; 16 << 10];
    let mut done = vec![false; CLIENTS];
    let deadline = Instant::now() + PATIENCE;
    while done.iter().any(|done| !done) {
        assert!(Instant::now() < deadline, "{} are not done", done.iter().filter(|done| !**done).count());
        match poll.poll(&mut events, Some(Duration::from_secs(1))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => panic!("{error}"),
            _ => {}
        }
        for event in &events {
            let Token(index) = event.token();
            match clients[index].go_on(&mut random, &mut scratch) {
                Ok(()) => done[index] = true,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
                Err(error) => panic!("client {index}: {error}"),
            }
        }
    }
    drop(clients);
    server.expect_log("ended: peer-closed", CLIENTS);
}
