//! A chat: one client's line reaches all the others at once. Sessions wake each other; each has a bounded mailbox.
//!
//! ```sh
//! cargo run --example chat         # listening on chat@127.0.0.1:7002
//! nc 127.0.0.1 7002                # in two terminals
//! ```

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oneloop::Signals;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::session::{
    Call, Client, Fault, Input, Mailbox, Outbox, Overflowed, Progress, Service, Session, Wait,
};

/// The longest line, with its newline.
pub const LINE_BYTES_MAX: usize = 512;
/// Lines that may wait for one reader; who is further behind is dropped.
pub const MAILBOX_LINES: usize = 1024;
/// Lines of one client that are passed on before the others may run: else who says much at once would overflow the
/// mailboxes of those who read well. Where one is so full that all together could, it is a single line.
pub const LINES_PER_CALL: usize = 16;
/// Turns of the loop until a reader who was woken has run: this one, and the next. With a line of each member in both, readers
/// are safe from some five hundred who talk at once.
const TURNS_UNTIL_RUN: usize = 2;

/// The service: who is in the room.
#[derive(Clone, Default)]
pub struct Chat {
    room: Arc<Mutex<Room>>,
}

#[derive(Default)]
struct Room {
    members: HashMap<u64, Mailbox<Arc<[u8]>>>,
    /// How many have ever been there: the next one's number.
    seen: u64,
}

/// One client.
pub struct Member {
    chat: Chat,
    number: u64,
    mailbox: Mailbox<Arc<[u8]>>,
    /// Taken from the mailbox, and there was no room for it.
    unsaid: Option<Arc<[u8]>>,
}

impl Service for Chat {
    type Session = Member;

    fn wakes(&self) -> bool {
        true
    }

    fn open(&self, client: &Client<'_>) -> Member {
        let mailbox = Mailbox::new(client.waker(), MAILBOX_LINES);
        let mut room = self.room();
        let number = room.seen;
        room.seen += 1;
        room.members.insert(number, mailbox.clone());
        Member { chat: self.clone(), number, mailbox, unsaid: None }
    }
}

/// How far the mail was delivered.
enum Delivered {
    All,
    OutOfRoom,
}

impl Session for Member {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        match self.deliver(out) {
            Ok(Delivered::All) => {}
            Ok(Delivered::OutOfRoom) => return Progress::need_room(0),
            Err(Overflowed) => return Progress::abort(Fault::Overflow),
        }
        let mut consumed = 0;
        // Who is only woken to hear looks at nobody.
        let lines_max = if input.bytes.is_empty() { 1 } else { self.lines_max() };
        for _ in 0..lines_max {
            let rest = &input.bytes[consumed..];
            let Some(len) = rest.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
                return Self::without_a_line(consumed, rest, &input);
            };
            self.say(&rest[..=len]);
            consumed += len + 1;
        }
        Progress::again(consumed)
    }
}

impl Member {
    /// Moves what others said to the outbox. Bound: the outbox.
    fn deliver(&mut self, out: &mut Outbox) -> Result<Delivered, Overflowed> {
        loop {
            let line = match self.unsaid.take() {
                Some(line) => line,
                None => match self.mailbox.take()? {
                    Some(line) => line,
                    None => return Ok(Delivered::All),
                },
            };
            let len = line.len();
            if out.share(Arc::clone(&line), 0..len).is_err() {
                self.unsaid = Some(line);
                return Ok(Delivered::OutOfRoom);
            }
        }
    }

    /// How many lines may be said now.
    fn lines_max(&self) -> usize {
        let room = self.chat.room();
        let reserve = LINES_PER_CALL + TURNS_UNTIL_RUN * room.members.len();
        let is_filling = |(number, mailbox): (&u64, &Mailbox<_>)| {
            *number != self.number && mailbox.room().is_ok_and(|left| left < reserve)
        };
        if room.members.iter().any(is_filling) { 1 } else { LINES_PER_CALL }
    }

    /// Leaves a line for all the others. One whose mailbox is full learns of it when it runs.
    fn say(&self, line: &[u8]) {
        let line: Arc<[u8]> = line.into();
        for (number, mailbox) in &self.chat.room().members {
            if *number != self.number {
                let _ = mailbox.post(Arc::clone(&line));
            }
        }
    }

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

impl Chat {
    /// How many are in the room.
    #[allow(clippy::len_without_is_empty, dead_code, reason = "the tests ask")]
    pub fn len(&self) -> usize {
        self.room().members.len()
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever leaves, for whatever reason, is no longer in the room.
impl Drop for Member {
    fn drop(&mut self) {
        self.chat.room().members.remove(&self.number);
    }
}

#[allow(dead_code, reason = "the tests include this file for its service")]
fn main() -> io::Result<()> {
    // Those who only listen are silent for long.
    let mut reactor = Reactor::new(Limits { idle_ms: 0, ..Limits::default() })?;
    println!("listening on chat@{}", reactor.bind("127.0.0.1:7002", Chat::default())?);
    reactor.watch_signals(Signals::install()?)?;
    println!("{}", reactor.run()?);
    Ok(())
}
