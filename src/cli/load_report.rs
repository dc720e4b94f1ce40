//! Reports of earlier loads, as files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Failure;
use crate::judge::figures::counted;
use crate::load::Report;
use crate::load::report::SCHEMA_VERSION;

/// How much of a line that is left out is shown.
const SHOWN_CHARS_MAX: usize = 60;
/// The longest report that is read: a day in intervals of a second has less.
const REPORT_BYTES_MAX: u64 = 1 << 30;

/// A report from a file.
#[derive(Debug)]
pub(super) struct StoredReport {
    pub(super) report: Report,
    /// What else the file has, as a sentence.
    pub(super) note: Option<String>,
}

/// Reads a report that `--json` wrote. Lines around it that are not JSON are left out: a log has what a
/// program wrote to standard error, too.
pub(super) fn read_report(path: &Path) -> Result<StoredReport, Failure> {
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
    let from = first_object(&text);
    let mut values = serde_json::Deserializer::from_slice(&text[from..]).into_iter::<Report>();
    let report = match values.next() {
        Some(Ok(report)) => report,
        Some(Err(error)) => return Err(wrong(&format!("not a report of a load: {error}"))),
        None => return Err(wrong(&"the file is empty")),
    };
    let until = from + values.byte_offset();
    if report.schema_version > SCHEMA_VERSION {
        return Err(Failure::Usage(format!(
            "{}: written by a newer version, {}; use that version",
            path.display(),
            report.origin.program
        )));
    }
    let around = [&text[..from], &text[until..]].map(|part| part.split(|byte| *byte == b'\n'));
    let mut lines = around.into_iter().flatten().map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let next = until + first_object(&text[until..]);
    if serde_json::Deserializer::from_slice(&text[next..])
        .into_iter::<Report>()
        .next()
        .is_some_and(|it| it.is_ok())
    {
        return Err(wrong(&"the file has more than one report; give each its own file"));
    }
    let note = lines.next().map(|first| {
        let count = counted(1 + lines.count() as u64, "line was", "lines were");
        let shown: String = String::from_utf8_lossy(first).chars().take(SHOWN_CHARS_MAX).collect();
        format!("{}: {count} left out around the report: \"{}\"", path.display(), shown.escape_debug())
    });
    Ok(StoredReport { report, note })
}

/// Where the first line begins that begins with an object; 0 if there is none.
fn first_object(text: &[u8]) -> usize {
    let mut at = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii_start().starts_with(b"{") {
            return at;
        }
        at += line.len();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<StoredReport, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_report(file.path()).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn lines_around_a_report_are_left_out_and_noted() {
        let plan = crate::load::Plan::new("127.0.0.1:7".parse().unwrap());
        let json = serde_json::to_string_pretty(&Report::empty(plan.configuration("echo", 64))).unwrap();
        let alone = read(&format!("{json}\n")).unwrap();
        assert_eq!(alone.note, None);
        let failed = "oneloop: errors=0 does not hold: it was 3 {reset}";
        for (text, noted) in [
            (format!("{json}\n{failed}\n"), "1 line was left out around the report: \"oneloop: errors=0"),
            (format!("connecting\n\n{json}\n{failed}\n"), "2 lines were left out around the report: \"conn"),
        ] {
            let found = read(&text).unwrap();
            assert_eq!(found.report, alone.report);
            let note = found.note.unwrap();
            assert!(note.contains(noted), "{note}");
        }
        for (text, part) in [
            ("", "the file is empty"),
            ("oneloop: no connection\n", "not a report of a load"),
            ("{\"level\": 1}\n", "not a report of a load: missing field"),
            (&json[..json.len() / 2], "not a report of a load: EOF"),
            (&format!("{json}\n{json}\n"), "more than one report"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
