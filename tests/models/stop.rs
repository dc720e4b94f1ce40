//! Stopping, under every model: which signal is sent to which process, how often, and what becomes of the
//! clients.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::Duration;

use crate::common::client::Ended;
use crate::common::fault::Fault;
use crate::common::faulty::{self, children, models};
use crate::common::server::{IN_A_TERMINAL, Setup};
use crate::common::{Client, Server, eventually, eventually_some, has_program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a client that must wait is observed without an answer.
const SILENCE: Duration = Duration::from_millis(150);
const WORKERS: usize = 3;

fn texts(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn has_children(args: &[String]) -> bool {
    args[0].ends_with("fork")
        || args[0].ends_with("prefork")
        || args.len() > 1 && args[0].ends_with("reactor")
}

/// The example with these arguments, started by way of another program.
fn by_way_of(starter: &[&str], args: &[String]) -> Setup {
    let program = faulty::program();
    let args = args.iter().flat_map(|arg| arg.split('='));
    let words = starter[1..].iter().copied().chain([program.to_str().unwrap()]).chain(args);
    Setup::program(starter[0], words)
}

/// Sends SIGTERM to a process, and waits until it has got it.
fn terminate(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let pending = |line: &str| {
        let set = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"))?;
        u64::from_str_radix(set.trim(), 16).ok()
    };
    eventually("the signal is delivered", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().filter_map(pending).all(|set| set & (1 << (Signal::SIGTERM as u32 - 1)) == 0)
    });
}

#[test]
fn a_supervisor_that_signals_every_process_asks_for_one_drain() {
    for args in models(WORKERS).into_iter().filter(|args| has_children(args)) {
        let mut server = faulty::start(&texts(&args));
        let mut client = server.client("faulty");
        client.expect_echo(b"a whole line\n");
        client.send(b"a line ");
        for (pid, _) in children(server.pid()) {
            terminate(pid);
        }
        server.signal(Signal::SIGTERM);
        server.expect_log(if args[0].ends_with("=fork") { "; clients: 1" } else { "; workers: 3" }, 1);
        client.expect_silence(SILENCE);
        client.send(b"in time\n");
        assert_eq!(client.rest(), (b"a line in time\n".to_vec(), Ended::Closed), "{args:?}");
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
        assert!(server.stderr().contains("cut=0"), "{args:?}:\n{}", server.stderr());
        assert!(!server.stderr().contains("ERROR"), "{args:?}:\n{}", server.stderr());
    }
}

/// As systemd does it with `KillMode=control-group`. The parent is stopped meanwhile, so that it learns of
/// its own signal and of the ends of its children at once.
#[test]
fn a_signal_to_the_whole_group_is_not_an_error_and_replaces_no_worker() {
    for args in models(WORKERS).into_iter().filter(|args| has_children(args)) {
        let mut server = by_way_of(&["setsid"], &args).start().listening();
        let pid = server.pid();
        let workers = || children(pid);
        if args.len() > 1 {
            eventually("all workers", || workers().len() == WORKERS);
        }
        server.client("faulty").expect_echo(b"served\n");
        server.signal(Signal::SIGSTOP);
        kill(Pid::from_raw(-server.pid().as_raw()), Signal::SIGTERM).unwrap();
        eventually("all children have ended", || workers().iter().all(|&(_, state)| state == 'Z'));
        server.signal(Signal::SIGCONT);
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
        let told = server.stderr();
        let started = told.matches(" is process ").count();
        assert_eq!(started, if args.len() > 1 { WORKERS } else { 0 }, "{args:?}:\n{told}");
        assert!(!told.contains("ERROR") && !told.contains("WARN"), "{args:?}:\n{told}");
    }
}

#[test]
fn a_child_whose_client_ended_normally_exits_with_0() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let path = trace.path().to_str().unwrap();
    if !(Fault { call: "exit_group", effect: "delay_enter=1" }).can_be_injected() {
        return;
    }
    let tracer = ["strace", "-D", "-f", "-e", "trace=exit_group", "-o", path];
    let mut server = by_way_of(&tracer, &["--model=fork".to_owned()]).start().listening();
    server.client("faulty").expect_echo(b"this one leaves\n");
    let mut client = server.client("faulty");
    client.send(b"this one half\n");
    assert_eq!(client.rest_after_half_close(), b"this one half\n");
    server.expect_log("ended: peer-closed", 2);
    let mut client = server.client("faulty");
    client.expect_echo(b"this one drains\n");
    server.signal(Signal::SIGTERM);
    client.expect_end();
    drop(client);
    assert_eq!(server.exit().code(), Some(0));
    let exits = || std::fs::read_to_string(trace.path()).unwrap();
    eventually("all exits are written down", || exits().matches("+++ exited").count() == 4);
    assert_eq!(exits().matches("+++ exited with 0 +++").count(), 4, "{}", exits());
}

