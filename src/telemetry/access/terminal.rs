//! A quiet line per request for the person at the terminal.
//!
//! Nothing waits for the terminal, which may be stopped (^S) or hang with its emulator: it is written to
//! without blocking. What it does not take stays in memory up to a bound, and requests beyond that, or faster
//! than a person can read, are only counted.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::line::{append_client, append_escaped};
use crate::session::{AnswerDetail, RequestInfo};
use crate::sys::sink::Sink;
use crate::telemetry::{Answer, Observer};

/// The most lines per second. People cannot read more, and a busy server must not spend its time on them.
const LINES_PER_SECOND_MAX: u32 = 100;
/// Bytes that wait for a terminal that takes nothing: some screens.
const WAITING_BYTES_MAX: usize = 16 << 10;
/// Lines are written this many ms after the first of them: at once for a person, and together when there are
/// many.
const DELAY_MS: u64 = 50;
/// When a terminal that took nothing is tried again, in ms.
const RETRY_MS: u64 = 250;
/// The most bytes of a method and target, escaped: so a log line takes one or two lines of a terminal.
const REQUEST_BYTES_MAX: usize = 160;
/// How the first record of TLS begins: a handshake of version 3 (RFC 8446, section 5.1).
const TLS_RECORD: &[u8] = b"\x16\x03";
/// The most characters of an IPv4 address, to which clients are padded.
const CLIENT_CHARS: usize = 15;

/// The hour, minute and second of a time of day, where the person is.
pub(crate) type LocalTime = Box<dyn Fn(SystemTime) -> [u8; 3] + Send>;

/// An [`Observer`] that writes a line for each answer to a request to the terminal of standard output.
pub(crate) struct TerminalLog {
    /// Threads share it.
    lines: Mutex<Lines>,
}

struct Lines {
    output: Output,
    local_time: LocalTime,
    waiting: Vec<u8>,
    due_ms: Option<u64>,
    /// The time of the last call.
    now_ms: u64,
    /// When [`LINES_PER_SECOND_MAX`] lines may be written again.
    second_ends_ms: u64,
    left_in_second: u32,
    /// Requests without a line since the last line.
    hidden: u64,
}

enum Output {
    Open(Sink),
    /// Writing failed: the terminal was closed.
    Gone,
}

impl TerminalLog {
    /// Opens the terminal of standard output.
    ///
    /// # Errors
    /// It is not a terminal, or cannot be opened for writing without blocking.
    pub(crate) fn open(local_time: LocalTime) -> io::Result<Self> {
        Ok(TerminalLog::new(Sink::terminal()?, local_time))
    }

