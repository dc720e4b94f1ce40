//! The promises of a connection and its outbox, whatever the session returns and whatever the stream does;
//! shared by the fuzz target and the replay of its corpus.
//!
//! One script of bytes decides everything: the limits, the order of events, each operation of the session and
//! the result of each call of the stream. When it is used up, the session asks for input only, the client
//! ends its side and reads all.

mod session;
mod stream;
mod world;

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use oneloop::connection::{
    Connection, Context, Layers, Mode, NEVER_MS, Pumped, Scratch, TimeSource, TurnBudget, WaitTimeouts,
};
use oneloop::limits::Limits;
use oneloop::session::{AnswerDetail, Call, Fault, Next, Now, Peer};
use oneloop::telemetry::{Answer, Observer, Reason, Telemetry};

use session::Scripted;
use stream::{Latches, Stream};
use world::{Close, Seen, World};

/// Pumps from the end of the script to the end of the connection: one for the call under way, one for what
/// waits, one for the end of input, and some to spare. What TCP sends at once: ten segments of an Ethernet
/// (RFC 6928).
const INITIAL_WINDOW_BYTES: usize = 10 * 1460;
const LAST_PUMPS_MAX: u32 = 8;

type Client<'w, 'a> = Connection<Scripted<'w, 'a>, Stream<'w, 'a>>;

/// A connection with what its model has.
struct Stage<'w, 'a> {
    world: &'w World<'a>,
    client: Client<'w, 'a>,
    is_refused: bool,
    limits: Limits,
    scratch: Scratch,
    mode: Mode,
    now_ms: u64,
    /// Cut by its model.
    cut: Option<Reason>,
    /// It was cut while an answer lacked its end, or may have.
    lacks_end: bool,
}

fn limits(world: &World<'_>) -> Limits {
    Limits {
        idle_ms: world.below(3) as u32 * 700,
        request_ms: world.below(3) as u32 * 300,
        rate_window_ms: world.below(3) as u32 * 200,
        rate_bytes_min: world.below(100) as u32,
        linger_ms: world.below(3) as u32 * 100,
        linger_bytes_max: world.below(200) as u32,
        read_bytes: 1 + world.below(120) as u32,
        inbox_bytes_max: 1 + world.below(200) as u32,
        outbox_bytes_max: 1 + world.below(250) as u32,
        reads_per_turn_max: 1 + world.below(4) as u32,
        advances_per_turn_max: 1 + world.below(4) as u32,
        write_bytes_per_turn_max: 1 + world.below(250) as u32 * 4,
        again_max: world.again_max,
        ..Limits::default()
    }
}

fn at(ms: u64) -> Now {
    Now { monotonic_ms: ms, wall: SystemTime::UNIX_EPOCH + Duration::from_millis(ms) }
}

impl<'w, 'a> Stage<'w, 'a> {
    fn new(world: &'w World<'a>) -> Self {
        let limits = limits(world);
        let latches = if world.one_in(2) { Latches::Nothing } else { Latches::Readiness };
        let stream = Stream { world, latches };
        let is_refused = world.one_in(16);
        // A Unix socket has no bytes that a reset would destroy.
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = if world.one_in(4) { Peer::UNIX } else { Peer::from(address) };
        let client = if is_refused {
            let words: Vec<u8> = (0..world.below(40) as u8).collect();
            let mut seen = world.seen.borrow_mut();
            (seen.put, seen.put_memory) = (words.clone(), words.len());
            Connection::refused(stream, &words, Reason::RefusedClients, peer, at(0), &limits)
        } else {
            let mut client = Connection::accepted(stream, Layers::none(), peer, at(0), &limits);
            client.open(Scripted(world));
            client
        };
        let scratch = Scratch::new(&limits);
        Stage {
            world,
            client,
            is_refused,
            limits,
            scratch,
            mode: Mode::Serving,
            now_ms: 0,
            cut: None,
            lacks_end: false,
        }
    }

