//! `oneloop compare --peer`: a server in C, as a student writes it, is measured like a model, and one that
//! has a mistake is named for it. What the comparison makes of the numbers is no subject here: the machine
//! may be busy.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oneloop_tests::{KilledOnDrop, examples, skipped};
use serde_json::Value;

/// Builds a C program with `cc`; `None` where there is no compiler.
fn built(directory: &Path, name: &str, source: &str, options: &[&str]) -> Option<PathBuf> {
    let path = directory.join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(source);
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror"]).args(options).arg("-o").arg(&path).arg(source);
    let Ok(status) = cc.status() else {
        skipped("no C compiler here");
        return None;
    };
    assert!(status.success(), "{cc:?}: {status}");
    Some(path)
}

fn compare(output: &Path, args: &[&str], peers: &[(&str, &Path, &str)]) -> Output {
    compare_command(output, args, peers).stdin(Stdio::null()).output().unwrap()
}

fn compare_command(output: &Path, args: &[&str], peers: &[(&str, &Path, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command
        .args(["compare", "--quick", "--attempts", "1"])
        .args(args)
        .arg("--output")
        .arg(output)
        .env_remove("RUST_LOG");
    for (name, path, argument) in peers {
        command.arg(format!("--peer={name}={} {{port}} {argument}", path.display()));
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The results of a comparison.
fn results(output: &Path) -> Value {
    serde_json::from_slice(&fs::read(output.join("results.json")).unwrap()).unwrap()
}

/// The median of a metric in the first cell of a server.
fn median(results: &Value, server: &str, metric: &str) -> f64 {
    let cells = results["cells"].as_array().unwrap();
    let cell = cells.iter().find(|result| result["cell"]["subject"]["name"] == server).unwrap();
    let median = &cell["summaries"][metric]["median"];
    median.as_f64().unwrap_or_else(|| panic!("no {metric} of {server}: {cell:#}"))
}

/// Whether a control group counts here: without, no CPU time is shown of a server that ignores SIGCHLD.
fn counts_in_a_group(told: &str) -> bool {
    !told.contains("ignores SIGCHLD")
}

#[test]
fn the_process_control_time_of_a_peer_is_measured_as_that_of_a_model() {
    let directory = tempfile::tempdir().unwrap();
    let source = "tests/lab/peers/mistake.c";
    let Some(ignores) = built(directory.path(), "ignores", source, &[]) else { return };
    let orphans = built(directory.path(), "orphans", source, &["-DORPHANS"]).unwrap();
    let lecture = examples::compile_lecture(directory.path()).unwrap();
    let output = directory.path().join("out");
    let [one, mine] = [("one", lecture.as_path(), "iterative"), ("mine", lecture.as_path(), "")];
    let peers = [one, mine, ("ignores", &ignores, ""), ("orphans", &orphans, "")];
    let args = ["--experiments", "churn", "--models", "iterative"];
    let done = compare(&output, &args, &peers);
    let told = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{told}{}", text(&done.stderr));
    let found = results(&output);
    let [one, mine, orphans] =
        ["one", "mine", "orphans"].map(|server| median(&found, server, "cpu_per_client_us"));
    // Children that their parent waited for.
    assert!(mine > 1.3 * one, "{mine} {one}\n{told}");
    // Children whose parent has ended: two forks for each client.
    assert!(orphans > 1.3 * one, "{orphans} {one}\n{told}");
    for (peer, cpu_us) in [("one", one), ("mine", mine), ("orphans", orphans)] {
        let process_control = median(&found, peer, "process_control_us");
        assert!(process_control < cpu_us, "a difference to the iterative server: {process_control}\n{told}");
    }
    if counts_in_a_group(&told) {
        // Children that the kernel reaped are not lost either.
        assert!(median(&found, "ignores", "cpu_per_client_us") > 1.3 * one, "{told}");
    } else {
        let cells = found["cells"].as_array().unwrap();
        let cell = cells.iter().find(|result| result["cell"]["subject"]["name"] == "ignores").unwrap();
        assert!(cell["summaries"]["cpu_per_client_us"].is_null(), "a part would pass for the whole: {cell}");
    }
    for peer in ["\nmine: ", "\norphans: "] {
        assert!(!told.contains(peer), "it makes no mistake: {told}");
    }
}

#[test]
fn the_mistake_of_a_peer_is_named() {
    const MISTAKES: [(&str, &[&str], &str); 6] = [
        ("undead", &["-DZOMBIES"], "leaves zombies: 32 of 32 children that served a client ended"),
        (
            "leaky",
            &["-DLEAK"],
            "leaks newS: after 32 clients had left, its processes held 32 more descriptors",
        ),
        (
            "keeper",
            &["-DKEEPS"],
            "keeps what served its clients: after 32 clients had left, 32 more processes",
        ),
        ("single", &["-DITERATIVE"], "serves one client at a time: the next one had no reply in 2 s"),
        (
            "fragile",
            &["-DITERATIVE", "-DSIGPIPE_KILLS"],
            "dies of a client that does not wait for its reply: it ended (signal 13, SIGPIPE)",
        ),
        (
            "triple",
            &["-DITERATIVE", "-DCOPIES=3"],
            "serves 3 clients at a time: the next one had no reply in 2 s",
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    // Each waits for what does not come: together they take as long as one.
    std::thread::scope(|scope| {
        for (name, options, sentence) in MISTAKES {
            let directory = directory.path();
            scope.spawn(move || is_named(directory, name, options, sentence));
        }
    });
}

/// Has a comparison begin with a peer, and ends it then. The sentence is there before anything is measured,
/// and in the report.
fn is_named(directory: &Path, name: &str, options: &[&str], sentence: &str) {
    let Some(path) = built(directory, name, "tests/lab/peers/mistake.c", options) else { return };
    let output = directory.join(format!("{name}.out"));
    let mut command =
        compare_command(&output, &["--experiments", "wait", "--models", "none"], &[(name, &path, "")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = KilledOnDrop::spawn(command);
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
    let before: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("raw data: ")).collect();
    kill(Pid::from_raw(running.id().cast_signed()), Signal::SIGINT).unwrap();
    let report = lines.collect::<Vec<_>>().join("\n");
    running.wait().unwrap();
    let named = format!("{name}: {sentence}");
    assert!(before.iter().any(|line| line.starts_with(&named)), "{named}\n{before:#?}");
    assert!(report.replace("\n    ", " ").contains(&named), "{named}\n{report}");
    let html = fs::read_to_string(output.join("report.html")).unwrap();
    assert!(html.contains(&format!("<strong>{name}</strong> {sentence}")), "{named}\n{html}");
    if let Some(number) = sentence.strip_prefix("serves ").and_then(|rest| rest.split(' ').next()) {
        // A comparison of crowds asks it for no more than that.
        let peer = &results(&output)["header"]["plan"]["subjects"][0]["kind"]["peer"];
        assert_eq!(peer["clients_at_once"], if number == "one" { 1 } else { 3 }, "{peer}");
    }
}

#[test]
fn a_peer_that_cannot_be_measured_is_named_before_anything_is() {
    let directory = tempfile::tempdir().unwrap();
    let Some(once) =
        built(directory.path(), "once", "tests/lab/peers/mistake.c", &["-DONE_CLIENT", "-DITERATIVE"])
    else {
        return;
    };
    let output = directory.path().join("out");
    let done = compare(&output, &["--experiments", "wait", "--models", "none"], &[("once", &once, "")]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    let sentence = "--peer once: it ended (exit status: 0); a server accepts clients in a loop";
    assert!(said.contains(sentence) && said.lines().count() <= 2, "{said}");
    assert!(!output.exists(), "nothing was measured");
}
