//! The verdict of a run: sabotage of the generator, of its clock, of replies and of connections is noticed,
//! on real sockets. On a machine with other work any run may be NOISY, so no test asks for VALID.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oneloop::limits::Limits;
use oneloop::load::clients::EchoLoad;
use oneloop::load::report::{Report, RunVerdict, Verdict};
use oneloop::load::{Plan, run};
use oneloop::services::Echo;

use crate::common::KilledOnDrop;
use crate::common::inside::Inside;

/// A server that takes a client with its number, from 0, and serves it in a thread.
fn serve(serve: impl Fn(u64, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for (number, client) in (0..).zip(listener.incoming()) {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(number, client.unwrap()));
        }
    });
    addr
}

fn plan(server: SocketAddr) -> Plan {
    let mut plan = Plan::new(server.to_string().parse().unwrap());
    (plan.clients, plan.seed) = (4, 5);
    (plan.warmup, plan.duration) = (Duration::from_millis(50), Duration::from_millis(400));
    plan
}

/// The verdict on a run, which is not VALID.
#[track_caller]
fn noticed(report: &Report) -> RunVerdict {
    let judged = report.verdict.clone().expect("each run is judged");
    assert_ne!(judged.verdict, Verdict::Valid, "{judged:?}");
    assert!(!judged.reasons.is_empty(), "{judged:?}");
    judged
}

/// `oneloop load` in a process of its own.
fn generator(server: SocketAddr, args: &[&str], environment: &[(&str, &str)]) -> KilledOnDrop {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(["load", &format!("echo@{server}"), "--clients=8", "--seed=5", "--json=-"]).args(args);
    command.env_remove("RUST_LOG").envs(environment.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    KilledOnDrop::spawn(command)
}

fn report_of(child: KilledOnDrop) -> Report {
    let done = child.output();
    serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

#[test]
fn a_generator_that_was_stopped_notices() {
    let echo = Inside::serve(Limits::default(), Echo);
    let args = ["--show-phases", "--warmup=50ms", "--duration=1500ms"];
    let mut child = generator(echo.addr(), &args, &[]);
    let mut phases = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(phases.any(|phase| phase.unwrap() == "measuring"));
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    kill(pid, Signal::SIGCONT).unwrap();
    let report = report_of(child);
    if report.generator.stalled_max_s < 0.25 {
        // The signal came too late: a machine that is full kept this thread from its core for a second.
        crate::common::skipped("the run was over before the generator could be stopped");
        return;
    }
    let judged = noticed(&report);
    assert!(judged.reasons.iter().any(|why| why.contains("the generator stood still")), "{judged:?}");
}

#[test]
fn lost_replies_are_noticed_whether_or_not_they_are_late() {
    for reply_timeout in [Duration::from_millis(150), Duration::from_millis(700)] {
        let count = AtomicU64::new(0);
        let server = serve(move |_, mut client| {
            let mut request = [0; 64];
            while client.read_exact(&mut request).is_ok() {
                let is_lost = count.fetch_add(1, SeqCst) % 500 == 300;
                if !is_lost && client.write_all(&request).is_err() {
                    return;
                }
            }
        });
        let mut plan = plan(server);
        plan.reply_timeout = reply_timeout;
        let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
        noticed(&report);
        assert!(report.errors.reply_timeout + report.unanswered > 0, "{:?}", report.errors);
    }
}

/// The kernel connects a client that the server has not accepted. It is served after the others have left, so
/// there is no error, and its requests are not in the percentiles.
#[test]
fn a_connection_that_is_held_back_until_the_end_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut first: Vec<TcpStream> = (0..3).map(|_| listener.accept().unwrap().0).collect();
        let echoes: Vec<_> = first
            .drain(..)
            .map(|client| std::thread::spawn(move || std::io::copy(&mut &client, &mut &client)))
            .collect();
        for echo in echoes {
            let _ = echo.join();
        }
        let (last, _) = listener.accept().unwrap();
        let _ = std::io::copy(&mut &last, &mut &last);
    });
    let plan = plan(addr);
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    let judged = noticed(&report);
    if report.requests >= 40 {
        assert_eq!(judged.verdict, Verdict::Failed);
        assert!(judged.reasons[0].contains("1 of 4 clients had no reply"), "{judged:?}");
    }
    assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
}

/// A library that is loaded first and halves the speed of the clock.
#[cfg(target_os = "linux")]
const HALF_SPEED: &str = include_str!("half_speed.c");

#[cfg(target_os = "linux")]
#[test]
fn a_clock_that_runs_at_half_speed_is_noticed() {
    if !crate::common::has_program("cc") {
        crate::common::skipped("there is no C compiler");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("clock.c"), folder.path().join("clock.so"));
    std::fs::write(&source, HALF_SPEED).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(built.unwrap().success());
    let echo = Inside::serve(Limits::default(), Echo);
    let args = ["--warmup=50ms", "--duration=400ms"];
    let report = report_of(generator(echo.addr(), &args, &[("LD_PRELOAD", library.to_str().unwrap())]));
    let judged = noticed(&report);
    let ratio = judged.evidence.clock_ratio.expect("Linux has /proc/uptime");
    assert!((0.4..0.6).contains(&ratio), "{judged:?}");
    assert!(judged.reasons.iter().any(|why| why.contains("the speed of the kernel's clock")), "{judged:?}");
}

#[test]
fn a_run_that_is_ended_early_or_has_few_requests_is_not_valid() {
    let server = serve(|_, mut client| {
        let mut request = [0; 64];
        while client.read_exact(&mut request).is_ok() {
            std::thread::sleep(Duration::from_millis(30));
            if client.write_all(&request).is_err() {
                return;
            }
        }
    });
    let plan = plan(server);
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    let judged = noticed(&report);
    assert!(judged.reasons.iter().any(|why| why.contains("requests were answered: p99")), "{judged:?}");
}
