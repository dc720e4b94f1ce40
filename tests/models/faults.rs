//! A client that fails, under every model: it fails alone. What an operator does to processes, and what the
//! system refuses.
#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::common::client::Ended;
use crate::common::fault::Fault;
use crate::common::faulty::{self, children, models};
use crate::common::{Client, eventually, eventually_some};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WORKERS: usize = 3;

fn texts(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn kill_one(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

#[test]
fn a_panic_ends_its_client_alone_in_every_model() {
    for args in models(WORKERS) {
        let mut server = faulty::start(&texts(&args));
        let one_at_a_time = args[0].contains("iterative");
        let mut other = (!one_at_a_time).then(|| server.client("faulty"));
        if let Some(other) = &mut other {
            other.expect_echo(b"before\n");
        }
        let mut client = server.client("faulty");
        client.send(b"first\npanic\n");
        let (answered, _) = client.rest();
        assert_eq!(answered, b"first\n", "{args:?}");
        drop(client);
        if let Some(other) = &mut other {
            other.expect_echo(b"after\n");
        }
        drop(other);
        server.client("faulty").expect_echo(b"new\n");
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        assert!(server.stderr().contains("panicked=1"), "{args:?}:\n{}", server.stderr());
    }
}

#[test]
fn a_crash_takes_along_only_its_process_and_is_counted() {
    for (model, command) in
        [("fork", "abort"), ("fork", "kill"), ("prefork", "kill"), ("prefork", "abort"), ("reactor", "kill")]
    {
        let workers = if model == "fork" { vec![] } else { vec!["--workers=3"] };
        let mut server = faulty::start(&[vec!["--model", model], workers].concat());
        // Clients of a loop's process share its fate: with several loops the others are not asked here.
        let mut others: Vec<Client> =
            if model == "reactor" { vec![] } else { (0..2).map(|_| server.client("faulty")).collect() };
        for other in &mut others {
            other.expect_echo(b"before\n");
        }
        let mut client = server.client("faulty");
        client.send(format!("{command}\n").as_bytes());
        assert_eq!(client.rest().0, b"", "{model} {command}");
        for other in &mut others {
            other.expect_echo(b"after\n");
        }
        drop(others);
        for _ in 0..2 * WORKERS {
            server.client("faulty").expect_echo(b"new\n");
        }
        assert_eq!(server.stop().code(), Some(0));
        assert!(server.stderr().contains("crashed=1"), "{model} {command}:\n{}", server.stderr());
    }
}

#[test]
fn a_panic_in_last_words_ends_its_client_alone_in_every_model_that_has_them() {
    for model in ["reactor", "fork", "thread"] {
        let mut server = faulty::start(&["--model", model, "--clients=1", "--refusal=panic"]);
        let mut inside = server.client("faulty");
        for _ in 0..3 {
            inside.expect_echo(b"inside\n");
            assert_eq!(server.client("faulty").rest(), (Vec::new(), Ended::Closed), "{model}");
        }
        inside.expect_echo(b"still inside\n");
        drop(inside);
        assert_eq!(server.stop().code(), Some(0), "{model}");
        assert!(server.stderr().contains("panicked=3"), "{model}:\n{}", server.stderr());
    }
}

#[test]
fn a_session_that_never_comes_back_holds_up_neither_others_nor_the_end() {
    for args in models(WORKERS) {
        if ["reactor", "iterative"].iter().any(|model| args[0].ends_with(model)) {
            continue; // one thread for all clients, as documented
        }
        let mut server = faulty::start(&[texts(&args), vec!["--drain-ms=200"]].concat());
        let mut stalled = server.client("faulty");
        stalled.send(b"stall\n");
        server.client("faulty").expect_echo(b"others are served\n");
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        assert!(server.stderr().contains("drain-cut=1"), "{args:?}:\n{}", server.stderr());
    }
}

#[test]
fn five_hundred_simultaneous_exits_leave_no_zombie() {
    let mut server = faulty::start(&["--model=fork"]);
    let mut clients: Vec<Client> = (0..500).map(|_| server.client("faulty")).collect();
    for client in &mut clients {
        client.expect_echo(b"here\n");
    }
    assert_eq!(children(server.pid()).len(), 500);
    clients.clear();
    eventually("all children are gone", || children(server.pid()).is_empty());
    server.client("faulty").expect_echo(b"still served\n");
    // A child that hears of the drain before it sees its client's end would rightly call that client drained.
    eventually("the last child is gone", || children(server.pid()).is_empty());
    assert_eq!(server.stop().code(), Some(0));
    assert!(server.stderr().contains("ended: peer-closed=501; "), "{}", server.stderr());
}

#[test]
fn a_child_has_no_descriptor_but_its_client_and_the_standard_ones() {
    let mut server = faulty::start(&["--model=fork"]);
    let mut clients: Vec<Client> = (0..20).map(|_| server.client("faulty")).collect();
    for client in &mut clients {
        client.expect_echo(b"here\n");
    }
    let open = |pid: i32| {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        fds.map(|fd| std::fs::read_link(fd.unwrap().path()).unwrap().display().to_string())
            .collect::<Vec<_>>()
    };
    let sockets = |links: &[String]| links.iter().filter(|link| link.starts_with("socket:")).count();
    // A child may have answered before its parent closes its copy of the client's socket.
    let of_parent = eventually_some("the parent has no socket but its listener", || {
        let links = open(server.pid().as_raw());
        (sockets(&links) == 1).then_some(links)
    });
    let times = |link: &str| of_parent.iter().filter(|other| *other == link).count();
    for (pid, _) in children(server.pid()) {
        let own = open(pid);
        assert_eq!(sockets(&own), 1, "its client alone: {own:?}");
        // The parent has a listener in place of the child's client.
        assert_eq!(own.len(), of_parent.len(), "{own:?} and {of_parent:?}");
        assert!(
            !own.iter().any(|link| link.starts_with("pipe:") && times(link) == 2),
            "{own:?}, {of_parent:?}"
        );
    }
    assert_eq!(children(server.pid()).len(), 20);
}

/// It, where a user may have few processes or threads, and the folder in which it is; `None` where that
/// cannot be arranged.
fn with_few_processes(model: &str, most: usize) -> Option<(crate::common::server::Setup, tempfile::TempDir)> {
    if !nix::unistd::getuid().is_root()
        || !crate::common::has_program("setpriv")
        || !crate::common::has_program("prlimit")
    {
        crate::common::skipped("it takes root, setpriv and prlimit to limit a user's processes");
        return None;
    }
    // A copy that every user may execute, and a user that has no other process.
    let user = 60_000 + std::process::id() % 5_000;
    let program = faulty::program();
    let limit = format!("--nproc={most}");
    let uid = format!("--reuid={user}");
    let folder = tempfile::Builder::new().prefix("faulty").tempdir().unwrap();
    let copy = folder.path().join("faulty");
    std::fs::copy(&program, &copy).unwrap();
    for path in [folder.path(), &copy] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let args = ["--clear-groups", &uid, "prlimit", &limit, copy.to_str().unwrap(), "--model", model];
    Some((crate::common::server::Setup::program("setpriv", args), folder))
}

#[test]
fn a_process_or_thread_that_cannot_be_made_refuses_that_client_and_the_server_lives() {
    for model in ["fork", "thread"] {
        let Some((setup, _folder)) = with_few_processes(model, 5) else { return };
        let mut server = setup.start().listening();
        let mut open: Vec<Client> = Vec::new();
        let mut refused = eventually_some("one too many", || {
            let mut client = server.client("faulty");
            client.send(b"hello\n");
            let mut first = [0; 3];
            client.read_exact(&mut first);
            if &first == b"no " {
                return Some(client);
            }
            client.expect_exact(b"lo\n");
            open.push(client);
            None
        });
        assert_eq!(refused.rest(), (b"worker\n".to_vec(), Ended::Closed), "{model}");
        assert!(!open.is_empty() && open.len() <= 5, "{model}: {}", open.len());
        for client in &mut open {
            client.expect_echo(b"still here\n");
        }
        drop(open.pop());
        eventually("there is room again", || {
            let mut client = server.client("faulty");
            client.send(b"again\n");
            client.rest_after_half_close() == b"again\n"
        });
        assert_eq!(server.stop().code(), Some(0), "{model}");
        assert!(server.stderr().contains("refused-worker="), "{model}: {}", server.stderr());
    }
}

#[test]
fn threads_that_cannot_be_started_are_reported_with_the_remedy() {
    let Some((setup, _folder)) = with_few_processes("prethread", 5) else { return };
    let mut server = setup.start();
    assert_eq!(server.exit().code(), Some(1));
    assert!(server.stderr().contains("cannot start thread "), "{}", server.stderr());
    assert!(server.stderr().contains("use fewer workers"), "{}", server.stderr());
}

#[test]
fn a_worker_that_is_killed_is_replaced_after_a_pause_that_grows() {
    for model in ["prefork", "reactor"] {
        let mut server = faulty::start(&["--model", model, "--workers=2"]);
        let found = |count| (children(server.pid()).len() == count).then(|| children(server.pid()));
        for death in 1..=3 {
            let (pid, _) = eventually_some("two workers", || found(2))[0];
            kill_one(pid, Signal::SIGKILL);
            server.expect_log("died: killed by signal 9", death);
        }
        eventually_some("two workers", || found(2));
        for pause in ["replacing it in 100 ms", "replacing it in 200 ms"] {
            assert!(server.stderr().contains(pause), "{model}: {}", server.stderr());
        }
        for _ in 0..10 {
            server.client("faulty").expect_echo(b"served\n");
        }
        assert_eq!(server.stop().code(), Some(0));
        let told = server.stderr();
        assert!(told.contains("accepted=10 open=0"), "{model}: {told}");
        assert!(!told.contains("crashed="), "{model}: those who died had no clients:\n{told}");
    }
}

#[test]
fn clients_of_a_process_that_is_killed_end_with_it_and_each_is_counted() {
    const CLIENTS: usize = 10;
    for (model, count) in [("prefork", WORKERS), ("reactor", CLIENTS), ("fork", CLIENTS)] {
        let workers = if model == "fork" { vec![] } else { vec!["--workers=3"] };
        let mut server = faulty::start(&[vec!["--model", model], workers].concat());
        let mut clients: Vec<Client> = (0..count).map(|_| server.client("faulty")).collect();
        for client in &mut clients {
            client.expect_echo(b"here\n");
        }
        clients[0].send(b"kill\n");
        assert_eq!(clients[0].rest().0, b"", "{model}");
        let lives = |client: &mut Client| {
            let _ = client.try_send(b"x\n"); // clients of the dead process are gone
            std::io::Read::read(&mut client.socket(), &mut [0; 2]).is_ok_and(|len| len > 0)
        };
        let open = clients.iter_mut().filter_map(|client| lives(client).then_some(())).count();
        let dead = count - open;
        assert!(dead == 1 || model == "reactor", "{model}: {dead} died");
        let told =
            format!("accepted={count} open={open} accept-errors=0 cut=0 ended: crashed={dead}; requests=0 ");
        eventually("all are counted", || {
            server.signal(Signal::SIGUSR1);
            server.stderr().contains(&told)
        });
        drop(clients);
        assert_eq!(server.stop().code(), Some(0), "{model}");
        let told = format!("ended: accepted={count} open=0 ");
        assert!(server.stderr().contains(&told), "{model}:\n{}", server.stderr());
    }
}

#[test]
fn stopping_one_copy_does_not_make_the_others_spin() {
    for model in ["prefork", "reactor"] {
        let mut server = faulty::start(&["--model", model, "--workers=2"]);
        let both = eventually_some("two workers", || {
            let workers = children(server.pid());
            (workers.len() == 2).then_some(workers)
        });
        kill_one(both[0].0, Signal::SIGTERM);
        server.expect_log("it is replaced in", 1);
        server.client("faulty").expect_echo(b"served\n");
        let ticks = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
            stat.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        let before = ticks(both[1].0);
        crate::common::pace(Duration::from_millis(300));
        let used_ms = (ticks(both[1].0) - before) / 1_000_000;
        assert!(used_ms < 100, "{model}: the other one worked for {used_ms} of 300 ms");
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn children_whose_parent_is_killed_drain_and_end() {
    for args in models(WORKERS) {
        if !["fork", "prefork"].iter().any(|model| args[0].ends_with(model)) && args.len() == 1 {
            continue; // no children
        }
        if args[0].ends_with("prethread") {
            continue;
        }
        let mut server = faulty::start(&texts(&args));
        let mut client = server.client("faulty");
        client.expect_echo(b"before\n");
        let orphans = children(server.pid());
        assert!(!orphans.is_empty());
        kill_one(server.pid().as_raw(), Signal::SIGKILL);
        client.expect_end();
        drop(client);
        let gone = |pid: i32| {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            state.is_err() || state.is_ok_and(|stat| stat.contains(") Z "))
        };
        eventually("the orphans are gone", || orphans.iter().all(|&(pid, _)| gone(pid)));
    }
}

#[test]
fn a_terminals_interrupt_to_all_of_a_group_is_one_drain_of_the_parent() {
    for args in models(WORKERS) {
        let mut server = faulty::start(&texts(&args));
        let mut client = server.client("faulty");
        client.expect_echo(b"before\n");
        client.send(b"asked in time\n");
        for (pid, _) in children(server.pid()) {
            kill_one(pid, Signal::SIGINT);
        }
        client.expect_exact(b"asked in time\n");
        client.expect_echo(b"the parent alone stops them\n");
        server.signal(Signal::SIGINT);
        client.expect_end();
        drop(client);
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
    }
}

/// Some calls of each process and thread fail as they do where there is no memory.
#[test]
fn calls_that_fail_for_want_of_memory_end_no_server() {
    for (fault, models) in [
        (
            Fault { call: "poll,ppoll", effect: "error=ENOMEM:when=2+2" },
            &["fork", "prefork", "thread", "prethread", "iterative"][..],
        ),
        (Fault { call: "clone", effect: "error=ENOMEM:when=1..2" }, &["fork", "prefork"]),
    ] {
        if !fault.can_be_injected() {
            return;
        }
        for model in models {
            let program = faulty::program();
            let command = [program.to_str().unwrap(), "--model", model];
            let mut server = fault.injected_into(command).start().listening();
            for _ in 0..4 {
                eventually("a client is served", || {
                    let mut client = server.client("faulty");
                    client.send(b"served\n");
                    client.rest_after_half_close() == b"served\n"
                });
            }
            server.signal(Signal::SIGTERM);
            assert_eq!(server.exit().code(), Some(0), "{model} with {fault:?}:\n{}", server.stderr());
        }
    }
}

/// If a filter of system calls, for instance, refuses what a loop needs, no copy of it is begun and nothing
/// is announced.
#[cfg(not(mio_unsupported_force_poll_poll))] // that selector makes neither call
#[test]
fn loops_that_the_system_refuses_end_the_server_with_an_error() {
    for (call, effect) in [("epoll_ctl", "error=EPERM"), ("eventfd2", "error=EPERM")] {
        let fault = Fault { call, effect };
        if !fault.can_be_injected() {
            return;
        }
        let serve = [env!("CARGO_BIN_EXE_oneloop"), "serve", "echo@127.0.0.1:0", "--workers=2"];
        let mut server = fault.injected_into(serve).start();
        assert_eq!(server.exit().code(), Some(1), "{fault:?}");
        let log = server.stderr();
        assert!(
            log.contains("cannot serve with --model reactor: Operation not permitted"),
            "{fault:?}:\n{log}"
        );
        assert_eq!(server.stdout(), "", "{fault:?}");
    }
}
