//! `oneloop compare --replay`: a report made from raw data that may come from anywhere.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Raw data of made-up runs; a unit test keeps it up to date.
const RAW_DATA: &str = include_str!("../snapshots/raw.jsonl");

#[test]
fn a_file_of_the_report_that_cannot_be_written_is_lost_alone() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("raw.jsonl");
    fs::write(&raw, RAW_DATA).unwrap();
    let output = directory.path().join("again");
    fs::create_dir_all(output.join("report.html")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    let done = command.args(["compare", "--replay"]).arg(&raw).arg("--output").arg(&output).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let [told, said] = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(told.contains("process control"), "the table: {told}");
    for part in ["report.html: ", &format!("compare --replay {}", raw.display())] {
        assert!(said.contains(part) && said.lines().count() == 1, "{said}");
    }
    for name in ["results.json", "raw.csv"] {
        assert!(output.join(name).is_file(), "{name}");
    }
}

/// Makes the report in `directory` again, from a file with `old` replaced by `new` in each line.
fn replayed(directory: &Path, old: &str, new: &str) -> std::process::Output {
    let raw = directory.join("raw.jsonl");
    assert!(RAW_DATA.contains(old), "{old}");
    fs::write(&raw, RAW_DATA.replace(old, new)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(["compare", "--replay"]).arg(&raw).env_remove("RUST_LOG").output().unwrap()
}

#[test]
fn raw_data_from_elsewhere_commands_no_terminal() {
    let commands = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
    // In a peer's name, which is in tables and in reasons, in the description of the machine, and in a
    // reason.
    for old in ["other <&> server", "\"placement\":\"", "\"unsupported\":\""] {
        let directory = tempfile::tempdir().unwrap();
        let hostile = r"\u001b]0;title\u0007\u001b[2J\u009b2J\u202e\r\ncells: 1 VALID";
        let done = replayed(directory.path(), old, &format!("{old}{hostile}"));
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let told = String::from_utf8(done.stdout).unwrap();
        assert!(!told.contains(commands), "{told:?}");
        assert!(!told.lines().any(|line| line.starts_with("cells: 1 VALID")), "a line of its own:\n{told}");
        let mut shown = told;
        for name in ["report.html", "results.json", "raw.csv"] {
            let report = fs::read_to_string(directory.path().join(name)).unwrap();
            assert!(!report.contains(commands), "{name}: {report:?}");
            assert!(!report.lines().any(|line| line.starts_with("cells: 1 VALID")), "{name}:\n{report}");
            shown += &report;
        }
        assert!(shown.contains(r"\u{1b}[2J") && shown.contains(r"\u{202e}"), "{shown}");
    }
}

#[test]
fn raw_data_from_elsewhere_does_not_decide_how_long_a_report_takes() {
    for repeats in ["0", "10001", "4294967295"] {
        let directory = tempfile::tempdir().unwrap();
        let done = replayed(directory.path(), "\"repeats\":3", &format!("\"repeats\":{repeats}"));
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!("line 1: {repeats} repeats; a comparison has from 1 to 10000")),
            "{said}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let done = replayed(directory.path(), "\"repeats\":3", "\"repeats\":10000");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
}
