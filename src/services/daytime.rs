//! Daytime: the date and time in words (RFC 867).

use std::time::SystemTime;

use jiff::Timestamp;

use super::put_rest;
use crate::session::{ClientInfo, Input, Outbox, Progress, Service, Session};

/// The daytime service (RFC 867): one line in the first form that the RFC recommends, such as
/// `Monday, February 22, 1982 17:37:43-UTC`, always in UTC; then it closes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Daytime;

/// A client of [`Daytime`].
#[derive(Clone, Copy, Debug)]
pub enum DaytimeSession {
    /// The time is not read yet.
    Opened,
    /// The line of this time (seconds since 1970), and how many of its bytes were sent.
    Sending(i64, u8),
}

impl Service for Daytime {
    type Session = DaytimeSession;

    fn open(&self, _client: &ClientInfo<'_>) -> DaytimeSession {
        DaytimeSession::Opened
    }
}

impl Session for DaytimeSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let (unix_s, mut sent) = match *self {
            DaytimeSession::Opened => (unix_s(input.now.wall), 0),
            DaytimeSession::Sending(unix_s, sent) => (unix_s, sent),
        };
        let progress = put_rest(line(unix_s).as_bytes(), &mut sent, 0, out);
        *self = DaytimeSession::Sending(unix_s, sent);
        progress
    }
}

fn unix_s(wall: SystemTime) -> i64 {
    // A time outside of the calendar is as wrong as that of a clock that was never set, which shows 1970.
    Timestamp::try_from(wall).map_or(0, Timestamp::as_second)
}

fn line(unix_s: i64) -> String {
    let time = Timestamp::from_second(unix_s).unwrap_or_default();
    time.strftime("%A, %B %-d, %Y %H:%M:%S-UTC\r\n").to_string()
}
