//! A line of the access log, in the formats that other programs read.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::session::RequestInfo;
use crate::telemetry::Answer;

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessFormat {
    /// `host - - [time] "request" status bytes`, the format of the first web servers.
    Common,
    /// The same followed by `"referrer" "user agent"`.
    Combined,
}

/// A value in the line, as it is written. Without it a client decides how long its lines are. With three of
/// these a line stays below what a pipe takes whole (`PIPE_BUF`, 4,096 bytes on Linux).
const VALUE_BYTES_MAX: usize = 1 << 10;
/// A user's name in the line, which leaves room for the longer values.
const WORD_BYTES_MAX: usize = 128;
// A value that was cut before is cut here, too, visibly.
const _: () = assert!(VALUE_BYTES_MAX < RequestInfo::VALUE_BYTES_MAX);

/// Seconds up to the end of the year 9999. A clock beyond them is shown as their end.
const SECONDS_MAX: u64 = 253_402_300_799;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Writes lines. It keeps the formatted time of the last line: most lines have the same second.
#[derive(Debug)]
pub(super) struct LineFormat {
    format: AccessFormat,
    second: Option<u64>,
    time: Vec<u8>,
}

impl LineFormat {
    pub(super) fn new(format: AccessFormat) -> LineFormat {
        LineFormat { format, second: None, time: Vec::new() }
    }

    /// Appends the line of an answer to `line`, without an end of line.
    pub(super) fn append(&mut self, answer: &Answer<'_>, request: &RequestInfo, line: &mut Vec<u8>) {
        let second = seconds(request.answered_at);
        if self.second != Some(second) {
            self.time.clear();
            append_time(second, &mut self.time);
            self.second = Some(second);
        }
        append_client(answer, line);
        line.extend_from_slice(b" - ");
        append_word(request.get(RequestInfo::USER).unwrap_or(b"-"), line);
        line.push(b' ');
        line.extend_from_slice(&self.time);
        line.push(b' ');
        append_request(request, line);
        let status = answer.info.status.unwrap_or(0);
        write!(line, " {status:03} {}", answer.content_bytes()).expect("memory takes all");
        if self.format == AccessFormat::Combined {
            for name in [RequestInfo::REFERER, RequestInfo::USER_AGENT] {
                line.push(b' ');
                append_quoted(&[request.get(name).unwrap_or(b"-")], line);
            }
        }
    }
}

/// Appends a word without quotes: a space, too, is written as its number.
fn append_word(word: &[u8], line: &mut Vec<u8>) {
    let max = line.len() + WORD_BYTES_MAX;
    for &byte in word {
        if line.len() >= max {
            return line.extend_from_slice(b"...");
        }
        append_byte(byte, is_plain(byte) && byte != b' ', line);
    }
}

/// Appends the address of the client, without its port.
pub(super) fn append_client(answer: &Answer<'_>, line: &mut Vec<u8>) {
    match answer.peer.socket_addr() {
        Some(addr) => write!(line, "{}", addr.ip()),
        None => write!(line, "{}", answer.peer),
    }
    .expect("memory takes all");
}

/// Appends `"method target version"`, or the first line of a message that is not a request.
fn append_request(request: &RequestInfo, line: &mut Vec<u8>) {
    let part = |name| request.get(name).unwrap_or_default();
    match request.get(RequestInfo::METHOD) {
        Some(method) => {
            let (target, version) = (part(RequestInfo::TARGET), part(RequestInfo::VERSION));
            append_quoted(&[method, b" ", target, b" ", version], line);
        }
        None => match part(RequestInfo::LINE) {
            b"" => append_quoted(&[b"-"], line),
            first => append_quoted(&[first], line),
        },
    }
}

/// Appends a value in quotes.
fn append_quoted(parts: &[&[u8]], line: &mut Vec<u8>) {
    line.push(b'"');
    append_escaped(parts, VALUE_BYTES_MAX, line);
    line.push(b'"');
}

/// Appends a value. Whatever could end the line or quotes around it, or control a terminal, is written as
/// `\xHH`. The result is cut at the longest length of a value.
pub(super) fn append_escaped(parts: &[&[u8]], bytes_max: usize, line: &mut Vec<u8>) {
    let max = line.len() + bytes_max;
    for &byte in parts.iter().copied().flatten() {
        if line.len() >= max {
            line.extend_from_slice(b"...");
            break;
        }
        append_byte(byte, is_plain(byte), line);
    }
}

fn append_byte(byte: u8, is_plain: bool, line: &mut Vec<u8>) {
    if is_plain {
        line.push(byte);
    } else {
        line.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn hex_digit(value: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(value)]
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(SECONDS_MAX)
}

/// Appends `[day/month/year:hour:minute:second +0000]`.
fn append_time(second: u64, line: &mut Vec<u8>) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = date(second / SECONDS_PER_DAY);
    let month = MONTHS[month];
    let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
    write!(line, "[{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{:02} +0000]", second % 60)
        .expect("memory takes all");
}

/// Periods of 400 years are alike in the Gregorian calendar.
const DAYS_PER_400_YEARS: u64 = 146_097;

