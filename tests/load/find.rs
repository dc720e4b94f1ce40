//! `oneloop load --find` and `--rate A:B` as they are typed. Whether the rate found is right is proved in
//! virtual time, in `src/load/search/tests.rs`: here the machine may have other work.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oneloop::load::report::{Pace, Report, SearchLimit};

use crate::common::{KilledOnDrop, Server};

fn echo() -> (Server, String) {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let target = format!("echo@{}", server.address("echo").tcp());
    (server, target)
}

fn command(target: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(["load", target, "--clients=4", "--seed=5"]).args(args).env_remove("RUST_LOG");
    command
}

fn load(target: &str, args: &[&str]) -> Output {
    command(target, args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const PROBE: [&str; 2] = ["--duration=60ms", "--warmup=20ms"];

#[test]
fn a_search_loads_by_several_threads() {
    let (_server, target) = echo();
    let args = ["--find", "p99<10s", "--expect", "missed<1M", "--rate=500:1k", "--threads=2", "--json=-"];
    let done = load(&target, &[&PROBE[..], &args].concat());
    let report: Report =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    assert_eq!(report.configuration.threads, 2);
    assert!(report.search.is_some_and(|search| !search.probes.is_empty()), "{done:?}");
}

#[test]
fn the_highest_rate_that_may_be_tried_is_found_if_it_meets_the_checks() {
    let (_server, target) = echo();
    let args = ["--find", "p99<10s", "--expect", "missed<1M", "--rate=500:1k", "--json=-"];
    let done = load(&target, &[&PROBE[..], &args].concat());
    let report: Report =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let search = report.search.expect("it is a search");
    assert_eq!(search.checks, ["p99<10s", "missed<1M", "errors=0"]);
    // A machine that is full answers too little in time at any rate.
    let Some(found) = report.rate_found_per_s else {
        assert_eq!(done.status.code(), Some(3), "{done:?}");
        return;
    };
    assert!((500.0..=1_000.0).contains(&found) && done.status.success(), "{found}: {done:?}");
    assert!(
        matches!(report.configuration.pace, Pace::Open { rate_per_second, .. } if (rate_per_second - found).abs() < 1e-9)
    );
    let stderr = text(&done.stderr);
    assert!(stderr.starts_with("the highest rate that meets p99<10s, missed<1M, errors=0 is searched for; this takes at most 1 s 800 ms\n"), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("probe ")).count(), search.probes.len());
    assert!(search.probes.iter().all(|probe| (500.0..=1_000.0).contains(&probe.rate_per_second)));
    if search.limit == SearchLimit::Highest {
        assert!(
            (found - 1_000.0).abs() < 1e-9 && search.passed >= 5 && search.confidence > 0.9,
            "{search:?}"
        );
    }
}

#[test]
fn without_a_rate_that_meets_the_checks_the_exit_code_is_3() {
    let (_server, target) = echo();
    let done = load(&target, &[&PROBE[..], &["--find", "p99<1ns", "--rate=100:200"]].concat());
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    let (stdout, stderr) = (text(&done.stdout), text(&done.stderr));
    assert!(stdout.contains("found: no rate that meets p99<1ns"), "{stdout}");
    assert!(stderr.contains("oneloop: no rate was found that meets p99<1ns"), "{stderr}");
    // A machine that is full has no time for the lowest rate.
    let is_over = stdout.contains("\nverdict: FAILED: even 100.0 requests/s do not meet the checks\n")
        || stdout.contains("the time was over before a rate was found");
    assert!(is_over, "{stdout}");
}

#[test]
fn without_a_server_nothing_is_searched() {
    let done = load("echo@127.0.0.1:1", &["--find", "p99<5ms"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(
        text(&done.stderr).contains("nothing listens there") && !text(&done.stderr).contains("probe"),
        "{done:?}"
    );
}

#[test]
fn a_search_that_is_interrupted_reports_what_it_has_found() {
    let (_server, target) = echo();
    let args = ["--find", "p99<10s", "--rate=50", "--duration=300ms", "--json=-"];
    let mut search = command(&target, &args);
    search.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = KilledOnDrop::spawn(search);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("probe 1")));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    drop(std::thread::spawn(move || lines.count()));
    let done = child.output();
    let report: Report =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let search = report.search.unwrap();
    assert_eq!(search.limit, SearchLimit::Interrupted);
    let code = if report.rate_found_per_s.is_some() { 0 } else { 3 };
    assert!(report.interrupted && done.status.code() == Some(code), "{done:?}");
}

#[test]
fn a_rate_that_grows_is_a_ramp_in_table_and_series() {
    let (_server, target) = echo();
    let args = ["--warmup=20ms", "--duration=500ms", "--rate=100:1k", "--json=-"];
    let done = load(&target, &args);
    let report: Report =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    assert!(matches!(report.configuration.pace, Pace::Ramp { .. }), "{:?}", report.configuration);
    assert!((273..=277).contains(&report.requests_due), "a trapezium of 275: {}", report.requests_due);
    assert!(report.series.len() >= 10, "a fiftieth of the run each: {}", report.series.len());
    let table = load(&target, &args[..3]);
    let stdout = text(&table.stdout);
    assert!(stdout.contains("open loop, from 100 to 1000 requests/s, constant arrivals"), "{stdout}");
    assert!(stdout.contains("\nbend: "), "{stdout}");
}

#[test]
fn the_verdict_is_in_the_table_and_may_be_a_check() {
    let (_server, target) = echo();
    let short = ["--warmup=20ms", "--duration=100ms", "--expect", "verdict=VALID"];
    let done = load(&target, &short);
    let stdout = text(&done.stdout);
    let line =
        stdout.lines().find(|line| line.starts_with("verdict: ")).unwrap_or_else(|| panic!("{stdout}"));
    let is_valid = line.starts_with("verdict: VALID: ");
    assert_eq!(done.status.code(), Some(if is_valid { 0 } else { 3 }), "{done:?}");
    let bad = load(&target, &["--expect", "verdict=GOOD"]);
    assert!(bad.status.code() == Some(2) && text(&bad.stderr).contains("is not a verdict"), "{bad:?}");
}
