//! Where the report of a load goes: the table to standard output, then each requested file.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

use super::documents::print;
use super::layout::LineWidth;
use super::{Failure, load_page, load_table};
use crate::load::Report;
use crate::sys::atomic_file;

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// Write the report as JSON to this file; "-" is standard output, instead of the table
    ///
    /// Names end with their units. The documentation of the library (`oneloop::load::report`) explains each.
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(report_path))]
    json: Option<PathBuf>,
    /// Write throughput and latency over time as CSV to this file; "-" is standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the latency distribution in the .hgrm format (HDR histogram) to this file; "-" is standard
    /// output
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
    /// Write all latencies, an interval a line, as a log of HDR histograms (V2, base64) to this file; "-" is
    /// standard output
    ///
    /// The unit is ns. The tools and libraries of HDR histograms read it (`HistogramLogProcessor`).
    #[arg(long, value_name = "FILE")]
    hdr_log: Option<PathBuf>,
    /// Write the report as one HTML page with plots to this file; "-" is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// curl's `--json` takes a body.
fn report_path(path: PathBuf) -> Result<PathBuf, String> {
    let is_json = path.as_os_str().as_encoded_bytes().first().is_some_and(|first| b"{[".contains(first));
    if is_json {
        Err("it is the name of a file, for the report; such a name is written ./NAME".to_owned())
    } else {
        Ok(path)
    }
}

/// A report in one form.
type ReportFormatter = fn(&Report) -> String;

impl FileArgs {
    /// The requested files, with their flags.
    fn asked(&self) -> impl Iterator<Item = (&'static str, &Path, ReportFormatter)> {
        let all: [(_, _, ReportFormatter); 5] = [
            ("--json", &self.json, json),
            ("--csv", &self.csv, crate::load::csv),
            ("--hgrm", &self.hgrm, crate::load::hgrm),
            ("--hdr-log", &self.hdr_log, crate::load::hdr_log),
            ("--html", &self.html, load_page::of),
        ];
        all.into_iter().filter_map(|(flag, path, form)| Some((flag, path.as_deref()?, form)))
    }

    /// Whether a requested file shows the run over time.
    pub(super) fn has_series(&self) -> bool {
        [&self.json, &self.csv, &self.hdr_log, &self.html].iter().any(|path| path.is_some())
    }

    /// Tries whether each file can be written, so that a wrong path does not lose the results of a long run.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let asked: Vec<_> = self.asked().collect();
        for (at, (flag, path, _)) in asked.iter().enumerate() {
            if let Some((other, ..)) = asked[..at].iter().find(|(_, other, _)| other == path) {
                let what = format!("{other} and {flag} have the same path; give each its own");
                return Err(Failure::Usage(what));
            }
        }
        for (flag, path, _) in self.asked().filter(|(_, path, _)| !is_standard_output(path)) {
            try_to_write(path).map_err(|error| refused(flag, path, &error))?;
        }
        Ok(())
    }

    /// Prints the table first, then writes each file, whatever happens to the others; returns the first
    /// error.
    pub(super) fn write(&self, report: &Report, with_table: bool) -> Result<(), Failure> {
        let mut done = Ok(());
        if with_table && !self.asked().any(|(_, path, _)| is_standard_output(path)) {
            done = print(load_table::of(report, LineWidth::of_stdout()).as_bytes());
        }
        for (flag, path, form) in self.asked() {
            let text = form(report);
            let written = if is_standard_output(path) {
                print(text.as_bytes())
            } else {
                atomic_file::write(path, text.as_bytes()).map_err(|error| refused(flag, path, &error))
            };
            done = done.and(written);
        }
        done
    }
}

fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-")
}

fn json(report: &Report) -> String {
    let mut json = Vec::new();
    let written =
        report.serialize(&mut serde_json::Serializer::with_formatter(&mut json, ListsInLine::default()));
    // It has numbers, texts and lists only, which JSON can always represent, and memory takes all bytes.
    written.map_or_else(|error| error.to_string(), |()| String::from_utf8_lossy(&json).into_owned() + "\n")
}

/// JSON with a line for each field, and lists in one line: histograms are long.
#[derive(Default)]
struct ListsInLine(PrettyFormatter<'static>);

impl Formatter for ListsInLine {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if is_first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, is_first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// Changes nothing. A pipe or a device is not opened: that could wait for its reader, or end the reader.
fn try_to_write(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() => {
            OpenOptions::new().append(true).open(path).map(drop)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Ok(_) => fs::remove_file(path),
                // A link to a file that does not exist yet.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn refused(flag: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::System(format!("cannot write {flag} {}: {error}; use another path", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_tried_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old"), "kept").unwrap();
        std::os::unix::fs::symlink(at("target"), at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["new", "old", "link", "fifo"] {
            assert!(try_to_write(&at(name)).is_ok(), "{name}");
        }
        assert_eq!(fs::read_to_string(at("old")).unwrap(), "kept");
        assert!(!at("new").exists() && !at("target").exists() && at("link").is_symlink());
        for name in [".", "none/x", "old/x"] {
            assert!(try_to_write(&at(name)).is_err(), "{name}");
        }
    }
}
