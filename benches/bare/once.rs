//! Clients that come once: each connects, sends a request, takes the whole answer and closes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

const WAIT_MS: u16 = 100;
/// How long the last answers may take.
const REST_MAX: Duration = Duration::from_secs(10);

/// So many clients at a time; each that has been answered makes way for the next one.
pub(crate) struct Once {
    epoll: Epoll,
    addr: SocketAddr,
    clients: Vec<Option<Visit>>,
    request: Vec<u8>,
}

struct Visit {
    stream: TcpStream,
    received: usize,
}

impl Once {
    pub(crate) fn new(addr: SocketAddr, at_a_time: usize, bytes: usize) -> Once {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        Once { epoll, addr, clients: (0..at_a_time).map(|_| None).collect(), request: vec![b'o'; bytes] }
    }

    /// Sends clients for `span`, and lets those that are there then be answered. Returns how many were
    /// answered.
    pub(crate) fn run(&mut self, span: Duration) -> u64 {
        let mut events = vec![EpollEvent::empty(); self.clients.len()];
        let mut scratch = vec![0; 2 * self.request.len()];
        let (began, mut answered, mut present) = (Instant::now(), 0, self.clients.len());
        for index in 0..self.clients.len() {
            self.come(index);
        }
        while present > 0 {
            assert!(began.elapsed() < span + REST_MAX, "{present} answers did not come");
            let ready = self.epoll.wait(&mut events, EpollTimeout::from(WAIT_MS)).unwrap_or(0);
            for event in &events[..ready] {
                let index = event.data() as usize;
                let Some(visit) = &mut self.clients[index] else { continue };
                match visit.stream.read(&mut scratch) {
                    Ok(0) => panic!("the server ended a client before its answer"),
                    Ok(len) => visit.received += len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => panic!("a client: {error}"),
                }
                if visit.received < self.request.len() {
                    continue;
                }
                answered += 1;
                self.clients[index] = None; // an orderly close: the server reads an end, not an error
                if began.elapsed() < span {
                    self.come(index);
                } else {
                    present -= 1;
                }
            }
        }
        answered
    }

    /// Over loopback a connection is established when connect(2) returns, as long as the backlog has room.
    fn come(&mut self, index: usize) {
        let mut stream = TcpStream::connect(self.addr).unwrap_or_else(|error| panic!("a client: {error}"));
        stream.write_all(&self.request).expect("a request fits in the socket's buffer");
        stream.set_nonblocking(true).unwrap();
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        self.epoll.add(&stream, EpollEvent::new(interest, index as u64)).unwrap();
        self.clients[index] = Some(Visit { stream, received: 0 });
    }
}
