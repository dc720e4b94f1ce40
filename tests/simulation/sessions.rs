//! Sessions at the edges of the contract and beyond, over a stream with as much room as a test gives it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

use oneloop::connection::{
    Connection, Context, Mode, NEVER_MS, Patience, Pumped, ReadOutcome, Scratch, TimeSource, Transport,
    TurnBudget, WaitTimeouts, WriteOutcome,
};
use oneloop::limits::Limits;
use oneloop::session::{AnswerInfo, Call, FileRange, Input, Outbox, Progress, Session, Wait};
use oneloop::telemetry::{Metrics, Reason, Telemetry};

use super::first_seed;
use super::script::Random;
use super::world::{at, opened};

/// A call of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamCall {
    Wrote { bytes: usize, more_follows: bool },
    SentFile { bytes: u64 },
    Shut,
}

/// A stream that takes as many bytes as it has room for.
struct TestStream {
    arrived: VecDeque<u8>,
    /// Nothing comes behind what has arrived.
    ended: bool,
    failed: bool,
    room_bytes: usize,
    got: Vec<u8>,
    calls: Vec<StreamCall>,
}

impl Transport for TestStream {
    fn read(&mut self, buf: &mut [u8], _patience: Patience) -> io::Result<ReadOutcome> {
        let len = self.arrived.len().min(buf.len());
        buf.iter_mut().zip(self.arrived.drain(..len)).for_each(|(to, byte)| *to = byte);
        Ok(match len {
            0 if self.ended => ReadOutcome::End,
            0 => ReadOutcome::NotNow,
            len => ReadOutcome::Bytes(len),
        })
    }

    fn write(&mut self, slices: &[IoSlice<'_>], more_follows: bool) -> io::Result<WriteOutcome> {
        let bytes = slices.iter().map(|slice| slice.len()).sum::<usize>().min(self.room_bytes);
        if bytes == 0 {
            return Ok(WriteOutcome::NotNow);
        }
        self.room_bytes -= bytes;
        self.got.extend(slices.iter().flat_map(|slice| slice.iter()).take(bytes));
        self.calls.push(StreamCall::Wrote { bytes, more_follows });
        Ok(WriteOutcome::Bytes(bytes))
    }

    fn send_file(&mut self, range: &FileRange, _bytes_max: usize) -> io::Result<WriteOutcome> {
        self.calls.push(StreamCall::SentFile { bytes: range.len });
        Ok(WriteOutcome::Bytes(range.len as usize))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.calls.push(StreamCall::Shut);
        Ok(())
    }

    fn may_read(&self) -> bool {
        true
    }

    fn failure(&mut self) -> Option<io::Error> {
        self.failed.then(|| io::ErrorKind::ConnectionReset.into())
    }

    fn unacknowledged_bytes(&self) -> u64 {
        0
    }
}

/// A session that is what it does in a call.
struct FnSession<F>(F);

impl<F: FnMut(Input<'_>, &mut Outbox) -> Progress> Session for FnSession<F> {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        (self.0)(input, out)
    }
}

/// A client of it, and the time.
struct Stage<S> {
    client: Connection<S, TestStream>,
    limits: Limits,
    scratch: Scratch,
    telemetry: Telemetry,
    mode: Mode,
    now_ms: u64,
}

impl<F: FnMut(Input<'_>, &mut Outbox) -> Progress> Stage<FnSession<F>> {
    fn new(limits: Limits, does: F) -> Self {
        Stage::of(limits, FnSession(does))
    }
}

impl<S: Session> Stage<S> {
    fn of(limits: Limits, session: S) -> Self {
        let (arrived, got, calls) = (VecDeque::new(), Vec::new(), Vec::new());
        let stream = TestStream { arrived, ended: false, failed: false, room_bytes: 1 << 20, got, calls };
        Stage {
            client: opened(stream, session),
            scratch: Scratch::new(&limits),
            telemetry: Telemetry::new().with_observer(Arc::new(Metrics::new().unwrap())), // so that reports of answers are kept
            mode: Mode::Serving,
            now_ms: 0,
            limits,
        }
    }

    fn stream(&mut self) -> &mut TestStream {
        self.client.transport_mut()
    }

