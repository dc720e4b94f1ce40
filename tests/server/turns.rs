//! What one turn of the loop promises: everyone has a share, whatever one of them does; and the loop can live
//! in another.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
#[cfg(not(mio_unsupported_force_poll_poll))]
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use oneloop::Address;
use oneloop::limits::Limits;
use oneloop::reactor::{Reactor, Turn};
use oneloop::services::Echo;
use oneloop::session::{Call, ClientInfo, Input, Outbox, Progress, Service, Session, Wait};
use oneloop::telemetry::Reason;

/// Turns until a loop on loopback has surely done what it can.
const TURNS_MAX: u32 = 10_000;
/// What is waited for at most; far more than it takes.
const WAIT_MAX: Duration = Duration::from_secs(10);

fn reactor(limits: Limits) -> (Reactor<Echo>, SocketAddr) {
    let mut reactor = Reactor::new(limits).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Echo).unwrap() else { panic!("a TCP address") };
    (reactor, addr)
}

fn connect(reactor: &mut Reactor<Echo>, addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).unwrap();
    let before = reactor.summary().open;
    for _ in 0..TURNS_MAX {
        reactor.turn(Some(Duration::from_millis(10))).unwrap();
        if reactor.summary().open > before {
            client.set_nonblocking(true).unwrap();
            return client;
        }
    }
    panic!("not accepted");
}

