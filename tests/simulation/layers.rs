//! Clients whose bytes pass through layers, under models that open, refuse and cut: the same promises hold,
//! whatever the layers do to the bytes, and the table of transitions in `src/connection/state.rs` is what
//! happens.

use std::collections::BTreeSet;
use std::sync::{Mutex, Once};

use oneloop::connection::{
    Connection, Context, ListenerLayers, Mode, NEVER_MS, Pumped, Scratch, TimeSource, TurnBudget,
    WaitTimeouts,
};
use oneloop::limits::Limits;
use oneloop::session::Peer;
use oneloop::telemetry::{Reason, Telemetry};

use super::script::{
    Action, FramesSession, Random, Readiness, SEND_BUFFER, Script, Scripted, expected, limits, script,
};
use super::toys::{self, FramesClient, Origin};
use super::world::at;

/// Steps of one run: far more than any script needs. A run that needs more spins.
const STEPS_MAX: usize = 200_000;
const SEEDS: u64 = 3_000;
/// Last words.
const WORDS: &[u8] = b"too many";
const HANDSHAKE_MS: u32 = 1_500;
/// What the layers of one client may keep, and its buffers.
const MEMORY_BYTES_MAX: usize = 12 << 10;
/// The address that a client sends to [`Origin`].
const ORIGIN: &str = "192.0.2.7:1234";

/// What lies between the stream and the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Plain,
    Frames,
    /// An address first, then the toy.
    OriginAndFrames,
}

/// How the client shakes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    Right,
    /// It never begins.
    Silent,
    /// It sends another message than is due.
    Wrong,
}

/// All that a seed decides.
#[derive(Debug)]
struct Case {
    wire: Wire,
    manners: Manners,
    begins_ms: u64,
    fails_after: Option<u32>,
    refuses: bool,
    is_direct: bool,
    cut_at_ms: Option<u64>,
    wake_at_ms: Option<u64>,
    peer: Peer,
    script: Script,
    limits: Limits,
}

impl Case {
    fn new(random: &mut Random) -> Case {
        let wire = [Wire::Plain, Wire::Frames, Wire::OriginAndFrames][random.below(3) as usize];
        let manners = match random.below(8) {
            0 => Manners::Silent,
            1 => Manners::Wrong,
            _ => Manners::Right,
        };
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        Case {
            wire,
            manners: if wire == Wire::Plain { Manners::Right } else { manners },
            begins_ms: [0, 0, 700, 1_600][random.below(4) as usize],
            fails_after: random.one_in(3).then(|| random.below(60) as u32),
            refuses: random.one_in(8),
            is_direct: random.one_in(2),
            cut_at_ms: random.one_in(8).then(|| random.below(4_000)),
            wake_at_ms: random.one_in(3).then(|| random.below(3_000)),
            peer: if random.one_in(3) { Peer::UNIX } else { Peer::from(addr) },
            script: script(random),
            limits: Limits {
                handshake_ms: HANDSHAKE_MS,
                refusal_linger_ms: 200,
                rate_window_ms: 2_000,
                ..limits(random)
            },
        }
    }

    fn layers(&self) -> ListenerLayers {
        let fails_after = self.fails_after;
        let frames = move || fails_after.map_or_else(toys::Frames::default, toys::Frames::failing_after);
        match self.wire {
            Wire::Plain => ListenerLayers::none(),
            Wire::Frames => ListenerLayers::none().with(frames),
            Wire::OriginAndFrames => ListenerLayers::none().with(Origin::default).with(frames),
        }
    }
}

/// The client's side, the connection, and the time.
struct Stage {
    case: Case,
    toy: FramesClient,
    has_begun: bool,
    /// How much of what the stream took the client has seen.
    seen: usize,
    next_action: usize,
    now_ms: u64,
    is_drained: bool,
    scratch: Scratch,
    telemetry: Telemetry,
    connection: Connection<FramesSession, Scripted>,
}

