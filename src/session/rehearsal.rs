//! A test kit for sessions: a client, virtual time and wakes, without sockets or threads.
//!
//! A [`Rehearsal`] is one client of a service. It feeds the session with bytes, split as the test wishes,
//! collects what the client reads, and checks the contract: it panics if the session breaks it. Every step is
//! bounded, also for a session that streams without end or waits forever.
//!
//! ```
//! use std::time::Duration;
//! use oneloop::session::rehearsal::{self, Rehearsal, State};
//! use oneloop::session::{Call, ClientInfo, Input, Next, Outbox, Progress, Service, Session, Wait};
//!
//! /// Answers each line after a second.
//! #[derive(Clone, Default)]
//! struct Slowly(Option<u64>);
//!
//! impl Service for Slowly {
//!     type Session = Slowly;
//!     fn open(&self, _client: &ClientInfo<'_>) -> Slowly {
//!         Slowly::default()
//!     }
//! }
//!
//! impl Session for Slowly {
//!     fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
//!         let Some(end) = input.bytes.iter().position(|&byte| byte == b'\n') else {
//!             let wait = if input.bytes.is_empty() { Wait::NextRequest } else { Wait::Rest };
//!             return Progress::need_input(0, wait);
//!         };
//!         let due_ms = *self.0.get_or_insert(input.now.after_ms(Duration::from_secs(1)));
//!         if input.now.monotonic_ms < due_ms {
//!             return Progress::pause(0);
//!         }
//!         if out.put(&input.bytes[..=end]).is_err() {
//!             return Progress::need_room(0);
//!         }
//!         self.0 = None;
//!         Progress::again(end + 1)
//!     }
//!
//!     fn timer_due_ms(&self) -> Option<u64> {
//!         self.0
//!     }
//! }
//!
//! let mut client = Rehearsal::open(&Slowly::default(), 4096);
//! client.feed(b"one\ntwo").feed(b"\n");
//! assert_eq!((client.state(), &client.answer[..]), (State::Pauses, &b""[..]));
//! client.pass(Duration::from_millis(1_500));
//! assert_eq!((client.state(), &client.answer[..]), (State::Pauses, &b"one\n"[..]));
//! client.end().pass(Duration::from_secs(1));
//! assert_eq!((client.state(), &client.answer[..]), (State::Done(Next::NeedInput(Wait::NextRequest)), &b"one\ntwo\n"[..]));
//! ```
//!
//! A service whose sessions wake each other is tested with one rehearsal for each client, opened from the
//! same service: [`settle`] calls those that were woken.

use std::io::{IoSlice, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::{
    ASKS_WITHOUT_END, AnswerDetail, AnswerInfo, Call, ClientInfo, Front, Input, Next, Now, Outbox, Peer,
    Service, Session, WAITS_FOR_NO_REQUEST, Wait, WakeTarget, Waker,
};

/// Calls in a row that move nothing before a rehearsal fails.
const IDLE_CALLS_MAX: u32 = 10_000;
/// The most that a client reads in a step: a session that streams is not called beyond it.
const READ_BYTES_MAX: u64 = 16 << 20;
/// What [`answer`] reads in all.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Turns in which sessions that wake each other come to rest.
const TURNS_MAX: u32 = 10_000;
/// Places at which [`answer_however_split`] cuts its bytes in two.
const CUTS_MAX: usize = 256;

/// One client of a service.
pub struct Rehearsal<S: Session> {
    session: S,
    out: Outbox,
    unconsumed: Vec<u8>,
    /// Whether the last bytes consumed belong to a request that has not ended.
    is_inside_request: bool,
    input_ended: bool,
    now: Now,
    state: State,
    /// What the session needs when all that it has put was read.
    then: AfterSend,
    idle_calls: u32,
    drain: Drain,
    bell: Arc<Bell>,
    /// Whether the service asks for wakes.
    can_be_woken: bool,
    reads_per_step: u64,
    /// The bytes that the client has read so far.
    pub answer: Vec<u8>,
    /// The answers reported so far, with the bytes of each ([`Rehearsal::reporting`]).
    pub answers: Vec<(AnswerInfo, u64)>,
    /// The end of the last reported answer in `answer`.
    answered_at: u64,
    /// When the first and the last of `unconsumed` arrived.
    arrived_ms: (u64, u64),
}

/// Where a rehearsal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The session waits for input.
    Waits(Wait),
    /// The session waits for a wake or its timer.
    Pauses,
    /// What the session has put waits for the client to read it ([`Rehearsal::read`]).
    Sends,
    /// The session is done: the last `next` was an end, or needed input after the end of input or a deadline.
    Done(Next),
}

