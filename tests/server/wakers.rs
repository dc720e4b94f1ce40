//! A waker does nothing once its client has ended: it never reaches the slot's next tenant (design, rule 10).

use std::sync::{Arc, Mutex};

use crate::common::inside::Inside;
use crate::common::{Client, eventually};
use oneloop::limits::Limits;
use oneloop::session::{Call, ClientInfo, FileRange, Input, Outbox, Progress, Service, Session, Wait, Waker};

/// How often a client that sends `*` wakes the first client, within one call.
const RINGS: usize = 100;

/// The answer to `#`: more than the buffers of both sides hold.
const LONG_BYTES: usize = 64 << 20;

/// Sends `W` for each call by a wake, and echoes; keeps the wakers of all clients that there ever were.
///
/// `*` wakes the first client, `#` is answered at length, and after `@` a client asks for turns until it is
/// woken.
#[derive(Clone, Default)]
struct Bells {
    wakers: Arc<Mutex<Vec<Waker>>>,
}

struct Bell(Bells, Asks);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    ForInput,
    ForTurns,
}

impl Service for Bells {
    type Session = Bell;

    fn wakes(&self) -> bool {
        true
    }

    fn open(&self, client: &ClientInfo<'_>) -> Bell {
        self.wakers.lock().unwrap().push(client.waker());
        Bell(self.clone(), Asks::ForInput)
    }
}

impl Session for Bell {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        if input.call == Call::Woken {
            out.put_some(b"W");
            self.1 = Asks::ForInput;
        }
        if input.bytes.contains(&b'@') {
            self.1 = Asks::ForTurns;
        }
        if input.bytes == b"#" {
            out.file(long_file()).unwrap();
            return Progress::need_input(1, Wait::NextRequest);
        }
        if input.bytes.contains(&b'*') {
            (0..RINGS).for_each(|_| self.0.wake(0));
        }
        let consumed = out.put_some(input.bytes);
        match self.1 {
            Asks::ForInput => Progress::need_input(consumed, Wait::NextRequest),
            Asks::ForTurns => Progress::again(consumed),
        }
    }
}

fn long_file() -> FileRange {
    let file = tempfile::tempfile().unwrap();
    file.set_len(LONG_BYTES as u64).unwrap();
    FileRange { file: Arc::new(file), offset: 0, len: LONG_BYTES as u64 }
}

impl Bells {
    fn wake(&self, number: usize) {
        self.wakers.lock().unwrap()[number].wake();
    }

    fn opened(&self, count: usize) {
        eventually("the client is open", || self.wakers.lock().unwrap().len() == count);
    }
}

#[test]
fn a_stale_waker_never_reaches_the_slots_next_tenant() {
    let bells = Bells::default();
    let server = Inside::serve(Limits { clients_max: 1, ..Limits::default() }, bells.clone());
    for tenant in 0..50 {
        let mut client = opened(&server, &bells, tenant + 1);
        for stale in 0..tenant {
            bells.wake(stale);
        }
        client.expect_echo(b"undisturbed");
        bells.wake(tenant);
        client.expect_exact(b"W");
        client.half_close();
        client.expect_end();
    }
}

/// There is one slot: a client that comes before the one before it is gone is refused, and tries again.
fn opened(server: &Inside, bells: &Bells, count: usize) -> Client {
    let mut accepted = None;
    eventually("there is a place", || {
        let mut client = server.client();
        client.send(b"?");
        let mut first = [0; 1];
        let got = std::io::Read::read(&mut client.socket(), &mut first);
        accepted = got.is_ok_and(|len| len == 1).then_some(client);
        accepted.is_some()
    });
    bells.opened(count);
    accepted.unwrap()
}

#[test]
fn wakes_before_the_same_call_are_one() {
    let bells = Bells::default();
    let server = Inside::serve(Limits::default(), bells.clone());
    let (mut woken, mut ringer) = (server.client(), server.client());
    woken.expect_echo(b"open");
    ringer.expect_echo(b"*");
    woken.expect_exact(b"W");
    // A second `W` would come before one of these, or before the end.
    woken.expect_echo(b"once");
    ringer.expect_echo(b"the loop has had more turns");
    woken.expect_echo(b"and not again");
    woken.half_close();
    woken.expect_end();
}

#[test]
fn wakes_from_other_threads_are_not_lost() {
    let bells = Bells::default();
    let server = Inside::serve(Limits::default(), bells.clone());
    let mut client = server.client();
    client.expect_echo(b"open");
    for _ in 0..100 {
        let ringing = bells.clone();
        let thread = std::thread::spawn(move || ringing.wake(0));
        client.expect_exact(b"W");
        thread.join().unwrap();
    }
}

#[test]
fn a_wake_ends_a_wait_of_any_length() {
    let bells = Bells::default();
    let server = Inside::serve(Limits { idle_ms: 0, ..Limits::default() }, bells.clone());
    let mut client = server.client();
    client.expect_echo(b"open");
    for _ in 0..500 {
        bells.wake(0);
        client.expect_exact(b"W");
    }
    // One `W` too many would come before one of these, or before the end.
    client.expect_echo(b"as often as it was woken");
    client.half_close();
    client.expect_end();
}

#[test]
fn a_client_woken_during_an_answer_is_called_after_it() {
    let bells = Bells::default();
    let server = Inside::serve(Limits::default(), bells.clone());
    let mut client = server.client();
    client.send(b"#");
    client.expect_exact(&[0]); // the rest is more than could be on its way
    bells.wake(0);
    client.read_exact(&mut vec![1; LONG_BYTES - 1]);
    client.expect_exact(b"W");
    client.expect_echo(b"and once");
}

#[test]
fn a_client_that_asks_for_turns_sees_a_wake_in_one_of_them() {
    let bells = Bells::default();
    let server = Inside::serve(Limits { again_max: u32::MAX, ..Limits::default() }, bells.clone());
    let mut client = server.client();
    client.expect_echo(b"@");
    bells.wake(0);
    client.expect_exact(b"W");
    client.expect_echo(b"and waits for input");
}
