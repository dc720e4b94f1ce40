//! The leanest closed-loop load: each client sends a request, takes the whole answer, sends the next.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

const EVENTS: usize = 1024;
/// More than the longest message of a benchmark.
const READ_BYTES: usize = 128 << 10;
/// Connections from one source address: well under the range of local ports.
const CLIENTS_PER_SOURCE: usize = 10_000;
/// How long a wait may take before the clock is looked at.
const WAIT_MS: u16 = 100;
/// How long the last answers may take.
const REST_MAX: Duration = Duration::from_secs(10);

/// A crowd of clients of one echo server: some converse, the others only hold their connection.
pub(crate) struct Load {
    epoll: Epoll,
    active: Vec<Conversation>,
    /// Open, and silent.
    _idle: Vec<TcpStream>,
    request: Vec<u8>,
    scratch: Vec<u8>,
    events: Vec<EpollEvent>,
}

struct Conversation {
    stream: TcpStream,
    received: usize,
    sent_at: Instant,
}

/// What a crowd has done in a while.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// From the send to the last byte of the answer, in ns; in order of arrival. Empty unless asked for.
    pub(crate) latencies_ns: Vec<u64>,
}

impl Load {
    /// Connects `idle` silent and `active` conversing clients with requests of `bytes`.
    pub(crate) fn connect(addr: SocketAddr, active: usize, idle: usize, bytes: usize) -> Load {
        let idle: Vec<_> = (0..idle).map(|i| connect(addr, i)).collect();
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let conversation = |i| {
            let stream = connect(addr, idle.len() + i);
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
            epoll.add(&stream, EpollEvent::new(interest, i as u64)).unwrap();
            Conversation { stream, received: 0, sent_at: Instant::now() }
        };
        let active = (0..active).map(conversation).collect();
        let (request, scratch) = (vec![b'e'; bytes], vec![0; READ_BYTES]);
        Load { epoll, active, _idle: idle, request, scratch, events: vec![EpollEvent::empty(); EVENTS] }
    }

    /// Has all that are active send their first request.
    pub(crate) fn begin(&mut self) {
        for conversation in &mut self.active {
            conversation.ask(&self.request);
        }
    }

    /// Converses for `span`; with `timed` each answer's latency is kept.
    pub(crate) fn run(&mut self, span: Duration, timed: bool) -> Done {
        let began = Instant::now();
        let mut done = Done::default();
        while began.elapsed() < span {
            let ready = self.epoll.wait(&mut self.events, EpollTimeout::from(WAIT_MS)).unwrap_or(0);
            for event in &self.events[..ready] {
                let conversation = &mut self.active[event.data() as usize];
                let len = match conversation.stream.read(&mut self.scratch) {
                    Ok(0) => panic!("the server ended a conversation"),
                    Ok(len) => len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => panic!("a conversation: {error}"),
                };
                conversation.received += len;
                if conversation.received < self.request.len() {
                    continue;
                }
                done.requests += 1;
                if timed {
                    done.latencies_ns.push(conversation.sent_at.elapsed().as_nanos() as u64);
                    conversation.sent_at = Instant::now();
                }
                conversation.ask(&self.request);
            }
        }
        done.seconds = began.elapsed().as_secs_f64();
        done
    }
}

impl Load {
    /// Takes the answers that are still due, and asks for no more: all conversations rest, until they begin
    /// again. Returns how many answers came.
    pub(crate) fn rest(&mut self) -> u64 {
        let (began, mut due) = (Instant::now(), self.active.len());
        while due > 0 {
            assert!(began.elapsed() < REST_MAX, "{due} answers did not come");
            let ready = self.epoll.wait(&mut self.events, EpollTimeout::from(WAIT_MS)).unwrap_or(0);
            for event in &self.events[..ready] {
                let conversation = &mut self.active[event.data() as usize];
                match conversation.stream.read(&mut self.scratch) {
                    Ok(0) => panic!("the server ended a conversation"),
                    Ok(len) => conversation.received += len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(error) => panic!("a conversation: {error}"),
                }
                due -= usize::from(conversation.received == self.request.len());
            }
        }
        self.active.len() as u64
    }
}

impl Conversation {
    fn ask(&mut self, request: &[u8]) {
        self.received = 0;
        let sent = self.stream.write(request).expect("a request is sent");
        assert_eq!(sent, request.len(), "a request fits in the socket's buffer");
    }
}

/// The ports of one source address run out: after this many clients the next address of 127.0.0.0/8 is used.
fn connect(addr: SocketAddr, index: usize) -> TcpStream {
    let source = Ipv4Addr::new(127, 0, 0, 1 + (index / CLIENTS_PER_SOURCE) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    // Closed with a reset: no port is left in TIME_WAIT for the next crowd.
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    socket.connect(&addr.into()).unwrap_or_else(|error| panic!("client {index}: {error}"));
    TcpStream::from(socket)
}