impl Stage {
    fn new(seed: u64) -> Stage {
        let mut random = Random(seed);
        let case = Case::new(&mut random);
        let readiness = if random.one_in(2) { Readiness::Unknown } else { Readiness::Latched };
        let transport = Scripted { readiness, ..Scripted::new(random) };
        let layers = case.layers().make();
        Stage {
            toy: FramesClient::default(),
            has_begun: false,
            seen: 0,
            next_action: 0,
            now_ms: 0,
            is_drained: false,
            scratch: Scratch::new(&case.limits),
            telemetry: Telemetry::new(),
            connection: Connection::accepted(transport, layers, case.peer, at(0), &case.limits),
            case,
        }
    }

    /// What the service's answers look like to the client.
    fn got(&self) -> &[u8] {
        if self.case.wire == Wire::Plain { &self.connection.transport().got } else { &self.toy.got }
    }

    fn arrive(&mut self, bytes: &[u8]) -> bool {
        self.connection.transport_mut().arrived.extend(bytes);
        !bytes.is_empty()
    }

    /// What the client does until now; whether the server would see an event.
    fn client_acts(&mut self) -> bool {
        let mut event = false;
        if self.case.wire != Wire::Plain && !self.has_begun && self.case.begins_ms <= self.now_ms {
            self.has_begun = true;
            let mut bytes = Vec::new();
            if self.case.wire == Wire::OriginAndFrames {
                bytes.extend(format!("{ORIGIN}\n").into_bytes());
            }
            match self.case.manners {
                Manners::Silent => bytes.clear(),
                Manners::Wrong => bytes.extend(toys::message(b"good day")),
                Manners::Right => bytes.extend(self.toy.begin()),
            }
            event |= self.arrive(&bytes);
        }
        if self.case.wire != Wire::Plain && self.has_begun && self.case.manners == Manners::Right {
            let new = self.connection.transport().got[self.seen..].to_vec();
            self.seen += new.len();
            let bytes = self.toy.receive(&new);
            event |= self.arrive(&bytes);
        }
        while let Some((_, action)) =
            self.case.script.actions.get(self.next_action).filter(|(at, _)| *at <= self.now_ms)
        {
            self.next_action += 1;
            let (plain, action) = (self.case.wire == Wire::Plain, action.clone());
            match action {
                Action::Send(bytes) if plain => event |= self.arrive(&bytes),
                Action::Send(bytes) => {
                    let bytes = self.toy.send(&bytes);
                    event |= self.arrive(&bytes);
                }
                Action::End if plain => {
                    self.connection.transport_mut().ended = true;
                    event = true;
                }
                Action::End => {
                    let bytes = self.toy.end();
                    event |= self.arrive(&bytes);
                }
                Action::Reset => {
                    self.connection.transport_mut().reset = true;
                    event = true;
                }
                Action::Read(taken_per_ms) => self.connection.transport_mut().taken_per_ms = taken_per_ms,
            }
        }
        event
    }

    fn mode(&self) -> Mode {
        let drains = self.case.script.drain_at_ms.is_some_and(|at| at <= self.now_ms);
        if drains { Mode::Draining } else { Mode::Serving }
    }

