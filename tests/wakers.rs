//! A waker does nothing once its client has ended: it never reaches the slot's next tenant (design, rule 10).
#![cfg(feature = "cli")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::inside::Inside;
use common::{Client, eventually};
use oneloop::limits::Limits;
use oneloop::session::{Call, Client as Accepted, Input, Outbox, Progress, Service, Session, Wait, Waker};

/// How often a client that sends `*` wakes the first client, within one call.
const RINGS: usize = 100;

/// Says `W` for each call by a wake, and echoes; keeps the wakers of all clients that there ever were.
#[derive(Clone, Default)]
struct Bells {
    wakers: Arc<Mutex<Vec<Waker>>>,
}

struct Bell(Bells);

impl Service for Bells {
    type Session = Bell;
    const WAKES: bool = true;

    fn open(&self, client: &Accepted<'_>) -> Bell {
        self.wakers.lock().unwrap().push(client.waker());
        Bell(self.clone())
    }
}

impl Session for Bell {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        if input.call == Call::Woken {
            out.put_some(b"W");
        }
        if input.bytes.contains(&b'*') {
            (0..RINGS).for_each(|_| self.0.wake(0));
        }
        let consumed = out.put_some(input.bytes);
        Progress::need_input(consumed, Wait::NextRequest)
    }
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
    woken.expect_silence(Duration::from_millis(50));
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
    client.expect_silence(Duration::from_millis(20));
}
