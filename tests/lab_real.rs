//! `oneloop compare` on real servers: a quick look keeps its promises, and an interruption loses nothing.

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oneloop::lab::cell::{Metric, Model, Outcome};
use oneloop::lab::experiments::Experiment;
use oneloop::lab::judge::{OTHERS_MAX, Verdict};
use oneloop::lab::raw;
use oneloop::lab::results::{CellResult, Results};
use oneloop::lab::stats::median as median_of;

/// How long a quick look takes at most.
const QUICK_MAX: Duration = Duration::from_secs(120);

/// A comparison that is ended with its test.
struct Compared(Child);

impl Compared {
    fn start(output: &Path, args: &[&str]) -> Compared {
        let program = std::env::var_os("ONELOOP_PROGRAM");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_oneloop").into());
        let mut command = Command::new(program);
        command.arg("compare").args(args).arg("--output").arg(output).env_remove("RUST_LOG");
        Compared(
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap(),
        )
    }

    /// Waits for its end; its exit code and what it told.
    fn end(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        (self.0.wait().unwrap().code(), told)
    }
}

impl Drop for Compared {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn results(output: &Path) -> Results {
    let (header, runs) = raw::read(&output.join("raw.jsonl")).unwrap();
    Results::of(header, &runs)
}

/// CPU time that other processes took meanwhile, in cores: the median of the runs that know.
fn others_cpu(output: &Path) -> f64 {
    let (_, runs) = raw::read(&output.join("raw.jsonl")).unwrap();
    let known: Vec<f64> = runs
        .iter()
        .filter_map(|run| match &run.outcome {
            Outcome::Measured(measurement) => measurement.evidence.others_cpu,
            _ => None,
        })
        .collect();
    median_of(&known).unwrap_or(0.0)
}

fn of(results: &Results, experiment: Experiment, model: Model) -> Vec<&CellResult> {
    let cells = results.cells.iter().filter(|result| result.cell.experiment == experiment);
    cells.filter(|result| result.cell.subject.as_model() == Some(model)).collect()
}

fn median(results: &Results, experiment: Experiment, model: Model, metric: Metric) -> f64 {
    of(results, experiment, model)[0].summaries[&metric].median
}

#[test]
fn the_lectures_first_claim_is_measured_and_an_interruption_keeps_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("wait");
    let (code, told) =
        Compared::start(&output, &["--quick", "--experiments", "wait", "--models", "iterative,reactor"])
            .end();
    assert_eq!(code, Some(0), "{told}");
    let found = results(&output);
    let waits_ms = |model| median(&found, Experiment::Wait, model, Metric::WaitMs);
    assert!(waits_ms(Model::Iterative) > 400.0, "{told}");
    assert!(waits_ms(Model::Reactor) < 200.0, "{told}");
    let mut cores = found.header.machine.cores;
    cores.sort_unstable();
    assert_eq!(cores, oneloop::sys::process::cores(), "both sides' cores");