#[test]
fn children_that_drain_go_on_draining_when_their_parent_dies() {
    for args in models(WORKERS).into_iter().filter(|args| has_children(args)) {
        let mut server = faulty::start(&texts(&args));
        let mut client = server.client("faulty");
        client.expect_echo(b"a whole line\n");
        client.send(b"a line ");
        server.signal(Signal::SIGTERM);
        client.expect_silence(SILENCE);
        server.signal(Signal::SIGKILL);
        client.expect_silence(SILENCE);
        client.send(b"in time\n");
        assert_eq!(client.rest(), (b"a line in time\n".to_vec(), Ended::Closed), "{args:?}");
    }
}

#[test]
fn a_second_signal_ends_the_server_though_a_session_never_comes_back() {
    for args in models(WORKERS) {
        if ["reactor", "iterative"].iter().any(|model| args[0].ends_with(model)) && args.len() == 1 {
            continue; // one thread for all clients, as documented
        }
        let mut server = faulty::start(&[texts(&args), vec!["--drain-ms=3600000"]].concat());
        let mut stalled = server.client("faulty");
        stalled.send(b"first\nstall\n");
        stalled.expect_exact(b"first\n");
        server.signal(Signal::SIGTERM);
        stalled.expect_silence(SILENCE);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
        assert!(server.stderr().contains("drain-cut=1"), "{args:?}:\n{}", server.stderr());
    }
}

/// One client with the only place, and a second client that waits for it, with a request.
fn one_served_and_one_waiting(model: &str, drain_ms: u32) -> (Server, Client, Client) {
    let drain = format!("--drain-ms={drain_ms}");
    let mut server = faulty::start(&["--model", model, "--clients=1", "--overflow=wait", &drain]);
    let mut inside = server.client("faulty");
    inside.expect_echo(b"inside\n");
    let mut waiting = server.client("faulty");
    waiting.send(b"asked in time\n");
    (server, inside, waiting)
}

#[test]
fn a_client_that_waits_when_a_drain_begins_is_answered_once_a_place_is_free() {
    for model in ["reactor", "fork", "thread"] {
        let (mut server, mut inside, mut waiting) = one_served_and_one_waiting(model, 60_000);
        inside.send(b"and ");
        server.signal(Signal::SIGTERM);
        server.expect_log("; clients: 1", 1);
        waiting.expect_silence(SILENCE);
        inside.send(b"done\n");
        assert_eq!(inside.rest().0, b"and done\n", "{model}");
        assert_eq!(waiting.rest(), (b"asked in time\n".to_vec(), Ended::Closed), "{model}");
        assert_eq!(server.exit().code(), Some(0), "{model}");
        assert!(server.stderr().contains("cut=0"), "{model}:\n{}", server.stderr());
    }
}

#[test]
fn a_waiting_client_waits_no_longer_than_the_drain() {
    for model in ["reactor", "fork", "thread"] {
        let (mut server, mut inside, mut waiting) = one_served_and_one_waiting(model, 300);
        inside.send(b"and nothing more");
        server.signal(Signal::SIGTERM);
        assert_eq!(waiting.rest(), (Vec::new(), Ended::Reset), "{model}");
        assert_eq!(server.exit().code(), Some(0), "{model}");
        assert!(server.stderr().contains("drain-cut=1"), "{model}:\n{}", server.stderr());
    }
}

#[test]
fn counters_are_reported_while_clients_are_served() {
    for args in models(WORKERS) {
        let mut server = faulty::start(&texts(&args));
        for _ in 0..2 {
            server.client("faulty").expect_echo(b"and gone\n");
        }
        let count = if args[0].ends_with("iterative") { 1 } else { WORKERS };
        let mut clients: Vec<Client> = (0..count).map(|_| server.client("faulty")).collect();
        for client in &mut clients {
            client.expect_echo(b"here\n");
        }
        let told = |open: usize, ended: &str| {
            format!("accepted={} open={open} accept-errors=0 cut=0 ended: {ended}", count + 2)
        };
        eventually("two have left", || {
            server.signal(Signal::SIGUSR1);
            server.stderr().contains(&told(count, "peer-closed=2"))
        });
        for client in &mut clients {
            client.expect_echo(b"still here\n");
        }
        server.signal(Signal::SIGTERM);
        for mut client in clients {
            client.expect_end();
        }
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
        let all = told(0, &format!("peer-closed=2 drained={count}"));
        assert!(server.stderr().contains(&all), "{args:?}: not `{all}`:\n{}", server.stderr());
    }
}

