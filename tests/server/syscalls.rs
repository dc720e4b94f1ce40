//! What a request costs in system calls, counted by `strace`: one read, one write, its share of one wait.
//! mio's poll(2) selector costs more, and is not what people run. And what the system hardly ever answers,
//! injected by `strace`.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::fault::Fault;
use crate::common::server::Setup;
use crate::common::{Address, Client, Server, eventually, has_program};
use nix::fcntl::{FcntlArg, fcntl};

const REQUESTS: usize = 2000;
/// Calls of a kind that may come on top: the first read of a client, the wait before it, a timer now and
/// then.
const EXTRA: usize = 40;
/// A call is counted when it returns: the last may not have returned when strace is stopped.
const UNCOUNTED: usize = 1;
/// Requests that are sent at once.
const BATCH: usize = 16;
/// Of models that have a number of workers, where it matters.
const WORKERS: usize = 3;

/// Counts the system calls of `server` while `converse` runs, `None` where tracing is not allowed.
fn counted(server: &Server, converse: impl FnOnce()) -> Option<HashMap<String, usize>> {
    let counts = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(counts.path())
        .args(["-p", &server.pid().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut denied = false;
    eventually("strace is attached or refused", || {
        denied = strace.try_wait().unwrap().is_some();
        denied || is_traced(server, strace.id())
    });
    if denied {
        crate::common::skipped("tracing a process is not allowed here");
        return None;
    }
    converse();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(strace.id().cast_signed()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    strace.wait().unwrap();
    let table = std::fs::read_to_string(counts.path()).unwrap();
    println!("{table}");
    Some(table.lines().filter_map(row).collect())
}

/// Whether each of its threads is: they are attached to one after the other.
fn is_traced(server: &Server, tracer: u32) -> bool {
    let line = format!("TracerPid:\t{tracer}");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status"));
        status.is_ok_and(|status| status.lines().any(|said| said == line))
    })
}

/// `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn row(line: &str) -> Option<(String, usize)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let calls = words.get(3)?.parse().ok()?;
    Some((words.last()?.to_string(), calls))
}

#[test]
fn a_request_costs_one_read_one_write_and_its_share_of_one_wait() {
    if !has_program("strace") {
        return;
    }
    // The timings of a traced program are strange: no deadline may come in between.
    let mut server =
        Setup::oneloop(["serve", "echo@127.0.0.1:0"]).env("RUST_LOG", "warn").start().listening();
    let mut clients: Vec<Client> = (0..4).map(|_| server.client("echo")).collect();
    for client in &mut clients {
        client.expect_echo(b"open");
    }
    let Some(calls) = counted(&server, || {
        for _ in 0..REQUESTS / clients.len() {
            for client in &mut clients {
                client.expect_echo(&[b'r'; 64]);
            }
        }
    }) else {
        return;
    };
    let of = |names: &[&str]| names.iter().filter_map(|name| calls.get(*name)).sum::<usize>();
    let expected = REQUESTS - UNCOUNTED..=REQUESTS + EXTRA;
    let (reads, writes) =
        (of(&["read", "recvfrom", "readv", "recvmsg"]), of(&["write", "sendto", "writev", "sendmsg"]));
    assert!(expected.contains(&reads), "{reads} reads for {REQUESTS} requests");
    assert!(expected.contains(&writes), "{writes} writes for {REQUESTS} requests");
    let waits = of(&["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll"]);
    assert!(waits <= REQUESTS + EXTRA, "{waits} waits for {REQUESTS} requests");
    let total = of(&["total"]);
    assert!(total <= 3 * REQUESTS + 3 * EXTRA, "{total} calls in all for {REQUESTS} requests");
}

