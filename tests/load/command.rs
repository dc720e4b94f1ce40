//! `oneloop load` as it is typed: what it writes, and with which code it ends.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use oneloop::load::Report;
use oneloop::load::report::{Pace, SCHEMA_VERSION};

use crate::common::fault::Fault;
#[cfg(target_os = "linux")]
use crate::common::has_program;
use crate::common::server::Setup;
use crate::common::{KilledOnDrop, Server, eventually};

const SHORT: [&str; 4] = ["--warmup=50ms", "--duration=200ms", "--clients=4", "--seed=5"];

fn load(target: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(["load", target]).args(SHORT).args(args).env_remove("RUST_LOG");
    command.output().unwrap()
}

fn echo() -> (Server, String) {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let target = format!("echo@{}", server.address("echo").tcp());
    (server, target)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_report_is_a_table_json_csv_and_a_distribution() {
    let (_server, target) = echo();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let done = load(
        &target,
        &["--rate=1k", "--csv", &path("csv"), "--hgrm", &path("hgrm"), "--json", &path("json")],
    );
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    for part in ["open loop, 1000 requests/s", "seed 5", "p99.99", "missed sends  0", "errors        0"] {
        assert!(text(&done.stdout).contains(part), "`{part}` in:\n{}", text(&done.stdout));
    }
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    let report: Report = serde_json::from_str(&read("json")).unwrap();
    assert_eq!((report.schema_version, report.configuration.seed), (SCHEMA_VERSION, 5));
    assert!(matches!(report.configuration.pace, Pace::Open { .. }));
    assert_eq!(report.latency.count, 200);
    assert_eq!(read("csv").lines().count(), report.series.len() + 1);
    assert!(read("hgrm").contains("Total count    =          200"));
    let piped = load(&target, &["--json", "-"]);
    let report: Report = serde_json::from_slice(&piped.stdout).unwrap();
    assert!(report.requests > 0, "nothing but JSON is on standard output");
}

#[test]
fn watch_is_called_when_each_part_of_the_run_begins() {
    let (_server, target) = echo();
    let done = load(&target, &["--show-phases", "--json", "-"]);
    assert_eq!(text(&done.stderr), "connecting\nwarm_up\nmeasuring\ndraining\n");
    assert!(serde_json::from_slice::<Report>(&done.stdout).is_ok(), "the report is apart from it");
}

#[test]
fn a_watcher_that_has_left_or_does_not_read_costs_no_report() {
    let (_server, target) = echo();
    let run = |stderr: Stdio, options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
        command.args(["load", &target, "--json", "-"]).args(options).args(SHORT).env_remove("RUST_LOG");
        command.stdout(Stdio::piped()).stderr(stderr);
        let mut child = KilledOnDrop::spawn(command);
        let mut stdout = child.stdout.take().unwrap();
        let report = std::thread::spawn(move || std::io::read_to_string(&mut stdout).unwrap());
        let mut status = None;
        eventually("the run ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0));
        assert!(serde_json::from_str::<Report>(&report.join().unwrap()).is_ok());
    };
    let (nobody, stderr) = std::io::pipe().unwrap();
    drop(nobody);
    run(stderr.into(), &["--show-phases"]);
    let (_stalled, stderr) = std::io::pipe().unwrap();
    fill(&stderr);
    run(stderr.into(), &["--show-phases"]);
    let stopped = nix::pty::openpty(None, None).unwrap();
    fill(&stopped.slave);
    for options in [&["--show-phases"][..], &["-q"], &[]] {
        run(stopped.slave.try_clone().unwrap().into(), options);
    }
}

/// Writes until there is no room; the descriptor blocks afterwards as before.
fn fill(fd: &impl AsFd) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    for piece in [4096, 1] {
        while nix::unistd::write(fd, &vec![b'x'; piece]).is_ok() {}
    }
    fcntl(fd, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
}

/// Better clocks and choices of ports are taken where the system offers them.
#[test]
fn a_load_does_without_a_timer_or_options_that_the_system_refuses() {
    let (_server, target) = echo();
    for fault in [
        Fault { call: "timerfd_create", effect: "error=ENOSYS" },
        Fault { call: "setsockopt", effect: "error=ENOPROTOOPT" },
        Fault { call: "prlimit64", effect: "error=EPERM" },
    ] {
        if !fault.can_be_injected() {
            return;
        }
        let load =
            [env!("CARGO_BIN_EXE_oneloop"), "load", &target, "--rate=100", "--source=127.0.0.1", "--json=-"];
        let mut run = fault.injected_into(load.iter().chain(&SHORT)).start();
        assert_eq!(run.exit().code(), Some(0), "{fault:?}: {}", run.stderr());
        let report: Report = serde_json::from_str(&run.stdout()).unwrap();
        assert!(report.requests > 0, "{fault:?}: {report:?}");
    }
}

#[test]
fn the_exit_code_shows_the_result() {
    let (_server, target) = echo();
    for (args, code, part) in [
        (&["--expect=p99<10s", "--expect=errors=0"][..], 0, ""),
        (&["--expect=p99<1ns"], 3, "p99<1ns does not hold: it was"),
        (&["--expect=requests>0", "--expect=rate>100M"], 3, "rate>100M does not hold"),
        (&["--expect=soon"], 2, "p99<5ms"),
        (
            &["--depth=0"],
            2,
            "--depth \"0\": it must be at least 1; for example: oneloop load echo@127.0.0.1:",
        ),
        (
            &["--slow", "lots"],
            2,
            "--slow \"lots\": not a whole number; write it as 64, 10k or 1M; for example: oneloop load",
        ),
        (&["--idle", "-5s"], 2, "--idle \"-5s\": not a whole number"),
        (&["--slow-pause=1s"], 2, "--slow-pause has no effect without --slow"),
        (&["--interval=1s"], 2, "--interval has no effect without --csv, --json"),
        (&["--source=203.0.113.9"], 1, "--source"),
    ] {
        let done = load(&target, args);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(part) && said.lines().count() == usize::from(code != 0), "{args:?}: {said}");
        assert!(!said.contains("start a server"), "there is one: {said}");
    }
    let unknown = load("http://no.such.name.invalid/", &[]);
    let told = "oneloop: cannot resolve the host \"no.such.name.invalid\": ";
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    assert!(
        text(&unknown.stderr).starts_with(told) && text(&unknown.stderr).lines().count() == 1,
        "{unknown:?}"
    );
    let nobody = load("echo@127.0.0.1:1", &[]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("127.0.0.1:1: refused"), "{nobody:?}");
}

