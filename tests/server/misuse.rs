//! A session that breaks the contract, or limits that make no sense, end in a reason: never in a spin, and
//! never for others.

use std::io::Write;
use std::sync::Arc;

use crate::common::inside::Inside;
use oneloop::limits::Limits;
use oneloop::services::Echo;
use oneloop::session::{Call, ClientInfo, FileRange, Input, Outbox, Progress, Service, Session, Wait, Waker};
use oneloop::telemetry::Reason;

/// A byte is a command; any other is echoed.
#[derive(Clone)]
struct Wrong;

struct WrongSession {
    waker: Waker,
    does: Does,
}

/// The misbehaviour of a session, selected by its client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Well,
    AsksForEver,
    WakesItself,
    TakesNothing,
}

impl Service for Wrong {
    type Session = WrongSession;

    fn wakes(&self) -> bool {
        true
    }

    fn open(&self, client: &ClientInfo<'_>) -> WrongSession {
        WrongSession { waker: client.waker(), does: Does::Well }
    }
}

impl Session for WrongSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let len = input.bytes.len();
        match input.bytes.first() {
            Some(b'>') => return Progress::need_input(len + 1, Wait::NextRequest),
            Some(b'r') => return Progress::need_room(len),
            Some(b'h') => assert!(out.put(&vec![0; 64 << 20]).is_err() && out.is_empty()),
            Some(b'f') => return short_file(len, out),
            Some(b'a') => self.does = Does::AsksForEver,
            Some(b'w') => self.does = Does::WakesItself,
            Some(b'0') => self.does = Does::TakesNothing,
            _ => {}
        }
        match self.does {
            Does::AsksForEver => return Progress::again(0),
            Does::TakesNothing => return Progress::need_input(0, Wait::NextRequest),
            Does::WakesItself if input.call != Call::Stopping => self.waker.wake(),
            Does::WakesItself | Does::Well => {}
        }
        Progress::need_input(out.put_some(input.bytes), Wait::NextRequest)
    }
}

/// Promises more of a file than there is.
fn short_file(consumed: usize, out: &mut Outbox) -> Progress {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"short").unwrap();
    out.file(FileRange { file: Arc::new(file), offset: 2, len: 100 }).unwrap();
    Progress::need_input(consumed, Wait::NextRequest)
}

#[test]
fn a_session_that_breaks_the_contract_ends_alone_with_its_reason() {
    let limits = Limits { again_max: 100, inbox_bytes_max: 1024, ..Limits::default() };
    let server = Inside::serve(limits, Wrong);
    let mut steady = server.client();
    let (mut huge, mut woken) = (server.client(), server.client());
    huge.expect_echo(b"h: what has no room is not put");
    woken.expect_echo(b"w: and is called in every turn from now on");
    let wrong: [(&[u8], Reason); 5] = [
        (b">", Reason::Contract),
        (b"r", Reason::Contract),
        (b"a", Reason::Contract),
        (b"f", Reason::FileShort),
        (&[b'0'; 4096], Reason::InputTooLong),
    ];
    for (said, _) in wrong {
        let mut client = server.client();
        client.send(said);
        let (got, _) = client.rest();
        assert_eq!(got, if said == b"f" { &b"ort"[..] } else { b"" });
        steady.expect_echo(b"undisturbed");
        woken.expect_echo(b"undisturbed, too");
    }
    drop((huge, steady));
    woken.expect_echo(b"still here");
    let draining = std::thread::spawn(move || server.drain());
    woken.expect_end(); // a drain reaches it, however often it is woken
    drop(woken);
    let counters = draining.join().unwrap().counters;
    for (_, reason) in wrong {
        let expected = wrong.iter().filter(|(_, other)| *other == reason).count() as u64;
        assert_eq!(counters.of(reason), expected, "{counters}");
    }
    assert_eq!(counters.total(), 8, "{counters}");
}

/// Too small to be of use, but served: what can be done in a turn is little, not nothing.
#[test]
fn limits_of_nothing_are_neither_a_spin_nor_the_end_of_input() {
    let all = Limits::default();
    for limits in [
        Limits { reads_per_turn_max: 0, ..all.clone() },
        Limits { advances_per_turn_max: 0, ..all.clone() },
        Limits { write_bytes_per_turn_max: 0, ..all.clone() },
        Limits { accepts_per_turn_max: 0, ..all.clone() },
        Limits { events_per_turn_max: 0, ..all.clone() },
        Limits { inbox_bytes_max: 0, read_bytes: 0, outbox_bytes_max: 0, ..all.clone() },
    ] {
        let server = Inside::serve(limits.clone(), Echo);
        let mut client = server.client();
        client.expect_echo(b"little by little");
        client.half_close();
        client.expect_end();
        drop(client);
        assert_eq!(server.drain().counters.of(Reason::PeerClosed), 1, "{limits:?}");
    }
}
