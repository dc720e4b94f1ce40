//! What a client does in one run, made from a seed; the service it talks to, and the stream between them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use oneloop::connection::{Patience, ReadOutcome, Transport, WriteOutcome};
use oneloop::limits::Limits;
use oneloop::session::{
    Call, ClientInfo, Fault, FileRange, Input, Next, Outbox, Progress, Service, Session, Wait,
};
use oneloop::telemetry::Reason;

/// A splitmix64 generator: small, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Frames of one length byte and so many bytes; each is answered by its bytes, three times, and a dot. It has
/// all the ways of a session: it asks for the rest of requests, for room, for turns, and finishes with a `!`
/// at a frame of length 0. Before the end of its answer to a long frame it pauses until its timer is due.
#[derive(Clone)]
pub(crate) struct Frames;

#[derive(Debug, Default)]
pub(crate) struct FramesSession {
    /// The rest of the answer to the last frame.
    pub(crate) owed: VecDeque<u8>,
    /// Whether it answers a frame in the call that brings it.
    pub(crate) is_direct: bool,
    /// When the answer may be sent.
    pub(crate) owed_from_ms: Option<u64>,
}

/// Frames as long as this are answered after a pause.
const PAUSE_BYTES_MIN: usize = 100;
/// A time of this many ms.
const PAUSE_MS: u64 = 30;

impl Service for Frames {
    type Session = FramesSession;
    fn open(&self, _client: &ClientInfo<'_>) -> FramesSession {
        FramesSession::default()
    }
}

impl Session for FramesSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        if let Some(from_ms) = self.owed_from_ms {
            if input.now.monotonic_ms < from_ms && input.call != Call::Stopping {
                assert_eq!(input.call, Call::Woken, "in a pause");
                return Progress::pause(0);
            }
            self.owed_from_ms = None;
            let len = out.put_some(self.owed.make_contiguous());
            self.owed.drain(..len);
            return match (self.owed.is_empty(), input.call) {
                (true, Call::Stopping) => Progress::finish(0),
                (true, _) if input.bytes.is_empty() => Progress::need_input(0, Wait::NextRequest),
                (true, _) => Progress::again(0),
                (false, _) => Progress::need_room(0),
            };
        }
        if !self.owed.is_empty() {
            let len = out.put_some(self.owed.make_contiguous());
            self.owed.drain(..len);
            return if self.owed.is_empty() { Progress::again(0) } else { Progress::need_room(0) };
        }
        let Some((&len, rest)) = input.bytes.split_first() else {
            return Progress::need_input(0, Wait::NextRequest);
        };
        match (len, rest.get(..usize::from(len))) {
            (0, _) if out.put_some(b"!") == 0 => Progress::need_room(0),
            (0, _) => Progress::finish(1),
            (255, _) => Progress::abort(Fault::Protocol),
            (_, None) => Progress::need_input(0, Wait::Rest),
            (_, Some(frame)) => {
                self.owed.extend(answer(frame));
                if frame.len() >= PAUSE_BYTES_MIN && !self.is_direct {
                    let len = out.put_some(&frame[..frame.len() / 2]);
                    self.owed.drain(..len);
                    self.owed_from_ms = Some(input.now.monotonic_ms + PAUSE_MS);
                    return Progress::pause(1 + frame.len());
                }
                if self.is_direct && rest.len() == frame.len() {
                    let len = out.put_some(self.owed.make_contiguous());
                    self.owed.drain(..len);
                    let next = if self.owed.is_empty() {
                        Next::NeedInput(Wait::NextRequest)
                    } else {
                        Next::NeedRoom
                    };
                    return Progress::new(1 + frame.len(), next);
                }
                Progress::again(1 + frame.len())
            }
        }
    }

    fn timer_due_ms(&self) -> Option<u64> {
        self.owed_from_ms
    }
}

pub(crate) fn answer(frame: &[u8]) -> Vec<u8> {
    [frame, frame, frame, b"."].concat()
}

/// What the client does, and when.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Send(Vec<u8>),
    End,
    Reset,
    /// From now on it takes this many bytes per ms.
    Read(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) actions: Vec<(u64, Action)>,
    /// All that is sent, in order.
    pub(crate) sent: Vec<u8>,
    pub(crate) drain_at_ms: Option<u64>,
}

pub(crate) fn script(random: &mut Random) -> Script {
    let (mut at, mut actions, mut sent) = (0, Vec::new(), Vec::new());
    if random.one_in(3) {
        actions.push((0, Action::Read([0, 1, 3, 50][random.below(4) as usize])));
    }
    for _ in 0..random.below(12) {
        at += [0, 0, 1, 40, 700, 2_500][random.below(6) as usize];
        let mut bytes = Vec::new();
        for _ in 0..=random.below(4) {
            let len = match random.below(40) {
                0 => 0,
                1 => 255,
                n if n < 20 => 1 + random.below(9),
                _ => 1 + random.below(254),
            } as u8;
            bytes.push(len);
            bytes.extend((0..len).map(|_| random.next() as u8));
        }
        if random.one_in(6) {
            bytes.truncate(random.below(bytes.len() as u64) as usize); // a frame that may never be whole
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
            actions.push((at, Action::Send(now.to_vec())));
            at += if random.one_in(3) { random.below(300) } else { 0 };
            rest = later;
        }
        sent.extend(bytes);
        if random.one_in(8) {
            actions.push((at, Action::Read(random.below(200))));
        }
    }
    at += random.below(900);
    match random.below(5) {
        0 => actions.push((at, Action::Reset)),
        1 | 2 => actions.push((at, Action::End)),
        _ => {}
    }
    let drain_at_ms = random.one_in(4).then(|| random.below(at + 2_000));
    Script { actions, sent, drain_at_ms }
}

