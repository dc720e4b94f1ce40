//! One client's error is that client's: a panic of its session, its service or its destructor ends that
//! client alone.

use std::io::{Read, Write};
use std::net::TcpStream;

use oneloop::Address;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::session::{ClientInfo, Input, Outbox, Progress, Refusal, Service, Session, Wait};
use oneloop::telemetry::Reason;

/// Echo that panics on request: `!` at once, `~` when the session is dropped. It also panics when every third
/// client is opened, and when every second client is refused.
#[derive(Clone, Default)]
struct Brittle {
    opened: std::sync::Arc<std::sync::atomic::AtomicU32>,
    refused: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

#[derive(Default)]
struct BrittleSession {
    breaks_at_the_end: bool,
}

impl Service for Brittle {
    type Session = BrittleSession;
    fn open(&self, _client: &ClientInfo<'_>) -> BrittleSession {
        assert!(self.opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3 != 2, "the third client");
        BrittleSession::default()
    }

    fn refusal(&self, _why: Refusal) -> &[u8] {
        let refused = self.refused.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert!(refused.is_multiple_of(2), "every other refusal");
        b"full\n"
    }
}

impl Session for BrittleSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let consumed = out.put_some(input.bytes);
        assert!(!input.bytes.contains(&b'!'), "told to");
        self.breaks_at_the_end |= input.bytes.contains(&b'~');
        Progress::need_input(consumed, Wait::NextRequest)
    }
}

impl Drop for BrittleSession {
    fn drop(&mut self) {
        assert!(!self.breaks_at_the_end || std::thread::panicking(), "told to, at the end");
    }
}

#[test]
fn a_panic_ends_its_client_alone_and_nothing_of_that_call_is_sent() {
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Brittle::default()).unwrap() else { panic!("TCP") };
    let handle = reactor.handle();
    let server = std::thread::spawn(move || reactor.run().unwrap());
    let ask = |client: &mut TcpStream, bytes: &[u8]| {
        client.write_all(bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        client.read_exact(&mut back).map(|()| back)
    };
    let mut steady = TcpStream::connect(addr).unwrap();
    assert_eq!(ask(&mut steady, b"one").unwrap(), b"one");
    for round in 0..30 {
        let mut other = TcpStream::connect(addr).unwrap();
        let said: &[u8] = if round % 2 == 0 { b"hello" } else { b"bye~" };
        // Every third is not served at all; the others are, until they break it.
        if ask(&mut other, said).is_ok() && round % 2 == 0 {
            assert!(ask(&mut other, b"no answer to this!").is_err());
        }
        assert_eq!(ask(&mut steady, b"still here").unwrap(), b"still here", "round {round}");
    }
    drop(steady);
    handle.drain();
    let summary = server.join().unwrap();
    assert!(summary.counters.of(Reason::Panicked) >= 15, "{summary}");
    assert_eq!(summary.counters.total(), 31, "{summary}");
}

#[test]
fn a_panic_in_last_words_ends_its_client_alone() {
    let mut reactor = Reactor::new(Limits { clients_max: 1, ..Limits::default() }).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Brittle::default()).unwrap() else { panic!("TCP") };
    let handle = reactor.handle();
    let server = std::thread::spawn(move || reactor.run().unwrap());
    let mut steady = TcpStream::connect(addr).unwrap();
    for round in 0..10 {
        steady.write_all(b"still here").unwrap();
        let mut back = [0; 10];
        steady.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"still here", "round {round}");
        let mut words = String::new();
        TcpStream::connect(addr).unwrap().read_to_string(&mut words).unwrap();
        assert_eq!(words, if round % 2 == 0 { "full\n" } else { "" }, "round {round}");
    }
    drop(steady);
    handle.drain();
    let summary = server.join().unwrap();
    assert_eq!(summary.counters.of(Reason::Panicked), 5, "{summary}");
    assert_eq!(summary.counters.of(Reason::RefusedClients), 5, "{summary}");
    assert_eq!(summary.counters.total(), 11, "{summary}");
}