    fn with_context<R>(
        &mut self,
        act: impl FnOnce(&mut Connection<FramesSession, Scripted>, &mut Context<'_>, TurnBudget) -> R,
    ) -> R {
        let mode = self.mode();
        let mut context = Context {
            clock: TimeSource::Turn(at(self.now_ms)),
            limits: &self.case.limits,
            timeouts: WaitTimeouts::of_limits(&self.case.limits),
            scratch: &mut self.scratch,
            telemetry: &mut self.telemetry,
            mode,
        };
        act(&mut self.connection, &mut context, TurnBudget::of_turn(&self.case.limits))
    }

    /// One step of the model.
    fn step(&mut self, expires: bool) -> Pumped {
        let pumped = self.with_context(|connection, context, budget| {
            if expires { connection.expire(context, budget) } else { connection.pump(context, budget) }
        });
        let memory_bytes = self.connection.memory_bytes();
        assert!(memory_bytes <= MEMORY_BYTES_MAX, "it keeps {memory_bytes} bytes");
        if pumped != Pumped::Established {
            return pumped;
        }
        if self.case.wire == Wire::OriginAndFrames {
            assert_eq!(self.connection.peer().to_string(), ORIGIN);
        }
        if self.case.refuses {
            let (now, limits) = (at(self.now_ms), &self.case.limits);
            self.connection.refuse(WORDS, Reason::RefusedAddress, now, limits);
        } else {
            let client = self.connection.client(Peer::UNIX, None);
            if self.case.wire != Wire::Plain {
                assert_eq!(
                    (client.server_name, client.protocol),
                    (Some("server.test"), Some(&b"frames/1"[..]))
                );
            }
            let is_direct = self.case.is_direct;
            self.connection.open(FramesSession { is_direct, ..FramesSession::default() });
        }
        Pumped::More
    }

    /// Until it ends: why.
    fn run(&mut self) -> Reason {
        let mut runnable = true;
        for _ in 0..STEPS_MAX {
            runnable |= self.client_acts();
            if self.mode() == Mode::Draining && !self.is_drained {
                (self.is_drained, runnable) = (true, true);
            }
            if self.case.cut_at_ms.is_some_and(|at| at <= self.now_ms) {
                self.with_context(|connection, context, _| connection.cut(Reason::Evicted, context));
                return Reason::Evicted;
            }
            if self.case.wake_at_ms.take_if(|at| *at <= self.now_ms).is_some() {
                self.connection.wake();
                runnable = true;
            }
            let due = self.connection.deadline_ms() <= self.now_ms;
            if runnable || due {
                match self.step(!runnable && due) {
                    Pumped::Waits => runnable = false,
                    Pumped::Established | Pumped::More => runnable = true,
                    Pumped::Ended(reason) => return reason,
                }
                continue;
            }
            self.pass_time(&mut runnable);
        }
        panic!("the run does not end: a spin");
    }

    /// Passes to the next time at which anything happens.
    fn pass_time(&mut self, runnable: &mut bool) {
        let case = &self.case;
        let transport = self.connection.transport();
        let is_full = transport.in_flight >= SEND_BUFFER;
        let next_ms = [
            case.script.actions.get(self.next_action).map(|(at, _)| *at),
            case.script.drain_at_ms.filter(|_| !self.is_drained),
            case.cut_at_ms,
            case.wake_at_ms,
            Some(case.begins_ms).filter(|_| !self.has_begun && case.wire != Wire::Plain),
            (is_full && transport.taken_per_ms > 0).then_some(self.now_ms + 1),
            Some(self.connection.deadline_ms()),
        ];
        let next_ms = next_ms.into_iter().flatten().min().unwrap_or(NEVER_MS);
        assert_ne!(next_ms, NEVER_MS, "a client that waits for ever: {:?}", self.connection);
        let transport = self.connection.transport_mut();
        let taken = transport.taken_per_ms.saturating_mul(next_ms - self.now_ms);
        transport.in_flight = transport.in_flight.saturating_sub(taken);
        *runnable |= is_full && transport.in_flight < SEND_BUFFER;
        self.now_ms = next_ms;
    }

    fn check(&mut self, reason: Reason) {
        self.client_acts(); // it sees the last bytes
        let (whole, verdict) = expected(&self.case.script.sent);
        let case = &self.case;
        let due = if case.refuses { WORDS } else { &whole };
        assert!(due.starts_with(self.got()), "what was sent is a prefix of the answer");
        let is_layered = case.wire != Wire::Plain;
        let shakes_hands = case.manners == Manners::Right;
        let may_fail = is_layered && case.fails_after.is_some();
        match reason {
            Reason::Finished | Reason::PeerClosed => {
                assert_eq!(self.got(), whole);
                assert!(!is_layered || self.toy.has_ended, "the layer's own end came, too");
            }
            Reason::Protocol => assert!(verdict == Some(Reason::Protocol) || may_fail),
            Reason::HandshakeFailed => {
                assert!(is_layered && !self.toy.is_established() || may_fail);
                assert!(case.manners == Manners::Wrong || may_fail);
            }
            Reason::HandshakeTimeout => {
                assert!(is_layered && !self.toy.is_established());
                assert!(self.now_ms >= u64::from(HANDSHAKE_MS));
                assert!(!shakes_hands || case.begins_ms >= u64::from(HANDSHAKE_MS) || self.is_slow());
            }
            Reason::Reset => {
                assert!(case.script.actions.iter().any(|(_, action)| matches!(action, Action::Reset)));
            }
            Reason::RefusedAddress => assert!(case.refuses),
            Reason::IdleTimeout | Reason::RequestTimeout => {
                assert!(!case.refuses);
                // What comes while it lingers comes too late.
                let late_ms = self.now_ms.saturating_sub(case.limits.linger_ms.into());
                let mut actions = case.script.actions.iter();
                if case.begins_ms.max(actions.clone().map(|(at, _)| *at).max().unwrap_or(0)) < late_ms {
                    assert_eq!(self.got(), whole, "it has got all that it asked for");
                    let ends = actions.any(|(_, action)| matches!(action, Action::End));
                    assert!(!ends, "its end was seen before the deadline");
                }
            }
            Reason::RateTooLow => assert!(self.is_slow()),
            Reason::Drained => assert!(self.is_drained),
            Reason::Evicted => assert!(case.cut_at_ms.is_some()),
            other => panic!("no script leads to {other}"),
        }
    }

    fn is_slow(&self) -> bool {
        self.case.script.actions.iter().any(|(_, action)| matches!(action, Action::Read(0..=200)))
    }
}

/// Collects the transitions that `log` reports.
struct Transitions(Mutex<BTreeSet<(String, String)>>);

static TRANSITIONS: Transitions = Transitions(Mutex::new(BTreeSet::new()));

impl log::Log for Transitions {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "oneloop::connection::state"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata())
            && record.level() == log::Level::Trace
            && let Some((from, to)) = record.args().to_string().split_once(" -> ")
            && let Some((_, from)) = from.rsplit_once(' ')
        {
            self.0.lock().unwrap().insert((from.to_owned(), to.to_owned()));
        }
    }

    fn flush(&self) {}
}

