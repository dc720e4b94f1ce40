//! The time of day in responses, formatted once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second with a year of four digits, used for all later times.
const SECONDS_MAX: u64 = 253_402_300_799;
const NAME: &[u8; 6] = b"Date: ";
const DATE_BYTES: usize = 29;

/// The line `Date` of a head.
pub(crate) type DateLine = [u8; NAME.len() + DATE_BYTES + 2];

/// The second that was formatted last.
#[derive(Debug)]
pub(crate) struct DateCache {
    second: Option<u64>,
    line: DateLine,
}

impl DateCache {
    pub(crate) fn new() -> DateCache {
        DateCache { second: None, line: [b' '; _] }
    }

    /// The line `Date` at `wall`.
    pub(crate) fn line(&mut self, wall: SystemTime) -> &DateLine {
        let second = seconds(wall);
        if self.second != Some(second) {
            let line = [NAME, http_date(second).as_bytes(), b"\r\n"].concat();
            self.line.copy_from_slice(&line);
            self.second = Some(second);
        }
        &self.line
    }
}

fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(SECONDS_MAX)
}

/// As in HTTP (RFC 9110, section 5.6.7).
pub(crate) fn http_date(second: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second.min(SECONDS_MAX)))
}

/// As people read it, in UTC.
pub(crate) fn calendar(second: u64, format: &str) -> String {
    let time = jiff::Timestamp::from_second(second.min(SECONDS_MAX).cast_signed()).unwrap_or_default();
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_formatted_as_in_http_whatever_the_clock_shows() {
        let mut dates = DateCache::new();
        let line = *dates.line(UNIX_EPOCH + Duration::from_secs(784_111_777));
        assert_eq!(&line, b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(dates.line(UNIX_EPOCH), b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
        dates.line(UNIX_EPOCH - Duration::from_secs(9));
        dates.line(UNIX_EPOCH + Duration::from_secs(1 << 40));
    }
}
