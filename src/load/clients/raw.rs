//! The client of raw TCP: sends the bytes that the user gives, and reads up to the end of each reply.

use std::fmt;
use std::sync::Arc;

use regex_automata::util::primitives::StateID;

use super::reply_end::{BytePattern, PatternError, ReplyEnd, ReplyScanner, ScanOutcome};
use super::request_digest::RequestDigest;
use super::template::{Encoding, RenderedRequests, Rows, Template, Variables};
use crate::load::random::Random;
use crate::load::report::RequestSettings;
use crate::load::{Client, Flow, ReplyStatus, Workload};

/// What the clients of [`RawLoad`] do.
///
/// ```
/// use oneloop::load::clients::{BytePattern, RawLoad, RawScript, RawStep, ReplyEnd, Rows, Template};
///
/// let until = ReplyEnd::Pattern(BytePattern::Text(b"\r\n".to_vec()));
/// let script = RawScript {
///     steps: vec![RawStep { send: Template::fixed(b"PING\r\n"), end: until }],
///     wrong: Some(BytePattern::Regex("^-".to_owned())), // Redis reports errors so
///     ..RawScript::default()
/// };
/// let load = RawLoad::new(script, Rows::default(), 1)?;
/// # Ok::<(), oneloop::load::clients::RawError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RawScript {
    /// What comes first on each connection and is not counted as a request: a greeting of the server (nothing
    /// is sent), or a login. Variables are not replaced.
    pub opening: Vec<RawStep>,
    /// The requests of a connection, in this order, repeated.
    pub steps: Vec<RawStep>,
    /// A reply that contains this is wrong.
    pub wrong: Option<BytePattern>,
}

/// One request of raw TCP and its reply.
#[derive(Clone, Debug)]
pub struct RawStep {
    /// What is sent.
    pub send: Template,
    /// Where the reply ends.
    pub end: ReplyEnd,
}

/// Why a script cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawError {
    /// There is no step.
    NoStep,
    /// Only some steps send bytes: the replies could not be assigned to steps.
    SendsNothing,
    /// Nothing is sent and no reply is awaited.
    Nothing,
    /// A step follows one whose reply ends with the connection.
    AfterClose,
    /// What comes first has variables in it.
    OpeningVaries,
    /// A pattern cannot be used.
    Pattern(PatternError),
}

