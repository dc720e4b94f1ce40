//! The textbook properties of each model: which clients wait; limits, drains under load, and sessions that
//! wake each other.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use crate::common::client::Ended;
use crate::common::faulty::{self, children, models};
use crate::common::{Client, Server, eventually, eventually_some};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a client that must wait is observed without an answer.
const SILENCE: Duration = Duration::from_millis(150);

fn texts(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// How many clients the model holds at once, if that is few.
fn holds(args: &[String], workers: usize) -> Option<usize> {
    match args[0].rsplit('=').next().unwrap() {
        "iterative" => Some(1),
        "prefork" | "prethread" => Some(workers),
        _ => None,
    }
}

#[test]
fn clients_that_stall_make_the_next_wait_only_where_workers_have_one_client_each() {
    for args in models(3) {
        let mut server = faulty::start(&texts(&args));
        let mut stalled: Vec<Client> =
            (0..holds(&args, 3).unwrap_or(40)).map(|_| server.client("faulty")).collect();
        for client in &mut stalled {
            client.expect_echo(b"and then nothing\n");
        }
        let mut next = server.client("faulty");
        next.send(b"and me?\n");
        if holds(&args, 3).is_some() {
            next.expect_silence(SILENCE);
            drop(stalled.pop());
        }
        next.expect_exact(b"and me?\n");
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_client_over_a_limit_is_refused_or_waits_under_fork_and_thread() {
    for model in ["fork", "thread", "reactor"] {
        let mut server = faulty::start(&["--model", model, "--clients=2", "--per-address=1"]);
        let first = server.client("faulty");
        let mut from_same = server.client("faulty");
        assert_eq!(from_same.rest(), (b"too many from your address\n".to_vec(), Ended::Closed), "{model}");
        let address = server.address("faulty");
        let mut second = Client::connect_from([127, 0, 0, 2].into(), &address);
        second.expect_echo(b"from another address\n");
        let mut third = Client::connect_from([127, 0, 0, 3].into(), &address);
        assert_eq!(third.rest(), (b"too many clients\n".to_vec(), Ended::Closed), "{model}");
        drop(first);
        let took = || {
            let mut again = Client::connect_from([127, 0, 0, 3].into(), &address);
            let _ = again.try_send(b"again\n");
            again.rest_after_half_close() == b"again\n"
        };
        eventually("its place is free", took);
        assert_eq!(server.stop().code(), Some(0));

        let mut server = faulty::start(&["--model", model, "--clients=1", "--overflow=wait"]);
        let mut first = server.client("faulty");
        first.expect_echo(b"served\n");
        let mut second = server.client("faulty");
        second.send(b"waits\n");
        second.expect_silence(SILENCE);
        drop(first);
        second.expect_exact(b"waits\n");
        assert_eq!(server.stop().code(), Some(0), "{model}");
    }
}

#[test]
fn a_drain_under_load_answers_requests_from_before_the_signal_completely() {
    for args in models(20) {
        let count = holds(&args, 20).unwrap_or(200);
        let args = [texts(&args), vec!["echo@127.0.0.1:0"]].concat();
        let mut server = Server::serve(&args);
        let signalled = Arc::new(AtomicBool::new(false));
        let all_open = Arc::new(Barrier::new(count + 1));
        let converse = |number: usize, mut client: Client| {
            let (signalled, all_open) = (Arc::clone(&signalled), Arc::clone(&all_open));
            move || {
                let request = vec![number as u8; 3000];
                client.expect_echo(&request);
                all_open.wait();
                // Bound: the drain, which ends the connection.
                for round in 0.. {
                    let sent = client.try_send(&request).is_ok();
                    if sent && !signalled.load(SeqCst) {
                        client.expect_exact(&request);
                        continue;
                    }
                    let (rest, _) = client.rest();
                    assert!(rest.is_empty() || rest == request, "{number}: a part of an answer");
                    return round;
                }
                unreachable!("rounds have no end")
            }
        };
        let clients: Vec<Client> = (0..count).map(|_| server.client("echo")).collect();
        let threads: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, client)| std::thread::spawn(converse(number, client)))
            .collect();
        all_open.wait();
        crate::common::pace(Duration::from_millis(50)); // the load runs
        signalled.store(true, SeqCst);
        let code = server.stop().code();
        for thread in threads {
            thread.join().unwrap_or_else(|_| panic!("{args:?}: a client was not answered"));
        }
        assert_eq!(code, Some(0), "{args:?}");
        assert!(server.stderr().contains("cut=0"), "{args:?}: {}", server.stderr());
    }
}

#[test]
fn a_client_in_the_queue_when_a_drain_begins_is_answered() {
    for args in models(3) {
        let mut server = faulty::start(&texts(&args));
        let holds = holds(&args, 3).unwrap_or(3);
        let mut open: Vec<Client> = (0..holds).map(|_| server.client("faulty")).collect();
        for client in &mut open {
            client.expect_echo(b"open\n");
        }
        let mut queued: Vec<Client> = (0..10).map(|_| server.client("faulty")).collect();
        for client in &mut queued {
            client.send(b"asked in time\n");
        }
        server.signal(Signal::SIGTERM);
        for mut client in open {
            client.expect_end();
        }
        for mut client in queued {
            assert_eq!(client.rest().0, b"asked in time\n", "{args:?}");
        }
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_second_signal_ends_every_model_at_once_and_counts_cut_clients() {
    for args in models(3) {
        let mut server = faulty::start(&[texts(&args), vec!["--drain-ms=3600000"]].concat());
        let mut client = server.client("faulty");
        client.expect_echo(b"a whole line\n");
        client.send(b"a line that is never");
        server.signal(Signal::SIGTERM);
        // Whether it drains shows only where the listeners close before the last client has left.
        client.expect_silence(SILENCE);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
        assert!(server.stderr().contains("drain-cut=1"), "{args:?}:\n{}", server.stderr());
    }
}

#[test]
fn two_signals_that_are_seen_together_end_every_model_at_once() {
    for args in models(3) {
        let mut server = faulty::start(&[texts(&args), vec!["--drain-ms=3600000"]].concat());
        let mut client = server.client("faulty");
        client.expect_echo(b"a whole line\n");
        client.send(b"a line that is never");
        for signal in [Signal::SIGSTOP, Signal::SIGTERM, Signal::SIGINT, Signal::SIGCONT] {
            server.signal(signal);
        }
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
        let told = server.stderr();
        assert!(told.contains("accepted=1 open=0 accept-errors=0 cut=1 "), "{args:?}:\n{told}");
        assert!(told.contains("drain-cut=1"), "{args:?}:\n{told}");
    }
}

#[test]
fn sessions_that_wake_each_other_run_where_clients_share_memory() {
    for model in ["reactor", "thread", "prethread"] {
        let mut server = faulty::start(&["--chat", "--model", model, "--idle-ms=0"]);
        let mut members: Vec<Client> = (0..4).map(|_| server.client("chat")).collect();
        eventually("all are in the room", || {
            members[0].send(b"hello\n");
            members[1..].iter_mut().all(|member| {
                member.socket().set_read_timeout(Some(SILENCE)).unwrap();
                let heard = std::io::Read::read(&mut member.socket(), &mut [0; 6]).is_ok();
                member.socket().set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
                heard
            })
        });
        server.quiet(); // a session that waits for a wake does not spin
        assert_eq!(server.stop().code(), Some(0), "{model}");
        assert!(server.stderr().contains("cut=0"), "{model}: {}", server.stderr());

        let mut server = faulty::start(&["--chat", "--model", model, "--idle-ms=100"]);
        server.client("chat").expect_end();
        assert_eq!(server.stop().code(), Some(0), "{model}");
        assert!(server.stderr().contains("idle-timeout=1"), "{model}: {}", server.stderr());
    }
    for args in [&["iterative"][..], &["prefork"], &["fork"], &["reactor", "--workers", "2"]] {
        let args = [&["--chat", "--model"], args].concat();
        let done = std::process::Command::new(faulty::program()).args(&args).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), told.lines().count()), (Some(2), 1), "{args:?}: {told}");
        assert!(told.contains("wake each other"), "{told}");
    }
}

