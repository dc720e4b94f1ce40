//! What a client costs: no allocation and no more than one read and one write per request of an open client,
//! no buffer while it is idle, and a slot of at most 192 bytes.
//!
//! Where a new test goes: here if it counts what one client costs in this process; the calls of the program,
//! which strace counts, are in `tests/server/syscalls.rs`.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use oneloop::connection::{
    Connection, Context, Layers, Mode, Patience, Polled, Pumped, ReadOutcome, Scratch, TimeSource, Transport,
    TurnBudget, WaitTimeouts, WriteOutcome,
};
use oneloop::limits::{Limits, Overflow};
use oneloop::reactor::{Reactor, slot_bytes};
use oneloop::services::{AnyService, Echo};
use oneloop::session::{
    AnswerInfo, ClientInfo, FileRange, Input, Now, Outbox, Peer, Progress, Service, Session, Wait,
};
use oneloop::telemetry::{Metrics, Telemetry};
use oneloop::{Address, Stream};

/// Turns in which a request on loopback has surely been answered.
const TURNS_MAX: u32 = 1000;

fn ask<S: Service>(reactor: &mut Reactor<S>, client: &mut TcpStream) {
    let mut back = [0; 64];
    client.write_all(&[7; 64]).unwrap();
    client.set_nonblocking(true).unwrap();
    for _ in 0..TURNS_MAX {
        reactor.turn(Some(Duration::from_millis(10))).unwrap();
        if let Ok(len) = client.read(&mut back) {
            assert_eq!(len, 64);
            client.set_nonblocking(false).unwrap();
            return;
        }
    }
    panic!("not answered in {TURNS_MAX} turns");
}

#[test]
fn a_request_of_an_open_client_allocates_nothing() {
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Echo).unwrap() else { panic!("a TCP address") };
    let mut clients: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for client in &mut clients {
        (0..3).for_each(|_| ask(&mut reactor, client));
    }
    let seen = allocation_counter::measure(|| {
        for client in &mut clients {
            (0..200).for_each(|_| ask(&mut reactor, client));
        }
    });
    assert_eq!(seen.count_total, 0, "allocations in 1,600 requests");
}

/// Echoes, and reports each answer.
#[derive(Clone)]
struct Reporting;

impl Service for Reporting {
    type Session = Reporting;

    fn open(&self, _client: &ClientInfo<'_>) -> Reporting {
        Reporting
    }
}

impl Session for Reporting {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        if !input.bytes.is_empty() && out.put(input.bytes).is_ok() {
            out.count_answer(Some(200));
            let (status, began_ms) = (Some(200), input.arrived_ms);
            out.answered(AnswerInfo { status, head_bytes: 0, began_ms, request: None });
        }
        Progress::need_input(input.bytes.len(), Wait::NextRequest)
    }
}

#[test]
fn an_answer_that_metrics_count_allocates_nothing() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    reactor.set_telemetry(Telemetry::new().with_observer(metrics.clone()));
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Reporting).unwrap() else { panic!("a TCP address") };
    let mut client = TcpStream::connect(addr).unwrap();
    (0..3).for_each(|_| ask(&mut reactor, &mut client));
    let seen = allocation_counter::measure(|| (0..200).for_each(|_| ask(&mut reactor, &mut client)));
    assert_eq!((seen.count_total, metrics.snapshot().with_status(200)), (0, 203));
}

/// Tables that grow are copied: at a million clients 168 MB in one turn.
#[test]
fn no_number_of_clients_makes_a_table_grow() {
    const CLIENTS: usize = 300;
    if cfg!(mio_unsupported_force_poll_poll) {
        return; // that selector has tables of its own, which grow
    }
    let limits = Limits {
        clients_max: CLIENTS as u32,
        clients_per_address_max: CLIENTS as u32,
        overflow: Overflow::Evict,
        ..Limits::default()
    };
    let mut reactor = Reactor::new(limits).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Echo).unwrap() else { panic!("a TCP address") };
    let mut clients = Vec::with_capacity(CLIENTS + 1);
    let mut take = |reactor: &mut Reactor<Echo>, count: usize| {
        for _ in 0..count {
            clients.push(TcpStream::connect(addr).unwrap());
            ask(reactor, clients.last_mut().unwrap());
        }
        assert_eq!(reactor.summary().open, clients.len());
        // All are in the queue at once, and all have their turn.
        for client in &mut clients {
            client.write_all(&[7; 64]).unwrap();
        }
        for client in &mut clients {
            client.set_nonblocking(true).unwrap();
            let answered = (0..TURNS_MAX).any(|_| {
                reactor.turn(Some(Duration::from_millis(10))).unwrap();
                client.read(&mut [0; 64]).is_ok_and(|len| len == 64)
            });
            assert!(answered);
            client.set_nonblocking(false).unwrap();
        }
    };
    take(&mut reactor, 1);
    let seen = allocation_counter::measure(|| take(&mut reactor, CLIENTS - 1));
    assert_eq!(seen.count_total, 0, "allocations for {CLIENTS} clients");
}