impl fmt::Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RawError::NoStep => "there is nothing to send and no reply to await",
            RawError::SendsNothing => "some requests have bytes to send, and others have none",
            RawError::Nothing => "a request without bytes needs a reply",
            RawError::AfterClose => "no request can follow one whose reply ends with the connection",
            RawError::OpeningVaries => "what is sent once per connection cannot have variables",
            RawError::Pattern(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for RawError {}

impl From<PatternError> for RawError {
    fn from(error: PatternError) -> Self {
        RawError::Pattern(error)
    }
}

/// Sends the bytes of a [`RawScript`], and reads their replies.
#[derive(Clone, Debug)]
pub struct RawLoad {
    shared: Arc<SharedScript>,
}

#[derive(Debug)]
struct SharedScript {
    opening: Vec<ScannedStep>,
    steps: Vec<ScannedStep>,
    /// Whether each request is made when it begins.
    varies: bool,
    variables: Variables,
    shown: String,
    settings: RequestSettings,
}

#[derive(Debug)]
struct ScannedStep {
    send: Template,
    end: ReplyEnd,
    scanner: Option<ReplyScanner>,
}

/// One connection of [`RawLoad`].
#[derive(Debug)]
pub struct RawClient {
    shared: Arc<SharedScript>,
    /// Steps of the opening that are done.
    opened: usize,
    reading: ReplyPosition,
    rendered: RenderedRequests,
    random: Random,
}

/// The progress of a reply.
#[derive(Clone, Copy, Debug, Default)]
struct ReplyPosition {
    /// The state of the automaton; `None` before the first byte.
    state: Option<StateID>,
    bytes: u64,
}

/// Bytes of requests that are shown in reports.
const SHOWN_BYTES_MAX: usize = 40;

impl RawLoad {
    /// A load of this script, with these rows for its variables; `seed` decides on random numbers.
    pub fn new(script: RawScript, rows: Rows, seed: u64) -> Result<Self, RawError> {
        let RawScript { opening, steps, wrong } = script;
        let (last, sending) = (steps.len().checked_sub(1), count_sending(&steps));
        let last = last.ok_or(RawError::NoStep)?;
        if sending > 0 && sending < steps.len() {
            return Err(RawError::SendsNothing);
        }
        let mut shown = String::new();
        for (at, step) in steps.iter().enumerate() {
            if step.end == ReplyEnd::Close && at < last {
                return Err(RawError::AfterClose);
            }
            if sending == 0 && step.end == ReplyEnd::Bytes(0) {
                return Err(RawError::Nothing);
            }
            shown.push_str(&step.send.shown());
        }
        if opening.iter().any(|step| !step.send.is_fixed()) {
            return Err(RawError::OpeningVaries);
        }
        if opening.iter().any(|step| step.end == ReplyEnd::Close) {
            return Err(RawError::AfterClose);
        }
        if opening.iter().any(|step| step.end == ReplyEnd::Bytes(0)) {
            return Err(RawError::Nothing);
        }
        if shown.chars().count() > SHOWN_BYTES_MAX {
            shown = shown.chars().take(SHOWN_BYTES_MAX).chain("...".chars()).collect();
        }
        let settings = settings(&opening, &steps, wrong.as_ref());
        let varies = steps.iter().any(|step| !step.send.is_fixed());
        let scanned = |steps: Vec<RawStep>| -> Result<Vec<ScannedStep>, RawError> {
            steps.into_iter().map(|step| Ok(ScannedStep::new(step, wrong.as_ref())?)).collect()
        };
        let (opening, steps) = (scanned(opening)?, scanned(steps)?);
        let variables = Variables::new(rows, seed);
        Ok(RawLoad { shared: Arc::new(SharedScript { opening, steps, varies, variables, shown, settings }) })
    }
}

/// What reports have of a script. What is sent first on a connection may be a password, so it is left out.
fn settings(opening: &[RawStep], steps: &[RawStep], wrong: Option<&BytePattern>) -> RequestSettings {
    let mut digest = RequestDigest::EMPTY;
    for step in opening {
        add_end(&mut digest, &step.end);
    }
    for step in steps {
        digest.part(step.send.shown().as_bytes());
        add_end(&mut digest, &step.end);
    }
    if let Some(wrong) = wrong {
        add_pattern(&mut digest, wrong);
    }
    RequestSettings { digest: digest.shown(), ..RequestSettings::default() }
}

fn add_end(digest: &mut RequestDigest, end: &ReplyEnd) {
    match end {
        ReplyEnd::Bytes(bytes) => digest.part(format!("{bytes} bytes").as_bytes()),
        ReplyEnd::Pattern(pattern) => add_pattern(digest, pattern),
        ReplyEnd::Close => digest.part(b"close"),
    }
}

fn add_pattern(digest: &mut RequestDigest, pattern: &BytePattern) {
    match pattern {
        BytePattern::Text(text) => {
            digest.part(b"text");
            digest.part(text);
        }
        BytePattern::Regex(regex) => {
            digest.part(b"regex");
            digest.part(regex.as_bytes());
        }
    }
}

fn count_sending(steps: &[RawStep]) -> usize {
    steps.iter().filter(|step| step.send != Template::default()).count()
}

impl Workload for RawLoad {
    type Client = RawClient;

    fn name(&self) -> &'static str {
        "tcp"
    }

    fn resource(&self) -> Option<&str> {
        Some(&self.shared.shown).filter(|shown| !shown.is_empty()).map(String::as_str)
    }

    fn request_settings(&self) -> Option<RequestSettings> {
        Some(self.shared.settings.clone())
    }

    /// Of the first request; 0 if that varies.
    fn request_bytes(&self) -> u64 {
        match &self.shared.steps[..] {
            [step] => step.send.as_fixed().map_or(0, |bytes| bytes.len() as u64),
            _ => 0,
        }
    }

    fn open(&self, _number: u32) -> RawClient {
        RawClient {
            shared: Arc::clone(&self.shared),
            opened: 0,
            reading: ReplyPosition::default(),
            rendered: RenderedRequests::default(),
            random: self.shared.variables.random(),
        }
    }

    fn one_shot(&self) -> bool {
        matches!(&self.shared.steps[..], [step] if step.end == ReplyEnd::Close)
    }

    fn flow(&self) -> Flow {
        if self.shared.steps.iter().all(|step| step.send == Template::default()) {
            Flow::ToClient
        } else if self.shared.steps.iter().all(|step| step.end == ReplyEnd::Bytes(0)) {
            Flow::ToServer
        } else {
            Flow::BothWays
        }
    }
}

