//! Pauses, timers and wakes of sessions work the same under every model, also in a drain and after a reset.
#![cfg(target_os = "linux")]

use crate::common::faulty::{self, models};
use crate::common::server::Server;

/// The example, under a model with these arguments.
fn start(args: &[String], more: &[&str]) -> Server {
    let all: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    faulty::start(&all)
}

/// Stops it, and checks the summary for what each client ended for.
#[track_caller]
fn ends_with(server: Server, reasons: &str, of: &str) {
    server.signal(nix::sys::signal::Signal::SIGTERM);
    has_ended_with(server, reasons, of);
}

/// Waits for the end of a server that was asked to stop. It is not asked twice: a program that ends soon,
/// and whose handlers are gone, would be killed by the second request.
#[track_caller]
fn has_ended_with(mut server: Server, reasons: &str, of: &str) {
    assert_eq!(server.exit().code(), Some(0), "{of}");
    let told = server.stderr();
    assert!(told.contains(&format!("ended: {reasons};")), "{of}: {reasons} in\n{told}");
}

#[test]
fn a_session_that_pauses_until_its_timer_is_due_answers_then_though_the_client_has_ended_its_side() {
    for args in models(2) {
        let mut server = start(&args, &[]);
        let mut client = server.client("faulty");
        client.send(b"later\nand then\nlater\nthe end\n");
        client.half_close();
        client.expect_exact(b"later\nand then\nlater\nthe end\n");
        client.expect_end();
        drop(client);
        ends_with(server, "peer-closed=1", &format!("{args:?}"));
    }
}

#[test]
fn a_timer_calls_a_session_that_waits_for_input_and_does_not_end_it() {
    for args in models(2) {
        let mut server = start(&args, &[]);
        let mut client = server.client("faulty");
        client.send(b"tick\n");
        client.expect_exact(b"tick\ntick\ntick\n");
        client.expect_echo(b"and goes on\n");
        client.half_close();
        client.expect_end();
        drop(client);
        ends_with(server, "peer-closed=1", &format!("{args:?}"));
    }
}

#[test]
fn a_deadline_of_the_sessions_own_has_a_reason_of_its_own() {
    for args in models(2) {
        let mut server = start(&args, &[]);
        let mut client = server.client("faulty");
        client.send(b"late\nnobody reads this\n");
        client.expect_exact(b"too late\n");
        client.expect_end();
        drop(client);
        ends_with(server, "service-timeout=1", &format!("{args:?}"));
    }
}

#[test]
fn the_reset_of_a_client_is_noticed_though_nothing_is_read_while_its_session_pauses() {
    for args in models(2) {
        let mut server = start(&args, &[]);
        let mut client = server.client("faulty");
        client.expect_echo(b"here\n");
        client.send(b"sleep\nunread\n");
        client.expect_exact(b"sleeping\n");
        client.reset();
        server.expect_log("ended: reset", 1);
        ends_with(server, "reset=1", &format!("{args:?}"));
    }
}

#[test]
fn a_drain_calls_a_session_that_pauses() {
    for args in models(2) {
        let mut server = start(&args, &["--drain-ms", "60000"]);
        let mut client = server.client("faulty");
        client.expect_echo(b"here\n");
        client.send(b"sleep\n");
        client.expect_exact(b"sleeping\n");
        server.signal(nix::sys::signal::Signal::SIGTERM);
        client.expect_end();
        drop(client);
        has_ended_with(server, "drained=1", &format!("{args:?}"));
    }
}

/// As `nc -N` to a service whose thread answers later, with more questions than one inbox holds.
#[test]
fn every_pipelined_question_to_a_thread_is_answered_though_the_client_has_ended_its_side() {
    const QUESTIONS: usize = 300;
    for args in models(2).into_iter().filter(|args| {
        args[0] == "--model=thread" || args[0] == "--model=prethread" || args == &["--model=reactor"]
    }) {
        let mut server = start(&args, &["--backend"]);
        let mut client = server.client("backend");
        let line = |number: usize| format!("question {number} {}\n", "x".repeat(400));
        let asked: String = (0..QUESTIONS).map(line).collect();
        let answers: Vec<String> =
            (0..QUESTIONS).map(|number| format!("you asked {}", line(number))).collect();
        client.send(asked.as_bytes());
        client.half_close();
        client.expect_exact(answers.concat().as_bytes());
        client.expect_end();
        drop(client);
        ends_with(server, "peer-closed=1", &format!("{args:?}"));
    }
}