/// Year, month from 0, and day from 1, of a day counted from 1970-01-01 in the Gregorian calendar.
fn date(mut days: u64) -> (u64, usize, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970 + days / DAYS_PER_400_YEARS * 400;
    days %= DAYS_PER_400_YEARS;
    // Bound: 400 years.
    loop {
        let in_year = if is_leap(year) { 366 } else { 365 };
        if days < in_year {
            break;
        }
        days -= in_year;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::{AnswerInfo, Peer};

    /// 2033-05-18T03:33:20Z
    const SECOND: u64 = 2_000_000_000;

    fn line(format: AccessFormat, status: u16, fields: &[(&'static str, &[u8])]) -> String {
        let request = RequestInfo::new(UNIX_EPOCH + Duration::from_secs(SECOND), fields.iter().copied());
        let info = AnswerInfo { status: Some(status), head_bytes: 20, began_ms: 0, request: None };
        let peer = Peer::from(std::net::SocketAddr::from(([192, 0, 2, 7], 1)));
        let answer = Answer { peer, info: &info, sent_bytes: 27, is_complete: true, ended_ms: 0 };
        let mut line = Vec::new();
        LineFormat::new(format).append(&answer, &request, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line_has_the_host_the_time_the_request_and_the_bytes_of_the_content() {
        let fields: [(_, &[u8]); 4] = [
            (RequestInfo::METHOD, b"GET"),
            (RequestInfo::TARGET, b"/a?\"\\\xff"),
            (RequestInfo::VERSION, b"HTTP/1.1"),
            (RequestInfo::USER_AGENT, b"u\"a"),
        ];
        let common = r#"192.0.2.7 - - [18/May/2033:03:33:20 +0000] "GET /a?\x22\x5C\xFF HTTP/1.1" 200 7"#;
        assert_eq!(line(AccessFormat::Common, 200, &fields), common);
        assert_eq!(line(AccessFormat::Combined, 200, &fields), format!(r#"{common} "-" "u\x22a""#));
    }

    #[test]
    fn a_message_that_is_not_a_request_is_logged_as_its_first_line_or_a_dash() {
        let end = |first: &[u8]| {
            let line = line(AccessFormat::Combined, 400, &[(RequestInfo::LINE, first)]);
            line.split_once("] ").unwrap().1.to_owned()
        };
        assert_eq!(end(b"GET /\"\\\n\x1b[31m HTTP"), r#""GET /\x22\x5C\x0A\x1B[31m HTTP" 400 7 "-" "-""#);
        assert_eq!(end(b""), r#""-" 400 7 "-" "-""#);
    }

    #[test]
    fn a_client_does_not_decide_how_long_its_line_is() {
        for byte in [b"a", b"\n"] {
            let long = byte.repeat(100_000);
            let fields = [RequestInfo::METHOD, RequestInfo::REFERER, RequestInfo::USER_AGENT]
                .map(|name| (name, &long[..]));
            let line = line(AccessFormat::Combined, 200, &fields);
            assert_eq!(line.matches("...\"").count(), 3);
            assert!((3 * VALUE_BYTES_MAX..4_000).contains(&line.len()), "{}", line.len());
        }
    }

    #[test]
    fn every_byte_is_written_as_itself_or_as_its_number() {
        for byte in 0..=u8::MAX {
            let is_plain = byte.is_ascii_graphic() || byte == b' ';
            let written = match byte {
                b'"' | b'\\' => format!("\\x{byte:02X}"),
                _ if is_plain => char::from(byte).to_string(),
                _ => format!("\\x{byte:02X}"),
            };
            let mut quoted = Vec::new();
            append_quoted(&[b"GET /", &[byte], b"after"], &mut quoted);
            assert_eq!(quoted, format!("\"GET /{written}after\"").as_bytes());
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let time = |second| {
            let mut time = Vec::new();
            append_time(second, &mut time);
            String::from_utf8(time).unwrap()
        };
        for (second, expected) in [
            (0, "[01/Jan/1970:00:00:00 +0000]"),
            (68_169_599, "[28/Feb/1972:23:59:59 +0000]"),
            (68_169_600, "[29/Feb/1972:00:00:00 +0000]"),
            (784_111_777, "[06/Nov/1994:08:49:37 +0000]"),
            (951_868_799, "[29/Feb/2000:23:59:59 +0000]"),
            (4_107_542_400, "[01/Mar/2100:00:00:00 +0000]"),
            (SECONDS_MAX, "[31/Dec/9999:23:59:59 +0000]"),
        ] {
            assert_eq!(time(second), expected);
        }
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(9)), 0);
        assert_eq!(seconds(UNIX_EPOCH + Duration::from_secs(1 << 40)), SECONDS_MAX);
        // Each day follows the one before it.
        let days = SECONDS_MAX / SECONDS_PER_DAY;
        let mut before = date(0);
        for day in 1..=days {
            let (year, month, day) = date(day);
            let follows = match before {
                (y, m, d) if d + 1 == day => (y, m) == (year, month),
                (y, m, d) => d >= 28 && day == 1 && (y * 12 + m as u64 + 1) == year * 12 + month as u64,
            };
            assert!(follows, "{before:?} {:?}", (year, month, day));
            before = (year, month, day);
        }
        assert_eq!(before, (9999, 11, 31));
    }
}
