//! `oneloop compare` on real servers: a quick look keeps its promises, and an interruption loses nothing.
//!
//! Where a new test goes: here if it measures or interrupts a comparison; what is made of the results is
//! tested in `tests/lab`.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oneloop_tests::{KilledOnDrop, eventually};
use serde_json::Value;

/// CPU time that other processes may use, in cores, before a measurement is NOISY.
const OTHERS_MAX: f64 = 0.10;
/// How long a quick look takes at most.
const QUICK_MAX: Duration = Duration::from_secs(120);

/// A comparison that is ended with its test.
struct Compared(KilledOnDrop);

impl Compared {
    fn start(output: &Path, args: &[&str]) -> Compared {
        let program = std::env::var_os("ONELOOP_PROGRAM");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_oneloop").into());
        Compared::start_program(Path::new(&program), output, args)
    }

    fn start_program(program: &Path, output: &Path, args: &[&str]) -> Compared {
        let mut command = Command::new(program);
        command.arg("compare").args(args).arg("--output").arg(output).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Compared(KilledOnDrop::spawn(command))
    }

    /// Waits for its end; returns its exit code and what it printed.
    fn end(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        (self.0.wait().unwrap().code(), told)
    }
}

/// The results of a comparison, `results.json`.
struct Results(Value);

impl Results {
    fn of(output: &Path) -> Results {
        Results(serde_json::from_slice(&fs::read(output.join("results.json")).unwrap()).unwrap())
    }

    /// The first cell of an experiment and a model.
    fn cell(&self, experiment: &str, model: &str) -> &Value {
        let is_it = |result: &&Value| {
            let cell = &result["cell"];
            cell["experiment"] == experiment && cell["subject"]["kind"]["model"]["model"] == model
        };
        self.cells().iter().find(is_it).unwrap_or_else(|| panic!("no cell of {experiment} and {model}"))
    }

    fn cells(&self) -> &[Value] {
        self.0["cells"].as_array().unwrap()
    }

    fn median(&self, experiment: &str, model: &str, metric: &str) -> f64 {
        self.cell(experiment, model)["summaries"][metric]["median"].as_f64().unwrap()
    }

    fn runs(&self) -> (u64, u64) {
        let [made, planned] = ["runs_made", "runs_planned"].map(|name| self.0[name].as_u64().unwrap());
        (made, planned)
    }
}

/// The measured runs of the raw data: values and evidence.
fn measurements(output: &Path) -> Vec<Value> {
    let raw = fs::read_to_string(output.join("raw.jsonl")).unwrap();
    let runs =
        raw.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap().get("run").cloned());
    runs.filter_map(|run| run["outcome"].get("measured").cloned()).collect()
}

/// CPU time that other processes took meanwhile, in cores: the median of the runs that know it.
fn others_cpu(output: &Path) -> f64 {
    let known = |measured: &Value| measured["evidence"]["others_cpu_cores"].as_f64();
    let mut others: Vec<f64> = measurements(output).iter().filter_map(known).collect();
    others.sort_by(f64::total_cmp);
    others.get(others.len() / 2).copied().unwrap_or(0.0)
}

#[test]
fn the_lectures_first_claim_is_measured_and_an_interruption_keeps_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("wait");
    let (code, told) = Compared::start(
        &output,
        &["--quick", "--attempts", "1", "--experiments", "wait", "--models", "iterative,reactor"],
    )
    .end();
    assert_eq!(code, Some(0), "{told}");
    let found = Results::of(&output);
    assert!(found.median("wait", "iterative", "wait_ms") > 400.0, "{told}");
    assert!(found.median("wait", "reactor", "wait_ms") < 200.0, "{told}");
    let cores = found.0["header"]["machine"]["cores"].as_array().unwrap();
    let allowed = std::thread::available_parallelism().unwrap().get();
    assert!(cores.is_empty() || cores.len() == allowed, "both sides' cores: {cores:?} of {allowed}");

    let output = directory.path().join("interrupted");
    let compared = Compared::start(&output, &["--experiments", "wait", "--models", "iterative,reactor"]);
    let raw = output.join("raw.jsonl");
    let lines = || fs::read_to_string(&raw).unwrap_or_default().lines().count();
    eventually("two runs are kept", || lines() >= 3);
    kill(Pid::from_raw(compared.0.id().cast_signed()), Signal::SIGINT).unwrap();
    let (code, told) = compared.end();
    assert_eq!(code, Some(1), "{told}");
    let (made, planned) = Results::of(&output).runs();
    assert!(made >= 2 && made < planned, "{made}");
    assert!(fs::read_to_string(output.join("report.html")).unwrap().contains("Interrupted after "));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_ends_the_comparison_and_shows_its_results() {
    const ASKED: [&str; 9] =
        ["--quick", "--attempts", "1", "--experiments", "wait", "--models", "reactor", "--seed", "5"];
    if Command::new("prlimit").arg("--version").output().is_err() {
        oneloop_tests::skipped("no prlimit here");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("whole");
    assert_eq!(Compared::start(&output, &ASKED).end().0, Some(0));
    let whole = fs::metadata(output.join("raw.jsonl")).unwrap().len();
    // Room for all but the end of the last run. Beyond a limit on the size of files write(2) fails as on a
    // full disk, if the signal is ignored.
    let output = directory.path().join("limit");
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; exec prlimit --fsize=\"$0\" \"$@\""]);
    limited.arg((whole - 100).to_string()).args([env!("CARGO_BIN_EXE_oneloop"), "compare"]);
    let ended = limited.args(ASKED).arg("--output").arg(&output).stdin(Stdio::null()).output().unwrap();
    let [told, said] = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(told.contains("verdict") && told.contains("reactor "), "the table: {told}");
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