/// The table at the beginning of `state.rs`.
fn documented() -> BTreeSet<(String, String)> {
    let lines = include_str!("../../src/connection/state.rs").lines();
    let rows = lines.filter_map(|line| line.strip_prefix("//! ")?.split_once(" -> "));
    let name = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    rows.map(|(from, to)| (name(from), name(to))).collect()
}

#[test]
fn layers_keep_every_promise_and_the_table_of_transitions_is_what_happens() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| log::set_logger(&TRANSITIONS).unwrap());
    log::set_max_level(log::LevelFilter::Trace);
    let first = std::env::var("ONELOOP_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let seeds = if std::env::var_os("ONELOOP_SEED").is_some() { 1 } else { SEEDS };
    let mut reasons = std::collections::BTreeMap::new();
    for seed in first..first + seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut stage = Stage::new(seed);
            let reason = stage.run();
            stage.check(reason);
            reason
        });
        let reason = outcome.unwrap_or_else(|_| panic!("ONELOOP_SEED={seed} repeats this failure"));
        *reasons.entry(reason).or_insert(0u64) += 1;
    }
    println!("{seeds} seeds from {first}: {reasons:?}");
    if seeds == SEEDS {
        let (seen, documented) = (TRANSITIONS.0.lock().unwrap().clone(), documented());
        let undocumented: Vec<_> = seen.difference(&documented).collect();
        assert!(undocumented.is_empty(), "seen, and not in the table: {undocumented:?}");
        let unseen: Vec<_> = documented.difference(&seen).collect();
        assert!(unseen.is_empty(), "in the table, and not seen: {unseen:?}");
    }
}
