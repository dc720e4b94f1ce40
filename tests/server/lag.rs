//! While a turn lasts, all other clients wait: its duration is counted, and a long one is logged as a
//! warning.

use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use oneloop::Address;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::session::{ClientInfo, Input, Outbox, Progress, Service, Session};

/// Holds the loop up with each of its clients.
#[derive(Clone)]
struct Slow;

impl Service for Slow {
    type Session = Slow;
    fn open(&self, _client: &ClientInfo<'_>) -> Slow {
        Slow
    }
}

impl Session for Slow {
    fn advance(&mut self, input: Input<'_>, _out: &mut Outbox) -> Progress {
        std::thread::sleep(SLOW);
        Progress::finish(input.bytes.len())
    }
}

/// More than the 100 ms that cause a warning.
const SLOW: Duration = Duration::from_millis(110);

/// Keeps the warnings of this process.
struct Warnings(Mutex<Vec<String>>);

static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }
    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }
    fn flush(&self) {}
}

#[test]
fn a_turn_that_held_everybody_up_is_counted_and_warned_of() {
    log::set_logger(&WARNINGS).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Slow).unwrap() else { panic!("a TCP address") };
    let _client = TcpStream::connect(addr).unwrap();
    while reactor.summary().accepted == 0 {
        reactor.turn(None).unwrap();
    }
    let lag = reactor.summary().lag.unwrap();
    assert!(lag.max() >= SLOW && lag.p99() >= SLOW, "{lag:?}");
    let warned =
        |text: &String| text.starts_with("a turn of the loop took ") && text.ends_with(" clients waited");
    assert!(WARNINGS.0.lock().unwrap().iter().any(warned));
}
