//! The response of a handler: a status, fields and a body, not yet serialised.

use std::any::Any;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use super::body::{Body, BodyContent, BodyPiece};
use super::codec::head::{Framing, is_sendable, push_line};
use super::codec::status::Status;
use super::deferred::Deferred;
use super::html;
use crate::session::{FileRange, Lane};

/// A response: status, fields and body.
///
/// The server adds what belongs to the connection and the message: `Date`, `Connection`, `Content-Length` or
/// `Transfer-Encoding`. A response to `HEAD` is made as one to `GET`; its body is not sent.
///
/// ```
/// use oneloop::services::http::{Response, Status};
///
/// let response = Response::new(Status::Created)
///     .with_field("Location", "/notes/7")
///     .with_field("Content-Type", "application/json")
///     .with_body("{\"id\":7}");
/// assert_eq!(response.status(), Status::Created);
/// ```
#[derive(Debug)]
pub struct Response(ResponseKind);

#[derive(Debug)]
pub(crate) enum ResponseKind {
    Built(BuiltResponse),
    Prepared(Arc<PreparedResponse>),
    /// The handler is called again when this work is done.
    Deferred(Deferred),
}

/// A response made for one request.
#[derive(Debug)]
pub(crate) struct BuiltResponse {
    pub(crate) status: Status,
    /// The line `Content-Type`, or nothing.
    pub(crate) content_type: String,
    /// The other fields, as lines.
    pub(crate) fields: String,
    pub(crate) body: BodyContent,
}

/// A response with status 200 that is serialised once and sent many times.
#[derive(Debug)]
pub(crate) struct PreparedResponse {
    /// The lines of the head, except those that differ between responses.
    lines: String,
    /// The range of `lines` with the line that frames the body.
    framing: Range<usize>,
    pub(crate) body: FixedBody,
}

/// The body of a [`PreparedResponse`].
#[derive(Debug)]
pub(crate) enum FixedBody {
    Bytes(Arc<[u8]>),
    File(Arc<File>, u64),
}

impl Response {
    /// A response without fields and body.
    pub fn new(status: Status) -> Response {
        let (content_type, fields) = (String::new(), String::new());
        Response(ResponseKind::Built(BuiltResponse {
            status,
            content_type,
            fields,
            body: BodyContent::Empty,
        }))
    }

    /// A response of plain text.
    ///
    /// ```
    /// use oneloop::services::http::{Response, Status};
    ///
    /// let response = Response::text(Status::Ok, "pong\n");
    /// ```
    pub fn text(status: Status, text: impl Into<Body>) -> Response {
        Response::new(status).with_field("Content-Type", "text/plain; charset=utf-8").with_body(text)
    }

    /// A response with a small page that shows the status, as the server itself answers with. A 503 has
    /// `Retry-After: 1`.
    pub fn error(status: Status) -> Response {
        Response::error_page(status, Some("/"))
    }

    /// The same with an optional link to `home`, a reference that needs no escapes.
    pub(crate) fn error_page(status: Status, home: Option<&str>) -> Response {
        let response = Response::new(status)
            .with_field("Content-Type", "text/html; charset=utf-8")
            .with_lines([html::ERROR_LINES])
            .with_body(html::error_page(status, home));
        if status == Status::Unavailable { response.with_field("Retry-After", "1") } else { response }
    }

    /// A response of 200 that was made before.
    pub(crate) fn prepared(prepared: Arc<PreparedResponse>) -> Response {
        Response(ResponseKind::Prepared(prepared))
    }

    /// Runs `work` beside the loop, and calls the handler again with the same request and the result
    /// ([`Notes::take_result`](super::deferred::Notes)). Only for handlers that ask for the client
    /// ([`Handler::asks_for_client`](super::Handler::asks_for_client)); for other handlers the loop waits.
    /// Fields and a body that are added to it are lost: add them to the response of the second call.
    pub(crate) fn deferred<T: Any + Send>(lane: Lane, work: impl FnOnce() -> T + Send + 'static) -> Response {
        Response(ResponseKind::Deferred(Deferred::new(lane, work)))
    }