#[derive(Clone, Copy)]
struct AfterSend {
    next: Next,
    /// It was the last call, whatever the session needs.
    is_last: bool,
}

/// Whether the server drains, and whether the session was called with [`Call::Stopping`] last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drain {
    No,
    Begun,
    StoppingSent,
}

/// Keeps that the client was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl WakeTarget for Bell {
    fn wake(&self, _client: u64) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<S: Session> Rehearsal<S> {
    /// Opens a session of `service` for a client at `127.0.0.1:40000`, with an outbox of `out_bytes_max`, at
    /// a time of day of 2,000,000,000 s (2033-05-18T03:33:20Z).
    ///
    /// # Panics
    /// As every step, if the session breaks the contract.
    pub fn open<V: Service<Session = S>>(service: &V, out_bytes_max: usize) -> Self {
        let peer = |port: u16| Peer::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let bell = Arc::new(Bell::default());
        let waker = Waker::new(Arc::clone(&bell) as Arc<_>, 0);
        let client = ClientInfo::new(peer(40_000), peer(80));
        let session = service.open(&if service.wakes() { client.with_waker(&waker) } else { client });
        let now = Now { monotonic_ms: 0, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000) };
        let mut rehearsal = Rehearsal {
            session,
            out: Outbox::new(out_bytes_max),
            unconsumed: Vec::new(),
            is_inside_request: false,
            input_ended: false,
            now,
            state: State::Waits(Wait::NextRequest),
            then: AfterSend { next: Next::NeedInput(Wait::NextRequest), is_last: false },
            idle_calls: 0,
            drain: Drain::No,
            bell,
            can_be_woken: service.wakes(),
            reads_per_step: READ_BYTES_MAX,
            answer: Vec::new(),
            answers: Vec::new(),
            answered_at: 0,
            arrived_ms: (0, 0),
        };
        rehearsal.call(Call::Open);
        rehearsal
    }

    /// The same with an observer that needs this much detail of each answer.
    pub fn reporting(mut self, detail: AnswerDetail) -> Self {
        self.out.set_answer_detail(detail);
        self
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What the session left unconsumed.
    pub fn unconsumed(&self) -> &[u8] {
        &self.unconsumed
    }

    /// The session itself, to look at.
    pub fn session(&self) -> &S {
        &self.session
    }

    /// The time, which only [`Rehearsal::pass`] moves.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Feeds bytes as one arrival. The session is called until it waits; if it pauses or sends, it gets the
    /// bytes with its next call.
    ///
    /// # Panics
    /// After [`Rehearsal::end`].
    pub fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        assert!(!self.input_ended, "nothing comes after the end of input");
        let first_ms = if self.unconsumed.is_empty() { self.now.monotonic_ms } else { self.arrived_ms.0 };
        self.arrived_ms = (first_ms, self.now.monotonic_ms);
        self.unconsumed.extend_from_slice(bytes);
        self.input_came()
    }

    /// The client ends its side.
    pub fn end(&mut self) -> &mut Self {
        self.input_ended = true;
        self.input_came()
    }

    fn input_came(&mut self) -> &mut Self {
        if let State::Waits(_) = self.state {
            let call = self.ready();
            self.call(call);
        }
        self
    }

    /// From now on the client reads this many bytes per step; with 0 it reads none until [`Rehearsal::read`]
    /// is called.
    pub fn reads(&mut self, bytes_per_step: u64) -> &mut Self {
        self.reads_per_step = bytes_per_step.min(READ_BYTES_MAX);
        self
    }

    /// The client reads up to `bytes`; a session that waits for that is called on.
    pub fn read(&mut self, bytes: u64) -> &mut Self {
        if self.state == State::Sends {
            let mut left = bytes;
            if self.flush(&mut left)
                && let Some(call) = self.follow()
            {
                self.run(call, left);
            }
            self.drain_if_idle();
        }
        self
    }

    /// Lets time pass. A timer that comes to be due calls the session at its time; deadlines of the server
    /// have no effect here ([`Rehearsal::expire`]).
    pub fn pass(&mut self, time: Duration) -> &mut Self {
        let until_ms = self.now.after_ms(time);
        let mut earliest_ms = self.now.monotonic_ms;
        // Bound: a timer calls at most once in a millisecond.
        while let State::Waits(_) | State::Pauses = self.state
            && let Some(due_ms) = self.session.timer_due_ms().map(|due_ms| due_ms.max(earliest_ms))
            && due_ms <= until_ms
        {
            self.move_time(due_ms);
            self.call(Call::Timer);
            earliest_ms = due_ms + 1;
        }
        self.move_time(until_ms);
        self
    }

    fn move_time(&mut self, to_ms: u64) {
        self.now.wall += Duration::from_millis(to_ms - self.now.monotonic_ms);
        self.now.monotonic_ms = to_ms;
    }

    /// The deadline passes of what the session waits for: it is called for its last words.
    ///
    /// # Panics
    /// If it does not wait for input.
    pub fn expire(&mut self) -> &mut Self {
        let State::Waits(wait) = self.state else { panic!("it has no deadline: {:?}", self.state) };
        self.call(Call::Expired(wait))
    }

    /// Wakes the session, as another thread would: it is called by [`Rehearsal::turn`] or [`settle`].
    pub fn wake(&mut self) -> &mut Self {
        self.bell.wake(0);
        self
    }

    /// Whether it was woken and not called since.
    pub fn is_woken(&self) -> bool {
        self.bell.0.load(Ordering::SeqCst)
    }

    /// Calls the session if it was woken, and waits or pauses; returns whether it was called.
    pub fn turn(&mut self) -> bool {
        let may_be_called = matches!(self.state, State::Waits(_) | State::Pauses);
        let is_called = may_be_called && self.bell.0.swap(false, Ordering::SeqCst);
        if is_called {
            self.call(Call::Woken);
        }
        is_called
    }

    /// The server drains from now on. A session that waits for a request or pauses is called at once, any
    /// other when it reaches such a state.
    pub fn drain(&mut self) -> &mut Self {
        self.drain = Drain::Begun;
        self.drain_if_idle();
        self
    }

    /// Calls the session with [`Call::Stopping`] where the server would.
    fn drain_if_idle(&mut self) {
        match self.state {
            State::Waits(Wait::NextRequest) if self.drain != Drain::No => {
                self.run(Call::Stopping, self.reads_per_step);
                if self.state == State::Waits(Wait::NextRequest) {
                    self.state = State::Done(Next::NeedInput(Wait::NextRequest));
                }
            }
            State::Pauses if self.drain == Drain::Begun => self.run(Call::Stopping, self.reads_per_step),
            _ => {}
        }
    }

    /// Calls the session with `call`, and on until it waits or is done.
    pub fn call(&mut self, call: Call) -> &mut Self {
        self.run(call, self.reads_per_step);
        self.drain_if_idle();
        self
    }

    fn ready(&self) -> Call {
        if self.drain == Drain::No { Call::Ready } else { Call::Stopping }
    }

    /// Calls the session until it waits, is done, or has put more than the client reads.
    fn run(&mut self, mut call: Call, mut reads: u64) {
        while !matches!(self.state, State::Done(_)) {
            self.advance(call);
            if !self.flush(&mut reads) {
                self.state = State::Sends;
                return;
            }
            match self.follow() {
                // Later calls during a drain have the same reason.
                Some(_) if call == Call::Stopping => {}
                Some(next) => call = next,
                None => return,
            }
        }
    }

    /// Calls the session once, and checks what it returns.
    fn advance(&mut self, call: Call) {
        let (now, len, ended) = (self.now, self.unconsumed.len(), self.input_ended);
        let (arrived_ms, last_arrived_ms) =
            if len == 0 { (now.monotonic_ms, now.monotonic_ms) } else { self.arrived_ms };
        let input = Input { bytes: &self.unconsumed, ended, call, arrived_ms, last_arrived_ms, now };
        let progress = self.session.advance(input, &mut self.out);
        let is_last = matches!(call, Call::Expired(_));
        if let Some(broken) = progress.broken_rule(len, &self.out) {
            panic!("{broken}");
        }
        let asks_again = match call {
            Call::Timer => self.session.timer_due_ms().is_some_and(|due_ms| due_ms <= now.monotonic_ms),
            _ => progress.next == Next::Again,
        };
        let is_idle = asks_again && progress.consumed == 0 && !self.out.has_content();
        self.idle_calls = if is_idle { self.idle_calls + 1 } else { 0 };
        assert!(self.idle_calls < IDLE_CALLS_MAX, "{ASKS_WITHOUT_END}");
        if progress.consumed > 0 {
            self.is_inside_request = progress.unfinished > 0;
            self.arrived_ms.0 = self.arrived_ms.1;
        }
        self.unconsumed.drain(..progress.consumed);
        let has_begun = self.is_inside_request || !self.unconsumed.is_empty();
        let waits_for_rest = progress.next == Next::NeedInput(Wait::Rest) && !ended && !is_last;
        assert!(has_begun || !waits_for_rest, "{WAITS_FOR_NO_REQUEST}");
        let can_go_on = self.can_be_woken || self.session.timer_due_ms().is_some();
        assert!(
            progress.next != Next::Pause || is_last || can_go_on || call == Call::Open,
            "it pauses for ever: it has no timer, and Service::wakes is false"
        );
        if let Next::Abort(_) = progress.next {
            self.out.abandon(|_| {});
        }
        self.then = AfterSend { next: progress.next, is_last };
        self.drain = match (self.drain, call) {
            (Drain::No, _) => Drain::No,
            (_, Call::Stopping) => Drain::StoppingSent,
            _ => Drain::Begun,
        };
    }

    /// The next call after all output was read; `None` if the session waits or is done.
    fn follow(&mut self) -> Option<Call> {
        let AfterSend { next, is_last } = self.then;
        self.state = match next {
            Next::Finish | Next::Close | Next::TimedOut | Next::Abort(_) => State::Done(next),
            _ if is_last => State::Done(next),
            Next::NeedInput(_) if self.input_ended => State::Done(next),
            Next::NeedInput(wait) => State::Waits(wait),
            Next::Pause => State::Pauses,
            Next::NeedRoom | Next::Again => return Some(self.ready()),
        };
        None
    }

    /// The client reads up to `left` bytes of the output. Returns whether that was all.
    fn flush(&mut self, left: &mut u64) -> bool {
        while !self.out.is_empty() {
            let begins_at = self.answer.len() as u64;
            if let Some(bytes) = self.out.plain() {
                let part = (bytes.len() as u64).min(*left) as usize;
                self.answer.extend_from_slice(&bytes[..part]);
            } else {
                self.read_front(*left);
            }
            let read = self.answer.len() as u64 - begins_at;
            if read == 0 && self.out.has_content() {
                return false;
            }
            *left -= read;
            self.out.sent(read, |info, before| {
                let at = begins_at + before;
                self.answers.push((info.clone(), at - std::mem::replace(&mut self.answered_at, at)));
            });
        }
        true
    }

    /// The client reads up to `left` bytes of the pieces at the front.
    fn read_front(&mut self, left: u64) {
        let begins_at = self.answer.len() as u64;
        let mut slices = [IoSlice::new(&[]); super::outbox::GATHER_MAX];
        match self.out.front(&mut slices) {
            Front::Empty => {}
            Front::Bytes { count, .. } => {
                for slice in &slices[..count] {
                    let read = self.answer.len() as u64 - begins_at;
                    let part = (slice.len() as u64).min(left - read) as usize;
                    self.answer.extend_from_slice(&slice[..part]);
                }
            }
            Front::File(range) => {
                let (mut file, part) = (&*range.file, range.len.min(left));
                file.seek(SeekFrom::Start(range.offset)).expect("a file to seek in");
                let copied = file.take(part).read_to_end(&mut self.answer).expect("a file to read");
                assert_eq!(copied as u64, part, "the file ended short");
            }
        }
    }
}