    let output = directory.path().join("interrupted");
    let compared = Compared::start(&output, &["--experiments", "wait", "--models", "iterative,reactor"]);
    let raw = output.join("raw.jsonl");
    let lines = || fs::read_to_string(&raw).unwrap_or_default().lines().count();
    eventually("two runs are kept", || lines() >= 3);
    kill(Pid::from_raw(compared.0.id().cast_signed()), Signal::SIGINT).unwrap();
    let (code, told) = compared.end();
    assert_eq!(code, Some(1), "{told}");
    let found = results(&output);
    assert!(found.runs_made >= 2 && found.runs_made < found.runs_planned, "{}", found.runs_made);
    assert!(fs::read_to_string(output.join("report.html")).unwrap().contains("Interrupted: "));
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full_ends_it_and_what_was_measured_is_shown() {
    const ASKED: [&str; 7] = ["--quick", "--experiments", "wait", "--models", "reactor", "--seed", "5"];
    if Command::new("prlimit").arg("--version").output().is_err() {
        common::skipped("no prlimit here");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("whole");
    assert_eq!(Compared::start(&output, &ASKED).end().0, Some(0));
    let whole = fs::metadata(output.join("raw.jsonl")).unwrap().len();
    // Room for all but the end of the last run. Beyond a limit on the size of files write(2) fails as on a full disk,
    // if the signal is ignored.
    let output = directory.path().join("limit");
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; exec prlimit --fsize=\"$0\" \"$@\""]);
    limited.arg((whole - 100).to_string()).args([env!("CARGO_BIN_EXE_oneloop"), "compare"]);
    let ended = limited.args(ASKED).arg("--output").arg(&output).stdin(Stdio::null()).output().unwrap();
    let [told, said] = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(told.contains("judgement") && told.contains("reactor "), "the table: {told}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("oneloop: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].contains("raw.jsonl: ") && errors[0].contains("3 of 3 runs"), "{said}");
    let raw = fs::read_to_string(output.join("raw.jsonl")).unwrap();
    assert_eq!((raw.lines().count(), raw.ends_with('\n')), (3, true), "no line is cut");
    let names_there = names(&output);
    let is_cut = |name: &String| name.starts_with('.') || name == "report.html";
    assert!(!names_there.iter().any(is_cut), "whole or not at all: {names_there:?}");

    // A replay where there is no room: what was reported before is as it was.
    let output = directory.path().join("whole");
    let before = ["raw.csv", "report.html", "results.json"].map(|name| fs::read(output.join(name)).unwrap());
    let limited = |limit: &str, args: &[&str]| {
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--fsize={limit}")).args([env!("CARGO_BIN_EXE_oneloop"), "compare"]).args(args);
        let ended = limited.stdin(Stdio::null()).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let (code, said) = limited("100", &["--replay", output.join("raw.jsonl").to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("report.html: "), "{code:?} {said}");
    assert_eq!(
        before,
        ["raw.csv", "report.html", "results.json"].map(|name| fs::read(output.join(name)).unwrap())
    );
    assert_eq!(names(&output), ["raw.csv", "raw.jsonl", "report.html", "results.json"]);

    // Not even the header fits: nothing is in the way of the next comparison.
    let output = directory.path().join("nothing");
    let (code, said) = limited("100", &[&ASKED[..], &["--output", output.to_str().unwrap()]].concat());
    assert!(code == Some(1) && said.contains("raw.jsonl: "), "{code:?} {said}");
    assert_eq!(names(&output), [""; 0]);
}

#[cfg(target_os = "linux")]
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a comparison of one peer told on standard error, after it ended with a mistake in the arguments.
fn refused(output: &Path, command: &str) -> String {
    let program = env!("CARGO_BIN_EXE_oneloop");
    let mut compare = Command::new(program);
    compare.args(["compare", "--quick", "--experiments", "wait", "--models", "none", "--peer"]);
    compare.arg(format!("other={command}")).arg("--output").arg(output).env("PROGRAM", program);
    let ended = compare.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(!output.exists(), "nothing was measured, so nothing is left");
    said
}

#[test]
fn a_peer_that_does_not_serve_is_told_before_anything_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let said = refused(&output, "echo broken {port} >&2; exit 3");
    assert!(said.contains("--peer other: ") && said.contains("exit status: 3"), "{said}");
    assert!(said.contains("broken "), "its own words: {said}");
    let said = refused(&output, "exec 2>&-; exit 3 # {port}");
    assert!(said.trim_end().ends_with("(exit status: 3)"), "nothing is made of no words: {said}");
    let said = refused(&output, "exec \"$PROGRAM\" serve chargen@127.0.0.1:{port}");
    assert!(said.contains("it is no echo server"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_peer_that_goes_to_the_background_is_told_and_ended_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let port = directory.path().join("port");
    // A session of its own is out of reach of what ends the peer's process group.
    let command = format!(
        "echo {{port}} >{}; setsid \"$PROGRAM\" serve echo@127.0.0.1:{{port}} &
         until \"$PROGRAM\" load echo@127.0.0.1:{{port}} --clients 1 --warmup 0s --duration 9ms >/dev/null 2>&1; do :; done",
        port.display()
    );
    let said = refused(&directory.path().join("out"), &command);
    assert!(said.contains("background"), "{said}");
    let port: u16 = fs::read_to_string(&port).unwrap().trim().parse().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "it still listens");
    // One that keeps standard error open is not waited for.
    let began = Instant::now();
    let said = refused(&directory.path().join("out"), "setsid sleep 100 & exit 3 # {port}");
    assert!(said.contains("exit status: 3") && began.elapsed() < Duration::from_secs(50), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn whatever_ends_the_lab_ends_its_servers() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let directory = tempfile::tempdir().unwrap();
        let mut compared = Compared::start(
            &directory.path().join("out"),
            &["--experiments", "steady", "--models", "thread"],
        );
        let lab = compared.0.id();
        eventually("a server and its generator run", || children(lab).len() == 2);
        let started = children(lab);
        kill(Pid::from_raw(lab.cast_signed()), signal).unwrap();
        compared.0.wait().unwrap();
        let left = || started.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists());
        eventually("nobody is left", || !left());
    }
}

