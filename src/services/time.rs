//! Time: the seconds since 1900 as a number (RFC 868).

use std::time::SystemTime;

use super::put_rest;
use crate::session::{ClientInfo, Input, Outbox, Progress, Service, Session};

/// From 1900-01-01 to 1970-01-01, in seconds (RFC 868 gives the number).
const UNIX_EPOCH_S: u64 = 2_208_988_800;

/// The time service (RFC 868): the seconds since 1900-01-01 00:00 UTC as 32 bits, high byte first; then it
/// closes.
///
/// The number overflows on 2036-02-07 at 06:28:16 UTC and begins again at 0; a client that knows the year
/// adds 2³² seconds. RFC 868 defines nothing wider (NTP, after it, counts eras).
#[derive(Clone, Copy, Debug, Default)]
pub struct Time;

/// A client of [`Time`].
#[derive(Clone, Copy, Debug)]
pub enum TimeSession {
    /// The time is not read yet.
    Opened,
    /// The answer, and how many of its bytes were sent.
    Sending([u8; 4], u8),
}

impl Service for Time {
    type Session = TimeSession;

    fn open(&self, _client: &ClientInfo<'_>) -> TimeSession {
        TimeSession::Opened
    }
}

impl Session for TimeSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let (bytes, mut sent) = match *self {
            TimeSession::Opened => (seconds(input.now.wall).to_be_bytes(), 0),
            TimeSession::Sending(bytes, sent) => (bytes, sent),
        };
        let progress = put_rest(&bytes, &mut sent, 0, out);
        *self = TimeSession::Sending(bytes, sent);
        progress
    }
}

fn seconds(wall: SystemTime) -> u32 {
    let unix_s = wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Modulo 2³², as documented.
    unix_s.wrapping_add(UNIX_EPOCH_S) as u32
}