    fn with_context(
        &mut self,
        act: impl FnOnce(&mut Connection<S, TestStream>, &mut Context<'_>) -> Pumped,
    ) -> Pumped {
        let mut context = Context {
            clock: TimeSource::Turn(at(self.now_ms)),
            limits: &self.limits,
            timeouts: WaitTimeouts::of_limits(&self.limits),
            scratch: &mut self.scratch,
            telemetry: &mut self.telemetry,
            mode: self.mode,
        };
        act(&mut self.client, &mut context)
    }

    fn pump_with(&mut self, budget: TurnBudget) -> Pumped {
        self.with_context(|client, context| client.pump(context, budget))
    }

    fn expire(&mut self) -> Pumped {
        let budget = TurnBudget::of_turn(&self.limits);
        self.with_context(|client, context| client.expire(context, budget))
    }

    fn pump(&mut self) -> Pumped {
        self.pump_with(TurnBudget::of_turn(&self.limits))
    }

    /// How it ended, within this many turns.
    #[track_caller]
    fn end_within(&mut self, turns: usize) -> Reason {
        for _ in 0..turns {
            if let Pumped::Ended(reason) = self.pump() {
                return reason;
            }
        }
        panic!("it goes on after {turns} turns")
    }
}

#[test]
fn a_session_that_asks_to_be_called_again_for_nothing_is_ended() {
    let mut stage = Stage::new(Limits { again_max: 50, ..Limits::default() }, |_, _| Progress::again(0));
    assert_eq!(stage.end_within(60), Reason::Contract);
}

/// Answers each line, once it has been woken for it or its time has come; the timer is that of the line.
fn answers_later(input: Input<'_>, out: &mut Outbox, line: &mut Option<Vec<u8>>) -> Progress {
    if let (Some(answer), Call::Woken | Call::Timer) = (&line, input.call) {
        out.put(answer).unwrap();
        *line = None;
    }
    if line.is_some() {
        return Progress::pause(0);
    }
    let Some(end) = input.bytes.iter().position(|&byte| byte == b'\n') else {
        return Progress::need_input(0, if input.bytes.is_empty() { Wait::NextRequest } else { Wait::Rest });
    };
    *line = Some(input.bytes[..=end].to_vec());
    Progress::pause(end + 1)
}

fn later() -> impl FnMut(Input<'_>, &mut Outbox) -> Progress {
    let mut line = None;
    move |input, out| answers_later(input, out, &mut line)
}

#[test]
fn while_a_session_pauses_nothing_is_read_and_no_server_deadline_applies() {
    let limits = Limits { inbox_bytes_max: 100, read_bytes: 100, ..Limits::default() };
    let mut stage = Stage::new(limits, later());
    stage.stream().arrived.extend(b"a line\n".repeat(200));
    assert_eq!(stage.pump(), Pumped::Waits);
    let unread = stage.stream().arrived.len();
    assert!(stage.client.is_paused() && unread >= 200 * 7 - 100, "{unread} bytes unread");
    for _ in 1..200 {
        assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, NEVER_MS));
        stage.now_ms += 1_000_000;
        stage.client.wake();
        assert_eq!(stage.pump(), Pumped::Waits);
        assert!(stage.client.is_paused() && stage.client.held_bytes() <= 100);
    }
    stage.client.wake();
    assert_eq!(stage.pump(), Pumped::Waits);
    assert!(stage.client.is_idle(), "all were answered, and none was too long");
    assert_eq!(stage.stream().calls.len(), 200);
}

#[test]
fn an_answer_that_a_wake_brings_after_the_end_of_input_is_sent() {
    let mut stage = Stage::new(Limits::default(), later());
    stage.stream().arrived.extend(b"a line\n");
    stage.stream().ended = true;
    for _ in 0..3 {
        assert_eq!(stage.pump(), Pumped::Waits);
    }
    assert!(stage.client.is_paused());
    stage.client.wake();
    assert_eq!(stage.pump(), Pumped::Ended(Reason::PeerClosed));
    assert_eq!(stage.stream().calls, [StreamCall::Wrote { bytes: 7, more_follows: true }, StreamCall::Shut]);
}

