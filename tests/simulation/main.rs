//! A seeded simulation of connections over a scripted transport, in virtual time: short reads and writes,
//! calls that would block, half-closes, resets, stalls and slow readers, with every deadline on. The same
//! seed gives the same run.
//!
//! `ONELOOP_SIM_SEEDS=N` runs N seeds (default 2,000), `ONELOOP_SEED=S` begins with, and repeats, seed S.
//!
//! Where a new test goes: here if it would wait for silence or for a span of time on a real socket;
//! `deadlines`, `layers` and `sessions` are its subjects, `script` and `world` the transport and the clients.

mod deadlines;
mod layers;
mod script;
mod sessions;
mod world;

use oneloop::connection::{Connection, Context, Mode, Pumped, Scratch, TimeSource, TurnBudget, WaitTimeouts};
use oneloop::limits::Limits;
use oneloop::services::Echo;
use oneloop::session::{Call, Input, Outbox, Progress, Session, Wait};
use oneloop::telemetry::{Reason, Telemetry};
use oneloop_tests::layers as toys;

use script::{Action, Random, Readiness, Script, Scripted, expected, limits};
use world::{Run, World, at, opened};

fn check(run: &Run, world: &World) {
    let (whole, verdict) = expected(&world.script.sent);
    let script = &world.script;
    assert!(whole.starts_with(&run.got), "what was sent is a prefix of the answer");
    let calls = |wanted: fn(&Action) -> bool| {
        script.actions[..world.next_action].iter().any(|(_, action)| wanted(action))
    };
    let all_done = world.next_action == script.actions.len();
    match run.reason {
        Reason::Finished => assert!(verdict == Some(Reason::Finished) && run.got == whole),
        Reason::Protocol => assert_eq!(verdict, Some(Reason::Protocol)),
        Reason::PeerClosed => {
            assert!(
                all_done
                    && calls(|action| matches!(action, Action::End))
                    && verdict.is_none()
                    && run.got == whole
            );
        }
        Reason::Reset => assert!(calls(|action| matches!(action, Action::Reset))),
        Reason::IdleTimeout | Reason::RequestTimeout => {
            assert!(run.ended_ms >= 1_000, "no deadline is shorter");
        }
        Reason::RateTooLow => assert!(calls(|action| matches!(action, Action::Read(0..=100)))),
        Reason::Drained => assert_eq!(world.mode(), Mode::Draining),
        other => panic!("no script leads to {other}"),
    }
    // What comes while it lingers comes too late.
    let in_time = script.actions.iter().all(|(at, _)| at + u64::from(world.limits.linger_ms) < run.ended_ms);
    if run.reason == Reason::IdleTimeout && in_time {
        assert!(run.got == whole, "an idle client has got all that it asked for");
    }
}

fn first_seed() -> u64 {
    std::env::var("ONELOOP_SEED").ok().map_or(1, |seed| seed.parse().expect("ONELOOP_SEED is a number"))
}

#[test]
fn no_script_of_a_client_breaks_a_promise() {
    let seeds: u64 =
        std::env::var("ONELOOP_SIM_SEEDS").map_or(2_000, |n| n.parse().expect("a number of seeds"));
    let mut reasons = std::collections::BTreeMap::new();
    for seed in first_seed()..first_seed() + seeds {
        let outcome = std::panic::catch_unwind(|| {
            let (run, world) = World::new(seed).run();
            check(&run, &world);
            run
        });
        let run = outcome
            .unwrap_or_else(|_| panic!("ONELOOP_SEED={seed} ONELOOP_SIM_SEEDS=1 repeats this failure"));
        *reasons.entry(run.reason).or_insert(0u64) += 1;
        if seed % 50 == 0 {
            assert_eq!(World::new(seed).run().0, run, "the same seed gives the same run (seed {seed})");
        }
    }
    println!("{seeds} seeds from {}: {reasons:?}", first_seed());
    if seeds >= 2_000 {
        for reason in [
            Reason::Finished,
            Reason::Protocol,
            Reason::PeerClosed,
            Reason::Reset,
            Reason::IdleTimeout,
            Reason::RequestTimeout,
            Reason::RateTooLow,
            Reason::Drained,
        ] {
            assert!(
                reasons.contains_key(&reason),
                "no script led to {reason}: the simulation has lost its reach"
            );
        }
    }
}

