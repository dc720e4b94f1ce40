//! A chat: one client's line reaches all the others at once. Sessions wake each other; each has a bounded
//! mailbox.
//!
//! ```sh
//! cargo run --example chat
//! ```
//!
//! It listens on 127.0.0.1:7002. In two other terminals:
//!
//! ```sh
//! nc 127.0.0.1 7002
//! ```

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oneloop::Signals;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::session::{
    Call, ClientInfo, Closed, Fault, Input, Mailbox, Now, Outbox, PostError, Progress, Sender, Service,
    Session, Wait, Waker,
};

/// The longest line, with its newline.
pub const LINE_BYTES_MAX: usize = 512;
/// Bytes that may wait for one reader.
pub const MAILBOX_BYTES: usize = 64 << 10;
/// Lines of one client that are passed on before the others may run.
const LINES_PER_CALL: usize = 16;
/// How long a line waits for members with a full mailbox. A member whose mailbox is still full then is
/// dropped, so that one stalled reader does not stop all.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service, with the members in the room.
#[derive(Clone, Default)]
pub struct Chat {
    room: Arc<Mutex<Room>>,
}

#[derive(Default)]
struct Room {
    members: HashMap<u64, Sender<Arc<[u8]>>>,
    /// How many have ever been there: the next one's number.
    seen: u64,
}

/// One client.
pub struct Member {
    chat: Chat,
    number: u64,
    waker: Waker,
    mailbox: Mailbox<Arc<[u8]>>,
    /// Taken from the mailbox, and there was no room for it.
    undelivered: Option<Arc<[u8]>>,
    /// A line of this client that some of the others have not got.
    unsaid: Option<Unsaid>,
}

struct Unsaid {
    line: Arc<[u8]>,
    /// Members whose mailbox has no room for it.
    missing: Vec<u64>,
    patience_due_ms: u64,
}

impl Service for Chat {
    type Session = Member;

    fn wakes(&self) -> bool {
        true
    }

    fn open(&self, client: &ClientInfo<'_>) -> Member {
        let waker = client.waker();
        let mailbox = Mailbox::new(waker.clone(), MAILBOX_BYTES);
        let mut room = self.room();
        let number = room.seen;
        room.seen += 1;
        room.members.insert(number, mailbox.sender());
        Member { chat: self.clone(), number, waker, mailbox, undelivered: None, unsaid: None }
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
            Err(Closed) => return Progress::abort(Fault::Overflow),
        }
        if !self.say_rest(input.now) {
            return Progress::pause(0);
        }
        let mut consumed = 0;
        for _ in 0..LINES_PER_CALL {
            let rest = &input.bytes[consumed..];
            let Some(len) = rest.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
                return Self::without_a_line(consumed, rest, &input);
            };
            consumed += len + 1;
            if !self.say(&rest[..=len], input.now) {
                return Progress::pause(consumed);
            }
        }
        Progress::again(consumed)
    }

    fn timer_due_ms(&self) -> Option<u64> {
        self.unsaid.as_ref().map(|unsaid| unsaid.patience_due_ms)
    }

    fn held_bytes(&self) -> usize {
        self.mailbox.held_bytes()
    }
}

impl Member {
    /// Moves lines of other members to the outbox. Bound: the outbox.
    fn deliver(&mut self, out: &mut Outbox) -> Result<Delivered, Closed> {
        loop {
            let line = match self.undelivered.take() {
                Some(line) => line,
                None => match self.mailbox.take()? {
                    Some(line) => line,
                    None => return Ok(Delivered::All),
                },
            };
            let len = line.len();
            if out.share(Arc::clone(&line), 0..len).is_err() {
                self.undelivered = Some(line);
                return Ok(Delivered::OutOfRoom);
            }
        }
    }

    /// Posts a line to all other members; false if some mailboxes have no room for it yet.
    fn say(&mut self, line: &[u8], now: Now) -> bool {
        let others = self.chat.room().members.keys().copied().filter(|&other| other != self.number).collect();
        let patience_due_ms = now.after_ms(PATIENCE);
        self.unsaid = Some(Unsaid { line: line.into(), missing: others, patience_due_ms });
        self.say_rest(now)
    }

    /// Posts the line to the members that are still missing it; false if some mailboxes have no room for it
    /// yet.
    fn say_rest(&mut self, now: Now) -> bool {
        let Some(unsaid) = &mut self.unsaid else { return true };
        let room = self.chat.room();
        unsaid.missing.retain(|number| {
            let Some(other) = room.members.get(number) else { return false };
            match other.post_or_wait(Arc::clone(&unsaid.line), &self.waker) {
                Ok(()) | Err(PostError::Closed(_)) => false,
                Err(PostError::Full(_)) if unsaid.patience_due_ms <= now.monotonic_ms => {
                    other.close();
                    false
                }
                Err(PostError::Full(_)) => true,
            }
        });
        let all = unsaid.missing.is_empty();
        drop(room);
        if all {
            self.unsaid = None;
        }
        all
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

/// A client that ends, for any reason, leaves the room.
impl Drop for Member {
    fn drop(&mut self) {
        self.chat.room().members.remove(&self.number);
    }
}

#[allow(dead_code, reason = "the tests include this file for its service")]
fn main() -> io::Result<()> {
    // Members may read for hours without sending a line.
    let mut reactor = Reactor::new(Limits { idle_ms: 0, ..Limits::default() })?;
    println!("listening on chat@{}", reactor.bind("127.0.0.1:7002", Chat::default())?);
    reactor.watch_signals(Signals::install()?)?;
    println!("{}", reactor.run()?);
    Ok(())
}