#[test]
fn a_paused_client_whose_stream_fails_ends_and_its_session_is_not_called() {
    let mut stage = Stage::new(Limits::default(), later());
    stage.stream().arrived.extend(b"a line\nunread");
    assert_eq!(stage.pump(), Pumped::Waits);
    stage.stream().failed = true;
    assert_eq!(stage.pump(), Pumped::Ended(Reason::Reset));
    assert_eq!(stage.stream().calls, []);
    // The event came while it was read, and there is no other.
    let mut stage = Stage::new(Limits::default(), later());
    stage.stream().arrived.extend(b"a line\n");
    stage.stream().failed = true;
    assert_eq!(stage.pump(), Pumped::Ended(Reason::Reset));
}

#[test]
fn a_drain_calls_a_session_that_pauses_once_each_time_that_it_begins_to() {
    let mut calls = Vec::new();
    let mut stage = Stage::new(Limits::default(), |input: Input<'_>, _: &mut Outbox| {
        calls.push(input.call);
        if calls.len() < 5 { Progress::pause(0) } else { Progress::finish(0) }
    });
    assert_eq!(stage.pump(), Pumped::Waits);
    stage.mode = Mode::Draining;
    for _ in 0..3 {
        assert_eq!(stage.pump(), Pumped::Waits);
    }
    stage.client.wake();
    assert_eq!(stage.pump(), Pumped::Waits);
    stage.client.wake();
    assert_eq!(stage.pump(), Pumped::Waits, "it lingers");
    assert_eq!(stage.client.lingers_for(), Some(Reason::Finished));
    drop(stage);
    assert_eq!(calls, [Call::Open, Call::Stopping, Call::Woken, Call::Stopping, Call::Woken]);
}

/// A session with a timer every 100 ms, which echoes.
struct Ticks {
    due_ms: u64,
    calls: Vec<(u64, Call)>,
}

impl Session for Ticks {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let now_ms = input.now.monotonic_ms;
        self.calls.push((now_ms, input.call));
        if input.call == Call::Timer {
            self.due_ms = now_ms + 100;
            out.put_some(b"tick");
        }
        Progress::need_input(out.put_some(input.bytes), Wait::NextRequest)
    }

    fn timer_due_ms(&self) -> Option<u64> {
        Some(self.due_ms)
    }
}

#[test]
fn a_timer_calls_a_session_exactly_when_it_is_due_and_moves_no_deadline() {
    let limits = Limits { idle_ms: 250, linger_ms: 0, ..Limits::default() };
    let mut stage = Stage::of(limits, Ticks { due_ms: 100, calls: Vec::new() });
    assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, 100));
    for due_ms in [100, 200, 250] {
        assert_eq!(stage.client.deadline_ms(), due_ms);
        stage.now_ms = due_ms - 1;
        assert_eq!(stage.expire(), Pumped::Waits, "not yet");
        stage.now_ms = due_ms;
        stage.expire();
    }
    assert_eq!(stage.pump(), Pumped::Ended(Reason::IdleTimeout));
    let ticks =
        stage.stream().calls.iter().filter(|calls| matches!(calls, StreamCall::Wrote { bytes: 4, .. }));
    assert_eq!(ticks.count(), 2);
}

#[test]
fn a_timer_due_while_bytes_wait_for_room_calls_after_them() {
    let mut stage = Stage::of(Limits::default(), Ticks { due_ms: 100, calls: Vec::new() });
    stage.stream().room_bytes = 0;
    stage.stream().arrived.extend(b"echo");
    assert_eq!(stage.pump(), Pumped::Waits);
    assert!(stage.client.is_flushing());
    stage.now_ms = 500;
    stage.stream().room_bytes = 100;
    assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, 501));
    stage.now_ms = 501;
    assert_eq!((stage.expire(), stage.client.deadline_ms()), (Pumped::Waits, 601));
    let wrote = |bytes| StreamCall::Wrote { bytes, more_follows: false };
    assert_eq!(stage.stream().calls, [wrote(4), wrote(4)]);
}

