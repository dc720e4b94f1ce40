//! One client: requests in, responses out, one after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bounds::{ANSWER_ROOM_BYTES, COPY_BYTES_MAX, DEFERRALS_MAX, OFFLOADED_MAX, REQUESTS_PER_CALL_MAX};
use super::codec::body::BodyReader;
use super::codec::date::DateCache;
use super::codec::head::{Framing, Head, Persistence};
use super::codec::request::{self, Method, RequestHead, Scan, Version, is_between_requests, line_of, parsed};
use super::codec::send::{Outgoing, SendProgress, Sending};
use super::codec::status::Status;
use super::codec::target::RequestTarget;
use super::deferred::{Deferred, HandlerClient, Notes, WorkResult};
use super::files::Files;
use super::handler::{BodyPolicy, Handler, Request};
use super::report::{ReportSubject, RequestStart, answer_info};
use super::response::{BuiltResponse, FixedBody, Response, ResponseKind};
use crate::session::{
    AnswerInfo, Call, Fault, Input, Next, Offload, Outbox, Outcome, Progress, Session, Ticket, Wait,
};

/// The data that all clients of a service share.
#[derive(Debug)]
pub(crate) struct HttpShared<H> {
    pub(crate) handler: H,
    pub(crate) head_bytes_max: usize,
    /// The end of the head of every response: the lines of the service, and the empty line.
    pub(crate) head_end: String,
    /// The response to a client that gets no session.
    pub(crate) refusal: Vec<u8>,
    pub(crate) dates: Mutex<DateCache>,
}

/// The state of one client. An idle client owns nothing on the heap.
#[derive(Debug)]
pub struct HttpSession<H = Files> {
    shared: Arc<HttpShared<H>>,
    /// Present if the handler asks for it.
    client: Option<Box<HandlerClient>>,
    /// How far the arriving head has been scanned.
    scan: Scan,
    state: RequestState,
}

#[derive(Debug)]
enum RequestState {
    /// The head of a request arrives.
    Head,
    /// Its body arrives.
    Body(Box<Pending>),
    /// Its response needs slow work first.
    Waiting(Box<DeferredRequest>),
    /// Its response waits for room.
    Sending(Box<Sending>),
}

/// A request whose body is being received.
#[derive(Debug)]
struct Pending {
    head: Vec<u8>,
    body: BodyReader,
    start: RequestStart,
}

/// A request whose response needs slow work first.
#[derive(Debug)]
struct DeferredRequest {
    head: Vec<u8>,
    content: Vec<u8>,
    start: RequestStart,
    /// Whether it is the last request of the connection.
    last: bool,
    notes: Notes,
    work: Ticket<WorkResult>,
    /// Until when the work is waited for.
    due_ms: u64,
    deferrals: u32,
}

/// The request that a response is for.
#[derive(Clone, Copy)]
struct Exchange<'a> {
    subject: ReportSubject<'a>,
    version: Version,
    wants_body: bool,
    persistence: Persistence,
    start: RequestStart,
}

/// A request that is being answered: the bytes of its head and content, and how often it was deferred.
#[derive(Clone, Copy)]
struct AnsweredRequest<'a> {
    bytes: &'a [u8],
    content: &'a [u8],
    deferrals: u32,
}

/// The result of a step of a session: continue, or what is needed before the next step.
type StepResult = Result<(), Next>;

impl<H> HttpShared<H> {
    fn dates(&self) -> MutexGuard<'_, DateCache> {
        self.dates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Exchange<'a> {
    /// `last`: this is the last request of the connection.
    fn of(request: &'a RequestHead<'a>, last: bool, start: RequestStart) -> Exchange<'a> {
        // A CONNECT is answered like any other request; the bytes after it need not be HTTP.
        let closes = last || request.method == Method::Connect;
        Exchange {
            subject: ReportSubject::Request(request),
            version: request.version,
            wants_body: request.method != Method::Head,
            persistence: if closes { Persistence::Close } else { Persistence::of(request) },
            start,
        }
    }
}

impl<H: Handler> HttpSession<H> {
    pub(crate) fn new(shared: Arc<HttpShared<H>>, client: Option<Box<HandlerClient>>) -> HttpSession<H> {
        HttpSession { shared, client, scan: Scan::default(), state: RequestState::Head }
    }