/// The children of a process.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<u32> {
    oneloop::lab::proc::children(parent)
}

#[test]
#[cfg(target_os = "linux")]
fn the_span_that_was_measured_is_sampled_whenever_its_report_comes() {
    use std::os::unix::fs::PermissionsExt;

    use oneloop::lab::cell::{Cell, CoreClass, Subject};
    use oneloop::lab::executor::Executor;
    use oneloop::lab::experiments::Extent;
    use oneloop::lab::place::Placement;
    use oneloop::lab::real::RealExecutor;

    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("late");
    // A generator whose report comes long after it was measured; as a server it is the same as ever.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = load ] || exec '{0}' \"$@\"\nreport=$('{0}' \"$@\")\nsleep 1\necho \"$report\"\n",
        env!("CARGO_BIN_EXE_oneloop")
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let cell = Cell {
        experiment: Experiment::Crowd,
        class: CoreClass::OneCore,
        level: 4,
        subject: Subject::model(Model::Reactor, None),
    };
    for program in [program, env!("CARGO_BIN_EXE_oneloop").into()] {
        let mut executor = RealExecutor::with_program(program, Placement::of(&[], |core| core));
        let outcome = executor.run(&cell, Extent::Quick, 0);
        let Outcome::Measured(measurement) = outcome else { panic!("{outcome:?}") };
        // A request takes some system calls, and a system call more than a hundred ns, on every machine.
        let cpu_us = measurement.values.get(&Metric::CpuPerRequestUs);
        assert!(cpu_us.is_some_and(|us| *us > 0.2), "{measurement:?}");
        // A generator that ends as soon as it has told is sampled to its end as well.
        let evidence = &measurement.evidence;
        assert!(evidence.others_cpu.is_some() && evidence.generator_waited.is_some(), "{evidence:?}");
        assert_eq!(evidence.not_sampled_ms, None);
    }
}

#[test]
#[ignore = "takes two minutes and the machine for itself: cargo test --test lab_real -- --ignored"]
fn a_quick_look_keeps_its_promises_on_real_servers() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("quick");
    let began = Instant::now();
    let (code, told) = Compared::start(&output, &["--quick"]).end();
    let took = began.elapsed();
    println!("{told}\n{took:?}");
    assert_eq!(code, Some(0));
    let others = others_cpu(&output);
    println!("other processes took {others:.2} cores");
    assert!(took <= QUICK_MAX || others > OTHERS_MAX, "it took {took:?}");
    assert!(told.contains("QUICK"));
    let found = results(&output);
    assert_eq!(found.runs_made, found.runs_planned);
    // A machine that is busy elsewhere makes cells NOISY; none of these servers fails.
    let failed = found.cells.iter().filter(|result| result.judgement.verdict == Verdict::Failed);
    let failed: Vec<String> =
        failed.map(|result| format!("{:?}: {:?}", result.cell, result.judgement)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // What holds on every machine, however noisy.
    assert!(median(&found, Experiment::Wait, Model::Iterative, Metric::WaitMs) > 400.0);
    assert!(median(&found, Experiment::Few, Model::Prefork, Metric::ServedAtOnce) < 10.0);
    assert!((median(&found, Experiment::Few, Model::Reactor, Metric::ServedAtOnce) - 10.0).abs() < 0.5);
    assert!(median(&found, Experiment::Churn, Model::Fork, Metric::ProcessControlUs) > 0.0);
    let per_idle_client = |model| {
        let mut slopes = found.slopes.iter().filter(|slope| slope.metric == Metric::MemoryBytes);
        slopes.find(|slope| slope.subject.as_model() == Some(model)).unwrap().summary.median
    };
    assert!(per_idle_client(Model::Reactor) < per_idle_client(Model::Thread));
    assert!(per_idle_client(Model::Thread) < per_idle_client(Model::Fork));
    assert!(fs::read_to_string(output.join("report.html")).unwrap().contains("QUICK"));
}