#[test]
fn a_timer_that_stays_due_calls_at_most_once_a_millisecond_and_is_a_fault_in_the_end() {
    struct StaysDue(u32);
    impl Session for StaysDue {
        fn advance(&mut self, _: Input<'_>, _: &mut Outbox) -> Progress {
            self.0 += 1;
            Progress::pause(0)
        }

        fn timer_due_ms(&self) -> Option<u64> {
            Some(0)
        }
    }
    let mut stage = Stage::of(Limits { again_max: 50, ..Limits::default() }, StaysDue(0));
    assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, 1));
    for now_ms in 1..=50 {
        stage.now_ms = now_ms;
        assert_eq!((stage.expire(), stage.client.deadline_ms()), (Pumped::Waits, now_ms + 1));
    }
    stage.now_ms = 51;
    assert_eq!(stage.expire(), Pumped::Ended(Reason::Contract));
}

#[test]
fn a_session_that_times_out_itself_sends_its_last_words_and_ends() {
    let mut stage = Stage::new(Limits::default(), |_: Input<'_>, out: &mut Outbox| {
        out.put_some(b"too late");
        Progress::timed_out(0)
    });
    assert_eq!(stage.pump(), Pumped::Waits);
    assert_eq!(stage.client.lingers_for(), Some(Reason::ServiceTimeout));
    assert_eq!(stage.stream().calls, [StreamCall::Wrote { bytes: 8, more_follows: true }, StreamCall::Shut]);
}

#[test]
fn a_boxed_session_is_that_session() {
    let boxed: Box<dyn Session> = Box::new(Ticks { due_ms: 100, calls: Vec::new() });
    assert!(boxed.held_bytes() >= size_of::<Ticks>());
    let mut stage = Stage::of(Limits::default(), boxed);
    stage.stream().arrived.extend(b"echo");
    assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, 100));
    assert_eq!(stage.stream().calls, [StreamCall::Wrote { bytes: 4, more_follows: false }]);
}

/// Its reports are nothing for its client, so nothing moves.
#[test]
fn a_session_that_only_reports_answers_and_asks_for_more_calls_or_for_room_is_ended() {
    let answer = || AnswerInfo { status: None, head_bytes: 0, began_ms: 0, request: None };
    let limits = Limits { again_max: 50, ..Limits::default() };
    let mut stage = Stage::new(limits.clone(), |_: Input<'_>, out: &mut Outbox| {
        out.answered(answer());
        Progress::again(0)
    });
    assert_eq!(stage.end_within(60), Reason::Contract);
    let mut stage = Stage::new(limits, |_: Input<'_>, out: &mut Outbox| {
        out.answered(answer());
        Progress::need_room(0)
    });
    assert_eq!(stage.end_within(1), Reason::Contract);
}

/// Takes whole lines.
fn lines(input: Input<'_>, _: &mut Outbox) -> Progress {
    let len = input.bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    Progress::need_input(len, if len == input.bytes.len() { Wait::NextRequest } else { Wait::Rest })
}

#[test]
fn a_client_whose_reads_always_end_inside_a_request_has_the_time_of_each_request() {
    let limits = Limits { idle_ms: 3_000, request_ms: 1_000, ..Limits::default() };
    let mut stage = Stage::new(limits, lines);
    stage.stream().arrived.extend(b"begins");
    assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, 1_000));
    for round in 1..100 {
        stage.now_ms = round * 900;
        stage.stream().arrived.extend(b" ends\nbegins");
        assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, stage.now_ms + 1_000));
    }
    stage.now_ms += 900;
    stage.stream().arrived.extend(b" and goes on");
    assert_eq!(
        (stage.pump(), stage.client.deadline_ms()),
        (Pumped::Waits, 99 * 900 + 1_000),
        "the same request"
    );
}