    fn with_context<R>(
        &mut self,
        telemetry: &mut Telemetry,
        act: impl FnOnce(&mut Client<'w, 'a>, &mut Context<'_>) -> R,
    ) -> R {
        let mut context = Context {
            clock: TimeSource::Turn(at(self.now_ms)),
            limits: &self.limits,
            timeouts: WaitTimeouts::of_limits(&self.limits),
            scratch: &mut self.scratch,
            telemetry,
            mode: self.mode,
        };
        act(&mut self.client, &mut context)
    }

    /// Pumps it, and checks what must hold after every step.
    fn step(&mut self, budget: TurnBudget, is_expiry: bool, telemetry: &mut Telemetry) -> Pumped {
        let counts = |seen: &Seen| (seen.advances, seen.reads, seen.writes, seen.taken.len());
        let before = counts(&self.world.seen.borrow());
        let (was_flushing, has_taken_all) = (self.client.is_flushing(), self.client.lingers_for().is_some());
        let pumped = self.with_context(telemetry, |client, context| {
            if is_expiry { client.expire(context, budget) } else { client.pump(context, budget) }
        });
        let seen = self.world.seen.borrow();
        let after = counts(&seen);
        // An expiry and a drain have one call of the session each that no budget holds back.
        let advances = after.0 - before.0;
        assert!(advances <= budget.advances + 2, "{advances} calls of the session");
        let reads = after.1 - before.1;
        assert!(reads <= budget.reads + advances + 3, "{reads} reads");
        let taken_max = budget.write_bytes + self.limits.outbox_bytes_max as usize;
        assert!(self.is_refused || after.3 - before.3 <= taken_max, "{} bytes written", after.3 - before.3);
        let client = &self.client;
        // The rest of an outbox may be reports of answers only.
        let reached_reports = was_flushing && !client.is_flushing();
        match pumped {
            Pumped::More => {
                assert!(after != before || reached_reports, "nothing was done");
                assert!(!client.is_flushing() || !seen.writes_block, "a write would block");
                let is_latched = client.transport().latches == Latches::Readiness;
                assert!(!client.is_reading() || !is_latched || !seen.reads_block, "a read would block");
            }
            Pumped::Waits if client.is_flushing() => assert!(seen.writes_block, "it could write"),
            Pumped::Waits if client.is_paused() => {
                let is_stopping_sent = seen.called == Some(Call::Stopping);
                assert!(is_stopping_sent || self.mode == Mode::Serving, "no call for the drain");
            }
            Pumped::Waits if client.waits_for_time() => assert!(client.deadline_ms() != NEVER_MS),
            Pumped::Waits => assert!(client.is_reading() && seen.reads_block, "it could read"),
            Pumped::Established => panic!("it was open before"),
            Pumped::Ended(_) => {}
        }
        let is_ended = matches!(pumped, Pumped::Ended(_));
        assert!(is_ended || !is_expiry || !has_taken_all, "it lingers beyond its deadline");
        // A session that is done takes nothing more.
        let inbox_bytes =
            if is_ended || seen.is_shut || self.is_refused { 0 } else { seen.read.len() - seen.consumed };
        let outbox_bytes = if is_ended { 0 } else { seen.put_memory - seen.taken_memory };
        let held_bytes = inbox_bytes + outbox_bytes;
        assert_eq!(client.held_bytes(), held_bytes);
        let bound = self.limits.inbox_bytes_max + self.limits.outbox_bytes_max;
        assert!(self.is_refused || held_bytes <= bound as usize);
        assert!(!client.is_idle() || outbox_bytes == 0, "an idle client has got all");
        assert!(
            !client.is_idle() || self.mode == Mode::Serving || pumped != Pumped::Waits,
            "it is not drained"
        );
        assert!(!client.is_reading() || !seen.is_held, "it waits, and the end of an answer is held back");
        assert_eq!(client.moved_bytes(), (seen.read.len() - inbox_bytes + seen.taken.len()) as u64);
        pumped
    }

    /// The limits of a turn, of a model that blocks, or the least that moves anything.
    fn budget(&self) -> TurnBudget {
        match self.world.below(4) {
            0 => TurnBudget::of_call(&self.limits),
            1 => TurnBudget { reads: 1, advances: 1, write_bytes: 1 },
            _ => TurnBudget::of_turn(&self.limits),
        }
    }

    /// One event and the step that it leads to.
    fn event(&mut self, telemetry: &mut Telemetry) -> Pumped {
        let (world, mut is_expiry) = (self.world, false);
        match world.below(24) {
            0..6 => world.seen.borrow_mut().reads_block = false,
            6..12 => world.seen.borrow_mut().writes_block = false,
            12..15 if self.client.deadline_ms() != NEVER_MS => {
                self.now_ms = self.now_ms.max(self.client.deadline_ms());
                is_expiry = true;
            }
            15 | 16 => {
                self.client.wake();
                // Nobody calls a session whose client is about to end.
                world.seen.borrow_mut().is_woken = true;
            }
            17 if world.one_in(4) => {
                let reason = if world.one_in(2) { Reason::Evicted } else { Reason::DrainCut };
                self.cut = Some(reason);
                let client = &self.client;
                self.lacks_end = client.is_paused() || (client.is_flushing() && !self.is_refused);
                self.with_context(telemetry, |client, context| client.cut(reason, context));
            }
            18 if world.one_in(4) => self.mode = Mode::Draining,
            20..23 => {
                let seen = &mut *world.seen.borrow_mut();
                let untaken = seen.taken.len() - seen.acknowledged;
                seen.acknowledged += untaken * world.below(256) / 255;
            }
            19 => self.now_ms += u64::from(world.next()),
            _ => {}
        }
        let budget = self.budget();
        self.step(budget, is_expiry, telemetry)
    }

    /// Until it has ended: by the script, or in bounded steps after it.
    fn run(&mut self, telemetry: &mut Telemetry) -> Reason {
        while !self.world.is_over() {
            if let Pumped::Ended(reason) = self.event(telemetry) {
                return reason;
            }
        }
        for _ in 0..LAST_PUMPS_MAX {
            let mut seen = self.world.seen.borrow_mut();
            (seen.reads_block, seen.writes_block) = (false, false);
            seen.acknowledged = seen.taken.len();
            drop(seen);
            if self.client.is_paused() {
                self.client.wake();
                self.world.seen.borrow_mut().is_woken = true;
            }
            let budget = TurnBudget { reads: 4, advances: 4, write_bytes: 1 << 20 };
            match self.step(budget, false, telemetry) {
                Pumped::Established => panic!("it was open before"),
                Pumped::Ended(reason) => return reason,
                // It was written in this pump, and is taken before the next.
                Pumped::Waits if self.client.waits_for_time() || self.client.is_paused() => {}
                Pumped::Waits => panic!("it waits for a client that has ended and reads all"),
                Pumped::More => {}
            }
        }
        panic!("it goes on after {LAST_PUMPS_MAX} pumps");
    }

    /// What holds at the end.
    fn check_end(&mut self, reason: Reason, telemetry: &mut Telemetry) {
        let counts = |seen: &Seen| (seen.advances, seen.reads, seen.writes, seen.unfinished_calls);
        let before = counts(&self.world.seen.borrow());
        let budget = TurnBudget::of_turn(&self.limits);
        let again = self.with_context(telemetry, |client, context| client.pump(context, budget));
        let seen = self.world.seen.borrow();
        assert_eq!((again, counts(&seen)), (Pumped::Ended(reason), before), "an end is for good");
        let is_orderly = match reason {
            Reason::Finished => {
                assert!(matches!(seen.said, Some(Next::Finish | Next::Close)));
                true
            }
            Reason::ServiceTimeout => {
                assert_eq!(seen.said, Some(Next::TimedOut));
                true
            }
            Reason::PeerClosed => {
                assert!(seen.has_input_ended);
                true
            }
            Reason::Drained => {
                assert_eq!(self.mode, Mode::Draining);
                true
            }
            Reason::IdleTimeout | Reason::RequestTimeout | Reason::InputTooLong => true,
            Reason::Reset | Reason::Failed => {
                assert_eq!(Some(reason), seen.stream_error.map(|kind| Reason::of_error(&kind.into())));
                false
            }
            Reason::FileShort => {
                assert!(seen.was_file_short);
                false
            }
            Reason::Protocol => {
                assert_eq!(seen.said, Some(Next::Abort(Fault::Protocol)));
                false
            }
            Reason::Contract => {
                assert!(seen.is_at_fault);
                false
            }
            Reason::RefusedClients => {
                assert!(self.is_refused);
                false
            }
            Reason::RateTooLow => false,
            Reason::Evicted | Reason::DrainCut => {
                assert_eq!(self.cut, Some(reason));
                false
            }
            other => panic!("nothing here leads to {other}"),
        };
        assert!(!is_orderly || seen.taken == seen.put, "an orderly end sends all");
        assert!(!is_orderly || !seen.is_held, "the end of an answer is held back for good");
        // What the client has not taken is forgotten with it when it is cut, and else left to the system, as
        // are a few bytes that are the last of all.
        let untaken = seen.taken.len() - seen.acknowledged;
        let is_lost = untaken > 0 && self.client.peer() != Peer::UNIX;
        match seen.close.expect("how the stream is closed") {
            Close::Reset => {
                let lacks_end = self.lacks_end
                    || matches!(reason, Reason::RateTooLow | Reason::Resource | Reason::Panicked);
                assert!(is_lost || lacks_end, "reset, though the client has taken all");
            }
            Close::InOrder => {
                assert!(!self.lacks_end, "an answer without its end looks whole");
                let are_last = untaken <= INITIAL_WINDOW_BYTES && seen.taken == seen.put;
                assert!(
                    !is_lost || is_orderly || self.is_refused || are_last,
                    "cut, and not reset: {reason}"
                );
            }
        }
        let end = self.client.end(reason, at(self.now_ms));
        assert_eq!((end.bytes_in, end.bytes_out), (seen.read.len() as u64, seen.taken.len() as u64));
        assert_eq!(seen.unfinished_calls, u32::from(!self.is_refused), "asked for once what is unfinished");
    }
}

/// Keeps the bytes of each answer's content.
#[derive(Default)]
struct Reported(Mutex<Vec<u64>>);

impl Observer for Reported {
    fn answer_detail(&self) -> AnswerDetail {
        AnswerDetail::Outcome
    }

