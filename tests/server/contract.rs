//! What a service of one's own can rely on under the reactor, beyond what any model gives (see
//! `tests/models/contract.rs`).

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use crate::common::inside::Inside;
use oneloop::Address;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::session::{ClientInfo, Input, Outbox, Progress, Service, Session, Wait};
use oneloop::telemetry::Reason;

/// Counts the bytes of all clients in memory that no thread may share.
#[derive(Clone, Default)]
struct Counts(Rc<Cell<usize>>);

impl Service for Counts {
    type Session = Counts;

    fn open(&self, _client: &ClientInfo<'_>) -> Counts {
        self.clone()
    }
}

impl Session for Counts {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        self.0.set(self.0.get() + input.bytes.len());
        Progress::need_input(out.put_some(input.bytes), Wait::NextRequest)
    }
}

#[test]
fn a_service_of_one_loop_may_hold_what_no_thread_can_share() {
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    let counts = Counts::default();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", counts.clone()).unwrap() else {
        panic!("a TCP address")
    };
    let mut client = TcpStream::connect(addr).unwrap();
    client.write_all(b"twelve bytes").unwrap();
    while counts.0.get() < 12 {
        reactor.turn(Some(Duration::from_secs(10))).unwrap();
    }
    let mut back = [0; 12];
    client.read_exact(&mut back).unwrap();
    assert_eq!((&back, counts.0.get()), (b"twelve bytes", 12));
}

/// Takes lines and answers nothing; its own deadlines are shorter than the limits.
#[derive(Clone)]
struct Hasty {
    idle: Option<Duration>,
    request: Option<Duration>,
}

impl Service for Hasty {
    type Session = Hasty;

    fn open(&self, _client: &ClientInfo<'_>) -> Hasty {
        self.clone()
    }

    fn idle_timeout(&self) -> Option<Duration> {
        self.idle
    }

    fn request_timeout(&self) -> Option<Duration> {
        self.request
    }
}

impl Session for Hasty {
    fn advance(&mut self, input: Input<'_>, _out: &mut Outbox) -> Progress {
        let lines = input.bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let wait = if lines == input.bytes.len() { Wait::NextRequest } else { Wait::Rest };
        Progress::need_input(lines, wait)
    }
}

#[test]
fn a_service_decides_how_long_its_clients_may_be_idle_and_take_for_a_request() {
    let soon = Some(Duration::from_millis(50));
    let limits = Limits { idle_ms: 3_600_000, request_ms: 3_600_000, ..Limits::default() };
    for (service, sent, reason) in [
        (Hasty { idle: soon, request: None }, "a line\n", Reason::IdleTimeout),
        (Hasty { idle: None, request: soon }, "half a line", Reason::RequestTimeout),
    ] {
        let server = Inside::serve(limits.clone(), service);
        let mut client = server.client();
        client.send(sent.as_bytes());
        client.expect_end();
        drop(client);
        assert_eq!(server.drain().counters.of(reason), 1);
    }
    // Zero is no deadline, whatever the limits are.
    let limits = Limits { idle_ms: 50, request_ms: 50, ..Limits::default() };
    let never = Some(Duration::ZERO);
    let server = Inside::serve(limits.clone(), Hasty { idle: never, request: never });
    let limited = Inside::serve(limits, Hasty { idle: None, request: None });
    let (mut client, mut ended) = (server.client(), limited.client());
    ended.expect_end();
    client.half_close();
    client.expect_end();
    drop(client);
    assert_eq!(server.drain().counters.of(Reason::PeerClosed), 1);
}
