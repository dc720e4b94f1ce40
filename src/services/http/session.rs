//! One client: requests in, answers out, one after the other.

use std::sync::Arc;

use super::Shared;
use super::access::Said;
use super::bounds::{ANSWER_ROOM_BYTES, COPY_BYTES_MAX, REQUESTS_PER_CALL_MAX};
use super::codec::body::Body;
use super::codec::request::{Framing, Method, Request, Scan, is_between_requests, line_of, parsed};
use super::codec::send::{Part, Parts, Put};
use super::codec::status::Status;
use super::codec::target::{self, Path, Target};
use super::files::listing::Listing;
use super::files::resource::{Content, Found, Variant};
use super::files::respond::{Answer, Persistence, Scene, choose};
use crate::session::{Call, Fault, Input, Next, Outbox, Progress, Record, Session, Wait};

/// The state of one client. Idle, it owns nothing on the heap.
#[derive(Debug)]
pub struct HttpSession {
    shared: Arc<Shared>,
    /// How far the head that is arriving was looked at.
    scan: Scan,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The head of a request arrives.
    Head,
    /// Its body arrives, and goes nowhere.
    Body(Box<Pending>),
    /// Its answer waits for room.
    Answering(Box<Rest>),
}

/// A request that is answered when its body has been skipped.
#[derive(Debug)]
struct Pending {
    head: Vec<u8>,
    body: Body,
    /// Bytes of `100 Continue` that went before the answer.
    continue_bytes: usize,
}

/// What is left of an answer.
#[derive(Debug)]
struct Rest {
    parts: Parts,
    persistence: Persistence,
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One step of a session: on with the next, or what is needed before it.
type Step = Result<(), Next>;

/// A request with what is around it.
struct Asked<'r, 'a, 'h> {
    request: &'r Request<'a, 'h>,
    /// Whether the server drains and nothing follows this request.
    last: bool,
    /// Bytes of interim answers.
    interim_bytes: usize,
}

impl Asked<'_, '_, '_> {
    fn persistence(&self) -> Persistence {
        if self.last { Persistence::Close } else { Persistence::of(self.request) }
    }
}

impl HttpSession {
    pub(super) fn new(shared: Arc<Shared>) -> HttpSession {
        HttpSession { shared, scan: Scan::default(), state: State::Head }
    }

    /// Whether bytes of a request have been taken whose end has not come.
    fn is_inside_request(&self) -> bool {
        matches!(&self.state, State::Body(pending) if !pending.body.is_over())
    }

    /// Goes on from where the session is; `at` is moved past what was taken.
    fn step(&mut self, input: Input<'_>, at: &mut usize, out: &mut Outbox) -> Step {
        let bytes = &input.bytes[*at..];
        match &mut self.state {
            State::Head => self.head(bytes, input, at, out),
            State::Body(pending) => match pending.body.skip(bytes) {
                Ok(skipped) => {
                    *at += skipped;
                    if !pending.body.is_over() {
                        return Err(Next::NeedInput(Wait::Rest));
                    }
                    self.behind_body(input.bytes.len() == *at, input, out)
                }
                Err(status) => {
                    let (head, interim_bytes) = (std::mem::take(&mut pending.head), pending.continue_bytes);
                    self.refuse(status, &head, interim_bytes, input, out);
                    Ok(())
                }
            },
            State::Answering(rest) => match rest.parts.put(&self.shared.site, out) {
                Put::Done => {
                    let persistence = rest.persistence;
                    self.answered(persistence)
                }
                Put::Room => Err(Next::NeedRoom),
                Put::Again => Err(Next::Again),
                Put::Failed => Err(Next::Abort(Fault::Resource)),
            },
        }
    }

    /// Answers a request whose body has been skipped.
    fn behind_body(&mut self, at_end: bool, input: Input<'_>, out: &mut Outbox) -> Step {
        let State::Body(pending) = std::mem::replace(&mut self.state, State::Head) else { return Ok(()) };
        let last = at_end && input.call == Call::Stopping;
        let step = parsed(&pending.head, |request| match request {
            Ok(request) => {
                let asked = Asked { request: &request, last, interim_bytes: pending.continue_bytes };
                self.respond(&asked, input, out)
            }
            Err(status) => {
                self.refuse(status, &pending.head, pending.continue_bytes, input, out);
                Ok(())
            }
        });
        if step == Err(Next::NeedRoom) && matches!(self.state, State::Head) {
            self.state = State::Body(pending);
        }
        step
    }

