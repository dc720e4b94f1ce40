//! The time of day as answers tell it, put into words once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds that have a date of four digits' year; a clock beyond them is told as their end.
const SECONDS_MAX: u64 = 253_402_300_799;
const OK_PREFIX: &[u8; 23] = b"HTTP/1.1 200 OK\r\nDate: ";
const DATE_BYTES: usize = 29;

/// The beginning of a plain answer, up to the line after `Date`.
pub(crate) type OkPrefix = [u8; OK_PREFIX.len() + DATE_BYTES + 2];

/// The second that was last put into words.
#[derive(Debug)]
pub(crate) struct Clock {
    second: Option<u64>,
    ok_prefix: OkPrefix,
    logged: String,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { second: None, ok_prefix: [b' '; _], logged: String::new() }
    }

    /// The beginning of an answer of 200 at `wall`.
    pub(crate) fn ok_prefix(&mut self, wall: SystemTime) -> &OkPrefix {
        let second = seconds(wall);
        if self.second != Some(second) {
            let prefix = [OK_PREFIX, http_date(second).as_bytes(), b"\r\n"].concat();
            self.ok_prefix.copy_from_slice(&prefix);
            self.logged = log_date(second);
            self.second = Some(second);
        }
        &self.ok_prefix
    }

    /// The same time as in the access log, with its brackets.
    pub(crate) fn logged(&mut self, wall: SystemTime) -> &str {
        self.ok_prefix(wall);
        &self.logged
    }
}

/// The date within a prefix.
pub(crate) fn date_of(prefix: &OkPrefix) -> &[u8] {
    &prefix[OK_PREFIX.len()..][..DATE_BYTES]
}

fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(SECONDS_MAX)
}

/// As in HTTP (RFC 9110, section 5.6.7).
pub(crate) fn http_date(second: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second.min(SECONDS_MAX)))
}

fn log_date(second: u64) -> String {
    calendar(second, "[%d/%b/%Y:%H:%M:%S +0000]")
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
    fn a_second_is_told_as_http_and_logs_do_whatever_the_clock_says() {
        let mut clock = Clock::new();
        let prefix = *clock.ok_prefix(UNIX_EPOCH + Duration::from_secs(784_111_777));
        assert_eq!(date_of(&prefix), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(prefix.starts_with(b"HTTP/1.1 200 OK\r\nDate: ") && prefix.ends_with(b" GMT\r\n"));
        assert_eq!(clock.logged(UNIX_EPOCH), "[01/Jan/1970:00:00:00 +0000]");
        clock.ok_prefix(UNIX_EPOCH - Duration::from_secs(9));
        clock.ok_prefix(UNIX_EPOCH + Duration::from_secs(1 << 40));
    }
}