    /// Adds a field. A second `Content-Type` replaces the first.
    ///
    /// A field that cannot be sent turns the response into a 500 and is logged, so that no value from a
    /// client can end a line: the name must be a token, and the value must not have control characters. The
    /// same holds for those that the server sends itself: `Connection`, `Content-Length`, `Date`,
    /// `Transfer-Encoding` and `Upgrade`.
    pub fn with_field(self, name: &str, value: impl AsRef<str>) -> Response {
        let value = value.as_ref();
        if !is_sendable(name, value) {
            log::error!("http: a handler answered with the field {name:?}: {value:?}, which cannot be sent");
            return Response::error(Status::InternalError);
        }
        if self.is_deferred() {
            return self;
        }
        let mut built = BuiltResponse::from(self);
        if name.eq_ignore_ascii_case("content-type") {
            built.content_type.clear();
            push_line(&mut built.content_type, name, value);
        } else {
            push_line(&mut built.fields, name, value);
        }
        Response(ResponseKind::Built(built))
    }

    /// Adds fields that are lines already, each with its end.
    pub(crate) fn with_lines<'l>(self, lines: impl IntoIterator<Item = &'l str>) -> Response {
        if self.is_deferred() {
            return self;
        }
        let mut built = BuiltResponse::from(self);
        built.fields.extend(lines);
        Response(ResponseKind::Built(built))
    }

    /// Sets the body.
    pub fn with_body(self, body: impl Into<Body>) -> Response {
        if self.is_deferred() {
            return self;
        }
        Response(ResponseKind::Built(BuiltResponse {
            body: body.into().into_content(),
            ..BuiltResponse::from(self)
        }))
    }

    fn is_deferred(&self) -> bool {
        matches!(self.0, ResponseKind::Deferred(_))
    }

    /// Whether its lines were laid out before.
    pub(crate) fn is_prepared(&self) -> bool {
        matches!(self.0, ResponseKind::Prepared(_))
    }

    /// The status. 202 if slow work has to be done first, after which the handler is called again.
    pub fn status(&self) -> Status {
        match &self.0 {
            ResponseKind::Built(built) => built.status,
            ResponseKind::Prepared(_) => Status::Ok,
            ResponseKind::Deferred(_) => Status::Accepted,
        }
    }

    /// The work that has to be done first, if any; otherwise the response.
    pub(crate) fn deferred_work(self) -> Result<Response, Deferred> {
        match self.0 {
            ResponseKind::Deferred(deferred) => Err(deferred),
            kind => Ok(Response(kind)),
        }
    }

    pub(crate) fn into_kind(self) -> ResponseKind {
        self.0
    }
}

impl From<Response> for BuiltResponse {
    fn from(response: Response) -> BuiltResponse {
        BuiltResponse::from(response.0)
    }
}

impl From<ResponseKind> for BuiltResponse {
    fn from(kind: ResponseKind) -> BuiltResponse {
        match kind {
            ResponseKind::Built(built) => built,
            // Never sent: the work is done first.
            ResponseKind::Deferred(_) => BuiltResponse::from(Response::new(Status::InternalError)),
            ResponseKind::Prepared(prepared) => BuiltResponse {
                status: Status::Ok,
                content_type: prepared.lines[..prepared.framing.start].to_owned(),
                fields: prepared.lines[prepared.framing.end..].to_owned(),
                body: BodyContent::One(prepared.body.piece(&(0..prepared.body.len()))),
            },
        }
    }
}

impl PreparedResponse {
    /// Prepares a response with these lines.
    pub(crate) fn new<'l>(
        content_type: &str,
        fields: impl IntoIterator<Item = &'l str>,
        body: FixedBody,
    ) -> PreparedResponse {
        let mut lines = content_type.to_owned();
        lines.push_str(&Framing::Length(body.len()).line());
        let framing = content_type.len()..lines.len();
        lines.extend(fields);
        PreparedResponse { lines, framing, body }
    }

    /// The lines of the head, except those that differ between responses.
    pub(crate) fn lines(&self) -> &str {
        &self.lines
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let body_bytes = match &self.body {
            FixedBody::Bytes(bytes) => bytes.len(),
            FixedBody::File(..) => 0,
        };
        self.lines.capacity() + body_bytes
    }
}

impl FixedBody {
    pub(crate) fn len(&self) -> u64 {
        match self {
            FixedBody::Bytes(bytes) => bytes.len() as u64,
            FixedBody::File(_, len) => *len,
        }
    }

    /// A range of the body as a piece of a response.
    pub(crate) fn piece(&self, range: &Range<u64>) -> BodyPiece {
        match self {
            FixedBody::Bytes(bytes) => {
                BodyPiece::Shared(Arc::clone(bytes), range.start as usize..range.end as usize)
            }
            FixedBody::File(file, _) => BodyPiece::File(FileRange {
                file: Arc::clone(file),
                offset: range.start,
                len: range.end - range.start,
            }),
        }
    }
}