    /// Looks for the head of a request, and begins what it asks for.
    fn head(&mut self, bytes: &[u8], input: Input<'_>, at: &mut usize, out: &mut Outbox) -> Step {
        let end = match self.scan.head_end(bytes) {
            Ok(Some(end)) => end,
            Ok(None) if !is_between_requests(bytes) => {
                return Err(Next::NeedInput(Wait::Rest));
            }
            Ok(None) if input.call == Call::Stopping => return Err(Next::Finish),
            Ok(None) => return Err(Next::NeedInput(Wait::NextRequest)),
            Err(malformed) => {
                self.refuse(malformed.status, &bytes[..malformed.bytes], 0, input, out);
                return Ok(());
            }
        };
        self.scan = Scan::default();
        // Behind a file nothing is begun: else a client that asks for many and reads none holds them all open.
        if !out.is_empty() && (out.room() < ANSWER_ROOM_BYTES || out.has_file()) {
            return Err(Next::NeedRoom);
        }
        let head = &bytes[..end];
        let step = parsed(head, |request| match request {
            Ok(request) if request.framing != Framing::Length(0) => {
                self.body(&request, head, input, out);
                Ok(())
            }
            Ok(request) => {
                let last = input.call == Call::Stopping && bytes.len() == end;
                self.respond(&Asked { request: &request, last, interim_bytes: 0 }, input, out)
            }
            Err(status) => {
                self.refuse(status, head, 0, input, out);
                Ok(())
            }
        });
        if step != Err(Next::NeedRoom) || !matches!(self.state, State::Head) {
            *at += end;
        }
        step
    }

    /// Begins to skip a body; the head is kept until that is done.
    fn body(&mut self, request: &Request<'_, '_>, head: &[u8], input: Input<'_>, out: &mut Outbox) {
        let mut continue_bytes = 0;
        if request.expects_continue {
            // Where the answer is known, it comes at once, and nobody guesses whether the body comes after all.
            let refused = match request.method {
                Method::Get | Method::Head | Method::Options => None,
                Method::Other => Some(Status::MethodNotAllowed),
                Method::Unknown => Some(Status::NotImplemented),
            };
            if let Some(status) = refused {
                self.refuse(status, head, 0, input, out);
                return;
            }
            // An outbox too small even for this would never have it; the client goes on by itself.
            continue_bytes = if out.put(CONTINUE).is_ok() { CONTINUE.len() } else { 0 };
        }
        let pending = Pending { head: head.to_vec(), body: Body::new(request.framing), continue_bytes };
        self.state = State::Body(Box::new(pending));
    }

    /// Answers a whole request.
    fn respond(&mut self, asked: &Asked<'_, '_, '_>, input: Input<'_>, out: &mut Outbox) -> Step {
        let shared = Arc::clone(&self.shared);
        let request = asked.request;
        let target = target::parse(request.target);
        if let (Method::Get | Method::Head, Ok(Target::Path(path))) = (request.method, &target)
            && (!path.hidden || shared.site.hidden)
            && !request.is_selective()
        {
            let (prefix, resource) = shared.remembered(&path.file, input.now);
            if let Some(resource) = resource {
                let variant = choose(request, &resource);
                if let Some(step) = self.whole(asked, &prefix, variant, input, out) {
                    return step;
                }
            }
        }
        let scene = Scene { site: &shared.site, prefix: shared.prefix(input.now) };
        let answer = compose(&shared, &scene, asked, target, input);
        self.begin(answer, Some(asked), request.line, input, out);
        Ok(())
    }