/// The run does not begin: the mistake is the only output.
#[test]
fn a_file_that_cannot_be_written_is_reported_before_the_run() {
    let (_server, target) = echo();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    std::fs::write(&kept, "kept").unwrap();
    let kept = kept.to_str().unwrap();
    for flag in ["--json", "--csv", "--hgrm"] {
        let bad = format!("{flag}=/no/such/folder/x");
        let done = load(&target, &[&bad, if flag == "--json" { "--csv" } else { "--json" }, kept]);
        let said = text(&done.stderr);
        assert_eq!((done.status.code(), text(&done.stdout)), (Some(1), ""), "{flag}: {said}");
        let told = format!("oneloop: cannot write {flag} /no/such/folder/x: ");
        assert!(said.starts_with(&told) && said.lines().count() == 1, "{flag}: {said}");
    }
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "kept");
}

/// The device opens for writing, and is full (full(4)).
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_fails_at_the_end_is_lost_alone() {
    let (_server, target) = echo();
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("csv");
    let done = load(&target, &["--json=/dev/full", "--csv", csv.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(text(&done.stderr).starts_with("oneloop: cannot write --json /dev/full: "), "{done:?}");
    assert!(text(&done.stdout).contains("p99.99"), "the table: {}", text(&done.stdout));
    assert!(std::fs::read_to_string(csv).unwrap().starts_with("phase,"), "the other file");
}

/// Beyond a limit on the size of files write(2) fails as on a full disk.
#[test]
fn a_file_without_room_for_a_new_one_stays_as_it_was() {
    let (_server, target) = echo();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    std::fs::write(&kept, "kept").unwrap();
    for name in ["kept", "absent"] {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "ulimit -f 1 && exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_oneloop"),
            "load",
            &target,
        ]);
        let done = shell.args(SHORT).arg("--json").arg(folder.path().join(name)).output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        let told = format!("oneloop: cannot write --json {}: ", folder.path().join(name).display());
        assert!(text(&done.stderr).starts_with(&told), "{done:?}");
    }
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_lost_idle_crowd_is_reported_and_can_be_checked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("echo@{}", listener.local_addr().unwrap());
    let run = |args: &[&str]| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Connections come in their order: the crowd first.
                let accept = || listener.accept().unwrap().0;
                drop([accept(), accept()]);
                let _held = accept();
                let echo =
                    |mut client: TcpStream| std::io::copy(&mut client.try_clone().unwrap(), &mut client);
                let active =
                    [(); 4].map(|()| accept()).map(|client| std::thread::spawn(move || echo(client)));
                for echo in active {
                    let _ = echo.join();
                }
            });
            load(&target, &[&["--idle=3"], args].concat())
        })
    };
    let done = run(&[]);
    assert!(done.status.success(), "a server may close idle clients: {done:?}");
    for part in
        ["1 at the end; lost: 2 closed early", "note: 2 of 3 idle clients were not connected throughout"]
    {
        assert!(text(&done.stdout).contains(part), "`{part}` in:\n{}", text(&done.stdout));
    }
    let checked = run(&["--expect=lost=0"]);
    assert_eq!(checked.status.code(), Some(3), "{checked:?}");
    assert!(text(&checked.stderr).contains("lost=0 does not hold: it was 2"), "{checked:?}");
}

