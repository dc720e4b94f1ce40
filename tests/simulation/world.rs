//! One run: a connection, its client and the time, moved on by events as the reactor would.

use std::time::{Duration, SystemTime};

use oneloop::connection::{
    Connection, Context, Layers, Mode, NEVER_MS, Pumped, Scratch, TimeSource, Transport, TurnBudget,
    WaitTimeouts,
};
use oneloop::limits::Limits;
use oneloop::session::{ClientInfo, Now, Peer, Service, Session};
use oneloop::telemetry::{Reason, Telemetry};

use super::script::{
    Action, Frames, FramesSession, Random, Readiness, SEND_BUFFER, Script, Scripted, limits, script,
};

/// Steps of one run: far more than any script needs. A run that needs more spins.
const STEPS_MAX: usize = 200_000;

/// One finished run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) reason: Reason,
    pub(crate) ended_ms: u64,
    pub(crate) got: Vec<u8>,
    pub(crate) calls: (u64, u64),
}

pub(crate) struct World {
    pub(crate) limits: Limits,
    pub(crate) script: Script,
    pub(crate) next_action: usize,
    pub(crate) now_ms: u64,
    scratch: Scratch,
    pub(crate) telemetry: Telemetry,
    pub(crate) client: Connection<FramesSession, Scripted>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let (limits, script) = (limits(&mut random), script(&mut random));
        let readiness = if random.one_in(2) { Readiness::Unknown } else { Readiness::Latched };
        let transport = Scripted { readiness, ..Scripted::new(random) };
        let session = Frames.open(&ClientInfo::new(Peer::UNIX, Peer::UNIX));
        let client = opened(transport, session);
        let scratch = Scratch::new(&limits);
        World { limits, script, next_action: 0, now_ms: 0, scratch, telemetry: Telemetry::new(), client }
    }

    /// What the client does until now; whether the server would see an event.
    fn actions(&mut self) -> bool {
        let mut event = false;
        while let Some((at, action)) =
            self.script.actions.get(self.next_action).filter(|(at, _)| *at <= self.now_ms)
        {
            let (transport, _) = (self.client.transport_mut(), at);
            match action {
                Action::Send(bytes) => transport.arrived.extend(bytes),
                Action::End => transport.ended = true,
                Action::Reset => transport.reset = true,
                Action::Read(taken_per_ms) => transport.taken_per_ms = *taken_per_ms,
            }
            event |= !matches!(action, Action::Read(_));
            self.next_action += 1;
        }
        event
    }

    /// Time passes: the client takes what it takes; whether room has become free.
    pub(crate) fn pass(&mut self, to_ms: u64) -> bool {
        let transport = self.client.transport_mut();
        let was_full = transport.in_flight >= SEND_BUFFER;
        let taken = transport.taken_per_ms.saturating_mul(to_ms - self.now_ms);
        transport.in_flight = transport.in_flight.saturating_sub(taken);
        self.now_ms = to_ms;
        was_full && transport.in_flight < SEND_BUFFER
    }

    pub(crate) fn mode(&self) -> Mode {
        if self.script.drain_at_ms.is_some_and(|at| at <= self.now_ms) {
            Mode::Draining
        } else {
            Mode::Serving
        }
    }

    pub(crate) fn step(&mut self, expire: bool) -> Pumped {
        let mode = self.mode();
        let mut context = Context {
            clock: TimeSource::Turn(at(self.now_ms)),
            limits: &self.limits,
            timeouts: WaitTimeouts::of_limits(&self.limits),
            scratch: &mut self.scratch,
            telemetry: &mut self.telemetry,
            mode,
        };
        let budget = TurnBudget::of_turn(&self.limits);
        let pumped = if expire {
            self.client.expire(&mut context, budget)
        } else {
            self.client.pump(&mut context, budget)
        };
        let bound = self.limits.inbox_bytes_max + self.limits.outbox_bytes_max;
        assert!(self.client.held_bytes() <= bound as usize, "holds {} bytes", self.client.held_bytes());
        let over = self.client.is_reading()
            || matches!(pumped, Pumped::Ended(Reason::Finished | Reason::PeerClosed | Reason::Drained));
        assert!(
            !over || self.client.transport().held_bytes == 0,
            "{pumped:?}, but the end of an answer is held back"
        );
        if self.client.is_idle() {
            assert_eq!(self.client.held_bytes(), 0, "an idle client owns no buffer");
        }
        pumped
    }

    pub(crate) fn run(mut self) -> (Run, World) {
        let (mut runnable, mut drained) = (true, false);
        for _ in 0..STEPS_MAX {
            runnable |= self.actions();
            if self.mode() == Mode::Draining && !drained {
                (drained, runnable) = (true, true);
            }
            let due = self.client.deadline_ms() <= self.now_ms;
            if runnable || due {
                match self.step(!runnable && due) {
                    Pumped::Established => panic!("it was open before"),
                    Pumped::Waits => runnable = false,
                    Pumped::More => runnable = true,
                    Pumped::Ended(reason) => {
                        let transport = self.client.transport();
                        let (got, calls) = (transport.got.clone(), (transport.reads, transport.writes));
                        return (Run { reason, ended_ms: self.now_ms, got, calls }, self);
                    }
                }
                continue;
            }
            let action_ms = self.script.actions.get(self.next_action).map_or(NEVER_MS, |(at, _)| *at);
            let drain_ms = self.script.drain_at_ms.filter(|_| !drained).unwrap_or(NEVER_MS);
            let transport = self.client.transport();
            let room_ms = if transport.taken_per_ms > 0 && transport.in_flight >= SEND_BUFFER {
                self.now_ms + 1
            } else {
                NEVER_MS
            };
            let next_ms = action_ms.min(self.client.deadline_ms()).min(room_ms).min(drain_ms);
            assert_ne!(next_ms, NEVER_MS, "a client that waits for ever: {:?}", self.client.deadline_ms());
            runnable |= self.pass(next_ms);
        }
        panic!("the run does not end: a spin");
    }
}

/// A client without layers, whose session is to be called.
pub(crate) fn opened<S: Session, T: Transport>(transport: T, session: S) -> Connection<S, T> {
    let mut client = Connection::accepted(transport, Layers::none(), Peer::UNIX, at(0), &Limits::default());
    client.open(session);
    client
}

pub(crate) fn at(ms: u64) -> Now {
    Now { monotonic_ms: ms, wall: SystemTime::UNIX_EPOCH + Duration::from_millis(ms) }
}