    /// The short way for a whole file that was seen a moment ago. `None` if its head does not fit into an empty outbox.
    fn whole(
        &mut self,
        asked: &Asked<'_, '_, '_>,
        prefix: &[u8],
        variant: &Variant,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Option<Step> {
        let persistence = asked.persistence();
        let connection = persistence.line().as_bytes();
        let in_memory = matches!(variant.content, Content::Memory);
        let wants_body = asked.request.method != Method::Head;
        let copied = wants_body && in_memory && variant.len <= COPY_BYTES_MAX as u64;
        let head_bytes = prefix.len() + connection.len() + variant.body_at;
        let needed_room = head_bytes + if wants_body && in_memory { variant.len as usize } else { 0 };
        if needed_room > out.room() && !out.is_empty() {
            return Some(Err(Next::NeedRoom));
        }
        let whole = if copied { &variant.whole[..] } else { &variant.whole[..variant.body_at] };
        out.put_all(&[prefix, connection, whole]).ok()?;
        out.count_answer(Some(Status::Ok.code()));
        let record = self.record(Some(asked), asked.request.line, Status::Ok, head_bytes, input);
        if wants_body && !copied {
            let mut part = variant.part(&(0..variant.len));
            if part.put(&self.shared.site, out) != Put::Done {
                let mut parts = Parts::default();
                parts.push(part);
                parts.extend(record.map(Part::Record));
                self.state = State::Answering(Box::new(Rest { parts, persistence }));
                return Some(Err(Next::NeedRoom));
            }
        }
        if let Some(record) = record {
            out.record(record);
        }
        Some(self.answered(persistence))
    }

    /// Refuses what is not a request that can be answered, and ends: where the next one begins is in doubt. `interim_bytes`
    /// of `100 Continue` went before.
    fn refuse(
        &mut self,
        status: Status,
        head: &[u8],
        interim_bytes: usize,
        input: Input<'_>,
        out: &mut Outbox,
    ) {
        let shared = Arc::clone(&self.shared);
        let scene = Scene { site: &shared.site, prefix: shared.prefix(input.now) };
        let line = line_of(head);
        let with_body = !line.starts_with(b"HEAD ");
        let mut answer = scene.error(status, Persistence::Close, with_body);
        answer.head_bytes += interim_bytes;
        self.begin(answer, None, line, input, out);
    }

    /// Begins to put an answer, with its record behind it.
    fn begin(
        &mut self,
        answer: Answer,
        asked: Option<&Asked<'_, '_, '_>>,
        line: &[u8],
        input: Input<'_>,
        out: &mut Outbox,
    ) {
        let Answer { status, head_bytes, mut parts, persistence } = answer;
        out.count_answer(Some(status.code()));
        parts.extend(self.record(asked, line, status, head_bytes, input).map(Part::Record));
        self.state = State::Answering(Box::new(Rest { parts, persistence }));
    }

    /// The record of an answer, if there is a log.
    fn record(
        &self,
        asked: Option<&Asked<'_, '_, '_>>,
        line: &[u8],
        status: Status,
        head_bytes: usize,
        input: Input<'_>,
    ) -> Option<Record> {
        let format = self.shared.site.access?;
        let (said, interim_bytes) = match asked {
            Some(asked) => (Said::of(format, asked.request), asked.interim_bytes),
            None => (Said::nonsense(format, line), 0),
        };
        let mut hot = self.shared.hot();
        Some(said.record(hot.clock.logged(input.now.wall), status, interim_bytes + head_bytes))
    }

    /// An answer was put whole.
    fn answered(&mut self, persistence: Persistence) -> Step {
        self.state = State::Head;
        match persistence {
            Persistence::Implied | Persistence::Told => Ok(()),
            Persistence::Asked => Err(Next::Close),
            Persistence::Close => Err(Next::Finish),
        }
    }

    /// Last words to a client that was too slow.
    fn expired(&mut self, wait: Wait, input: Input<'_>, out: &mut Outbox) -> Progress {
        let (head, interim_bytes) = match &mut self.state {
            State::Head if wait != Wait::NextRequest => (input.bytes.to_vec(), 0),
            State::Body(pending) => (std::mem::take(&mut pending.head), pending.continue_bytes),
            State::Head | State::Answering(_) => return Progress::need_input(0, wait),
        };
        // Nothing was promised: what does not fit is lost.
        self.refuse(Status::RequestTimeout, &head, interim_bytes, input, out);
        if let State::Answering(rest) = &mut self.state {
            rest.parts.put(&self.shared.site, out);
        }
        Progress::need_input(0, wait)
    }
}

impl Session for HttpSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        if let Call::Expired(wait) = input.call {
            return self.expired(wait, input, out);
        }
        let (mut consumed, mut complete) = (0, 0);
        for _ in 0..REQUESTS_PER_CALL_MAX {
            let step = self.step(input, &mut consumed, out);
            if !self.is_inside_request() {
                complete = consumed;
            }
            if let Err(next) = step {
                return Progress::new(consumed, next).with_unfinished(consumed - complete);
            }
        }
        Progress::again(consumed).with_unfinished(consumed - complete)
    }

    fn unfinished(&mut self) -> Option<Record> {
        match &mut self.state {
            State::Answering(rest) => rest.parts.take_record(),
            State::Head | State::Body(_) => None,
        }
    }

    fn held_bytes(&self) -> usize {
        match &self.state {
            State::Head => 0,
            State::Body(pending) => size_of::<Pending>() + pending.head.capacity(),
            State::Answering(rest) => size_of::<Rest>() + rest.parts.memory_bytes(),
        }
    }
}

