//! The deadlines of clients of the services themselves, to the millisecond.

use oneloop::connection::{
    Connection, Context, Mode, NEVER_MS, Pumped, Scratch, TimeSource, TurnBudget, WaitTimeouts,
};
use oneloop::limits::Limits;
use oneloop::services::{Chargen, Echo, Message};
use oneloop::session::{ClientInfo, Peer, Service};
use oneloop::telemetry::{Reason, Telemetry};

use super::script::{Random, SEND_BUFFER, Scripted};
use super::world::{at, opened};

/// Turns in one millisecond: far more than any client here needs. One that needs more spins.
const TURNS_MAX: usize = 10_000;

/// One client of a service, and the time.
struct Timeline<V: Service> {
    client: Connection<V::Session, Scripted>,
    limits: Limits,
    timeouts: WaitTimeouts,
    scratch: Scratch,
    telemetry: Telemetry,
    now_ms: u64,
}

impl<V: Service> Timeline<V> {
    /// The service has opened the client and waits for it.
    fn new(limits: Limits, service: &V) -> Self {
        let session = service.open(&ClientInfo::new(Peer::UNIX, Peer::UNIX));
        let mut timeline = Timeline {
            client: opened(Scripted::new(Random(1)), session),
            timeouts: WaitTimeouts::new(service, &limits),
            scratch: Scratch::new(&limits),
            telemetry: Telemetry::new(),
            now_ms: 0,
            limits,
        };
        assert_eq!(timeline.turns(), None);
        timeline
    }

    fn got(&self) -> &[u8] {
        &self.client.transport().got
    }

    /// `bytes` arrive now. Why the client ended, if it did.
    fn send(&mut self, bytes: &[u8]) -> Option<Reason> {
        self.client.transport_mut().arrived.extend(bytes);
        self.turns()
    }

    /// Turns of the loop until the client waits. Why it ended, if it did.
    fn turns(&mut self) -> Option<Reason> {
        for _ in 0..TURNS_MAX {
            let mut context = Context {
                clock: TimeSource::Turn(at(self.now_ms)),
                limits: &self.limits,
                timeouts: self.timeouts,
                scratch: &mut self.scratch,
                telemetry: &mut self.telemetry,
                mode: Mode::Serving,
            };
            let budget = TurnBudget::of_turn(&self.limits);
            let is_due = self.client.deadline_ms() <= self.now_ms;
            let pumped = if is_due {
                self.client.expire(&mut context, budget)
            } else {
                self.client.pump(&mut context, budget)
            };
            match pumped {
                Pumped::Ended(reason) => return Some(reason),
                Pumped::Waits if self.client.deadline_ms() > self.now_ms => return None,
                Pumped::Waits | Pumped::More | Pumped::Established => {}
            }
        }
        panic!("the client never waits: {:?}", self.client.deadline_ms());
    }

    /// Passes to `to_ms`, with turns whenever a deadline is due or the client has made room. Why it ended, if
    /// it did.
    fn pass_to(&mut self, to_ms: u64) -> Option<Reason> {
        while self.now_ms < to_ms {
            let transport = self.client.transport_mut();
            let was_full = transport.in_flight >= SEND_BUFFER;
            let next_ms = if was_full { self.now_ms + 1 } else { self.client.deadline_ms().min(to_ms) };
            let transport = self.client.transport_mut();
            let taken = transport.taken_per_ms.saturating_mul(next_ms - self.now_ms);
            transport.in_flight = transport.in_flight.saturating_sub(taken);
            let has_room = was_full && transport.in_flight < SEND_BUFFER;
            self.now_ms = next_ms;
            if (has_room || self.client.deadline_ms() <= next_ms)
                && let Some(reason) = self.turns()
            {
                return Some(reason);
            }
        }
        None
    }
}

#[test]
fn without_an_idle_deadline_a_client_may_be_idle_for_any_time() {
    const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;
    let mut echo = Timeline::new(Limits { idle_ms: 0, ..Limits::default() }, &Echo);
    for year in 1..=3 {
        assert_eq!(echo.client.deadline_ms(), NEVER_MS);
        assert_eq!(echo.pass_to(year * YEAR_MS), None);
        assert_eq!(echo.send(b"."), None);
        assert_eq!(echo.got().len() as u64, year);
    }
}

/// 255 bytes, which end a message as well, would take it far longer.
#[test]
fn a_message_whose_bytes_trickle_is_answered_exactly_at_its_deadline() {
    let timeout_ms = Message::REQUEST_TIMEOUT.as_millis() as u64;
    for begins_ms in [0, 1, 50_000] {
        let mut message = Timeline::new(Limits::default(), &Message);
        assert_eq!(message.pass_to(begins_ms), None);
        for byte_ms in (begins_ms..begins_ms + timeout_ms).step_by(7) {
            assert_eq!(message.pass_to(byte_ms), None);
            assert_eq!(message.send(b"x"), None);
            assert_eq!(message.client.deadline_ms(), begins_ms + timeout_ms);
        }
        assert_eq!(message.pass_to(begins_ms + timeout_ms - 1), None);
        assert_eq!(message.got(), b"");
        assert_eq!(message.pass_to(begins_ms + timeout_ms), None, "it lingers");
        assert_eq!(message.got(), Message::ANSWER);
    }
}

/// It takes 200 bytes in each window, without end.
#[test]
fn a_client_that_reads_slowly_is_ended_exactly_if_that_is_too_slow() {
    const WINDOW_MS: u32 = 200;
    const WINDOWS: u64 = 20;
    for (rate_bytes_min, ended) in [
        (0, None),
        (100, None),
        (200, None),
        (201, Some(Reason::RateTooLow)),
        (1_024, Some(Reason::RateTooLow)),
    ] {
        let limits =
            Limits { rate_window_ms: WINDOW_MS, rate_bytes_min, outbox_bytes_max: 300, ..Limits::default() };
        let mut chargen = Timeline::new(limits, &Chargen);
        chargen.client.transport_mut().taken_per_ms = 1;
        assert_eq!(chargen.pass_to(WINDOWS * u64::from(WINDOW_MS)), ended, "at least {rate_bytes_min} bytes");
        if ended.is_some() {
            assert_eq!(chargen.now_ms, u64::from(WINDOW_MS), "at the end of its first window");
        }
    }
}