    /// Whether a request has been read in part.
    fn is_inside_request(&self) -> bool {
        matches!(&self.state, RequestState::Body(pending) if !pending.body.is_over())
    }

    /// Does the next step, and advances `at` by the consumed bytes.
    fn step(&mut self, input: Input<'_>, at: &mut usize, out: &mut Outbox) -> StepResult {
        let bytes = &input.bytes[*at..];
        match &mut self.state {
            RequestState::Head => self.head(bytes, input, at, out),
            RequestState::Body(pending) => {
                let read = pending.body.read(bytes);
                *at += read.unwrap_or(0);
                match read {
                    Ok(_) if !pending.body.is_over() => Err(Next::NeedInput(Wait::Rest)),
                    Ok(_) => self.behind_body(input.bytes.len() == *at, input, out),
                    Err(status) => {
                        let (head, start) = (std::mem::take(&mut pending.head), pending.start);
                        self.refuse(status, &head, start, input, out)
                    }
                }
            }
            RequestState::Waiting(waiting) => {
                waiting.last |= input.call == Call::Stopping && bytes.is_empty();
                match waiting.work.take() {
                    Outcome::Done(result) => self.resume(Ok(result), input, out),
                    Outcome::Lost => self.resume(Err(Status::InternalError), input, out),
                    Outcome::Pending if waiting.due_ms <= input.now.monotonic_ms => {
                        self.resume(Err(Status::Unavailable), input, out)
                    }
                    Outcome::Pending => Err(Next::Pause),
                }
            }
            RequestState::Sending(sending) => match sending.put(out) {
                SendProgress::Done => {
                    let persistence = sending.persistence;
                    self.answered(persistence)
                }
                SendProgress::Waits => {
                    let due_ms = sending.due_ms.get_or_insert(input.now.after_ms(OFFLOADED_MAX));
                    let is_due = *due_ms <= input.now.monotonic_ms;
                    Err(if is_due { Next::Abort(Fault::Resource) } else { Next::Pause })
                }
                SendProgress::Full => Err(Next::NeedRoom),
                SendProgress::Yield => Err(Next::Again),
                SendProgress::Failed => Err(Next::Abort(Fault::Resource)),
            },
        }
    }

    /// Looks for the head of a request, and begins what it asks for.
    fn head(&mut self, bytes: &[u8], input: Input<'_>, at: &mut usize, out: &mut Outbox) -> StepResult {
        let start = RequestStart { arrived_ms: input.arrived_ms, interim_bytes: 0 };
        let end = match self.scan.head_end(bytes, self.shared.head_bytes_max) {
            Ok(Some(end)) => end,
            Ok(None) if !is_between_requests(bytes) => {
                return Err(Next::NeedInput(Wait::Rest));
            }
            Ok(None) if input.call == Call::Stopping => return Err(Next::Finish),
            Ok(None) => return Err(Next::NeedInput(Wait::NextRequest)),
            Err(malformed) => {
                return self.refuse(malformed.status, &bytes[..malformed.bytes], start, input, out);
            }
        };
        self.scan = Scan::default();
        // Begin no response after a queued file: otherwise a client that requests many files and does not
        // read would hold all of them open.
        if !out.is_empty() && (out.room() < ANSWER_ROOM_BYTES || out.has_file()) {
            return Err(Next::NeedRoom);
        }
        *at += end;
        let head = &bytes[..end];
        parsed(head, |request| match request {
            Ok(request) if request.framing != request::RequestFraming::Length(0) => {
                self.body(request, head, start, input, out)
            }
            Ok(request) => {
                let last = input.call == Call::Stopping && bytes.len() == end;
                self.respond(request, (head, &[]), Exchange::of(request, last, start), input, out)
            }
            Err(status) => self.refuse(status, head, start, input, out),
        })
    }

