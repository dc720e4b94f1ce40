//! Lines of the access log, in the formats that other programs read.

use std::fmt::Write as _;

use super::bounds::LOGGED_BYTES_MAX;
use super::request::{Field, Request};
use super::status::Status;
use crate::session::Record;

/// How an answer is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// `host - - [time] "request" status bytes`, the format of the first web servers.
    Common,
    /// The same with `"referrer" "user agent"` behind it.
    Combined,
}

/// What a client said that goes into the log.
#[derive(Clone, Debug)]
pub(super) struct Said {
    line: String,
    behind: String,
}

impl Said {
    /// Of a request that was understood.
    pub(super) fn of(format: AccessFormat, request: &Request<'_, '_>) -> Said {
        let mut behind = String::new();
        if format == AccessFormat::Combined {
            for field in [Field::Referer, Field::UserAgent] {
                behind.push_str(" \"");
                escape(request.value(field).unwrap_or(b"-"), &mut behind);
                behind.push('"');
            }
        }
        Said { behind, ..Said::nonsense(AccessFormat::Common, request.line) }
    }

    /// Of one that was not; `line` is what came first.
    pub(super) fn nonsense(format: AccessFormat, line: &[u8]) -> Said {
        let mut escaped = String::new();
        escape(if line.is_empty() { b"-" } else { line }, &mut escaped);
        let behind = if format == AccessFormat::Combined { " \"-\" \"-\"" } else { "" };
        Said { line: escaped, behind: behind.into() }
    }

    /// The record of the answer, told at `time` (with its brackets).
    pub(super) fn record(&self, time: &str, status: Status, head_bytes: usize) -> Record {
        let mut line = format!(" - - {time} \"{}\" {} ", self.line, status.code());
        let bytes_at = line.len();
        line.push_str(&self.behind);
        Record { line, bytes_at, head_bytes: head_bytes as u32 }
    }
}

/// Whatever could end a line, a quoted string or a terminal's patience is written as `\xHH`. Cut where that, too, is as long
/// as it may be: with three of these a line stays below what a pipe takes whole (`PIPE_BUF`, 4,096 bytes on Linux).
fn escape(bytes: &[u8], to: &mut String) {
    let max = to.len() + LOGGED_BYTES_MAX;
    for &byte in bytes {
        if to.len() >= max {
            to.push_str("...");
            return;
        }
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') {
            to.push(char::from(byte));
        } else {
            write!(to, "\\x{byte:02X}").expect("memory takes all");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_end_its_line_or_make_it_endless() {
        let said = Said::nonsense(AccessFormat::Combined, b"GET /\"\\\n\x1b[31m HTTP");
        let record = said.record("[t]", Status::BadRequest, 120);
        assert_eq!(record.line, r#" - - [t] "GET /\x22\x5C\x0A\x1B[31m HTTP" 400  "-" "-""#);
        assert_eq!(&record.line[record.bytes_at..], r#" "-" "-""#);
        for byte in [b"a", b"\n"] {
            let said = Said::nonsense(AccessFormat::Common, &byte.repeat(100_000));
            let line = said.record("[t]", Status::BadRequest, 0).line;
            // Three of these and all that is short: a pipe takes the line whole.
            assert!((LOGGED_BYTES_MAX..LOGGED_BYTES_MAX + 100).contains(&line.len()), "{}", line.len());
        }
    }
}
