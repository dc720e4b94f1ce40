//! What is told of a comparison, and in which form.

use std::fs;
use std::io;
use std::path::Path;

use super::cell::Run;
use super::results::Results;

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

/// Writes `report.html`, `results.json` and `raw.csv` into the directory.
pub fn write(directory: &Path, results: &Results, runs: &[Run]) -> io::Result<()> {
    fs::write(directory.join("report.html"), html::render(results))?;
    fs::write(directory.join("results.json"), json::render(results))?;
    fs::write(directory.join("raw.csv"), csv::render(runs))
}