/// The client's end of the stream, as the kernel shows it.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) random: Random,
    pub(crate) arrived: VecDeque<u8>,
    pub(crate) ended: bool,
    pub(crate) reset: bool,
    /// Room in the send buffer, and what of it the client has not taken.
    pub(crate) in_flight: u64,
    pub(crate) taken_per_ms: u64,
    pub(crate) got: Vec<u8>,
    pub(crate) shut: bool,
    /// What the last write put, if it promised that more follows: the system may hold it back.
    pub(crate) held_bytes: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) readiness: Readiness,
}

/// What `may_read` of the stream depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nothing: it is always true, as for a stream that blocks.
    Unknown,
    /// Whether there is something to read, as for a stream whose readiness is latched.
    Latched,
}

impl Scripted {
    /// A stream of which nothing has been seen yet, with a client that reads at once.
    pub(crate) fn new(random: Random) -> Self {
        Scripted {
            random,
            arrived: VecDeque::new(),
            ended: false,
            reset: false,
            in_flight: 0,
            taken_per_ms: 1_000_000,
            got: Vec::new(),
            shut: false,
            held_bytes: 0,
            reads: 0,
            writes: 0,
            readiness: Readiness::Unknown,
        }
    }
}

/// The send buffer of the stream, in bytes.
pub(crate) const SEND_BUFFER: u64 = 900;

impl Transport for Scripted {
    fn read(&mut self, buf: &mut [u8], _patience: Patience) -> io::Result<ReadOutcome> {
        self.reads += 1;
        if self.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.arrived.is_empty() {
            return Ok(if self.ended { ReadOutcome::End } else { ReadOutcome::NotNow });
        }
        let len = (1 + self.random.below(self.arrived.len() as u64) as usize).min(buf.len());
        for (to, byte) in buf.iter_mut().zip(self.arrived.drain(..len)) {
            *to = byte;
        }
        Ok(ReadOutcome::Bytes(len))
    }

    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<WriteOutcome> {
        self.writes += 1;
        assert!(!self.shut, "a write after shutdown");
        if self.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        assert!(!bytes.is_empty(), "an empty write");
        let room = SEND_BUFFER.saturating_sub(self.in_flight);
        if room == 0 {
            return Ok(WriteOutcome::NotNow);
        }
        let len = (1 + self.random.below(bytes.len() as u64)).min(room);
        self.in_flight += len;
        self.held_bytes = if more { len } else { 0 };
        self.got.extend_from_slice(&bytes[..len as usize]);
        Ok(WriteOutcome::Bytes(len as usize))
    }

    fn send_file(&mut self, _range: &FileRange, _max: usize) -> io::Result<WriteOutcome> {
        unreachable!("this service sends no files")
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        (self.shut, self.held_bytes) = (true, 0);
        if self.reset { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn may_read(&self) -> bool {
        self.readiness == Readiness::Unknown || !self.arrived.is_empty() || self.ended || self.reset
    }

    fn unacknowledged_bytes(&self) -> u64 {
        self.in_flight
    }
}

pub(crate) fn limits(random: &mut Random) -> Limits {
    Limits {
        idle_ms: 3_000,
        request_ms: 1_000,
        rate_window_ms: 2_000,
        rate_bytes_min: 100,
        linger_ms: if random.one_in(3) { 0 } else { 400 },
        linger_bytes_max: 500,
        drain_ms: 5_000,
        read_bytes: 1 + random.below(600) as u32,
        inbox_bytes_max: 1024,
        outbox_bytes_max: 40 + random.below(900) as u32,
        reads_per_turn_max: 1 + random.below(4) as u32,
        advances_per_turn_max: 1 + random.below(4) as u32,
        write_bytes_per_turn_max: 1 + random.below(500) as u32,
        ..Limits::default()
    }
}

/// What a client that is served to the end gets for what it sent, and how the service ends it.
pub(crate) fn expected(sent: &[u8]) -> (Vec<u8>, Option<Reason>) {
    let (mut got, mut rest) = (Vec::new(), sent);
    while let Some((&len, after)) = rest.split_first() {
        match (len, after.get(..usize::from(len))) {
            (0, _) => {
                got.push(b'!');
                return (got, Some(Reason::Finished));
            }
            (255, _) => return (got, Some(Reason::Protocol)),
            (_, None) => break,
            (_, Some(frame)) => {
                got.extend(answer(frame));
                rest = &after[frame.len()..];
            }
        }
    }
    (got, None)
}
