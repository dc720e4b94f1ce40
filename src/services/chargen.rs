//! Chargen: a stream of characters without end (RFC 864).

use crate::session::{Call, ClientInfo, Input, Outbox, Progress, Service, Session};

/// The printing characters of ASCII, space included (RFC 864 calls them "the ninety-five").
const CHARACTERS: usize = 95;
/// Characters of a line, its CR and LF apart.
const LINE: usize = 72;
/// After as many lines as there are characters the pattern begins again.
const CYCLE_BYTES: usize = CHARACTERS * (LINE + 2);
static CYCLE: [u8; CYCLE_BYTES] = cycle();

/// The character generator (RFC 864): lines of 72 characters until the client closes. Each line begins one
/// character later than the line before. Input is discarded. If the client ends its side the stream
/// continues, because it may still read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chargen;

impl Chargen {
    /// The pattern up to where it begins again: what a client reads, over and over.
    pub fn pattern() -> &'static [u8] {
        &CYCLE
    }
}

/// A client of [`Chargen`]: its position in the pattern.
#[derive(Clone, Copy, Debug)]
pub struct ChargenSession {
    at: u16,
}

impl Service for Chargen {
    type Session = ChargenSession;

    fn open(&self, _client: &ClientInfo<'_>) -> ChargenSession {
        ChargenSession { at: 0 }
    }
}

impl Session for ChargenSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let consumed = input.bytes.len();
        if input.call == Call::Stopping {
            return Progress::finish(consumed);
        }
        // Bounded by the room: every round but the last puts the rest of the pattern.
        while out.room() > 0 {
            let put = out.put_some(&CYCLE[usize::from(self.at)..]);
            self.at = ((usize::from(self.at) + put) % CYCLE_BYTES) as u16;
        }
        Progress::need_room(consumed)
    }
}

const fn cycle() -> [u8; CYCLE_BYTES] {
    let mut cycle = [0; CYCLE_BYTES];
    let mut at = 0;
    while at < CYCLE_BYTES {
        let (line, column) = (at / (LINE + 2), at % (LINE + 2));
        cycle[at] = match column {
            LINE => b'\r',
            column if column > LINE => b'\n',
            _ => b' ' + ((line + column) % CHARACTERS) as u8,
        };
        at += 1;
    }
    cycle
}
