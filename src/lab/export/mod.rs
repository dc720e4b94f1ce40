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
