//! Deadlines: idle, the rest of a request, the minimum rate of a client that must read (design, rule 7). That of
//! lingering is in `lingering.rs`, that of a drain in `drain.rs`.

use std::time::{Duration, Instant};

use crate::common::client::Ended;
use crate::common::{Server, pace};
use nix::sys::signal::Signal;

#[test]
fn an_idle_client_is_ended_and_one_that_converses_is_not() {
    let mut server = Server::serve(&["--idle=400ms", "echo@127.0.0.1:0"]);
    let mut idle = server.client("echo");
    let mut busy = server.client("echo");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1200) {
        busy.expect_echo(b"alive");
        pace(Duration::from_millis(50));
    }
    idle.expect_end();
    drop(idle);
    busy.expect_echo(b"each request began the time anew");
    busy.expect_end();
    drop(busy);
    server.told("ended: idle-timeout", 2);
}

/// The wait is interrupted when the process continues, and has room for one event of three: no deadline is checked before all
/// ready events are seen.
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

#[test]
fn no_idle_deadline_means_none() {
    let mut server = Server::serve(&["--idle=0", "echo@127.0.0.1:0"]);
    let mut client = server.client("echo");
    client.expect_silence(Duration::from_millis(500));
    client.expect_echo(b"still here");
}

#[test]
fn a_byte_now_and_then_does_not_extend_a_request() {
    let mut server = Server::serve(&["message@127.0.0.1:0"]);
    let mut client = server.client("message");
    let mut sender = client.another_handle();
    let began = Instant::now();
    let slow = std::thread::spawn(move || {
        // 255 bytes would take it half a minute.
        while began.elapsed() < Duration::from_secs(5) && sender.try_send(b"x").is_ok() {
            pace(Duration::from_millis(50));
        }
    });
    client.expect_exact(b"I got your message");
    assert!(began.elapsed() < Duration::from_secs(3), "it ends 200 ms after its first byte");
    client.rest();
    drop(client);
    slow.join().unwrap();
}

#[test]
fn a_client_that_must_read_and_does_not_is_ended() {
    let mut server = Server::serve(&["--rate-window=300ms", "chargen@127.0.0.1:0"]);
    let mut client = server.client("chargen");
    server.told("ended: rate-too-low", 1);
    let (_, ended) = client.rest();
    assert!(matches!(ended, Ended::Closed | Ended::Reset));
}

#[test]
fn a_client_that_reads_slowly_but_enough_is_not_ended() {
    let mut server = Server::serve(&["--rate-window=200ms", "chargen@127.0.0.1:0"]);
    let mut client = server.client("chargen");
    let mut line = Vec::new();
    for _ in 0..20 {
        // Far more than 1 KiB per 200 ms, far less than it could.
        line.resize(256 << 10, 0);
        client.read_exact(&mut line);
        pace(Duration::from_millis(50));
    }
    assert!(!server.stderr().contains("rate-too-low"));
}

/// Once its buffer was full, a kernel reports room in steps of a sixteenth of the buffer, however steadily it is read.
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