/// The reactor's transport, with its calls counted: a call that would be refused from what is latched costs
/// nothing.
struct Counted {
    inner: Polled,
    reads: u32,
    writes: u32,
}

impl Transport for Counted {
    fn read(&mut self, buf: &mut [u8], patience: Patience) -> io::Result<ReadOutcome> {
        self.reads += u32::from(self.inner.may_read());
        self.inner.read(buf, patience)
    }
    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<WriteOutcome> {
        self.writes += 1;
        self.inner.write(slices, more)
    }
    fn send_file(&mut self, range: &FileRange, bytes_max: usize) -> io::Result<WriteOutcome> {
        self.inner.send_file(range, bytes_max)
    }
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.inner.shutdown_write()
    }
    fn may_read(&self) -> bool {
        self.inner.may_read()
    }
    fn unacknowledged_bytes(&self) -> u64 {
        self.inner.unacknowledged_bytes()
    }
}

/// Only epoll proves by a short read that nothing is left; elsewhere a request costs one more read.
const READS_PER_REQUEST: u32 =
    if cfg!(all(target_os = "linux", not(mio_unsupported_force_poll_poll))) { 1 } else { 2 };

/// Calls that answer `requests` of this many bytes each, one after the other.
fn calls_for(requests: u32, bytes: usize) -> (u32, u32) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = Stream::new(OwnedFd::from(listener.accept().unwrap().0));
    stream.set_nonblocking(true).unwrap();
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(8);
    let mut polled = Polled::new(stream);
    polled.register(poll.registry(), mio::Token(0)).unwrap();
    let now = Now { monotonic_ms: 0, wall: SystemTime::UNIX_EPOCH };
    let transport = Counted { inner: polled, reads: 0, writes: 0 };
    let (limits, mut telemetry) = (Limits::default(), Telemetry::new());
    let mut connection = Connection::accepted(transport, Layers::none(), Peer::UNIX, now, &limits);
    connection.open(Echo);
    let mut scratch = Scratch::new(&limits);
    let (request, mut answer) = (vec![9; bytes], vec![0; bytes]);
    for _ in 0..requests {
        client.write_all(&request).unwrap();
        let before = connection.moved_bytes();
        while connection.moved_bytes() - before < 2 * bytes as u64 {
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "an event for each request");
            events.iter().for_each(|event| connection.transport_mut().inner.latch(event));
            let mut context = Context {
                clock: TimeSource::Turn(now),
                limits: &limits,
                timeouts: WaitTimeouts::of_limits(&limits),
                scratch: &mut scratch,
                telemetry: &mut telemetry,
                mode: Mode::Serving,
            };
            assert_eq!(connection.pump(&mut context, TurnBudget::of_turn(&limits)), Pumped::Waits);
        }
        client.read_exact(&mut answer).unwrap();
        assert!(connection.is_idle() && connection.held_bytes() == 0);
    }
    (connection.transport().reads, connection.transport().writes)
}

#[test]
fn a_request_of_an_open_client_costs_one_read_and_one_write() {
    assert_eq!(calls_for(100, 64), (100 * READS_PER_REQUEST, 100));
}

/// Sizes that buffers like to have, too: a read that fills its buffer is followed by one that finds nothing.
#[test]
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))] // only epoll saves that read
fn a_long_message_costs_one_read_and_one_write() {
    const REQUESTS: u32 = 50;
    /// Until the buffer has grown, and where the kernel has split a message.
    const EXTRA: u32 = 10;
    for bytes in [16 << 10, 64 << 10] {
        let (reads, writes) = calls_for(REQUESTS, bytes);
        let expected = REQUESTS..=REQUESTS + EXTRA;
        assert!(expected.contains(&reads), "{reads} reads for {REQUESTS} messages of {bytes} bytes");
        assert!(expected.contains(&writes), "{writes} writes for {REQUESTS} messages of {bytes} bytes");
    }
}

#[test]
#[cfg(not(mio_unsupported_force_poll_poll))] // there a stream also keeps its registration
fn the_slot_of_a_client_is_at_most_192_bytes_with_all_services_in_it() {
    let bytes = slot_bytes::<<AnyService as Service>::Session>();
    println!("a slot of `oneloop serve` is {bytes} bytes");
    assert!(bytes <= 192, "{bytes}");
}