/// The standard error of a comparison of one peer that ended because of a mistake in the arguments.
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
fn a_peer_that_does_not_serve_is_reported_before_the_measurement() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let said = refused(&output, "echo broken {port} >&2; exit 3");
    assert!(said.contains("--peer other: ") && said.contains("exit status: 3"), "{said}");
    assert!(said.contains("broken "), "its own words: {said}");
    let said = refused(&output, "exec 2>&-; exit 3 # {port}");
    assert!(said.trim_end().ends_with("(exit status: 3)"), "nothing is made of no words: {said}");
    let said = refused(&output, "exec \"$PROGRAM\" serve chargen@127.0.0.1:{port}");
    assert!(said.contains("it is not an echo server"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_peer_that_goes_to_the_background_is_reported_and_ended() {
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
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

#[test]
#[cfg(target_os = "linux")]
fn the_measured_span_is_sampled_however_late_its_report_comes() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let [program, late, marker, output] =
        ["oneloop", "late", "marker", "out"].map(|name| directory.path().join(name));
    let bin = env!("CARGO_BIN_EXE_oneloop");
    fs::hard_link(bin, &program).or_else(|_| fs::copy(bin, &program).map(drop)).unwrap();
    // A generator whose report comes long after it was measured; as a server it is the program as ever.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = load ] || exec '{bin}' \"$@\"\nreport=$('{bin}' \"$@\")\nsleep 1\n: >'{0}'\necho \"$report\"\n",
        marker.display()
    );
    fs::write(&late, script).unwrap();
    fs::set_permissions(&late, fs::Permissions::from_mode(0o755)).unwrap();
    let args = ["--quick", "--attempts", "1", "--experiments", "crowd", "--models", "reactor"];
    let compared = Compared::start_program(&program, &output, &args);
    let raw = output.join("raw.jsonl");
    eventually("the comparison has begun", || raw.is_file());
    // What it starts from now on is the script.
    fs::rename(&late, &program).unwrap();
    let (code, told) = compared.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(marker.is_file(), "the late generator was used");
    let measured = measurements(&output);
    assert_eq!(measured.len(), 9, "{told}");
    for run in measured {
        // A request takes some system calls, and a system call more than a hundred ns, on every machine.
        assert!(run["values"]["cpu_per_request_us"].as_f64().is_some_and(|us| us > 0.2), "{run}");
        let evidence = &run["evidence"];
        // A generator that ends right after its report is sampled to its end as well.
        assert!(
            !evidence["others_cpu_cores"].is_null() && !evidence["generator_waited_threads"].is_null(),
            "{run}"
        );
        assert!(evidence["not_sampled_ms"].is_null(), "{run}");
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
    let found = Results::of(&output);
    let (made, planned) = found.runs();
    assert_eq!(made, planned);
    // A busy machine makes cells NOISY; none of these servers fails.
    let failed: Vec<&Value> =
        found.cells().iter().filter(|result| result["judgement"]["verdict"] == "FAILED").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // What holds on every machine, however noisy.
    assert!(found.median("wait", "iterative", "wait_ms") > 400.0);
    assert!(found.median("few", "prefork", "served_at_once") < 10.0);
    assert!((found.median("few", "reactor", "served_at_once") - 10.0).abs() < 0.5);
    assert!(found.median("churn", "fork", "process_control_us") > 0.0);
    let per_idle_client = |model: &str| {
        let slopes = found.0["slopes"].as_array().unwrap();
        let is_it = |slope: &&Value| {
            slope["metric"] == "memory_bytes" && slope["subject"]["kind"]["model"]["model"] == model
        };
        slopes.iter().find(is_it).unwrap()["summary"]["median"].as_f64().unwrap()
    };
    assert!(per_idle_client("reactor") < per_idle_client("thread"));
    assert!(per_idle_client("thread") < per_idle_client("fork"));
    assert!(fs::read_to_string(output.join("report.html")).unwrap().contains("QUICK"));
}