#[test]
fn a_request_that_is_taken_as_it_comes_keeps_the_deadline_that_began_with_its_first_byte() {
    let limits = Limits { idle_ms: 3_000, request_ms: 1_000, ..Limits::default() };
    // A request ends with a dot; its bytes are taken at once.
    let mut stage = Stage::new(limits, |input: Input<'_>, _: &mut Outbox| {
        let complete = input.bytes.iter().rposition(|&byte| byte == b'.').map_or(0, |at| at + 1);
        let unfinished = input.bytes.len() - complete;
        let wait = if unfinished == 0 && input.bytes.last() == Some(&b'.') || input.call == Call::Open {
            Wait::NextRequest
        } else {
            Wait::Rest
        };
        Progress::need_input(input.bytes.len(), wait).with_unfinished(unfinished)
    });
    for (now_ms, arrives, due_ms) in [
        (0, "", 3_000),
        (100, "first", 1_100),
        (900, "goes on", 1_100),
        (1_000, "ends.second", 2_000),
        (1_900, "goes on", 2_000),
        (1_950, "ends.", 4_950),
    ] {
        stage.now_ms = now_ms;
        stage.stream().arrived.extend(arrives.as_bytes());
        assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, due_ms), "at {now_ms} ms");
    }
}

#[test]
fn a_session_that_waits_for_the_rest_of_nothing_is_ended() {
    let mut stage = Stage::new(Limits::default(), |input: Input<'_>, _: &mut Outbox| {
        let wait = if input.call == Call::Open { Wait::NextRequest } else { Wait::Rest };
        Progress::need_input(input.bytes.len(), wait)
    });
    stage.stream().arrived.extend(b"it keeps what it takes, and does not report it as unfinished");
    assert_eq!(stage.pump(), Pumped::Ended(Reason::Contract));
}

/// Otherwise a client that is woken for the messages of others, or sent a keep-alive, would never be idle.
#[test]
fn what_a_wake_puts_does_not_move_the_idle_deadline() {
    let limits = Limits { idle_ms: 3_000, ..Limits::default() };
    let mut stage = Stage::new(limits, bell);
    assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, 3_000));
    for now_ms in [1_000, 2_000, 2_900] {
        stage.now_ms = now_ms;
        stage.client.wake();
        assert_eq!((stage.pump(), stage.client.deadline_ms()), (Pumped::Waits, 3_000));
    }
    assert_eq!(stage.stream().calls.len(), 3, "each was answered");
}

#[test]
fn a_session_that_takes_more_than_there_is_is_ended() {
    let mut stage = Stage::new(Limits::default(), |input: Input<'_>, _: &mut Outbox| {
        let wrong = usize::from(!input.bytes.is_empty());
        Progress::need_input(input.bytes.len() + wrong, Wait::NextRequest)
    });
    assert_eq!(stage.pump(), Pumped::Waits);
    stage.stream().arrived.extend(b"some bytes");
    assert_eq!(stage.pump(), Pumped::Ended(Reason::Contract));
}

#[test]
fn a_unit_that_does_not_fit_into_the_inbox_ends_its_client() {
    let limits = Limits { inbox_bytes_max: 100, ..Limits::default() };
    let mut stage = Stage::new(limits, |input: Input<'_>, _: &mut Outbox| {
        let wait = if input.bytes.is_empty() { Wait::NextRequest } else { Wait::Rest };
        Progress::need_input(0, wait)
    });
    stage.stream().arrived.extend([b'x'; 99]);
    assert_eq!((stage.pump(), stage.client.held_bytes()), (Pumped::Waits, 99));
    stage.stream().arrived.push_back(b'x');
    assert_eq!(stage.pump(), Pumped::Waits);
    assert_eq!(stage.client.lingers_for(), Some(Reason::InputTooLong));
}

#[test]
fn bytes_after_the_end_are_counted_and_too_many_end_the_linger() {
    let limits = Limits { linger_bytes_max: 100, ..Limits::default() };
    let mut stage = Stage::new(limits, |input: Input<'_>, out: &mut Outbox| {
        out.put_some(b"bye");
        Progress::finish(input.bytes.len())
    });
    assert_eq!(stage.pump(), Pumped::Waits);
    stage.stream().arrived.extend([b'x'; 100]);
    assert_eq!((stage.pump(), stage.client.moved_bytes()), (Pumped::Waits, 3 + 100));
    stage.stream().arrived.push_back(b'x');
    assert_eq!(stage.pump(), Pumped::Ended(Reason::Finished));
    assert_eq!(stage.client.end(Reason::Finished, at(0)).bytes_in, 101);
}