/// The answer to a request, from whatever its target leads to.
fn compose(
    shared: &Shared,
    scene: &Scene<'_>,
    asked: &Asked<'_, '_, '_>,
    target: Result<Target<'_>, Status>,
    input: Input<'_>,
) -> Answer {
    let request = asked.request;
    let persistence = asked.persistence();
    let error = |status| scene.error(status, persistence, request.method != Method::Head);
    match request.method {
        Method::Get | Method::Head | Method::Options => {}
        // After a CONNECT it is in doubt what the client sends.
        Method::Other if request.line.starts_with(b"CONNECT ") => {
            return scene.error(Status::MethodNotAllowed, Persistence::Close, true);
        }
        Method::Other => return error(Status::MethodNotAllowed),
        Method::Unknown => return error(Status::NotImplemented),
    }
    let path = match target {
        Ok(_) | Err(Status::NotFound) if request.method == Method::Options => {
            return scene.options(persistence);
        }
        Ok(Target::Path(path)) => path,
        Ok(Target::Server) => return error(Status::BadRequest),
        Err(Status::NotFound) => return missing(shared, scene, asked, input),
        Err(status) => return error(status),
    };
    if path.hidden && !shared.site.hidden {
        return missing(shared, scene, asked, input);
    }
    let Path { file, query, .. } = path;
    match shared.looked_up(&file, request, input.now) {
        Found::File(resource) => scene.file(request, persistence, &resource),
        Found::Slash => scene.slash(persistence, &file, query),
        Found::Directory(dir, place) => {
            match Listing::new((dir, place), &file, query, request.version, &shared.listings) {
                Ok(listing) => scene.listing(request, persistence, listing),
                Err(failure) => error((&failure).into()),
            }
        }
        Found::Nothing(Status::NotFound) => missing(shared, scene, asked, input),
        Found::Nothing(status) => error(status),
    }
}

/// What does not exist: the site's fallback, its page for that, or ours.
fn missing(shared: &Shared, scene: &Scene<'_>, asked: &Asked<'_, '_, '_>, input: Input<'_>) -> Answer {
    let (request, persistence) = (asked.request, asked.persistence());
    let page = |path: &Option<Vec<u8>>| match shared.looked_up(path.as_deref()?, request, input.now) {
        Found::File(page) => Some(page),
        Found::Slash | Found::Directory(..) | Found::Nothing(_) => None,
    };
    if let Some(fallback) = page(&shared.site.fallback) {
        scene.file(request, persistence, &fallback)
    } else if let Some(page) = page(&shared.site.not_found) {
        scene.whole(Status::NotFound, request, persistence, choose(request, &page))
    } else {
        scene.error(Status::NotFound, persistence, request.method != Method::Head)
    }
}