    /// Begins to read a body; the head is kept until that is done.
    fn body(
        &mut self,
        head: &RequestHead<'_>,
        bytes: &[u8],
        mut start: RequestStart,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> StepResult {
        let shared = Arc::clone(&self.shared);
        let policy = match head.resource {
            Ok(_) => shared.handler.body_policy(&request_of(head, input)),
            Err(_) => BodyPolicy::Discard,
        };
        let body = match policy {
            BodyPolicy::Keep { bytes_max } => BodyReader::keep(head.framing, bytes_max),
            BodyPolicy::Discard => BodyReader::discard(head.framing),
            // Sent at once; the connection closes, because it is not known whether the body follows.
            BodyPolicy::Refuse(response) => {
                return self.send(response, Exchange::of(head, true, start), input, out);
            }
        };
        let body = match body {
            Ok(body) => body,
            Err(status) => return self.refuse(status, bytes, start, input, out),
        };
        if head.expects_continue {
            let interim = Head::interim(Status::Continue).pieces(b"");
            // If the outbox cannot hold the interim response, it is left out: the client goes on by itself.
            if out.put_all(&interim).is_ok() {
                start.interim_bytes = bytes_of(&interim);
            }
        }
        self.state = RequestState::Body(Box::new(Pending { head: bytes.to_vec(), body, start }));
        Ok(())
    }

    /// Answers a request whose body has been read.
    fn behind_body(&mut self, at_end: bool, input: Input<'_>, out: &mut Outbox) -> StepResult {
        let RequestState::Body(pending) = std::mem::replace(&mut self.state, RequestState::Head) else {
            return Ok(());
        };
        let last = at_end && input.call == Call::Stopping;
        let Pending { head, body, start } = *pending;
        parsed(&head, |request| match request {
            Ok(request) => {
                let exchange = Exchange::of(request, last, start);
                self.respond(request, (&head, body.content()), exchange, input, out)
            }
            Err(status) => self.refuse(status, &head, start, input, out),
        })
    }

    /// Answers a complete request: the parsed head, and the bytes of head and content.
    fn respond(
        &mut self,
        head: &RequestHead<'_>,
        (bytes, content): (&[u8], &[u8]),
        exchange: Exchange<'_>,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> StepResult {
        let response = match &head.resource {
            Ok(RequestTarget::Server) if head.method != Method::Options => {
                Response::error(Status::BadRequest)
            }
            Ok(_) if self.client.is_some() => {
                let (work, begun) = (Notes::default(), AnsweredRequest { bytes, content, deferrals: 0 });
                return self.respond_with(work, head, begun, exchange, input, out);
            }
            Ok(_) => self.shared.handler.respond(&Request { body: content, ..request_of(head, input) }),
            Err(status) => Response::error(*status),
        };
        self.send(response, exchange, input, out)
    }

    /// Answers a request whose handler asks for the client, and may need slow work first.
    fn respond_with(
        &mut self,
        notes: Notes,
        head: &RequestHead<'_>,
        begun: AnsweredRequest<'_>,
        exchange: Exchange<'_>,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> StepResult {
        let client = self.client.as_deref();
        let request = Request { body: begun.content, client, notes: Some(&notes), ..request_of(head, input) };
        match self.shared.handler.respond(&request).deferred_work() {
            Ok(response) => {
                let subject = match notes.user() {
                    Some(user) => ReportSubject::RequestOf(head, user),
                    None => exchange.subject,
                };
                self.send(response, Exchange { subject, ..exchange }, input, out)
            }
            Err(deferred) => self.defer(deferred, notes, begun, exchange, input, out),
        }
    }

    /// Begins slow work that a response needs first.
    fn defer(
        &mut self,
        deferred: Deferred,
        notes: Notes,
        AnsweredRequest { bytes, content, deferrals }: AnsweredRequest<'_>,
        exchange: Exchange<'_>,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> StepResult {
        if deferrals == DEFERRALS_MAX {
            log::error!(
                "http: a handler needs work for one request again and again; it is answered with 500"
            );
            return self.send(Response::error(Status::InternalError), exchange, input, out);
        }
        let begun = match &self.client {
            Some(client) => deferred.begin(&client.offload),
            None => deferred.begin(&Offload::inline()),
        };
        let Ok(work) = begun else {
            return self.send(Response::error(Status::Unavailable), exchange, input, out);
        };
        self.state = RequestState::Waiting(Box::new(DeferredRequest {
            head: bytes.to_vec(),
            content: content.to_vec(),
            start: exchange.start,
            last: exchange.persistence == Persistence::Close,
            notes,
            work,
            due_ms: input.now.after_ms(OFFLOADED_MAX),
            deferrals: deferrals + 1,
        }));
        Ok(())
    }

    /// Continues a request when its work is done or has failed.
    fn resume(
        &mut self,
        result: Result<WorkResult, Status>,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> StepResult {
        let RequestState::Waiting(waiting) = std::mem::replace(&mut self.state, RequestState::Head) else {
            return Ok(());
        };
        let DeferredRequest { head, content, start, last, notes, deferrals, .. } = *waiting;
        parsed(&head, |request| match (request, result) {
            (Ok(request), Ok(result)) => {
                notes.add_result(result);
                let begun = AnsweredRequest { bytes: &head, content: &content, deferrals };
                self.respond_with(notes, request, begun, Exchange::of(request, last, start), input, out)
            }
            (Ok(request), Err(status)) => {
                self.send(Response::error(status), Exchange::of(request, last, start), input, out)
            }
            (Err(status), _) => self.refuse(status, &head, start, input, out),
        })
    }

    /// Refuses a request that is malformed or too large and closes the connection, because it is not known
    /// where the next request begins.
    fn refuse(
        &mut self,
        status: Status,
        head: &[u8],
        start: RequestStart,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> StepResult {
        let line = line_of(head);
        let exchange = Exchange {
            subject: ReportSubject::Line(line),
            version: Version::Http11,
            wants_body: !line.starts_with(b"HEAD "),
            persistence: Persistence::Close,
            start,
        };
        self.send(Response::error(status), exchange, input, out)
    }

    /// Puts a response, or begins to.
    fn send(
        &mut self,
        response: Response,
        exchange: Exchange<'_>,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> StepResult {
        let date = *self.shared.dates().line(input.now.wall);
        let Exchange { persistence, wants_body, version, .. } = exchange;
        let end = &self.shared.head_end;
        let (persistence, rest) = match response.into_kind() {
            ResponseKind::Prepared(prepared) => {
                let head =
                    Head { status: Status::Ok, date: &date, persistence, lines: prepared.lines(), end };
                // A few bytes are copied after the head; for more a reference is cheaper.
                let (copied, body) = match &prepared.body {
                    _ if !wants_body => (&[][..], Outgoing::Nothing),
                    FixedBody::Bytes(bytes) if bytes.len() <= COPY_BYTES_MAX => {
                        (&bytes[..], Outgoing::Nothing)
                    }
                    body => (&[][..], Outgoing::Piece(body.piece(&(0..body.len())))),
                };
                (persistence, put(&head, copied, body, exchange, input, out))
            }
            kind => {
                let mut built = BuiltResponse::from(kind);
                if built.status.code() < 200 {
                    log::error!("http: a handler answered with the interim status {}", built.status.code());
                    built = BuiltResponse::from(Response::error(Status::InternalError));
                }
                let framing = framing_of(&built, version);
                let BuiltResponse { status, content_type, fields, body } = built;
                let lines = [&content_type, &*framing.line(), &fields].concat();
                let persistence = if framing == Framing::Close { Persistence::Close } else { persistence };
                let head = Head { status, date: &date, persistence, lines: &lines, end };
                let has_body = wants_body && framing != Framing::None;
                let offload = self.client.as_ref().map(|client| &client.offload);
                let body = if has_body { Outgoing::new(body, framing, offload) } else { Outgoing::Nothing };
                (persistence, put(&head, &[], body, exchange, input, out))
            }
        };
        match rest {
            None => self.answered(persistence),
            Some(sending) => {
                self.state = RequestState::Sending(sending);
                Ok(())
            }
        }
    }

    /// A response was put whole.
    fn answered(&mut self, persistence: Persistence) -> StepResult {
        self.state = RequestState::Head;
        match persistence {
            Persistence::Implied | Persistence::Announced => Ok(()),
            Persistence::Asked => Err(Next::Close),
            Persistence::Close => Err(Next::Finish),
        }
    }

    /// The last response, to a client that was too slow.
    fn expired(&mut self, wait: Wait, input: Input<'_>, out: &mut Outbox) -> Progress {
        let (head, start) = match &mut self.state {
            RequestState::Head if wait != Wait::NextRequest => {
                (input.bytes.to_vec(), RequestStart { arrived_ms: input.arrived_ms, interim_bytes: 0 })
            }
            RequestState::Body(pending) => (std::mem::take(&mut pending.head), pending.start),
            RequestState::Head | RequestState::Waiting(_) | RequestState::Sending(_) => {
                return Progress::need_input(0, wait);
            }
        };
        // This is the last call, so what does not fit is lost.
        let _ = self.refuse(Status::RequestTimeout, &head, start, input, out);
        if let RequestState::Sending(sending) = &mut self.state {
            sending.put(out);
        }
        Progress::need_input(0, wait)
    }
}

/// A whole request without its body, as a handler gets it that does not ask for the client.
fn request_of<'a>(head: &'a RequestHead<'a>, input: Input<'_>) -> Request<'a> {
    Request::new(head, input.now)
}

/// Puts a head, the bytes copied after it, and the rest of the body; returns the part without room.
fn put(
    head: &Head<'_>,
    copied: &[u8],
    mut body: Outgoing,
    exchange: Exchange<'_>,
    input: Input<'_>,
    out: &mut Outbox,
) -> Option<Box<Sending>> {
    let (pieces, persistence) = (head.pieces(copied), head.persistence);
    out.count_answer(Some(head.status.code()));
    let head_bytes = bytes_of(&pieces) - copied.len();
    let Exchange { subject, start, .. } = exchange;
    let info = answer_info(out.answer_detail(), subject, start, head.status, head_bytes, input.now.wall);
    let head = if out.put_all(&pieces).is_err() {
        pieces.concat()
    } else if body.is_short() && body.put(out) == SendProgress::Done {
        if let Some(info) = info {
            out.answered(info);
        }
        return None;
    } else {
        Vec::new()
    };
    Some(Box::new(Sending { head, head_at: 0, body, info, due_ms: None, persistence }))
}

/// How the end of a response's body is known.
fn framing_of(response: &BuiltResponse, version: Version) -> Framing {
    match (response.status, response.body.len(), version) {
        (Status::NoContent | Status::NotModified, ..) => Framing::None,
        (_, Some(len), _) => Framing::Length(len),
        (_, None, Version::Http11) => Framing::Chunked,
        (_, None, Version::Http10) => Framing::Close,
    }
}

fn bytes_of(pieces: &[&[u8]]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

impl<H: Handler> Session for HttpSession<H> {
    // It would be most of the code of whatever calls sessions of several services, and push apart the rest.
    #[inline(never)]
    fn advance(&mut self, mut input: Input<'_>, out: &mut Outbox) -> Progress {
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
            if consumed > 0 {
                input.arrived_ms = input.last_arrived_ms; // of the next request
            }
        }
        Progress::again(consumed).with_unfinished(consumed - complete)
    }

    fn unfinished(&mut self) -> Option<AnswerInfo> {
        match &mut self.state {
            RequestState::Sending(sending) => sending.info.take(),
            RequestState::Head | RequestState::Body(_) | RequestState::Waiting(_) => None,
        }
    }

    fn timer_due_ms(&self) -> Option<u64> {
        match &self.state {
            RequestState::Head | RequestState::Body(_) => None,
            RequestState::Waiting(waiting) => Some(waiting.due_ms),
            RequestState::Sending(sending) => sending.due_ms,
        }
    }

    fn held_bytes(&self) -> usize {
        let client_bytes = self.client.as_ref().map_or(0, |_| size_of::<HandlerClient>());
        client_bytes
            + match &self.state {
                RequestState::Head => 0,
                RequestState::Waiting(waiting) => {
                    size_of::<DeferredRequest>() + waiting.head.capacity() + waiting.content.capacity()
                }
                RequestState::Body(pending) => {
                    size_of::<Pending>() + pending.head.capacity() + pending.body.memory_bytes()
                }
                RequestState::Sending(sending) => sending.memory_bytes(),
            }
    }
}