/// The deadline of a request is absolute: a byte now and then does not extend it, and neither does the number
/// of calls.
#[test]
fn a_request_that_trickles_ends_exactly_at_its_deadline() {
    let mut world = World::new(7);
    world.limits =
        Limits { linger_ms: 400, read_bytes: 64, outbox_bytes_max: 4096, ..limits(&mut Random(7)) };
    let trickle = (0..100).map(|i| (500 + i * 30, Action::Send(vec![200]))).collect();
    world.script = Script { actions: trickle, sent: vec![200; 100], drain_at_ms: None };
    let (run, _) = world.run();
    assert_eq!(
        (run.reason, run.ended_ms),
        (Reason::RequestTimeout, 500 + 1_000 + 400),
        "first byte, rest, linger"
    );
}

#[test]
fn a_session_that_asks_for_another_turn_lets_the_others_go_first() {
    let mut world = World::new(5);
    world.limits = Limits { read_bytes: 64, outbox_bytes_max: 4096, ..Limits::default() };
    world.script = Script { actions: Vec::new(), sent: Vec::new(), drain_at_ms: None };
    world.client.transport_mut().arrived.extend([1, b'x']);
    let pumps = (1..20).find(|_| world.step(false) == Pumped::Waits).expect("it comes to rest");
    assert!(pumps >= 3, "a frame and its answer end with Again, so {pumps} turns are too few");
}

/// The loop was busy elsewhere when the bytes came, and looks at the deadline first.
#[test]
fn bytes_that_came_in_time_win_over_a_deadline_that_is_looked_at_late() {
    let mut world = World::new(5);
    world.limits = Limits { read_bytes: 64, outbox_bytes_max: 4096, ..limits(&mut Random(5)) };
    world.script = Script { actions: Vec::new(), sent: Vec::new(), drain_at_ms: None };
    assert_eq!(world.step(false), Pumped::Waits);
    world.client.transport_mut().arrived.extend([1, b'x']);
    world.pass(world.client.deadline_ms());
    assert_ne!(world.step(true), Pumped::Ended(Reason::IdleTimeout));
    for _ in 0..10 {
        world.step(false);
    }
    assert_eq!(world.client.transport().got, b"xxx.");
    assert!(world.client.is_idle() && world.client.deadline_ms() > world.now_ms);
}

type Move = fn(&mut Connection<Echo, Scripted>, &mut Context<'_>, TurnBudget) -> Pumped;

/// The same with a session that needs input after each answer, for both kinds of readiness.
#[test]
fn a_client_that_is_answered_at_a_late_look_is_not_ended_by_it() {
    for readiness in [Readiness::Unknown, Readiness::Latched] {
        let limits = limits(&mut Random(5));
        let (mut scratch, mut telemetry) = (Scratch::new(&limits), Telemetry::new());
        let stream = Scripted { readiness, ..Scripted::new(Random(5)) };
        let mut client = opened(stream, Echo);
        let mut move_on = |client: &mut Connection<Echo, Scripted>, ms, how: Move| {
            let mut context = Context {
                clock: TimeSource::Turn(at(ms)),
                limits: &limits,
                timeouts: WaitTimeouts::of_limits(&limits),
                scratch: &mut scratch,
                telemetry: &mut telemetry,
                mode: Mode::Serving,
            };
            how(client, &mut context, TurnBudget { reads: 9, advances: 9, write_bytes: 999 })
        };
        assert_eq!(move_on(&mut client, 0, Connection::pump), Pumped::Waits);
        let late_ms = client.deadline_ms() + 5;
        client.transport_mut().arrived.push_back(b'x');
        assert_eq!(move_on(&mut client, late_ms, Connection::expire), Pumped::Waits);
        assert_eq!(client.transport().got, b"x");
        assert!(client.is_idle() && client.deadline_ms() > late_ms, "{client:?}");
        let late_ms = client.deadline_ms() + 5;
        move_on(&mut client, late_ms, Connection::expire);
        assert!(!client.is_idle(), "nothing came this time: {client:?}");
    }
}

#[test]
fn a_client_that_owes_nothing_is_idle_exactly_from_its_last_request() {
    let mut world = World::new(9);
    world.limits =
        Limits { linger_ms: 400, read_bytes: 64, outbox_bytes_max: 4096, ..limits(&mut Random(9)) };
    let actions = vec![(100, Action::Send(vec![1, b'x'])), (2_900, Action::Send(vec![1, b'y']))];
    world.script = Script { actions, sent: vec![1, b'x', 1, b'y'], drain_at_ms: None };
    let (run, _) = world.run();
    assert_eq!(
        (run.reason, run.ended_ms, &run.got[..]),
        (Reason::IdleTimeout, 2_900 + 3_000 + 400, &b"xxx.yyy."[..])
    );
}

/// As an empty line before a request of HTTP is none (RFC 9112, section 2.2).
#[test]
fn bytes_that_are_not_a_request_do_not_reset_the_idle_deadline() {
    #[derive(Debug)]
    struct WantsThree;
    impl Session for WantsThree {
        fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
            let whole = input.bytes.len() / 3 * 3;
            out.put_some(&input.bytes[..whole]);
            Progress::need_input(whole, Wait::NextRequest)
        }
    }
    let limits = limits(&mut Random(5));
    let (mut scratch, mut telemetry) = (Scratch::new(&limits), Telemetry::new());
    let mut client = opened(Scripted::new(Random(5)), WantsThree);
    for (ms, byte, due_ms) in
        [(0, None, 3_000), (1_000, Some(b'a'), 3_000), (2_000, Some(b'b'), 3_000), (2_900, Some(b'c'), 5_900)]
    {
        client.transport_mut().arrived.extend(byte);
        let mut context = Context {
            clock: TimeSource::Turn(at(ms)),
            limits: &limits,
            timeouts: WaitTimeouts::of_limits(&limits),
            scratch: &mut scratch,
            telemetry: &mut telemetry,
            mode: Mode::Serving,
        };
        let budget = TurnBudget { reads: 9, advances: 9, write_bytes: 999 };
        assert_eq!(client.pump(&mut context, budget), Pumped::Waits);
        assert!(client.is_idle(), "it may be evicted: {client:?}");
        assert_eq!(client.deadline_ms(), due_ms, "{byte:?} at {ms} ms");
    }
}