#[test]
fn a_server_of_every_address_and_one_of_ipv4_alone_are_met_at_a_star() {
    for address in ["*:0", "0.0.0.0:0", "127.0.0.1:0"] {
        let mut server = Server::serve(&[&format!("echo@{address}")]);
        let port = server.address("echo").tcp().port();
        let done = load(&format!("echo@*:{port}"), &[]);
        assert!(done.status.success(), "served at {address}: {done:?}");
    }
}

#[test]
fn wrong_replies_fail_the_run_unless_errors_are_allowed() {
    // A server of another service: its output is not an echo.
    let mut server = Server::serve(&["chargen@127.0.0.1:0"]);
    let target = format!("echo@{}", server.address("chargen").tcp());
    let done = load(&target, &[]);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    assert!(text(&done.stdout).contains("wrong bytes"), "{}", text(&done.stdout));
    let allowed = load(&target, &["--expect=errors<1M"]);
    assert!(allowed.status.success(), "{allowed:?}");
}

/// Those that were sent may be answered as fast as one likes: the others are in no percentile.
#[test]
fn missed_sends_fail_the_run_unless_they_are_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("echo@{}", listener.local_addr().unwrap());
    let args = ["--rate=1k", "--reply-timeout=20ms", "--expect=errors<1M"];
    let done = load(&target, &args);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    assert!(text(&done.stderr).contains("missed=0 does not hold: it was"), "{done:?}");
    assert!(text(&done.stdout).contains("requests were never sent"), "{done:?}");
    let allowed = load(&target, &[&args[..], &["--expect=missed<1M"]].concat());
    assert!(allowed.status.success(), "{allowed:?}");
}

#[test]
fn more_connections_than_descriptors_are_refused_with_what_to_do() {
    let (_server, target) = echo();
    let shell = format!("ulimit -n 64 && exec {} load {target} --clients 100", env!("CARGO_BIN_EXE_oneloop"));
    let done = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    for part in ["124 file descriptors", "may have 64", "ulimit", "at most 40"] {
        assert!(text(&done.stderr).contains(part), "{}", text(&done.stderr));
    }
}

#[test]
fn ctrl_c_ends_the_run_and_what_was_measured_is_reported() {
    let (_server, target) = echo();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("json");
    let json = path.to_str().unwrap();
    let mut running =
        Setup::oneloop(["load", &target, "--warmup=0", "--duration=1h", "--interval=10ms", "--json", json])
            .start();
    // It works: once it has used some time it is past its start.
    #[cfg(target_os = "linux")]
    eventually("the load runs", || running.cpu_time() > std::time::Duration::from_millis(200));
    running.signal(Signal::SIGINT);
    let status = running.exit();
    assert!(status.success(), "{status}: {}", running.stderr());
    let report: Report = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(report.interrupted && report.requests > 0);
}

/// In a network of its own, where the ports can be few.
#[cfg(target_os = "linux")]
#[test]
fn ports_that_run_out_are_the_generators_own_error_and_more_addresses_help() {
    if !has_program("unshare") || !has_program("ip") {
        return;
    }
    let script = r#"ip link set lo up && echo '40000 40009' > /proc/sys/net/ipv4/ip_local_port_range || exit 77
        "$0" serve -qq echo@127.0.0.1:7 >&2 & server=$!
        until "$0" load echo@127.0.0.1:7 --clients 1 --warmup 0 --duration 10ms >&2; do sleep 0.01; done
        "$0" load echo@127.0.0.1:7 --clients 15 --warmup 0 --duration 300ms --json "$2" $1
        kill $server"#;
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("json");
    let run = |args: &str| {
        let mut command = Command::new("unshare");
        command.args(["-Urn", "sh", "-c", script, env!("CARGO_BIN_EXE_oneloop"), args]).arg(&json);
        let done = command.output().unwrap();
        if done.stdout.is_empty() {
            crate::common::skipped(&format!("no network of its own here: {}", text(&done.stderr)));
            return None;
        }
        let report: Report = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
        Some((report, text(&done.stdout).to_owned()))
    };
    let Some((short, _)) = run("--source=127.0.0.1") else { return };
    assert!(short.errors.out_of_ports > 0, "{:?}", short.errors);
    // The port of the look before is not free again yet.
    assert!((9..=10).contains(&short.connections.open_max), "{}", short.connections.open_max);
    let Some((crowded, told)) = run("--source=127.0.0.1 --idle=20") else { return };
    assert!(crowded.idle.lost.out_of_ports >= 10, "{:?}", crowded.idle);
    let missing = crowded.idle.clients - crowded.idle.connected;
    assert_eq!(crowded.idle.lost.out_of_ports, missing, "{:?}", crowded.idle);
    let note = format!("note: {missing} of 20 idle clients were not connected throughout");
    let note = told.lines().find(|line| line.starts_with(&note));
    assert!(
        note.is_some_and(|note| note.contains("no local port is left") && note.contains("--source")),
        "{told}"
    );
    let Some((enough, _)) = run("") else { return };
    assert_eq!(enough.errors.total() + enough.errors_before.total(), 0, "{:?}", enough.first_error);
    assert_eq!(enough.connections.open_max, 15);
}