    fn answered(&self, answer: &Answer<'_>) {
        self.0.lock().unwrap().push(answer.content_bytes());
    }
}

/// What has to be reported: of each answer the bytes that were taken, without its head.
fn expected(seen: &Seen) -> Vec<u64> {
    let mut before = 0;
    let counts = seen.answers.iter().map(|&(at, head_bytes)| {
        let at = at.min(seen.taken.len());
        let sent = at - std::mem::replace(&mut before, at);
        (sent as u64).saturating_sub(head_bytes.into())
    });
    counts.collect()
}

/// The script is followed to its end. Bytes leave in the order in which they were put, and none is lost
/// before a cut; an answer is reported once; `held_bytes` is what waits; no pump spends more than its budget,
/// waits where it could go on, or goes on without doing anything; and the end comes in bounded steps.
pub(crate) fn check(data: &[u8]) {
    let world = World { script: Cell::new(data), seen: RefCell::default(), again_max: 3 };
    let reported = Arc::new(Reported::default());
    let mut telemetry = Telemetry::new().with_observer(reported.clone());
    let mut stage = Stage::new(&world);
    let reason = stage.run(&mut telemetry);
    stage.check_end(reason, &mut telemetry);
    let seen = world.seen.borrow();
    assert_eq!(*reported.0.lock().unwrap(), expected(&seen), "{reason}");
}
