//! Raw data: one JSON object per line, first the header, then each run. An interruption loses only the run
//! that it interrupts, and a report can be made again from the file alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::outcome::Run;
use crate::lab::plan::comparison::ComparisonPlan;
use crate::lab::plan::experiment::REPEATS_MAX;

/// The version of the format of raw data.
pub(crate) const FORMAT: u32 = 1;

/// What was compared, where and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// See [`FORMAT`].
    pub(crate) format: u32,
    /// The version of this program.
    pub(crate) version: String,
    /// The command line.
    pub(crate) command: String,
    /// When it began, UTC, RFC 3339.
    pub(crate) started: String,
    /// The machine.
    pub(crate) machine: Machine,
    /// The plan.
    pub(crate) plan: ComparisonPlan,
    /// What was found about peers before the first run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<Finding>,
}

/// What is wrong with a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// Its name.
    pub(crate) server: String,
    /// What it does, beginning with a verb.
    pub(crate) what: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LineOut<'a> {
    Header(&'a Header),
    Run(&'a Run),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LineIn {
    Header(Box<Header>),
    Run(Box<Run>),
}

/// A file of raw data, to which runs are appended.
#[derive(Debug)]
pub(crate) struct RawDataFile {
    file: File,
}

impl RawDataFile {
    /// Creates the file. An existing file is an error. If the header cannot be written, no file is left.
    pub(crate) fn create(path: &Path, header: &Header) -> io::Result<RawDataFile> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        let mut file = RawDataFile { file };
        if let Err(error) = file.line(&LineOut::Header(header)) {
            // An empty file is of no use, and would be in the way of the next comparison.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(file)
    }

    /// Appends a run with one write, so that a reader sees all of it or nothing.
    pub(crate) fn append(&mut self, run: &Run) -> io::Result<()> {
        self.line(&LineOut::Run(run))
    }

    fn line(&mut self, line: &LineOut<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let whole_bytes = self.file.metadata()?.len();
        self.file.write_all(&text).inspect_err(|_| {
            // Removes an incomplete line; the first error is the one to report.
            let _ = self.file.set_len(whole_bytes);
        })
    }
}

/// Reads raw data. An incomplete last line is ignored; any other malformed line is an error that names it.
pub(crate) fn read(path: &Path) -> io::Result<(Header, Vec<Run>)> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut header = None;
    let mut runs = Vec::new();
    let mut unread: Option<String> = None;
    // As bytes, because a line may end within a character.
    for (at, line) in BufReader::new(File::open(path)?).split(b'\n').enumerate() {
        let line = line?;
        if let Some(unread) = unread {
            return Err(wrong(unread));
        }
        match serde_json::from_slice(&line) {
            Ok(LineIn::Header(found)) if found.format != FORMAT => {
                return Err(wrong(format!(
                    "the raw data has format {}; this version reads format {FORMAT}",
                    found.format
                )));
            }
            Ok(LineIn::Header(found)) if !(1..=REPEATS_MAX).contains(&found.plan.repeats) => {
                let repeats = found.plan.repeats;
                return Err(wrong(format!(
                    "line {}: {repeats} repeats; a comparison has from 1 to {REPEATS_MAX}",
                    at + 1
                )));
            }
            Ok(LineIn::Header(found)) if header.is_none() && runs.is_empty() => header = Some(*found),
            Ok(LineIn::Header(_)) => {
                return Err(wrong(format!("line {}: a second header; a file has one comparison", at + 1)));
            }
            Ok(LineIn::Run(run)) => runs.push(*run),
            Err(error) => unread = Some(format!("line {}: {error}", at + 1)),
        }
    }
    let none =
        || wrong(unread.unwrap_or_else(|| "no header: this is not raw data of `oneloop compare`".to_owned()));
    Ok((header.ok_or_else(none)?, runs))
}
