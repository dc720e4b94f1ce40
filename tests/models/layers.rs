//! Byte layers over real sockets, under every model: the toy of `common::layers`, which no model and no state
//! knows.
#![cfg(target_os = "linux")]

use crate::common::Server;
use crate::common::client::Ended;
use crate::common::faulty::{self, models};
use crate::common::layers::{ALERT, FramesClient, HELLOS, message};
use crate::common::talker::Talker;

const WORKERS: usize = 2;
/// The layer is made to fail after each number of calls below this: a short conversation has fewer.
const CALLS_MAX: u32 = 40;
/// Lines that are sent at once: more than the layer holds back, and than most socket buffers.
const LINES: usize = 20_000;

fn start(args: &[String], more: &[&str]) -> Server {
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    faulty::start(&args)
}

#[test]
fn layers_carry_a_conversation_in_every_model() {
    for args in models(WORKERS) {
        let mut server = start(&args, &["--layers=origin"]);
        for piece in [1, 7, 1000] {
            let mut talker = Talker::new(server.client("faulty"), FramesClient::default());
            talker.client.send(b"192.0.2.7:1234\n");
            let got = talker.converse(b"who\nand some more\n", piece);
            let expected = b"192.0.2.7:1234 server.test frames/1\nand some more\n";
            assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{args:?}");
            assert!(talker.toy.has_ended, "{args:?}: the layer's own end came");
        }
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        assert!(server.stderr().contains("peer-closed=3"), "{args:?}:\n{}", server.stderr());
    }
}

/// More than any buffer on the way: each side has to wait for the other.
#[test]
fn layers_carry_more_than_buffers_hold_in_every_model() {
    for args in models(WORKERS) {
        let mut server = start(&args, &["--layers=frames"]);
        let lines: Vec<u8> = (0..LINES).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
        let mut talker = Talker::new(server.client("faulty"), FramesClient::default());
        assert!(talker.converse(&lines, 10_000) == lines, "{args:?}");
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_client_that_completes_no_handshake_ends_at_its_deadline_in_every_model() {
    for args in models(WORKERS) {
        let mut server = start(&args, &["--layers=frames", "--handshake-ms=300"]);
        server.client("faulty").expect_end();
        let mut begun = server.client("faulty");
        begun.send(&message(HELLOS[0]));
        assert!(!begun.rest().0.is_empty(), "{args:?}: the first round was answered");
        let mut wrong = server.client("faulty");
        wrong.send(&message(b"good day"));
        assert_eq!(wrong.rest(), (message(ALERT), Ended::Closed), "{args:?}");
        drop((begun, wrong));
        let mut talker = Talker::new(server.client("faulty"), FramesClient::default());
        assert_eq!(talker.converse(b"x\n", 1), b"x\n", "{args:?}");
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        for counted in ["handshake-timeout=2", "handshake-failed=1", "peer-closed=1"] {
            assert!(server.stderr().contains(counted), "{args:?}: {counted}\n{}", server.stderr());
        }
    }
}

#[test]
fn a_layer_that_fails_at_any_call_ends_its_client_alone_in_every_model() {
    for args in models(WORKERS) {
        let mut server = start(&args, &["--layers=frames"]);
        let mut completed = 0;
        for calls in 0..CALLS_MAX {
            let mut talker = Talker::new(server.client("faulty"), FramesClient::failing_after(calls));
            let got = talker.converse(b"one\ntwo\n", 1000);
            assert!(b"one\ntwo\n".starts_with(&got[..]), "{args:?}, {calls} calls");
            completed += u32::from(talker.toy.has_ended && got == b"one\ntwo\n");
        }
        assert!((1..CALLS_MAX).contains(&completed), "{args:?}: {completed} conversations had all calls");
        let mut talker = Talker::new(server.client("faulty"), FramesClient::default());
        assert_eq!(talker.converse(b"last\n", 1), b"last\n", "{args:?}");
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
    }
}

/// A drain waits for the rest of a handshake, and not for one that has not begun.
#[test]
fn a_drain_completes_the_handshake_that_has_begun_in_every_model_of_many_clients() {
    for args in models(WORKERS).into_iter().filter(|args| !args[0].contains("iterative")) {
        let mut server = start(&args, &["--layers=frames", "--drain-ms=20000"]);
        let mut silent = server.client("faulty");
        let mut talker = Talker::new(server.client("faulty"), FramesClient::default());
        let begins = talker.toy.begin();
        talker.try_send(&begins, 1);
        assert!(talker.read(), "{args:?}");
        server.signal(nix::sys::signal::Signal::SIGTERM);
        silent.expect_end();
        drop(silent);
        while !talker.toy.is_established() {
            assert!(talker.read(), "{args:?}");
        }
        while talker.read() {}
        assert!(talker.toy.has_ended, "{args:?}: it ends in order");
        drop(talker);
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
    }
}

/// While its thread, or the loop, waits for the client's bytes.
#[test]
fn a_wake_reaches_a_session_behind_layers() {
    for model in ["reactor", "thread", "prethread"] {
        let mut server = faulty::start(&["--chat", "--model", model, "--layers=frames"]);
        let mut talkers = [(); 2].map(|()| Talker::new(server.client("chat"), FramesClient::default()));
        for talker in &mut talkers {
            assert!(talker.establish(1), "{model}");
        }
        let [speaker, listener] = &mut talkers;
        // Until the listener is in the room, nothing reaches it.
        for round in 0..100 {
            let line = speaker.toy.send(b"hello\n");
            speaker.try_send(&line, 2);
            if round == 0 {
                let joins = listener.toy.send(b"joins\n");
                listener.try_send(&joins, 2);
                while !speaker.toy.got.ends_with(b"joins\n") {
                    assert!(speaker.read(), "{model}");
                }
            }
        }
        while listener.toy.got.windows(6).filter(|line| line == b"hello\n").count() < 99 {
            assert!(listener.read(), "{model}: {}", listener.toy.got.escape_ascii());
        }
        drop(talkers);
        assert_eq!(server.stop().code(), Some(0), "{model}");
    }
}
