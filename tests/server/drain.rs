//! SIGTERM and SIGINT drain: nothing that was asked in time stays unanswered, and the end comes within the
//! deadline.

use std::time::{Duration, Instant};

use crate::common::http::{Site, get, receive};
use crate::common::{Address, Client, Server, eventually};
use nix::sys::signal::Signal;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::services::Echo;
use oneloop::telemetry::Reason;

#[test]
fn either_signal_drains_and_ends_with_code_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::serve(&["echo@127.0.0.1:0"]);
        let mut client = server.client("echo");
        client.expect_echo(b"before");
        server.signal(signal);
        client.expect_end();
        assert_eq!(server.exit().code(), Some(0), "{signal}");
    }
}

#[test]
fn what_was_asked_before_the_signal_is_answered_even_from_the_backlog() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let address = server.address("echo");
    let mut open: Vec<Client> = (0..20).map(|_| Client::connect(&address)).collect();
    for client in &mut open {
        client.expect_echo(b"open");
    }
    server.signal(Signal::SIGSTOP);
    let mut queued: Vec<Client> = (0..20).map(|_| Client::connect(&address)).collect();
    for client in open.iter_mut().chain(&mut queued) {
        client.send(b"asked in time");
    }
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGCONT);
    for client in open.iter_mut().chain(&mut queued) {
        client.expect_exact(b"asked in time");
        client.expect_end();
    }
    drop((open, queued));
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn a_drain_answers_a_client_that_waits_once_a_place_is_free() {
    let args = ["--clients=1", "--overflow=wait", "chargen@127.0.0.1:0", "echo@127.0.0.1:0"];
    let mut server = Server::serve(&args);
    let mut inside = server.client("chargen");
    inside.expect_exact(b" !\"#");
    server.quiet(); // the buffers of both sides are full
    let mut waits = server.client("echo");
    waits.send(b"asked in time");
    server.signal(Signal::SIGTERM);
    server.expect_log("draining", 1);
    drop(inside);
    waits.expect_exact(b"asked in time");
    waits.expect_end();
    drop(waits);
    assert_eq!(server.exit().code(), Some(0));
}

/// Without `Connection: close` a client would send its next request into a closing connection (RFC 9112,
/// section 9.6).
#[test]
fn the_last_answer_before_a_drain_announces_the_close() {
    let site = Site::new();
    site.file("a", "content");
    let mut server = site.serve(&[]);
    let mut client = server.client("http");
    assert_eq!(get(&mut client, "/a", "").field("connection"), None, "it stays open");
    client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n");
    server.signal(Signal::SIGTERM);
    server.expect_log("draining", 1);
    client.send(b"\r\n");
    let answer = receive(&mut client, "GET");
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")), "{answer:?}");
    client.expect_end();
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn while_it_drains_no_new_client_gets_in() {
    let mut server =
        Server::serve(&["--drain=1h", "--rate-window=0", "chargen@127.0.0.1:0", "echo@127.0.0.1:0"]);
    let address = server.address("echo");
    let _holds_the_drain = server.client("chargen");
    server.quiet();
    server.signal(Signal::SIGTERM);
    eventually("the listener is closed", || {
        std::net::TcpStream::connect(address.tcp())
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    });
}

#[test]
fn the_deadline_cuts_and_counts_a_client_that_does_not_read() {
    let mut server = Server::serve(&["--drain=300ms", "chargen@127.0.0.1:0"]);
    let mut client = server.client("chargen");
    client.expect_exact(b" !\"#");
    server.quiet(); // the buffers of both sides are full
    let began = Instant::now();
    assert_eq!(server.stop().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "the deadline was 300 ms");
    assert!(server.stderr().contains("drain-cut=1"), "{}", server.stderr());
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server =
        Server::serve(&["--drain=1h", "--rate-window=0", "chargen@127.0.0.1:0", "echo@127.0.0.1:0"]);
    let mut client = server.client("chargen");
    let address = server.address("echo");
    client.expect_exact(b" !\"#");
    server.quiet();
    server.signal(Signal::SIGTERM);
    eventually("it drains", || std::net::TcpStream::connect(address.tcp()).is_err());
    server.signal(Signal::SIGTERM);
    server.exit();
    assert!(server.stderr().contains("drain-cut=1"), "{}", server.stderr());
}

#[test]
fn two_signals_that_are_seen_together_end_at_once_as_well() {
    let mut server = Server::serve(&["--drain=1h", "--rate-window=0", "chargen@127.0.0.1:0"]);
    let mut client = server.client("chargen");
    client.expect_exact(b" !\"#");
    for signal in [Signal::SIGSTOP, Signal::SIGTERM, Signal::SIGINT, Signal::SIGCONT] {
        server.signal(signal);
    }
    assert_eq!(server.exit().code(), Some(0));
    assert!(server.stderr().contains("drain-cut=1"), "{}", server.stderr());
}

/// All was sent to it: it loses nothing.
#[test]
fn a_lingering_client_keeps_its_reason_when_the_deadline_cuts() {
    let mut server = Server::serve(&["--drain=300ms", "--linger=1h", "message@127.0.0.1:0"]);
    let mut client = server.client("message");
    client.send(b"a message\n");
    client.expect_exact(b"I got your message");
    client.expect_end();
    assert_eq!(server.stop().code(), Some(0));
    assert!(server.stderr().contains(" cut=0 ended: finished=1"), "{}", server.stderr());
}

#[test]
fn a_hangup_is_not_the_end() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut client = server.client("echo");
    for _ in 0..3 {
        server.signal(Signal::SIGHUP);
        client.expect_echo(b"still here");
    }
}

/// A loop in this thread, so that nothing happens between the wish to drain and the turn that sees it.
fn drained_at_once(limits: Limits, open: usize, queued: usize) {
    let mut reactor = Reactor::new(limits).unwrap();
    let addr = reactor.bind("127.0.0.1:0", Echo).unwrap().to_string();
    let address = Address::parse(&addr).unwrap();
    let mut clients: Vec<Client> = (0..open).map(|_| Client::connect(&address)).collect();
    while reactor.summary().open < open {
        reactor.turn(None).unwrap();
    }
    clients.extend((0..queued).map(|_| Client::connect(&address)));
    for client in &mut clients {
        client.send(b"asked in time");
    }
    reactor.handle().drain();
    // Each client sees its end, and then ends itself, while the loop goes on.
    let talking = std::thread::spawn(move || {
        for client in &mut clients {
            client.expect_exact(b"asked in time");
            client.expect_end();
        }
    });
    let summary = reactor.run().unwrap();
    talking.join().unwrap();
    assert_eq!(summary.counters.of(Reason::Drained), (open + queued) as u64, "{summary}");
}

#[test]
fn the_backlog_is_taken_whole_however_small_a_batch_is() {
    drained_at_once(Limits { accepts_per_turn_max: 3, ..Limits::default() }, 0, 100);
}

#[test]
fn a_drain_reads_every_open_client_once_more_without_an_event() {
    drained_at_once(Limits { events_per_turn_max: 1, ..Limits::default() }, 100, 0);
}