/// Calls the woken ones of `clients` until no client is woken.
///
/// # Panics
/// If the clients wake each other without end.
pub fn settle<S: Session>(clients: &mut [&mut Rehearsal<S>]) {
    for _ in 0..TURNS_MAX {
        let mut is_called = false;
        for client in &mut *clients {
            is_called |= client.turn();
        }
        if !is_called {
            return;
        }
    }
    panic!("they wake each other without end");
}

/// The answer of `service` to `chunks`, each a separate arrival, with an outbox of `out_bytes_max`; `end`
/// ends the input.
///
/// # Panics
/// If the answer has no end.
pub fn answer<V: Service>(service: &V, chunks: &[&[u8]], end: bool, out_bytes_max: usize) -> Vec<u8> {
    let mut rehearsal = Rehearsal::open(service, out_bytes_max);
    let read_all = |rehearsal: &mut Rehearsal<V::Session>| {
        while rehearsal.state == State::Sends {
            assert!(rehearsal.answer.len() < ANSWER_BYTES_MAX, "an answer without end");
            rehearsal.read(READ_BYTES_MAX);
        }
    };
    read_all(&mut rehearsal);
    for chunk in chunks {
        rehearsal.feed(chunk);
        read_all(&mut rehearsal);
    }
    if end {
        rehearsal.end();
        read_all(&mut rehearsal);
    }
    rehearsal.answer
}