    fn new(sink: Sink, local_time: LocalTime) -> Self {
        TerminalLog {
            lines: Mutex::new(Lines {
                output: Output::Open(sink),
                local_time,
                waiting: Vec::new(),
                due_ms: None,
                now_ms: 0,
                second_ends_ms: 0,
                left_in_second: 0,
                hidden: 0,
            }),
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for TerminalLog {
    fn answer_detail(&self) -> AnswerDetail {
        AnswerDetail::Request
    }

    fn answered(&self, answer: &Answer<'_>) {
        if let Some(request) = &answer.info.request {
            self.lines().add(answer, request);
        }
    }

    fn due_ms(&self) -> Option<u64> {
        self.lines().due_ms
    }

    fn tick(&self, now_ms: u64) {
        let mut lines = self.lines();
        lines.now_ms = now_ms;
        if lines.due_ms.is_some_and(|due| due <= now_ms) {
            lines.write();
        }
    }

    fn flush(&self) {
        self.lines().write();
    }

    fn forked(&self) {
        let mut lines = self.lines();
        lines.waiting.clear();
        (lines.due_ms, lines.hidden) = (None, 0);
    }

    fn close(&self) {
        let mut lines = self.lines();
        lines.append_hidden();
        lines.write();
    }
}

impl Lines {
    fn add(&mut self, answer: &Answer<'_>, request: &RequestInfo) {
        if matches!(self.output, Output::Gone) {
            return;
        }
        self.now_ms = answer.ended_ms;
        self.due_ms.get_or_insert(self.now_ms + DELAY_MS);
        self.begin_second();
        if self.left_in_second == 0 || self.waiting.len() >= WAITING_BYTES_MAX {
            self.hidden += 1;
            return;
        }
        self.left_in_second -= 1;
        append(&mut self.waiting, (self.local_time)(request.answered_at), answer, request);
    }

    /// Allows new lines if the second is over, and reports how many requests had no line.
    fn begin_second(&mut self) {
        if self.now_ms >= self.second_ends_ms && self.waiting.len() < WAITING_BYTES_MAX {
            self.append_hidden();
            (self.left_in_second, self.second_ends_ms) = (LINES_PER_SECOND_MAX, self.now_ms + 1_000);
        }
    }

    fn append_hidden(&mut self) {
        if self.hidden > 0 {
            writeln!(self.waiting, "... and {} more requests", self.hidden).expect("memory takes all");
            self.hidden = 0;
        }
    }

    /// Writes what waits, as far as the terminal takes it at once.
    fn write(&mut self) {
        let Output::Open(sink) = &self.output else { return };
        let mut written = 0;
        // Bound: what waits.
        let taken = loop {
            if written == self.waiting.len() {
                break Ok(());
            }
            match sink.write_now(&self.waiting[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => written += len,
                Err(error) => break Err(error),
            }
        };
        self.waiting.drain(..written);
        self.due_ms = match taken {
            Ok(()) if self.hidden == 0 => None,
            Ok(()) => {
                self.begin_second();
                Some(if self.waiting.is_empty() { self.second_ends_ms } else { self.now_ms + DELAY_MS })
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Some(self.now_ms + RETRY_MS)
            }
            Err(_) => {
                (self.output, self.waiting) = (Output::Gone, Vec::new());
                None
            }
        };
    }
}

impl fmt::Debug for TerminalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalLog").finish_non_exhaustive()
    }
}

/// Appends `time  client  method target  status  size  duration`.
fn append(line: &mut Vec<u8>, [hour, minute, second]: [u8; 3], answer: &Answer<'_>, request: &RequestInfo) {
    const MEMORY: &str = "memory takes all";
    write!(line, "{hour:02}:{minute:02}:{second:02}  ").expect(MEMORY);
    let client = line.len();
    append_client(answer, line);
    let padding = (client + CLIENT_CHARS).saturating_sub(line.len());
    write!(line, "{:padding$}  ", "").expect(MEMORY);
    append_request(line, request);
    let status = answer.info.status.unwrap_or(0);
    write!(line, "  {status:03}  {}", ReadableBytes(answer.content_bytes())).expect(MEMORY);
    match answer.latency_ms() {
        0 => write!(line, "  <1 ms").expect(MEMORY),
        ms @ 1..1_000 => write!(line, "  {ms} ms").expect(MEMORY),
        ms => write!(line, "  {}.{} s", ms / 1_000, ms % 1_000 / 100).expect(MEMORY),
    }
    line.extend_from_slice(if answer.is_complete { b"\n" } else { b"  incomplete\n" });
}

/// Appends `method target`, or the first line of a message that is not a request.
fn append_request(line: &mut Vec<u8>, request: &RequestInfo) {
    let part = |name| request.get(name).unwrap_or_default();
    match request.get(RequestInfo::METHOD) {
        Some(method) => {
            append_escaped(&[method, b" ", part(RequestInfo::TARGET)], REQUEST_BYTES_MAX, line);
        }
        None if part(RequestInfo::LINE).is_empty() => line.push(b'-'),
        None if part(RequestInfo::LINE).starts_with(TLS_RECORD) => {
            line.extend_from_slice(b"- (TLS, as of https://; here it is http://)");
        }
        None => append_escaped(&[part(RequestInfo::LINE)], REQUEST_BYTES_MAX, line),
    }
}

/// Bytes as people read them, in powers of 1024.
struct ReadableBytes(u64);

impl fmt::Display for ReadableBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut units = UNITS.iter();
        let mut unit = units.next();
        // Bound: the units. From 1023.95 on the value would be shown as 1024.0.
        while value >= 1023.95 {
            (value, unit) = (value / 1024.0, units.next());
        }
        write!(f, "{value:.1} {}", unit.copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::{AsFd, OwnedFd};
    use std::time::UNIX_EPOCH;

    use nix::sys::termios::{FlowArg, tcflow};

    use super::*;
    use crate::session::{AnswerInfo, Peer};

    /// A pseudo-terminal whose other side the test reads.
    struct Screen {
        master: File,
        terminal: OwnedFd,
    }

    impl Screen {
        fn new() -> (Screen, TerminalLog) {
            let pty = nix::pty::openpty(None, None).unwrap();
            nix::fcntl::fcntl(&pty.master, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
                .unwrap();
            let own = Sink::of_terminal(pty.slave.as_fd()).unwrap();
            let log = TerminalLog::new(own, Box::new(|_| [14, 3, 22]));
            (Screen { master: File::from(pty.master), terminal: pty.slave }, log)
        }

        /// What was written to the terminal since the last call.
        fn text(&mut self) -> String {
            let mut bytes = Vec::new();
            match self.master.read_to_end(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => drop(other.unwrap()),
            }
            String::from_utf8(bytes).unwrap().replace('\r', "")
        }
    }

    fn answer(log: &TerminalLog, target: &[u8], ended_ms: u64) {
        let fields = [(RequestInfo::METHOD, &b"GET"[..]), (RequestInfo::TARGET, target)];
        let request = Some(Box::new(RequestInfo::new(UNIX_EPOCH, fields)));
        let info = AnswerInfo { status: Some(200), head_bytes: 100, began_ms: ended_ms, request };
        let peer = Peer::from(std::net::SocketAddr::from(([192, 0, 2, 7], 1)));
        log.answered(&Answer { peer, info: &info, sent_bytes: 1_636, is_complete: true, ended_ms });
    }

    const END: &str = "  200  1.5 KiB  <1 ms\n";

    #[test]
    fn a_line_has_time_client_request_status_size_and_duration() {
        let line = |target: &[u8], ended_ms, is_complete| {
            let fields = [(RequestInfo::METHOD, &b"GET"[..]), (RequestInfo::TARGET, target)];
            let fields = if target.is_empty() { &[][..] } else { &fields };
            let request = RequestInfo::new(UNIX_EPOCH, fields.iter().copied());
            let info = AnswerInfo { status: Some(404), head_bytes: 100, began_ms: 1, request: None };
            let peer = Peer::from(std::net::SocketAddr::from(([192, 0, 2, 7], 1)));
            let answer = Answer { peer, info: &info, sent_bytes: 105, is_complete, ended_ms };
            let mut line = Vec::new();
            append(&mut line, [9, 3, 5], &answer, &request);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(line(b"/a", 1, true), "09:03:05  192.0.2.7        GET /a  404  5 B  <1 ms\n");
        assert!(line(b"/a", 44, false).ends_with("  404  5 B  43 ms  incomplete\n"));
        assert!(line(b"/a", 2_351, true).ends_with("  404  5 B  2.3 s\n"));
        assert!(line(b"/\x1b[2J\n", 1, true).contains("  GET /\\x1B[2J\\x0A  404  "));
        assert!(line(b"", 1, true).contains("  -  404  "));
        let tls = RequestInfo::new(UNIX_EPOCH, [(RequestInfo::LINE, &b"\x16\x03\x01\x02"[..])]);
        let mut text = Vec::new();
        append_request(&mut text, &tls);
        assert_eq!(text, b"- (TLS, as of https://; here it is http://)");
        let long = line(&b"x".repeat(10_000), 1, true);
        assert!(long.len() < 240 && long.contains("xx...  404"), "{long}");
    }

    #[test]
    fn sizes_have_at_most_four_digits() {
        for (bytes, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (u64::MAX, "16.0 EiB")]
        {
            assert_eq!(ReadableBytes(bytes).to_string(), shown);
        }
    }

    #[test]
    fn a_line_is_on_the_terminal_soon_and_no_earlier_than_others_can_join_it() {
        let (mut screen, log) = Screen::new();
        assert_eq!(log.due_ms(), None);
        answer(&log, b"/1", 1_000);
        answer(&log, b"/2", 1_001);
        assert_eq!(log.due_ms(), Some(1_000 + DELAY_MS));
        log.tick(1_000 + DELAY_MS - 1);
        assert_eq!(screen.text(), "");
        log.tick(1_000 + DELAY_MS);
        let line = "14:03:22  192.0.2.7        GET ";
        assert_eq!(screen.text(), format!("{line}/1{END}{line}/2{END}"));
        assert_eq!(log.due_ms(), None);
    }

    #[test]
    fn more_requests_than_a_person_can_read_are_counted() {
        let (mut screen, log) = Screen::new();
        for _ in 0..1_000 {
            answer(&log, b"/", 5);
        }
        log.tick(5 + DELAY_MS);
        assert_eq!(screen.text().lines().count(), LINES_PER_SECOND_MAX as usize);
        assert_eq!(log.due_ms(), Some(1_005));
        log.tick(1_005);
        log.tick(log.due_ms().unwrap());
        assert_eq!((screen.text().as_str(), log.due_ms()), ("... and 900 more requests\n", None));
        answer(&log, b"/again", 1_100);
        log.close();
        assert!(screen.text().ends_with(&format!("GET /again{END}")));
    }

    /// A failure hangs this test: a write that blocks would block forever.
    #[test]
    fn a_stopped_terminal_is_not_waited_for_and_shows_later_what_fits() {
        let (mut screen, log) = Screen::new();
        tcflow(&screen.terminal, FlowArg::TCOOFF).unwrap(); // as ^S does
        for second in 0..1_000 {
            answer(&log, b"/stopped", second * 1_000);
            log.tick(second * 1_000 + 500);
            log.flush();
        }
        assert_eq!(screen.text(), "");
        assert!(log.lines().waiting.len() < WAITING_BYTES_MAX + 300);
        assert_eq!(log.due_ms(), Some(999_500 + RETRY_MS), "it is tried again");
        tcflow(&screen.terminal, FlowArg::TCOON).unwrap();
        let mut text = String::new();
        for second in 2_000..2_010 {
            log.tick(second * 1_000);
            text += &screen.text();
        }
        let shown = text.lines().filter(|line| line.ends_with(END.trim_end())).count();
        let last = text.lines().last().unwrap();
        assert_eq!(last, format!("... and {} more requests", 1_000 - shown), "{text}");
        assert!(shown > 100);
    }

    #[test]
    fn a_terminal_that_is_gone_is_not_tried_again() {
        let (screen, log) = Screen::new();
        answer(&log, b"/", 0);
        drop(screen.master);
        log.tick(DELAY_MS);
        answer(&log, b"/", 100);
        assert_eq!((log.due_ms(), log.lines().waiting.len()), (None, 0));
    }
}