#[test]
fn a_call_that_is_not_open_never_comes_first() {
    #[derive(Clone)]
    struct First(std::cell::Cell<u32>);
    impl Session for First {
        fn advance(&mut self, input: Input<'_>, _out: &mut Outbox) -> Progress {
            assert_eq!(input.call == Call::Open, self.0.get() == 0);
            assert!(input.call != Call::Open || input.bytes.is_empty());
            self.0.set(self.0.get() + 1);
            Progress::need_input(input.bytes.len(), Wait::NextRequest)
        }
    }
    let mut world = World::new(3);
    let mut scratch = Scratch::new(&world.limits);
    let mut client = opened(
        Scripted { arrived: b"early".iter().copied().collect(), ended: true, ..Scripted::new(Random(1)) },
        First(std::cell::Cell::new(0)),
    );
    let mut context = Context {
        clock: TimeSource::Turn(at(0)),
        limits: &world.limits,
        timeouts: WaitTimeouts::of_limits(&world.limits),
        scratch: &mut scratch,
        telemetry: &mut world.telemetry,
        mode: Mode::Serving,
    };
    let generous = TurnBudget { reads: 100, advances: 100, write_bytes: 1000 };
    assert_eq!(client.pump(&mut context, generous), Pumped::Ended(Reason::PeerClosed));
}

#[test]
fn input_during_output_is_bounded_whatever_the_size_of_reads() {
    struct Speaks(u32);
    impl Session for Speaks {
        fn advance(&mut self, _input: Input<'_>, out: &mut Outbox) -> Progress {
            self.0 = self.0.saturating_sub(out.put_some(b"word") as u32);
            if self.0 > 0 { Progress::need_room(0) } else { Progress::need_input(0, Wait::Rest) }
        }
    }
    let limits = Limits { inbox_bytes_max: 500, outbox_bytes_max: 4, read_bytes: 4096, ..Limits::default() };
    let (mut scratch, mut telemetry) = (Scratch::new(&limits), Telemetry::new());
    let stream = Scripted { arrived: vec![0; 5000].into(), ..Scripted::new(Random(1)) };
    let mut client = opened(stream, Speaks(200));
    for _ in 0..1000 {
        let mut context = Context {
            clock: TimeSource::Turn(at(0)),
            limits: &limits,
            timeouts: WaitTimeouts::of_limits(&limits),
            scratch: &mut scratch,
            telemetry: &mut telemetry,
            mode: Mode::Serving,
        };
        let pumped = client.pump(&mut context, TurnBudget::of_turn(&limits));
        assert!(client.held_bytes() <= 504, "holds {} bytes", client.held_bytes());
        if matches!(pumped, Pumped::Ended(_)) || client.lingers_for().is_some() {
            assert_eq!(client.lingers_for(), Some(Reason::InputTooLong));
            return;
        }
    }
    panic!("it never ends");
}
