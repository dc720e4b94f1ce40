//! Deadlines: idle, the rest of a request, the minimum rate of a client that must read (design, rule 7). That
//! of lingering is in `lingering.rs`, that of a drain in `drain.rs`; what needs no socket is in
//! `tests/simulation`.

use std::time::Duration;

use crate::common::client::Ended;
use crate::common::{Server, pace};
use nix::sys::signal::Signal;

/// The exact times are those of the simulation. This tests the real loop: the deadlines of two clients are
/// independent. If requests did not restart the deadline, the active client would be ended before the other.
#[test]
fn an_idle_client_is_ended_and_one_that_converses_is_not() {
    let mut server = Server::serve(&["--idle=400ms", "echo@127.0.0.1:0"]);
    let mut busy = server.client("echo");
    busy.expect_echo(b"the first");
    let mut idle = server.client("echo");
    let ending = std::thread::spawn(move || idle.expect_end());
    while !ending.is_finished() {
        busy.expect_echo(b"alive");
    }
    ending.join().unwrap();
    busy.expect_echo(b"each request began the time anew");
    busy.expect_end();
    drop(busy);
    server.expect_log("ended: idle-timeout", 2);
}

/// The wait is interrupted when the process continues, and has room for one event of three: no deadline is
/// checked before all ready events are seen.
#[test]
fn bytes_that_came_in_time_win_though_the_process_was_stopped_beyond_the_deadline() {
    let idle = Duration::from_secs(1);
    let mut server = Server::serve(&["--idle=1s", "--events-per-turn=1", "echo@127.0.0.1:0"]);
    let mut clients: Vec<_> = (0..3).map(|_| server.client("echo")).collect();
    for client in &mut clients {
        client.expect_echo(b"inside");
    }
    server.signal(Signal::SIGSTOP);
    for client in &mut clients {
        client.send(b"in time");
    }
    pace(idle + idle / 2);
    server.signal(Signal::SIGCONT);
    for client in &mut clients {
        client.expect_exact(b"in time");
    }
}

/// That the client may be idle for any time is shown in the simulation. This is about the argument and the
/// real loop, whose wait has no end then: a client with a deadline that is ended beside it proves that time
/// has passed.
#[test]
fn no_idle_deadline_means_none() {
    let mut server = Server::serve(&["--idle=0", "echo@127.0.0.1:0", "message@127.0.0.1:0"]);
    let mut idle = server.client("echo");
    idle.expect_echo(b"inside");
    let mut timed = server.client("message");
    timed.send(b"no newline: it ends by its deadline");
    timed.expect_exact(b"I got your message");
    idle.expect_echo(b"still here");
}

#[test]
fn a_client_that_must_read_and_does_not_is_ended() {
    let mut server = Server::serve(&["--rate-window=300ms", "chargen@127.0.0.1:0"]);
    let mut client = server.client("chargen");
    server.expect_log("ended: rate-too-low", 1);
    let (_, ended) = client.rest();
    assert!(matches!(ended, Ended::Closed | Ended::Reset));
}

/// It stays here and takes its time: the steps are those of a real kernel. A client that reads at an even
/// pace is in the simulation.
///
/// Once its buffer was full, a kernel reports room in steps of a sixteenth of the buffer, however steadily it
/// is read.
#[test]
fn a_client_that_read_fast_and_then_steadily_is_not_ended_between_two_steps_of_its_window() {
    let mut server = Server::serve(&["--rate-window=100ms", "chargen@127.0.0.1:0"]);
    let mut client = server.client("chargen");
    let mut bytes = vec![0; 64 << 20]; // the receive buffer grows with what is read
    client.read_exact(&mut bytes);
    bytes.truncate(100 << 10);
    for _ in 0..60 {
        client.read_exact(&mut bytes);
        pace(Duration::from_millis(50));
    }
    assert!(!server.stderr().contains("rate-too-low"));
}