/// The session never waits for input. If its client's bytes were not read, they would fill the window and
/// block the client.
#[test]
fn input_of_a_session_that_only_sends_is_read() {
    let mut stage = Stage::new(Limits::default(), |input: Input<'_>, out: &mut Outbox| {
        out.put_some(&[b'x'; 1000]);
        Progress::need_room(input.bytes.len())
    });
    stage.stream().arrived.extend([b'y'; 1000]);
    assert_eq!(stage.pump(), Pumped::More);
    assert_eq!(stage.stream().arrived.len(), 0);
}

/// Sends `W` when it was woken, and echoes.
fn bell(input: Input<'_>, out: &mut Outbox) -> Progress {
    if input.call == Call::Woken {
        out.put_some(b"W");
    }
    let consumed = out.put_some(input.bytes);
    // After `again` it is called again.
    if consumed > 0 { Progress::again(consumed) } else { Progress::need_input(0, Wait::NextRequest) }
}

#[test]
fn a_wake_while_bytes_wait_for_room_comes_after_them() {
    let mut stage = Stage::new(Limits::default(), |input: Input<'_>, out: &mut Outbox| {
        if input.call == Call::Woken {
            out.put_some(b"W");
        }
        Progress::need_input(out.put_some(input.bytes), Wait::NextRequest)
    });
    stage.stream().room_bytes = 0;
    stage.stream().arrived.extend(b"echo");
    assert_eq!(stage.pump(), Pumped::Waits);
    assert!(stage.client.is_flushing());
    stage.client.wake();
    stage.stream().room_bytes = 100;
    assert_eq!(stage.pump(), Pumped::Waits);
    let wrote = |bytes| StreamCall::Wrote { bytes, more_follows: false };
    assert_eq!(stage.stream().calls, [wrote(4), wrote(1)]);
}

#[test]
fn a_wake_of_a_client_that_is_to_be_called_anyway_reaches_its_session_as_a_wake() {
    let mut stage = Stage::new(Limits::default(), bell);
    stage.stream().arrived.extend(b"echo");
    assert_eq!(stage.pump(), Pumped::More);
    stage.client.wake();
    assert_eq!(stage.pump(), Pumped::Waits);
    let wrote = |bytes| StreamCall::Wrote { bytes, more_follows: false };
    assert_eq!(stage.stream().calls, [wrote(4), wrote(1)]);
}

#[test]
fn the_parts_of_an_answer_leave_together_and_its_last_with_the_end() {
    let file = Arc::new(File::open("/dev/null").unwrap());
    let mut stage = Stage::new(Limits::default(), move |input: Input<'_>, out: &mut Outbox| {
        if input.call != Call::Open {
            out.put(b"bye").unwrap();
            return Progress::finish(input.bytes.len());
        }
        out.put(b"head").unwrap();
        out.file(FileRange { file: Arc::clone(&file), offset: 0, len: 5 }).unwrap();
        out.put(b"tail").unwrap();
        Progress::need_input(0, Wait::NextRequest)
    });
    assert_eq!(stage.pump(), Pumped::Waits);
    let wrote = |bytes, more_follows| StreamCall::Wrote { bytes, more_follows };
    assert_eq!(stage.stream().calls, [wrote(4, true), StreamCall::SentFile { bytes: 5 }, wrote(4, false)]);
    stage.stream().calls.clear();
    stage.stream().arrived.push_back(b'x');
    assert_eq!(stage.pump(), Pumped::Waits);
    assert_eq!(stage.stream().calls, [wrote(3, true), StreamCall::Shut]);
}

#[test]
fn a_turn_writes_no_more_than_its_budget_and_what_was_put_at_once() {
    let limits = Limits { outbox_bytes_max: 40, ..Limits::default() };
    let mut stage = Stage::new(limits, |_: Input<'_>, out: &mut Outbox| {
        out.put_some(&[b'x'; 40]);
        Progress::need_room(0)
    });
    for _ in 0..3 {
        stage.stream().calls.clear();
        assert_eq!(stage.pump_with(TurnBudget { reads: 10, advances: 1000, write_bytes: 100 }), Pumped::More);
        let wrote = stage.stream().calls.iter().map(|calls| match calls {
            StreamCall::Wrote { bytes, .. } => *bytes,
            other => panic!("{other:?}"),
        });
        assert!((100..140).contains(&wrote.sum::<usize>()));
    }
}