#[test]
fn clients_in_the_queue_of_dead_workers_are_served_by_their_replacements() {
    for model in ["reactor", "prefork"] {
        let mut server = faulty::start(&["--model", model, "--workers=2"]);
        let workers = eventually_some("two workers", || {
            let workers = children(server.pid());
            (workers.len() == 2).then_some(workers)
        });
        for (pid, _) in workers {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        server.expect_log("died: killed", 2);
        let mut queued: Vec<Client> = (0..20).map(|_| server.client("faulty")).collect();
        for client in &mut queued {
            client.send(b"anybody there?\n");
        }
        for mut client in queued {
            client.expect_exact(b"anybody there?\n");
        }
        assert_eq!(server.stop().code(), Some(0), "{model}");
    }
}

#[test]
fn loops_divide_the_places_for_clients_among_them() {
    let mut server = Server::serve(&["--workers=2", "--clients=2", "echo@127.0.0.1:0"]);
    // Enough clients that both loops get some.
    let mut clients: Vec<Client> = (0..60).map(|_| server.client("echo")).collect();
    let is_inside = |client: &mut Client| {
        let _ = client.try_send(b"x"); // a refused client may be closed already
        std::io::Read::read(&mut client.socket(), &mut [0]).is_ok_and(|len| len == 1)
    };
    assert_eq!(clients.iter_mut().map(is_inside).filter(|&inside| inside).count(), 2);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn workers_share_their_own_port_and_no_port_in_use() {
    let mut server = Server::serve(&["--workers=3", "echo@127.0.0.1:0"]);
    let address = server.address("echo").tcp();
    for _ in 0..30 {
        server.client("echo").expect_echo(b"served\n");
    }
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_oneloop"))
        .args(["serve", "--workers=3", &format!("echo@{address}")])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("the port is in use"));
    assert_eq!(children(server.pid()).len(), 3);
    assert_eq!(server.stop().code(), Some(0));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    for model in ["reactor", "prefork", "prethread"] {
        let at = format!("echo@unix:{}", path.display());
        let mut server = Server::serve(&["--model", model, "--workers=3", &at]);
        for _ in 0..10 {
            server.client("echo").expect_echo(b"served\n");
        }
        assert_eq!(server.stop().code(), Some(0), "{model}");
        assert!(!path.exists(), "{model}: its path is removed");
    }

    let mut alone = Server::serve(&["--workers=1", "echo@127.0.0.1:0"]);
    alone.client("echo").expect_echo(b"served\n");
    assert_eq!(children(alone.pid()), [], "one worker has no parent");
}

#[test]
fn the_log_names_the_process_thread_or_slot_that_serves_a_client() {
    for args in models(3) {
        let mut server = faulty::start(&texts(&args));
        let mut client = server.client("faulty");
        client.expect_echo(b"served\n");
        let peer = client.socket().local_addr().unwrap().as_socket().unwrap();
        let line = eventually_some("the line of the client", || {
            let begin = format!("{peer} accepted: served ");
            server.stderr().lines().find_map(|line| Some(line.split_once(&begin)?.1.to_owned()))
        });
        let numbers: Vec<i32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let first = server.pid().as_raw();
        let is_child = |pid| children(server.pid()).iter().any(|&(child, _)| child == pid);
        let is_thread = |tid| std::path::Path::new(&format!("/proc/{first}/task/{tid}")).exists();
        match (args[0].rsplit('=').next().unwrap(), args.len(), &numbers[..]) {
            ("iterative", _, [process]) | ("reactor", 1, [0, process]) => assert_eq!(*process, first),
            ("fork" | "prefork", _, [process]) | ("reactor", 2, [0, process]) => {
                assert!(is_child(*process), "{line}");
            }
            ("thread" | "prethread", _, [thread, process]) => {
                assert!(*process == first && *thread != first && is_thread(*thread), "{line}");
            }
            _ => panic!("{args:?}: {line}"),
        }
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
    }
}