#[test]
fn a_small_file_leaves_in_one_write_with_its_head_and_a_batch_in_one_write_too() {
    if !has_program("strace") {
        return;
    }
    let site = crate::common::http::Site::new();
    site.file("copied", vec![b'c'; 1_000]);
    site.file("shared", vec![b's'; 8_000]);
    let spec = crate::common::http::spec(&site.root());
    let mut server = Setup::oneloop(["serve", &spec]).env("RUST_LOG", "warn").start().listening();
    let mut client = server.client("http");
    for (file, batch) in [("copied", 1), ("shared", 1), ("copied", BATCH)] {
        let requests = format!("GET /{file} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(batch);
        let mut converse = |batches: usize| {
            for _ in 0..batches {
                client.send(requests.as_bytes());
                for _ in 0..batch {
                    assert_eq!(crate::common::http::receive(&mut client, "GET").status, 200);
                }
            }
        };
        converse(1);
        let batches = REQUESTS / 4;
        let Some(calls) = counted(&server, || converse(batches)) else { return };
        let of = |names: &[&str]| names.iter().filter_map(|name| calls.get(*name)).sum::<usize>();
        let writes = of(&["write", "sendto", "writev", "sendmsg", "sendfile"]);
        assert!(
            (batches - UNCOUNTED..=batches + EXTRA).contains(&writes),
            "{writes} writes for {batches} times {batch} of {file}"
        );
        // Whether a file has changed is looked at twice a second, not for each request.
        let total = of(&["total"]);
        assert!(
            total <= 3 * batches + 5 * EXTRA,
            "{total} calls in all for {batches} times {batch} of {file}"
        );
    }
}

#[test]
fn a_request_costs_a_blocking_model_one_read_and_one_write_and_nothing_else() {
    if !has_program("strace") {
        return;
    }
    for model in ["iterative", "fork", "thread", "prethread"] {
        let args = ["serve", "--model", model, "echo@127.0.0.1:0"];
        let mut server = Setup::oneloop(args).env("RUST_LOG", "warn").start().listening();
        server.client("echo").expect_echo(b"it is past its start");
        let address = server.address("echo");
        let Some(calls) = counted(&server, || {
            let mut client = Client::connect(&address);
            for _ in 0..REQUESTS {
                client.expect_echo(&[b'r'; 64]);
            }
        }) else {
            return;
        };
        let of = |names: &[&str]| names.iter().filter_map(|name| calls.get(*name)).sum::<usize>();
        let expected = REQUESTS - UNCOUNTED..=REQUESTS + EXTRA;
        let (reads, writes) = (of(&["recvfrom", "recvmsg"]), of(&["sendto", "sendmsg"]));
        assert!(expected.contains(&reads), "{model}: {reads} reads for {REQUESTS} requests");
        assert!(expected.contains(&writes), "{model}: {writes} writes for {REQUESTS} requests");
        // What comes on top is by the client: accept, fork or clone.
        let total = of(&["total"]);
        assert!(total <= 2 * REQUESTS + 10 * EXTRA, "{model}: {total} calls in all for {REQUESTS} requests");
    }
}

/// Clients that come once, with one request each.
const CLIENTS: usize = 300;

/// Of them a plain C server of the same model needs, with glibc 2.36 and SIGCHLD handled: 5, 13, 13 and 5.
#[test]
fn a_client_with_one_request_costs_a_blocking_model_few_calls() {
    if !has_program("strace") {
        return;
    }
    for (model, most) in [("iterative", 5), ("fork", 22), ("thread", 18), ("prethread", 5)] {
        let args = ["serve", "--model", model, "echo@127.0.0.1:0"];
        let mut server = Setup::oneloop(args).env("RUST_LOG", "warn").start().listening();
        server.client("echo").expect_echo(b"it is past its start");
        let address = server.address("echo");
        let Some(calls) = counted(&server, || {
            for _ in 0..CLIENTS {
                Client::connect(&address).expect_echo(&[b'r'; 64]);
            }
        }) else {
            return;
        };
        let of = |names: &[&str]| names.iter().filter_map(|name| calls.get(*name)).sum::<usize>();
        // With debug assertions std looks at each descriptor that it closes.
        let total = of(&["total"]) - of(&["fcntl"]);
        assert!(total <= most * CLIENTS + EXTRA, "{model}: {total} calls in all for {CLIENTS} clients");
        // What bounds the waiting costs no call for each client, or one of a process of its own.
        let timers = if model == "fork" { CLIENTS } else { 0 };
        let (timers_set, options) = (of(&["setitimer"]), of(&["setsockopt"]));
        assert!(timers_set <= timers + EXTRA, "{model}: {timers_set} timers for {CLIENTS} clients");
        assert!(options <= timers + EXTRA, "{model}: {options} options for {CLIENTS} clients");
    }
}

/// The first accept4(2) of each thread fails, and leaves the client in the queue.
const ABORT_FIRST: Fault = Fault { call: "accept4", effect: "error=ECONNABORTED:when=1" };

#[test]
fn a_client_lost_before_it_was_accepted_is_passed_over_and_the_next_is_served() {
    if !ABORT_FIRST.can_be_injected() {
        return;
    }
    for model in ["reactor", "iterative", "fork", "thread", "prefork", "prethread"] {
        // An inherited socket, so that a client is in the queue already when the server accepts for the first
        // time.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Client::connect(&Address::Tcp(socket.local_addr().unwrap()));
        let copy = fcntl(&socket, FcntlArg::F_DUPFD(100)).unwrap(); // it survives exec
        let script = format!("LISTEN_PID=$$ exec \"$@\" 3<&{copy} {copy}<&-");
        let serve =
            ["bash", "-c", &script, "bash", env!("CARGO_BIN_EXE_oneloop"), "serve", "echo", "--model"];
        let serve = serve.iter().chain([&model]);
        let server = ABORT_FIRST.injected_into(serve).env("LISTEN_FDS", "1").start();
        nix::unistd::close(copy).unwrap();
        let mut server = server.listening();
        client.expect_echo(b"the next in the queue");
        drop(client);
        assert_eq!(server.stop().code(), Some(0), "{model}");
        let said = server.stderr();
        assert!(!said.contains("accepting pauses"), "{model}: it is that client's error alone:\n{said}");
        assert!(said.contains("accepted=1 open=0 accept-errors="), "{model}:\n{said}");
        // The first accept of each copy, and of each of those threads, fails.
        let lost = if model.starts_with("pre") { 1..=8 } else { 1..=1 };
        let told = |count| said.contains(&format!(" accept-errors={count} cut=0"));
        assert!(lost.into_iter().any(told), "{model}:\n{said}");
    }
}

/// Calls that an old kernel, an emulator or a filter of system calls may not know or deny, and that are not
/// needed.
const MISSING: [Fault; 13] = [
    Fault { call: "accept4", effect: "error=ENOSYS" },
    Fault { call: "accept4", effect: "error=EPERM" },
    Fault { call: "openat2", effect: "error=ENOSYS" },
    Fault { call: "openat2", effect: "error=EPERM" },
    Fault { call: "statx", effect: "error=ENOSYS" },
    Fault { call: "prlimit64", effect: "error=EPERM" },
    Fault { call: "prctl", effect: "error=ENOSYS" },
    Fault { call: "prctl", effect: "error=EPERM" },
    Fault { call: "ppoll", effect: "error=ENOSYS" },
    Fault { call: "ppoll", effect: "error=EPERM" },
    Fault { call: "setitimer", effect: "error=EPERM" },
    Fault { call: "setsockopt", effect: "error=ENOPROTOOPT" },
    Fault { call: "setsockopt", effect: "error=EPERM" },
];

#[test]
fn where_a_newer_call_is_missing_or_denied_the_older_one_serves() {
    if !MISSING[0].can_be_injected() {
        return;
    }
    let site = crate::common::http::Site::new();
    site.file("folder/page.html", "a page");
    let spec = crate::common::http::spec(&site.root());
    let every = crate::common::faulty::models(WORKERS);
    for (fault, args) in MISSING.iter().flat_map(|fault| every.iter().map(move |args| (fault, args))) {
        let serve = [env!("CARGO_BIN_EXE_oneloop"), "serve", &spec];
        let command = serve.into_iter().chain(args.iter().map(String::as_str));
        let mut server = fault.injected_into(command).start().listening();
        for _ in 0..2 {
            let mut client = server.client("http");
            for _ in 0..2 {
                let answer = crate::common::http::get(&mut client, "/folder/page.html", "");
                assert_eq!((answer.status, answer.text().as_str()), (200, "a page"), "{args:?}, {fault:?}");
            }
        }
        assert_eq!(server.stop().code(), Some(0), "{args:?}, {fault:?}");
    }
}

/// Without the signal that the system would send (prctl(2), `PR_SET_PDEATHSIG`) they ask now and then.
#[test]
fn children_without_a_death_signal_notice_the_end_of_their_parent() {
    let fault = Fault { call: "prctl", effect: "error=EPERM" };
    if !fault.can_be_injected() {
        return;
    }
    for args in ["--model=fork", "--model=prefork", "--workers=2"] {
        let serve = [env!("CARGO_BIN_EXE_oneloop"), "serve", "--drain=0", "echo@127.0.0.1:0", args];
        let mut server = fault.injected_into(serve).start().listening();
        let mut client = server.client("echo");
        client.expect_echo(b"before");
        let orphans = crate::common::faulty::children(server.pid());
        assert!(!orphans.is_empty(), "{args}");
        nix::sys::signal::kill(server.pid(), nix::sys::signal::Signal::SIGKILL).unwrap();
        let gone = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        eventually("the orphans are gone", || orphans.iter().all(|&(pid, _)| gone(pid)));
    }
}

/// Every accept(2) and accept4(2) is denied for good, as by a filter of system calls: a client stays in the
/// queue, and the queue stays readable.
const DENIED: Fault = Fault { call: "accept,accept4", effect: "error=EPERM" };

#[test]
fn an_accept_that_is_always_denied_pauses_in_every_model_and_warns_once_a_minute() {
    if !DENIED.can_be_injected() {
        return;
    }
    let serve = [env!("CARGO_BIN_EXE_oneloop"), "serve", "--drain=0", "echo@127.0.0.1:0"];
    for args in crate::common::faulty::models(WORKERS) {
        let began = Instant::now();
        let command = serve.into_iter().chain(args.iter().map(String::as_str));
        let mut server = DENIED.injected_into(command).start().listening();
        let _waits = server.client("echo");
        server.expect_log("accepting pauses", 1);
        crate::common::pace(Duration::from_secs(1));
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        // It pauses several times a second.
        let warnings = server.stderr().matches("accepting pauses").count();
        let minutes = began.elapsed().as_secs() as usize / 60 + 1;
        let workers = if args.len() > 1 { WORKERS } else { 1 };
        assert!(warnings <= workers * minutes, "{args:?}: {warnings} warnings of {workers} in {minutes} min");
    }
}