#[test]
fn a_request_for_counters_to_every_process_gets_one_line() {
    for args in models(WORKERS).into_iter().filter(|args| has_children(args)) {
        let mut server = faulty::start(&texts(&args));
        let mut client = server.client("faulty");
        client.expect_echo(b"here\n");
        for (pid, _) in children(server.pid()) {
            kill(Pid::from_raw(pid), Signal::SIGUSR1).unwrap();
        }
        server.signal(Signal::SIGUSR1);
        server.expect_log("accepted=1 open=1", 1);
        drop(client);
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        let told = server.stderr();
        assert_eq!(told.matches("accepted=").count(), 2, "{args:?}, with the one at the end:\n{told}");
    }
}

#[test]
fn a_child_stopped_alone_is_replaced() {
    let mut server = faulty::start(&["--model=prefork", "--workers=2"]);
    let copies = || {
        let copies = children(server.pid());
        (copies.len() == 2).then_some(copies)
    };
    let (first, _) = eventually_some("two copies", copies)[0];
    terminate(first);
    eventually("another takes its post", || {
        copies().is_some_and(|copies| copies.iter().all(|&(pid, _)| pid != first))
    });
    server.client("faulty").expect_echo(b"served\n");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn an_inherited_signal_mask_and_inherited_ignored_signals_change_nothing() {
    let starter = ["env", "--block-signal", "--ignore-signal=CHLD,PIPE,TERM,USR1,USR2,ALRM,XFSZ"];
    for args in models(WORKERS) {
        let mut server = by_way_of(&starter, &args).start().listening();
        server.client("faulty").expect_echo(b"and gone\n");
        if args[0].ends_with("=fork") {
            eventually("no zombie is left", || children(server.pid()).is_empty());
        }
        let mut client = server.client("faulty");
        client.expect_echo(b"here\n");
        for pid in children(server.pid()).into_iter().map(|(pid, _)| pid).chain([server.pid().as_raw()]) {
            // The parent of `fork` leaves SIGCHLD alone for a moment after it has reaped.
            eventually("no signal is blocked", || {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
                status.contains("SigBlk:\t0000000000000000\n")
            });
        }
        drop(client);
        assert_eq!(server.stop().code(), Some(0), "{args:?}:\n{}", server.stderr());
        assert!(server.stderr().contains("peer-closed="), "{args:?}:\n{}", server.stderr());
    }
}

/// Blocks the signal, sends it to itself, and becomes the program: the signal arrives while the program
/// starts.
const WITH_A_PENDING_SIGNAL: &str = r"
import os, signal, sys
number = signal.Signals[sys.argv.pop(1)]
signal.pthread_sigmask(signal.SIG_BLOCK, [number])
os.kill(os.getpid(), number)
os.execvp(sys.argv[1], sys.argv[1:])
";

#[test]
fn a_signal_that_comes_while_the_server_starts_is_obeyed() {
    if !has_program("python3") {
        return;
    }
    for args in models(WORKERS) {
        let start = |signal| by_way_of(&["python3", "-c", WITH_A_PENDING_SIGNAL, signal], &args).start();
        let mut server = start("SIGTERM");
        assert_eq!(server.exit().code(), Some(0), "{args:?}:\n{}", server.stderr());
        for (signal, line) in [("SIGUSR1", "accepted=0"), ("SIGHUP", "SIGHUP: there is no access log")] {
            let mut server = start(signal).listening();
            server.expect_log(line, 1);
            server.client("faulty").expect_echo(b"served\n");
            assert_eq!(server.stop().code(), Some(0), "{args:?}:\n{}", server.stderr());
        }
    }
}

#[test]
fn a_server_whose_terminal_closes_drains_and_ends() {
    if !has_program("python3") {
        return;
    }
    for args in models(WORKERS) {
        let mut server = by_way_of(&["python3", "-c", IN_A_TERMINAL, ""], &args).start().listening();
        let mut client = server.client("faulty");
        client.expect_echo(b"a whole line\n");
        client.send(b"a line ");
        server.signal(Signal::SIGUSR1);
        client.expect_silence(SILENCE);
        client.send(b"in time\n");
        assert_eq!(client.rest(), (b"a line in time\n".to_vec(), Ended::Closed), "{args:?}");
        drop(client); // it lingers
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
        let told = server.stderr();
        assert_eq!(told.matches("SIGHUP: the terminal has closed").count(), 1, "{args:?}:\n{told}");
        assert!(told.contains("cut=0") && !told.contains("ERROR"), "{args:?}:\n{told}");
    }
}

#[test]
fn a_shells_jobs_drain_and_end_when_its_terminal_closes() {
    if !has_program("python3") || !has_program("bash") {
        return;
    }
    for place in ["", " &"] {
        let typed = format!("{} --model reactor{place}\n", faulty::program().display());
        let shell = ["-c", IN_A_TERMINAL, &typed, "bash", "--norc", "-i"];
        let mut server = Setup::program("python3", shell).start();
        eventually("it listens", || server.stdout().contains("listening on faulty@"));
        let address = server.stdout();
        let address = address.split("listening on faulty@").nth(1).unwrap().lines().next().unwrap();
        let mut client = Client::connect(&crate::common::Address::parse(address).unwrap());
        client.expect_echo(b"served\n");
        server.signal(Signal::SIGUSR1);
        client.expect_end();
        drop(client);
        server.exit();
        assert!(server.stderr().contains("ended: accepted=1"), "{place:?}:\n{}", server.stderr());
    }
}

#[test]
fn a_server_that_ignores_hangups_outlives_its_terminal() {
    if !has_program("python3") {
        return;
    }
    let nohup = ["python3", "-c", IN_A_TERMINAL, "", "env", "--ignore-signal=HUP"];
    for args in models(WORKERS) {
        let mut server = by_way_of(&nohup, &args).start().listening();
        let mut client = server.client("faulty");
        client.expect_echo(b"before\n");
        let (pid, _) = children(server.pid())[0];
        server.signal(Signal::SIGUSR1);
        client.expect_silence(SILENCE);
        client.expect_echo(b"after\n");
        drop(client);
        server.client("faulty").expect_echo(b"another\n");
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
        assert!(!server.stderr().contains("SIGHUP"), "{args:?}:\n{}", server.stderr());
    }
}

#[test]
fn a_hangup_by_an_operator_is_logged_and_ends_no_client() {
    for args in models(WORKERS) {
        let mut server = faulty::start(&texts(&args));
        let mut client = server.client("faulty");
        client.expect_echo(b"before\n");
        server.signal(Signal::SIGHUP);
        if !args[0].ends_with("iterative") {
            server.expect_log("SIGHUP: there is no access log to open again", 1);
        }
        client.expect_echo(b"after\n");
        drop(client);
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        let told = server.stderr();
        assert_eq!(
            told.matches("SIGHUP: there is no access log to open again").count(),
            1,
            "{args:?}:\n{told}"
        );
    }
}

/// Prints a line when the server may be looked at: by then a child of the shell has ended before the server
/// began. The other one, and one whose parent has ended, end when standard input does.
const LEAVES_PROCESSES: &str =
    r#"true & exec 3<"$0"; (sh -c 'read line' <&3 &); sh -c 'read line' <&3 & exec 3<&-; exec "$@""#;

/// A process whose parent has ended is given to the first process of its namespace. A child of the shell that
/// became the server is the server's.
#[test]
fn processes_that_others_leave_to_the_server_are_reaped() {
    let namespace = ["unshare", "--pid", "--fork", "--kill-child"];
    let can = Command::new("unshare").args(&namespace[1..]).arg("true").status();
    let is_first = can.is_ok_and(|status| status.success());
    if !is_first {
        crate::common::skipped(
            "no namespace of processes can be made here (unshare(1)): orphans are not tested",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for args in models(WORKERS) {
        let shell = ["sh", "-c", LEAVES_PROCESSES, fifo.to_str().unwrap()];
        let starter: Vec<&str> = namespace.into_iter().filter(|_| is_first).chain(shell).collect();
        let setup = by_way_of(&starter, &args);
        // Opened for both directions: the open waits for no other end.
        let holds = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let mut server = setup.start().listening();
        let pid = if is_first { Pid::from_raw(children(server.pid())[0].0) } else { server.pid() };
        let strangers = || {
            let all = children(pid).into_iter();
            let name = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            all.filter(|&(pid, _)| !name(pid).starts_with("faulty")).collect::<Vec<_>>()
        };
        let left = if is_first { 2 } else { 1 };
        eventually("only those who wait are left", || {
            let left_now = strangers();
            left_now.len() == left && left_now.iter().all(|&(_, state)| state != 'Z')
        });
        drop(holds);
        eventually("nobody is left", || strangers().is_empty());
        server.client("faulty").expect_echo(b"served\n");
        kill(pid, Signal::SIGTERM).unwrap();
        assert_eq!(server.exit().code(), Some(0), "{args:?}");
    }
}