/// It counts for up to six windows ahead; its duty, which it has done in each window, counts for nothing. In
/// the window after those it has to take bytes again.
#[test]
fn only_bytes_beyond_the_minimum_count_ahead() {
    let echo = |input: Input<'_>, out: &mut Outbox| {
        Progress::need_input(out.put_some(input.bytes), Wait::NextRequest)
    };
    let limits = Limits { idle_ms: 0, rate_window_ms: 1_000, rate_bytes_min: 100, ..Limits::default() };
    for (taken_bytes, ahead) in [(1_000, 0), (1_100, 1), (1_300, 3), (1_600, 6), (1 << 19, 6)] {
        let mut stage = Stage::new(limits.clone(), echo);
        stage.stream().arrived.extend(std::iter::repeat_n(b'x', taken_bytes));
        while !stage.stream().arrived.is_empty() {
            stage.pump();
        }
        stage.now_ms = 10_000;
        stage.stream().room_bytes = 0;
        stage.stream().arrived.push_back(b'x');
        assert_eq!(stage.pump(), Pumped::Waits);
        let ended = (1..=10).find(|windows| {
            assert_eq!(stage.client.deadline_ms(), 10_000 + windows * 1_000);
            stage.now_ms = stage.client.deadline_ms();
            stage.expire() == Pumped::Ended(Reason::RateTooLow)
        });
        assert_eq!(ended, Some(ahead + 1), "{taken_bytes} bytes in ten windows");
    }
}

/// Divides its input differently in each call.
fn echo_in_two_puts() -> impl FnMut(Input<'_>, &mut Outbox) -> Progress {
    let mut calls = 0;
    move |input: Input<'_>, out: &mut Outbox| {
        calls += 1;
        let (first, second) = input.bytes.split_at(input.bytes.len() * (calls % 4) / 4);
        let mut consumed = out.put_some(first);
        if consumed == first.len() {
            consumed += out.put_some(second);
        }
        if consumed < input.bytes.len() {
            Progress::need_room(consumed)
        } else {
            Progress::need_input(consumed, Wait::NextRequest)
        }
    }
}

/// What a session puts of its input is sent from the buffer of the loop, into which the next client's input
/// is read.
#[test]
fn long_messages_come_back_whole_whatever_room_there_is_though_clients_share_a_buffer() {
    const CLIENTS: usize = 3;
    const MESSAGE_BYTES_MAX: u64 = 100_000;
    for seed in first_seed()..first_seed() + 20 {
        println!("ONELOOP_SEED={seed} begins with this run");
        let mut random = Random(seed);
        let limits = Limits { outbox_bytes_max: 1_024 + random.below(1 << 17) as u32, ..Limits::default() };
        let mut scratch = Scratch::new(&limits);
        let mut stages: Vec<_> =
            (0..CLIENTS).map(|_| Stage::new(limits.clone(), echo_in_two_puts())).collect();
        let mut sent = vec![Vec::new(); CLIENTS];
        let mut pump = |stage: &mut Stage<_>| {
            std::mem::swap(&mut stage.scratch, &mut scratch);
            let pumped = stage.pump();
            std::mem::swap(&mut stage.scratch, &mut scratch);
            pumped
        };
        for _ in 0..300 {
            let of = random.below(CLIENTS as u64) as usize;
            let (len, first) = (random.below(MESSAGE_BYTES_MAX), random.next());
            if random.one_in(2) {
                let message: Vec<u8> = (0..len).map(|at| (first ^ at.wrapping_mul(31)) as u8).collect();
                stages[of].stream().arrived.extend(&message);
                sent[of].extend(message);
            } else {
                stages[of].stream().room_bytes = len as usize;
            }
            assert!(matches!(pump(&mut stages[of]), Pumped::Waits | Pumped::More));
        }
        for (stage, sent) in stages.iter_mut().zip(&sent) {
            stage.stream().room_bytes = usize::MAX;
            (0..10_000).find(|_| pump(stage) == Pumped::Waits).expect("it comes to rest");
            assert!(stage.stream().got == *sent, "what came back is what was sent");
            assert_eq!(stage.client.held_bytes(), 0);
        }
    }
}