impl SharedScript {
    fn step(&self, number: u64) -> &ScannedStep {
        &self.steps[(number % self.steps.len() as u64) as usize]
    }
}

impl Client for RawClient {
    fn opening(&self, sent: usize) -> Option<&[u8]> {
        let step = self.shared.opening.get(self.opened)?;
        Some(&step.send.as_fixed().unwrap_or_default()[sent..])
    }

    fn opening_reply(&mut self, bytes: &[u8], ended: bool) -> ReplyStatus {
        let Some(step) = self.shared.opening.get(self.opened) else {
            return ReplyStatus::Wrong("unsolicited bytes");
        };
        let status = step.read(&mut self.reading, bytes, ended);
        self.opened += usize::from(matches!(status, ReplyStatus::Complete(_)));
        status
    }

    fn begin(&mut self, number: u64) {
        if self.shared.varies {
            let buffer = self.rendered.begin(number);
            let mut draw = self.shared.variables.draw(&mut self.random);
            self.shared.step(number).send.render(&mut draw, Encoding::Raw, buffer);
        }
    }

    fn request(&self, number: u64, sent: usize) -> &[u8] {
        if self.shared.varies {
            return self.rendered.get(number).map_or(b"?", |bytes| &bytes[sent..]);
        }
        &self.shared.step(number).send.as_fixed().unwrap_or_default()[sent..]
    }

    fn sent(&mut self, number: u64) -> ReplyStatus {
        if self.shared.varies {
            self.rendered.sent(number);
        }
        match self.shared.step(number).end {
            ReplyEnd::Bytes(0) => ReplyStatus::Complete(0),
            _ => ReplyStatus::Incomplete,
        }
    }

    fn reply(&mut self, number: u64, bytes: &[u8], ended: bool) -> ReplyStatus {
        self.shared.step(number).read(&mut self.reading, bytes, ended)
    }
}

impl ScannedStep {
    fn new(step: RawStep, wrong: Option<&BytePattern>) -> Result<ScannedStep, PatternError> {
        let end = match &step.end {
            ReplyEnd::Pattern(pattern) => Some(pattern),
            ReplyEnd::Bytes(_) | ReplyEnd::Close => None,
        };
        let scanner =
            (wrong.is_some() || end.is_some()).then(|| ReplyScanner::new(wrong, end)).transpose()?;
        Ok(ScannedStep { send: step.send, end: step.end, scanner })
    }