/// What a new service answers to `bytes` and their end, after checks that it is the same however they are
/// split: byte by byte, in pieces of a few bytes, and in two at many places. Meant for inputs of some KiB.
///
/// # Panics
/// If an answer differs.
pub fn answer_however_split<V: Service>(
    service: impl Fn() -> V,
    bytes: &[u8],
    out_bytes_max: usize,
) -> Vec<u8> {
    let whole = answer(&service(), &[bytes], true, out_bytes_max);
    let check = |chunks: &[&[u8]], split: String| {
        let split_answer = answer(&service(), chunks, true, out_bytes_max);
        assert!(
            split_answer == whole,
            "{split}: \"{}\" is not \"{}\"",
            split_answer.escape_ascii(),
            whole.escape_ascii()
        );
    };
    for piece in [1, 2, 3, 7] {
        check(&bytes.chunks(piece).collect::<Vec<_>>(), format!("in pieces of {piece}"));
    }
    let step = bytes.len().div_ceil(CUTS_MAX).max(1);
    for at in (1..bytes.len()).step_by(step) {
        check(&[&bytes[..at], &bytes[at..]], format!("cut at {at}"));
    }
    whole
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::session::{Mailbox, Progress, Sender};

    /// A service whose sessions call a function.
    #[derive(Clone)]
    struct Does(fn(Input<'_>, &mut Outbox) -> Progress);

    impl Service for Does {
        type Session = Does;

        fn open(&self, _client: &ClientInfo<'_>) -> Does {
            self.clone()
        }
    }

    impl Session for Does {
        fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
            (self.0)(input, out)
        }
    }

    fn wait(input: &Input<'_>) -> Progress {
        Progress::need_input(0, if input.bytes.is_empty() { Wait::NextRequest } else { Wait::Rest })
    }

    #[test]
    fn what_would_end_a_client_for_a_broken_contract_panics() {
        type Broken = (fn(Input<'_>, &mut Outbox) -> Progress, &'static str);
        let broken: [Broken; 6] = [
            (|input, _| Progress::need_input(input.bytes.len() + 1, Wait::NextRequest), "more bytes than"),
            (|_, _| Progress::need_room(0), "an empty outbox"),
            (|_, _| Progress::again(0), "again and again"),
            (|_, _| Progress::need_input(0, Wait::Rest), "has not begun"),
            (|_, _| Progress::need_input(0, Wait::NextRequest).with_unfinished(1), "unfinished bytes"),
            (
                |input, _| if input.call == Call::Open { wait(&input) } else { Progress::pause(0) },
                "pauses for ever",
            ),
        ];
        for (does, expected) in broken {
            let failed = std::panic::catch_unwind(|| Rehearsal::open(&Does(does), 100).feed(b"x").state());
            let panicked = failed.unwrap_err();
            let literal = panicked.downcast_ref::<&str>().copied();
            let message = panicked.downcast_ref::<String>().map(String::as_str).or(literal).unwrap();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_session_that_streams_without_end_is_called_as_long_as_its_client_reads() {
        let streams = Does(|input, out| {
            out.put_some(&[b'x'; 4096]);
            match input.call {
                Call::Stopping => Progress::finish(input.bytes.len()),
                _ => Progress::need_room(input.bytes.len()),
            }
        });
        let mut client = Rehearsal::open(&streams, 4096);
        assert_eq!((client.state(), client.answer.len() as u64), (State::Sends, READ_BYTES_MAX));
        client.reads(0);
        let before = client.answer.len();
        for read in 1..100 {
            client.feed(b"ignored").read(10);
            assert_eq!((client.state(), client.answer.len()), (State::Sends, before + 10 * read));
        }
        assert_eq!(client.drain().read(1 << 20).state(), State::Done(Next::Finish));
    }

    #[test]
    fn an_answer_that_depends_on_how_its_bytes_were_split_is_found() {
        let echo = || Does(|input, out| Progress::need_input(out.put_some(input.bytes), Wait::NextRequest));
        assert_eq!(answer_however_split(echo, b"some bytes", 4096), b"some bytes");
        let counts = || {
            Does(|input, out| {
                out.put_fmt(format_args!("{} ", input.bytes.len())).unwrap();
                Progress::need_input(input.bytes.len(), Wait::NextRequest)
            })
        };
        let failed = std::panic::catch_unwind(|| answer_however_split(counts, b"some bytes", 4096));
        assert!(failed.unwrap_err().downcast::<String>().unwrap().starts_with("in pieces of 1"));
    }

    /// Sends each byte to the other sessions, through mailboxes.
    #[derive(Clone, Default)]
    struct Party(Arc<Mutex<Vec<Sender<Vec<u8>>>>>);

    struct Guest {
        party: Party,
        number: usize,
        mailbox: Mailbox<Vec<u8>>,
    }

    impl Service for Party {
        type Session = Guest;

        fn wakes(&self) -> bool {
            true
        }

        fn open(&self, client: &ClientInfo<'_>) -> Guest {
            let mailbox = Mailbox::new(client.waker(), 1000);
            let mut guests = self.0.lock().unwrap();
            guests.push(mailbox.sender());
            Guest { party: self.clone(), number: guests.len() - 1, mailbox }
        }
    }

    impl Session for Guest {
        fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
            while let Ok(Some(message)) = self.mailbox.take() {
                out.put(&message).unwrap();
            }
            for (number, guest) in self.party.0.lock().unwrap().iter().enumerate() {
                if number != self.number && !input.bytes.is_empty() {
                    guest.post(input.bytes.to_vec()).unwrap();
                }
            }
            Progress::need_input(input.bytes.len(), Wait::NextRequest)
        }
    }

    #[test]
    fn clients_of_one_service_wake_each_other() {
        let party = Party::default();
        let mut clients = [0; 3].map(|_| Rehearsal::open(&party, 4096));
        clients[0].feed(b"hello");
        assert!(clients[1].is_woken() && clients[1].answer.is_empty());
        settle(&mut clients.iter_mut().collect::<Vec<_>>());
        assert_eq!(clients.map(|client| client.answer), [b"".to_vec(), b"hello".to_vec(), b"hello".to_vec()]);
    }

    /// A timer every 100 ms, from the first call on.
    struct Ticks(u64);

    impl Session for Ticks {
        fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
            if input.call == Call::Timer {
                out.put_fmt(format_args!("{} ", input.now.monotonic_ms)).unwrap();
            }
            if self.0 <= input.now.monotonic_ms {
                self.0 = input.now.after_ms(Duration::from_millis(100));
            }
            Progress::need_input(input.bytes.len(), Wait::NextRequest)
        }

        fn timer_due_ms(&self) -> Option<u64> {
            Some(self.0)
        }
    }

    #[derive(Clone)]
    struct Ticking;

    impl Service for Ticking {
        type Session = Ticks;

        fn open(&self, _client: &ClientInfo<'_>) -> Ticks {
            Ticks(0)
        }
    }

    #[test]
    fn timers_call_at_their_time_however_much_time_passes_at_once() {
        let mut client = Rehearsal::open(&Ticking, 4096);
        client.pass(Duration::from_millis(50)).pass(Duration::from_millis(49));
        assert_eq!(client.answer, b"");
        client.pass(Duration::from_millis(1)).pass(Duration::from_millis(250));
        assert_eq!(client.answer, b"100 200 300 ");
        assert_eq!(client.now().monotonic_ms, 350);
        assert_eq!(client.expire().state(), State::Done(Next::NeedInput(Wait::NextRequest)));
    }

    #[test]
    fn a_drain_calls_a_session_when_it_waits_for_a_request_or_pauses() {
        let stops = Does(|input, out| match input.bytes.split_last() {
            Some((b'\n', _)) => Progress::need_input(out.put_some(input.bytes), Wait::NextRequest),
            None if input.call == Call::Stopping => {
                out.put_some(b"bye");
                Progress::finish(0)
            }
            _ => wait(&input),
        });
        let mut client = Rehearsal::open(&stops, 4096);
        assert_eq!(client.feed(b"begun").drain().state(), State::Waits(Wait::Rest));
        client.feed(b" and whole\n");
        assert_eq!(
            (client.state(), &client.answer[..]),
            (State::Done(Next::Finish), &b"begun and whole\nbye"[..])
        );
        let mut idle = Rehearsal::open(&stops, 4096);
        idle.drain();
        assert_eq!((idle.state(), &idle.answer[..]), (State::Done(Next::Finish), &b"bye"[..]));
    }
}
