//! Reports of earlier loads, as files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Failure;
use crate::load::Report;
use crate::load::report::SCHEMA_VERSION;

/// The longest report that is read: a day in intervals of a second has less.
const REPORT_BYTES_MAX: u64 = 1 << 30;

/// Reads a report that `--json` wrote.
pub(super) fn read_report(path: &Path) -> Result<Report, Failure> {
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::Usage(format!("{}: {what}; write one with: oneloop load echo --json FILE", path.display()))
    };
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(REPORT_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Err(error) => return Err(Failure::System(format!("cannot read {}: {error}", path.display()))),
        Ok(len) if len as u64 > REPORT_BYTES_MAX => return Err(wrong(&"more than 1 GiB")),
        Ok(_) => {}
    }
    let report: Report =
        serde_json::from_slice(&text).map_err(|error| wrong(&format!("not a report of a load: {error}")))?;
    if report.schema_version > SCHEMA_VERSION {
        return Err(Failure::Usage(format!(
            "{}: written by a newer version, {}; use that version",
            path.display(),
            report.origin.program
        )));
    }
    Ok(report)
}
