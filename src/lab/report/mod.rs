//! The report of a comparison: a table, one HTML file, JSON, CSV.

use std::io;
use std::path::{Path, PathBuf};

use super::judge::results::Results;
use super::run::outcome::Run;
use crate::sys::atomic_file;

pub(crate) mod csv;
mod floor;
pub(crate) mod html;
pub(crate) mod json;
mod pictures;
mod plots;
mod sentences;
mod style;
pub(crate) mod table;
mod terms;
mod text;
mod timeline;

pub(crate) use text::found;

/// Name of the raw data file in the output directory.
pub(crate) const RAW: &str = "raw.jsonl";

/// Writes `report.html`, `results.json` and `raw.csv` into the directory. Each is written, and replaced as a
/// whole or not at all; the error is that of the first file that failed.
pub(crate) fn write(directory: &Path, results: &Results, runs: &[Run]) -> Result<(), (PathBuf, io::Error)> {
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