/// Writes until the socket takes no more, and reads all that is there.
fn flood(client: &mut TcpStream, scratch: &mut [u8]) {
    for direction in 0..2 {
        for _ in 0..1000 {
            let done = if direction == 0 { client.write(scratch) } else { client.read(scratch) };
            match done {
                Ok(len) => assert_ne!(len, 0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn with_one_that_floods_each_of_fifty_that_ping_is_served_within_two_turns() {
    let (mut reactor, addr) = reactor(Limits::default());
    let mut scratch = vec![b'f'; 256 << 10];
    let mut flooding = connect(&mut reactor, addr);
    let mut pinging: Vec<TcpStream> = (0..50).map(|_| connect(&mut reactor, addr)).collect();
    for round in 0..40 {
        flood(&mut flooding, &mut scratch);
        for client in &mut pinging {
            client.write_all(b"ping").unwrap();
        }
        for _ in 0..2 {
            flood(&mut flooding, &mut scratch);
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        for client in &mut pinging {
            let mut back = [0; 4];
            client.read_exact(&mut back).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(&back, b"ping");
        }
    }
}

/// Takes all that comes as one request without end.
#[derive(Clone)]
struct Upload;

impl Service for Upload {
    type Session = Upload;
    fn open(&self, _client: &ClientInfo<'_>) -> Upload {
        Upload
    }
}

impl Session for Upload {
    fn advance(&mut self, input: Input<'_>, _out: &mut Outbox) -> Progress {
        let taken = input.bytes.len();
        let wait = if input.call == Call::Open { Wait::NextRequest } else { Wait::Rest };
        Progress::need_input(taken, wait).with_unfinished(taken)
    }
}

/// It has more to read in every turn, so it never waits.
#[test]
fn a_request_without_end_has_a_deadline_too() {
    let mut reactor = Reactor::new(Limits { request_ms: 50, ..Limits::default() }).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Upload).unwrap() else { panic!("a TCP address") };
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_nonblocking(true).unwrap();
    let (piece, began) = (vec![b'u'; 1 << 20], Instant::now());
    while reactor.summary().counters.of(Reason::RequestTimeout) == 0 {
        assert!(began.elapsed() < WAIT_MAX, "{}", reactor.summary());
        // More than a turn takes; when it has been ended, it is reset.
        let _ = client.write(&piece);
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
}

/// A listener is edge-triggered, too: there is no further event for connections left in the queue.
#[test]
fn connections_left_in_the_queue_of_a_listener_are_accepted_by_the_next_turn() {
    const QUEUED: usize = 5;
    let (mut reactor, addr) = reactor(Limits { accepts_per_turn_max: 1, idle_ms: 0, ..Limits::default() });
    let _clients: Vec<TcpStream> = (0..QUEUED).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for open in 1..=QUEUED {
        assert_eq!(reactor.wait_max(), Some(Duration::ZERO));
        reactor.turn(None).unwrap();
        assert_eq!(reactor.summary().open, open);
    }
}

/// Has far more echoed than one turn does, all of it; how much came back in one turn at most.
fn most_echoed_in_one_turn(reactor: &mut Reactor<Echo>, client: &mut TcpStream) -> usize {
    const BYTES: usize = 40_000;
    client.write_all(&vec![1; BYTES]).unwrap();
    let (mut back, mut got, mut most) = (vec![0; BYTES], 0, 0);
    for _ in 0..TURNS_MAX {
        reactor.turn(Some(Duration::from_millis(10))).unwrap();
        let before = got;
        while let Ok(len) = client.read(&mut back) {
            got += len;
        }
        most = most.max(got - before);
        if got == BYTES {
            return most;
        }
    }
    panic!("{got} of {BYTES} bytes were echoed");
}

#[test]
fn a_turn_spends_no_more_on_one_client_than_its_budget() {
    let limits = Limits { read_bytes: 4096, reads_per_turn_max: 2, ..Limits::default() };
    let (mut reactor, addr) = reactor(limits);
    let mut client = connect(&mut reactor, addr);
    let most = most_echoed_in_one_turn(&mut reactor, &mut client);
    assert!(most <= 2 * 4096, "{most} bytes in one turn");
}

/// Another loop that watches a reactor by its descriptor.
#[cfg(not(mio_unsupported_force_poll_poll))] // that selector has no descriptor
struct Outer {
    poll: mio::Poll,
    events: mio::Events,
}

#[cfg(not(mio_unsupported_force_poll_poll))]
impl Outer {
    fn around(reactor: &Reactor<Echo>) -> Outer {
        let (poll, fd) = (mio::Poll::new().unwrap(), reactor.as_raw_fd());
        poll.registry().register(&mut SourceFd(&fd), mio::Token(1), mio::Interest::READABLE).unwrap();
        Outer { poll, events: mio::Events::with_capacity(4) }
    }

    /// Waits as documented; returns whether there is something to do.
    fn wait(&mut self, reactor: &Reactor<Echo>, most: Duration) -> bool {
        let own = reactor.wait_max();
        self.poll.poll(&mut self.events, Some(own.map_or(most, |own| own.min(most)))).unwrap();
        own == Some(Duration::ZERO) || !self.events.is_empty()
    }

    /// Waits and turns until nothing is left to do.
    fn settle(&mut self, reactor: &mut Reactor<Echo>) {
        for _ in 0..TURNS_MAX {
            if !self.wait(reactor, Duration::ZERO) {
                return;
            }
            reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        panic!("it never rests");
    }
}

#[test]
#[cfg(not(mio_unsupported_force_poll_poll))]
fn a_call_between_two_turns_shows_at_the_descriptor_or_in_the_wait() {
    for turned in [false, true] {
        for before_the_wait_is_asked in [false, true] {
            let (mut reactor, _) = reactor(Limits::default());
            let mut outer = Outer::around(&reactor);
            let handle = reactor.handle();
            if turned {
                outer.settle(&mut reactor);
            }
            if before_the_wait_is_asked {
                handle.drain();
                assert!(outer.wait(&reactor, WAIT_MAX), "turned {turned}, called before");
            } else {
                let wait = reactor.wait_max();
                handle.drain();
                assert_eq!(wait.filter(|_| turned), None, "nothing else is to be done");
                outer.poll.poll(&mut outer.events, Some(WAIT_MAX)).unwrap();
                assert!(!outer.events.is_empty(), "turned {turned}, called while it waits");
            }
            let stopped = (0..3).any(|_| reactor.turn(Some(Duration::ZERO)).unwrap() == Turn::Stopped);
            assert!(stopped, "the call is obeyed");
        }
    }
}

/// The descriptor has one edge for all ready events, and a turn takes only a bounded number of them.
#[test]
#[cfg(not(mio_unsupported_force_poll_poll))]
fn events_that_do_not_fit_into_a_turn_are_not_left_for_the_next_edge() {
    let (mut reactor, addr) = reactor(Limits { events_per_turn_max: 1, ..Limits::default() });
    let mut clients: Vec<TcpStream> = (0..5).map(|_| connect(&mut reactor, addr)).collect();
    let mut outer = Outer::around(&reactor);
    outer.settle(&mut reactor);
    for client in &mut clients {
        client.write_all(b"x").unwrap();
    }
    let mut answered = 0;
    while answered < clients.len() {
        assert!(outer.wait(&reactor, WAIT_MAX), "{answered} of {} are answered", clients.len());
        reactor.turn(Some(Duration::ZERO)).unwrap();
        answered += clients.iter_mut().filter_map(|client| client.read(&mut [0]).ok()).count();
    }
}

#[test]
#[cfg(not(mio_unsupported_force_poll_poll))] // that selector has no descriptor
fn a_reactor_lives_inside_another_loop_by_its_descriptor() {
    let (mut reactor, addr) = reactor(Limits::default());
    let mut outer = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(4);
    let fd = reactor.as_raw_fd();
    outer.registry().register(&mut SourceFd(&fd), mio::Token(1), mio::Interest::READABLE).unwrap();
    let mut client = TcpStream::connect(addr).unwrap();
    client.write_all(b"from another loop").unwrap();
    client.set_nonblocking(true).unwrap();
    let mut back = [0; 17];
    for _ in 0..TURNS_MAX {
        let wait = reactor.wait_max().unwrap_or(Duration::from_secs(5));
        outer.poll(&mut events, Some(wait)).unwrap();
        // Edge-triggered here, too: turn until there is nothing left to do at once.
        while reactor.turn(Some(Duration::ZERO)).unwrap() != Turn::Stopped {
            if reactor.wait_max() != Some(Duration::ZERO) {
                break;
            }
        }
        if client.read(&mut back).is_ok_and(|len| len == 17) {
            assert_eq!(&back, b"from another loop");
            return;
        }
    }
    panic!("never answered");
}

#[test]
fn a_turn_writes_no_more_to_one_client_than_its_share_and_the_answer_that_reaches_it() {
    let (share, answer) = (1500, 1024);
    let limits = Limits {
        read_bytes: answer,
        reads_per_turn_max: 100,
        advances_per_turn_max: 100,
        write_bytes_per_turn_max: share,
        ..Limits::default()
    };
    let (mut reactor, addr) = reactor(limits);
    let mut client = connect(&mut reactor, addr);
    let most = most_echoed_in_one_turn(&mut reactor, &mut client);
    assert!(most <= (share + answer) as usize, "{most} bytes in one turn");
}

#[test]
fn a_turn_takes_no_more_new_clients_than_its_share() {
    let (mut reactor, addr) = reactor(Limits { accepts_per_turn_max: 3, ..Limits::default() });
    let clients: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut open = 0;
    for _ in 0..TURNS_MAX {
        reactor.turn(Some(Duration::from_millis(10))).unwrap();
        let taken = reactor.summary().open - open;
        assert!(taken <= 3, "{taken} in one turn");
        open += taken;
        if open == clients.len() {
            return;
        }
    }
    panic!("{open} of {} were taken", clients.len());
}

#[test]
fn an_idle_loop_waits_for_its_nearest_deadline_and_for_nothing_before_it() {
    let (mut reactor, addr) = reactor(Limits { idle_ms: 40_000, ..Limits::default() });
    let _client = connect(&mut reactor, addr);
    while reactor.wait_max() == Some(Duration::ZERO) {
        reactor.turn(Some(Duration::ZERO)).unwrap();
    }
    let wait = reactor.wait_max().expect("the idle deadline");
    assert!(wait > Duration::from_secs(4) && wait <= Duration::from_secs(40), "{wait:?}");
}

#[test]
fn a_failed_bind_has_the_error_kind_of_the_system_and_a_message() {
    let (mut reactor, addr) = reactor(Limits::default());
    for (address, kind) in
        [(addr.to_string(), ErrorKind::AddrInUse), ("nowhere".into(), ErrorKind::InvalidInput)]
    {
        let error = reactor.bind(&address, Echo).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(&address), "{error}");
    }
}

#[test]
fn a_loop_that_drains_takes_no_more_listeners() {
    let (mut reactor, addr) = reactor(Limits::default());
    let client = connect(&mut reactor, addr);
    reactor.handle().drain();
    assert_eq!(reactor.turn(Some(Duration::ZERO)).unwrap(), Turn::Draining, "{client:?} has not ended");
    assert_eq!(reactor.bind("127.0.0.1:0", Echo).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_handle_drains_or_stops_a_loop_from_another_thread() {
    for stop in [false, true] {
        let (mut reactor, addr) = reactor(Limits::default());
        let mut client = TcpStream::connect(addr).unwrap();
        let handle = reactor.handle();
        let server = std::thread::spawn(move || reactor.run().unwrap());
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        if stop {
            handle.stop();
        } else {
            handle.drain();
        }
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
        drop(client);
        assert_eq!(server.join().unwrap().cut, u64::from(stop));
    }
}

/// Processor time that this thread has taken.
fn processor_time() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// As shares of all that the listings take, so that it holds on any machine: all in one turn is 1.
#[test]
fn listings_of_large_directories_share_their_turns_with_the_others() {
    use oneloop::services::http::{Files, FilesConfig, Http};
    // How many clients there are at once, and into how many turns of equal length all that they take is
    // divided at least.
    const CLIENTS: [(usize, u32); 2] = [(16, 30), (64, 100)];
    let site = tempfile::tempdir().unwrap();
    for name in 0..9_900 {
        std::fs::File::create(site.path().join(format!("{name}"))).unwrap();
    }
    let config = FilesConfig { listing: true, ..FilesConfig::new(site.path()) };
    let http = Http::new(Files::new(config).unwrap());
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", http).unwrap() else { panic!("a TCP address") };
    for (clients, turns_min) in CLIENTS {
        let get = move || {
            let mut client = TcpStream::connect(addr).unwrap();
            client.set_read_timeout(Some(WAIT_MAX)).unwrap();
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut page = Vec::new();
            client.read_to_end(&mut page).unwrap();
            assert!(page.ends_with(b"</html>\n"));
        };
        let clients: Vec<_> = (0..clients).map(|_| std::thread::spawn(get)).collect();
        let (began, mut longest) = (processor_time(), Duration::ZERO);
        while clients.iter().any(|client| !client.is_finished()) {
            let before = processor_time();
            reactor.turn(Some(Duration::from_millis(10))).unwrap();
            longest = longest.max(processor_time().saturating_sub(before));
        }
        let all = processor_time().saturating_sub(began);
        assert!(longest * turns_min < all, "{longest:?} of {all:?} in one turn of {} clients", clients.len());
        for client in clients {
            client.join().unwrap();
        }
    }
}
