//! Lines of the access log, in the formats that other programs read.

use super::bounds::LOGGED_BYTES_MAX;
use super::codec::request::{Field, RequestHead};
use super::codec::status::Status;
use crate::session::Record;

/// How an answer is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    pub(super) fn of(format: AccessFormat, request: &RequestHead<'_>) -> Said {
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
    // As bytes, all of them ASCII: about 1 ns for each, and for each escape.
    let mut text = std::mem::take(to).into_bytes();
    let max = text.len() + LOGGED_BYTES_MAX;
    text.reserve(bytes.len().min(LOGGED_BYTES_MAX));
    for &byte in bytes {
        if text.len() >= max {
            text.extend_from_slice(b"...");
            break;
        }
        if is_plain(byte) {
            text.push(byte);
        } else {
            text.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
        }
    }
    *to = String::from_utf8(text).expect("what is put is ASCII");
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn hex_digit(value: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(value)]
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
    #[test]
    fn every_byte_is_written_as_itself_or_as_its_number() {
        for byte in 0..=u8::MAX {
            let plain = byte.is_ascii_graphic() || byte == b' ';
            let written = match byte {
                b'"' | b'\\' => format!("\\x{byte:02X}"),
                _ if plain => char::from(byte).to_string(),
                _ => format!("\\x{byte:02X}"),
            };
            // Alone, between runs of others, and beside its like.
            for (bytes, expected) in [
                (vec![byte], written.clone()),
                ([b"GET /", &[byte][..], b"behind"].concat(), format!("GET /{written}behind")),
                (vec![byte, byte, b'x', byte], format!("{written}{written}x{written}")),
            ] {
                let mut escaped = String::new();
                escape(&bytes, &mut escaped);
                assert_eq!(escaped, expected);
            }
        }
    }
}
