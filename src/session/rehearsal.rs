//! Runs a session without sockets, for tests: what it was given and what it answered, byte for byte.

use std::io::{IoSlice, Read, Seek, SeekFrom};
use std::time::{Duration, SystemTime};

use super::{
    AnswerDetail, AnswerInfo, Call, Client, Front, Input, Next, Now, Outbox, Peer, Service, Session, Wait,
};

/// Calls without a byte taken or given before a rehearsal says that the session spins.
const IDLE_CALLS_MAX: usize = 10_000;

/// A session on a stage: it is fed bytes, and what it says is kept.
pub struct Rehearsal<S: Session> {
    session: S,
    out: Outbox,
    unconsumed: Vec<u8>,
    input_ended: bool,
    now: Now,
    state: State,
    /// All that was answered so far.
    pub answer: Vec<u8>,
    /// The answers reported so far, with the bytes of each ([`Rehearsal::reporting`]).
    pub answers: Vec<(AnswerInfo, u64)>,
    /// Where the last of them ends in `answer`.
    answered_at: u64,
    /// When the first of `unconsumed` arrived, and when the last of them did.
    arrived_ms: (u64, u64),
}

/// Where a rehearsal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The session waits for input.
    Waits(Wait),
    /// The session waits for a wake or its timer.
    Pauses,
    /// The session is done: the last `next` was `Finish`, `Close`, `Abort`, or needed input at its end.
    Done(Next),
}

impl<S: Session> Rehearsal<S> {
    /// Opens a session of `service` for a client at `127.0.0.1:40000`, with an outbox of `out_bytes_max`, at a time of
    /// day of 2,000,000,000 s (2033-05-18T03:33:20Z).
    pub fn open<V: Service<Session = S>>(service: &V, out_bytes_max: usize) -> Self {
        let peer = |port: u16| Peer::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let session = service.open(&Client::new(peer(40_000), peer(80)));
        let now = Now { monotonic_ms: 0, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000) };
        let mut rehearsal = Rehearsal {
            session,
            out: Outbox::new(out_bytes_max),
            unconsumed: Vec::new(),
            input_ended: false,
            now,
            state: State::Waits(Wait::NextRequest),
            answer: Vec::new(),
            answers: Vec::new(),
            answered_at: 0,
            arrived_ms: (0, 0),
        };
        rehearsal.call(Call::Open);
        rehearsal
    }

    /// The same with an observer that wants to know this much of each answer.
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

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now.monotonic_ms += time.as_millis() as u64;
        self.now.wall += time;
    }

    /// Feeds bytes as one arrival; the session is called until it waits again.
    ///
    /// # Panics
    /// After [`Rehearsal::end`].
    pub fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        assert!(!self.input_ended, "nothing comes after the end of input");
        let first_ms = if self.unconsumed.is_empty() { self.now.monotonic_ms } else { self.arrived_ms.0 };
        self.arrived_ms = (first_ms, self.now.monotonic_ms);
        self.unconsumed.extend_from_slice(bytes);
        self.call(Call::Ready)
    }

    /// The client ends its side.
    pub fn end(&mut self) -> &mut Self {
        self.input_ended = true;
        self.call(Call::Ready)
    }

    /// Calls the session with `call`, and on until it waits or is done. All that it says is taken at once.
    ///
    /// # Panics
    /// If the session breaks the contract.
    pub fn call(&mut self, call: Call) -> &mut Self {
        let (mut call, mut idle_calls) = (call, 0);
        while !matches!(self.state, State::Done(_)) {
            let now = self.now;
            let (bytes, ended) = (&self.unconsumed[..], self.input_ended);
            let (arrived_ms, last_arrived_ms) =
                if bytes.is_empty() { (now.monotonic_ms, now.monotonic_ms) } else { self.arrived_ms };
            let input = Input { bytes, ended, call, arrived_ms, last_arrived_ms, now };
            let progress = self.session.advance(input, &mut self.out);
            assert!(progress.consumed <= self.unconsumed.len(), "consumed more than there was");
            let idle = progress.consumed == 0 && self.out.is_empty();
            idle_calls = if idle { idle_calls + 1 } else { 0 };
            assert!(idle_calls < IDLE_CALLS_MAX, "the session spins");
            assert!(progress.next != Next::NeedRoom || !self.out.is_empty(), "needs room in an empty outbox");
            self.unconsumed.drain(..progress.consumed);
            if progress.consumed > 0 {
                self.arrived_ms.0 = self.arrived_ms.1;
            }
            if let Next::Abort(_) = progress.next {
                self.out.abandon(|_| {});
            }
            self.take();
            let expired = matches!(call, Call::Expired(_));
            call = if call == Call::Stopping { call } else { Call::Ready };
            match progress.next {
                next @ (Next::Finish | Next::Close | Next::TimedOut | Next::Abort(_)) => {
                    self.state = State::Done(next);
                }
                next @ Next::NeedInput(_) if self.input_ended || expired => self.state = State::Done(next),
                Next::NeedInput(wait) => {
                    self.state = State::Waits(wait);
                    break;
                }
                next if expired => self.state = State::Done(next),
                Next::Pause => {
                    self.state = State::Pauses;
                    break;
                }
                Next::NeedRoom | Next::Again => {}
            }
        }
        self
    }

    fn take(&mut self) {
        loop {
            let mut slices = [IoSlice::new(&[]); super::outbox::GATHER_MAX];
            let begins_at = self.answer.len() as u64;
            let len = match self.out.front(&mut slices) {
                Front::Empty => 0,
                Front::Bytes { count, .. } => {
                    slices[..count].iter().for_each(|slice| self.answer.extend_from_slice(slice));
                    slices[..count].iter().map(|slice| slice.len() as u64).sum()
                }
                Front::File(range) => {
                    let mut file = &*range.file;
                    file.seek(SeekFrom::Start(range.offset)).expect("a file to seek in");
                    let copied = file.take(range.len).read_to_end(&mut self.answer).expect("a file to read");
                    assert_eq!(copied as u64, range.len, "the file ended short");
                    range.len
                }
            };
            self.out.sent(len, |info, before| {
                let at = begins_at + before;
                self.answers.push((info.clone(), at - std::mem::replace(&mut self.answered_at, at)));
            });
            if self.out.is_empty() {
                return;
            }
        }
    }
}

/// What `service` answers to `chunks`, each one arrival, with an outbox of `out_bytes_max`; `end` ends the input.
/// For properties of the kind "no result depends on how the bytes are split".
pub fn answer<V: Service>(service: &V, chunks: &[&[u8]], end: bool, out_bytes_max: usize) -> Vec<u8> {
    let mut rehearsal = Rehearsal::open(service, out_bytes_max);
    for chunk in chunks {
        rehearsal.feed(chunk);
    }
    if end {
        rehearsal.end();
    }
    rehearsal.answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Progress;

    /// Takes all and has nothing to say, but asks for room to say it: an end with a reason when it is served.
    #[derive(Clone)]
    struct Mute;

    impl Service for Mute {
        type Session = Mute;
        fn open(&self, _client: &Client<'_>) -> Mute {
            Mute
        }
    }

    impl Session for Mute {
        fn advance(&mut self, input: Input<'_>, _out: &mut Outbox) -> Progress {
            match input.bytes.len() {
                0 => Progress::need_input(0, Wait::NextRequest),
                len => Progress::need_room(len),
            }
        }
    }

    #[test]
    #[should_panic(expected = "needs room in an empty outbox")]
    fn what_would_end_a_client_fails_on_the_stage() {
        Rehearsal::open(&Mute, 100).feed(b"something");
    }
}