    /// Reads a piece of the reply.
    fn read(&self, reading: &mut ReplyPosition, bytes: &[u8], ended: bool) -> ReplyStatus {
        let piece = match self.end {
            ReplyEnd::Bytes(total) => {
                let left = usize::try_from(total - reading.bytes).unwrap_or(usize::MAX);
                &bytes[..left.min(bytes.len())]
            }
            ReplyEnd::Pattern(_) | ReplyEnd::Close => bytes,
        };
        if let Some(scanner) = &self.scanner {
            let mut state = reading.state.unwrap_or(scanner.start());
            match scanner.scan(&mut state, piece) {
                ScanOutcome::Nothing => reading.state = Some(state),
                ScanOutcome::End(len) => {
                    *reading = ReplyPosition::default();
                    return ReplyStatus::Complete(len);
                }
                ScanOutcome::Wrong => return ReplyStatus::Wrong("the reply has in it what --reject names"),
            }
        }
        reading.bytes += piece.len() as u64;
        match self.end {
            ReplyEnd::Bytes(total) if reading.bytes == total => {
                *reading = ReplyPosition::default();
                ReplyStatus::Complete(piece.len())
            }
            ReplyEnd::Close if ended && reading.bytes > 0 => ReplyStatus::Final(piece.len()),
            _ => ReplyStatus::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(text: &str) -> ReplyEnd {
        ReplyEnd::Pattern(BytePattern::Text(text.as_bytes().to_vec()))
    }

    fn step(send: &str, end: ReplyEnd) -> RawStep {
        RawStep { send: Template::parse(send.as_bytes(), &Rows::default()).unwrap(), end }
    }

    fn load(opening: Vec<RawStep>, steps: Vec<RawStep>) -> Result<RawLoad, RawError> {
        RawLoad::new(RawScript { opening, steps, wrong: None }, Rows::default(), 1)
    }

    #[test]
    fn the_requests_of_a_connection_follow_each_other_in_turn() {
        let steps = vec![step("SET a 1\r\n", until("\r\n")), step("GET\r\n", ReplyEnd::Bytes(3))];
        let mut client = load(Vec::new(), steps).unwrap().open(0);
        assert_eq!((client.request(0, 0), client.request(1, 2)), (&b"SET a 1\r\n"[..], &b"T\r\n"[..]));
        assert_eq!((client.request(2, 9), client.opening(0)), (&b""[..], None));
        assert_eq!(client.reply(0, b"+O", false), ReplyStatus::Incomplete);
        assert_eq!(client.reply(0, b"K\r\nab", false), ReplyStatus::Complete(3));
        assert_eq!(client.reply(1, b"ab", false), ReplyStatus::Incomplete);
        assert_eq!(client.reply(1, b"c+", false), ReplyStatus::Complete(1));
        assert_eq!(client.reply(2, b"+OK\r\n", false), ReplyStatus::Complete(5), "each reply begins anew");
    }

    #[test]
    fn a_greeting_and_a_login_come_before_the_first_request() {
        let opening = vec![step("", until("\r\n")), step("HELO x\r\n", until("\r\n"))];
        let mut client = load(opening, vec![step("NOOP\r\n", until("\r\n"))]).unwrap().open(0);
        assert_eq!(client.opening(0), Some(&b""[..]), "the server has its turn");
        assert_eq!(client.opening_reply(b"220 mai", false), ReplyStatus::Incomplete);
        assert_eq!(client.opening_reply(b"l\r\n", false), ReplyStatus::Complete(3));
        assert_eq!(client.opening(5), Some(&b"x\r\n"[..]));
        assert_eq!(client.opening_reply(b"250 x\r\n", false), ReplyStatus::Complete(7));
        assert_eq!(client.opening(0), None);
    }

    #[test]
    fn variables_are_chosen_when_a_request_begins() {
        let mut client = load(Vec::new(), vec![step("k{counter}", until("\n"))]).unwrap().open(0);
        client.begin(0);
        client.begin(1);
        assert_eq!((client.request(0, 0), client.request(1, 1)), (&b"k0"[..], &b"1"[..]));
        assert_eq!(client.sent(0), ReplyStatus::Incomplete);
        assert_eq!(client.request(1, 0), b"k1");
        assert_eq!(client.request(2, 0), b"?", "not begun, and not sent");
    }

    #[test]
    fn a_reply_may_be_what_comes_before_the_end_or_nothing() {
        let close = load(Vec::new(), vec![step("x\n", ReplyEnd::Close)]).unwrap();
        assert!(close.one_shot());
        let mut client = close.open(0);
        assert_eq!(client.reply(0, b"", true), ReplyStatus::Incomplete, "a reply has a byte");
        assert_eq!(client.reply(0, b"abc", false), ReplyStatus::Incomplete);
        assert_eq!(client.reply(0, b"", true), ReplyStatus::Final(0));
        let none = load(Vec::new(), vec![step("x\n", ReplyEnd::Bytes(0))]).unwrap();
        assert_eq!((none.open(0).sent(0), none.flow()), (ReplyStatus::Complete(0), Flow::ToServer));
        let only_reads = load(Vec::new(), vec![step("", until("\n"))]).unwrap();
        assert_eq!((only_reads.open(0).request(3, 0), only_reads.flow()), (&b""[..], Flow::ToClient));
    }

    #[test]
    fn a_script_that_makes_no_sense_is_reported() {
        for (opening, steps, error) in [
            (vec![], vec![], RawError::NoStep),
            (vec![], vec![step("a", until("b")), step("", until("b"))], RawError::SendsNothing),
            (vec![], vec![step("", ReplyEnd::Bytes(0))], RawError::Nothing),
            (vec![], vec![step("a", ReplyEnd::Close), step("b", until("b"))], RawError::AfterClose),
            (vec![step("a", ReplyEnd::Close)], vec![step("b", until("b"))], RawError::AfterClose),
            (vec![step("{counter}", until("a"))], vec![step("b", until("b"))], RawError::OpeningVaries),
        ] {
            assert_eq!(load(opening, steps).unwrap_err(), error);
        }
    }
}
