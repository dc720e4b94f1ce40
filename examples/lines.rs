//! A line protocol of one's own: a small dictionary that all clients share.
//!
//! ```sh
//! cargo run --example lines
//! ```
//!
//! It listens on 127.0.0.1:7001. In another terminal:
//!
//! ```sh
//! nc -N 127.0.0.1 7001
//! ```
//!
//! Send `SET colour blue`, `GET colour` and `QUIT`.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use oneloop::Signals;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::session::{Call, ClientInfo, Fault, Input, Outbox, Progress, Refusal, Service, Session, Wait};

/// The longest line, with its newline; a client that sends a longer one does not speak this protocol.
pub const LINE_BYTES_MAX: usize = 512;
/// The longest answer: a meaning and its newline, or a few words. Each byte of a meaning that is not UTF-8 is
/// replaced by three.
const ANSWER_BYTES_MAX: usize = 3 * LINE_BYTES_MAX + 64;
/// Words that may be kept: strangers fill the dictionary.
pub const WORDS_MAX: usize = 1000;

/// The service: what all clients share.
#[derive(Clone, Default)]
pub struct Lines {
    words: Arc<Mutex<HashMap<String, String>>>,
}

/// One client.
pub struct Conversation {
    lines: Lines,
}

impl Service for Lines {
    type Session = Conversation;

    fn open(&self, _client: &ClientInfo<'_>) -> Conversation {
        Conversation { lines: self.clone() }
    }

    fn refusal(&self, _why: Refusal) -> &[u8] {
        b"ERROR too many clients, try again later\n"
    }
}

impl Session for Conversation {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let mut consumed = 0;
        loop {
            let rest = &input.bytes[consumed..];
            let Some(len) = rest.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
                return Self::without_a_line(consumed, rest, &input);
            };
            // An answer is sent whole: what `put_some` has no room for would be lost.
            if out.room() < ANSWER_BYTES_MAX {
                return Progress::need_room(consumed);
            }
            consumed += len + 1;
            let line = String::from_utf8_lossy(&rest[..len]);
            let Some(answer) = self.lines.answer(line.trim_end()) else {
                return Progress::finish(consumed);
            };
            out.put_some(answer.as_bytes());
        }
    }
}

impl Conversation {
    fn without_a_line(consumed: usize, rest: &[u8], input: &Input<'_>) -> Progress {
        if rest.len() >= LINE_BYTES_MAX {
            Progress::abort(Fault::Protocol)
        } else if rest.is_empty() && input.call == Call::Stopping {
            Progress::finish(consumed)
        } else if rest.is_empty() {
            Progress::need_input(consumed, Wait::NextRequest)
        } else {
            Progress::need_input(consumed, Wait::Rest)
        }
    }
}

impl Lines {
    /// The answer to one line, `None` if the client takes its leave.
    fn answer(&self, line: &str) -> Option<String> {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = line.splitn(3, ' ');
        let answer = match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
            ("QUIT", None, None) => return None,
            ("GET", Some(word), None) => match words.get(word) {
                Some(meaning) => format!("{meaning}\n"),
                None => "ERROR no such word\n".to_owned(),
            },
            ("SET", Some(word), Some(meaning)) if words.contains_key(word) || words.len() < WORDS_MAX => {
                words.insert(word.to_owned(), meaning.to_owned());
                "OK\n".to_owned()
            }
            ("SET", Some(_), Some(_)) => "ERROR the dictionary is full\n".to_owned(),
            _ => "ERROR say SET word meaning, GET word or QUIT\n".to_owned(),
        };
        Some(answer)
    }
}

#[allow(dead_code, reason = "the tests include this file for its service")]
fn main() -> io::Result<()> {
    let mut reactor = Reactor::new(Limits::default())?;
    println!("listening on lines@{}", reactor.bind("127.0.0.1:7001", Lines::default())?);
    reactor.watch_signals(Signals::install()?)?;
    println!("{}", reactor.run()?);
    Ok(())
}
