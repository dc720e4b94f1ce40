//! What is told of a comparison, and in which form.

use std::io;
use std::path::{Path, PathBuf};

use super::cell::Run;
use super::results::Results;
use crate::sys::atomic_file;

pub mod csv;
pub mod html;
pub mod json;
pub mod looks;
pub mod plots;
pub mod scale;
pub mod svg;
pub mod table;

/// Name of the raw data in the output directory; `--replay` takes it.
pub const RAW: &str = "raw.jsonl";

/// Text for a terminal, in one line: control characters, and those that turn the direction of text, as escapes. Names, reasons
/// and paths may come from raw data that somebody else made.
pub fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        if commands_terminal(char) { line.extend(char.escape_default()) } else { line.push(char) }
    }
    line
}

/// Whether it does something to a terminal or to the text around it, beside being shown.
fn commands_terminal(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes `report.html`, `results.json` and `raw.csv` into the directory. Each is tried, and is there whole or as before; the
/// first that cannot be written is told.
pub fn write(directory: &Path, results: &Results, runs: &[Run]) -> Result<(), (PathBuf, io::Error)> {
    let texts = [
        ("report.html", html::render(results)),
        ("results.json", json::render(results)),
        ("raw.csv", csv::render(runs)),
    ];
    let mut done = Ok(());
    for (name, text) in texts {
        let path = directory.join(name);
        done = done.and(atomic_file::write(&path, text.as_bytes()).map_err(|error| (path, error)));
    }
    done
}
