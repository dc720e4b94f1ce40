//! What a handler answers with: a status, fields and a body, not yet in bytes.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::codec::head::{Framing, is_sendable, push_line};
use super::codec::status::Status;
use crate::session::FileRange;

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
pub struct Response(Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Built(Built),
    Prepared(Arc<Prepared>),
}

/// A response that was made for one request.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) status: Status,
    /// The line `Content-Type`, or nothing.
    pub(crate) content_type: String,
    /// The other fields, as lines.
    pub(crate) fields: String,
    pub(crate) body: Content,
}

/// A response of 200 whose lines are kept: it is sent many times and serialised once.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// All lines of the head but those that differ from one response to the next.
    lines: String,
    /// Where in them the line is that frames the body.
    framing: Range<usize>,
    pub(crate) body: Fixed,
}

/// The body of a [`Prepared`] response.
#[derive(Debug)]
pub(crate) enum Fixed {
    Bytes(Arc<[u8]>),
    File(Arc<File>, u64),
}

impl Response {
    /// A response without fields and body.
    pub fn new(status: Status) -> Response {
        let (content_type, fields) = (String::new(), String::new());
        Response(Kind::Built(Built { status, content_type, fields, body: Content::Empty }))
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

    /// A response with a small page that shows the status, as the server itself answers with. One of 503 asks the client to
    /// come again after a second.
    pub fn error(status: Status) -> Response {
        let (code, reason) = (status.code(), status.reason());
        let page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <meta name=color-scheme content=\"light dark\"><title>{code} {reason}</title><h1>{code} {reason}</h1></html>\n"
        );
        let response =
            Response::new(status).with_field("Content-Type", "text/html; charset=utf-8").with_body(page);
        if status == Status::Unavailable { response.with_field("Retry-After", "1") } else { response }
    }

    /// A response of 200 that was made before.
    pub(crate) fn prepared(prepared: Arc<Prepared>) -> Response {
        Response(Kind::Prepared(prepared))
    }

    /// Adds a field. A second `Content-Type` replaces the first.
    ///
    /// A field that cannot be sent makes the response one of 500 and is logged, so that no value that came from a client can
    /// end a line: the name must be a token and the value must not have control characters. The same holds for those that
    /// the server sends itself: `Connection`, `Content-Length`, `Date`, `Transfer-Encoding` and `Upgrade`.
    pub fn with_field(self, name: &str, value: impl AsRef<str>) -> Response {
        let value = value.as_ref();
        if !is_sendable(name, value) {
            log::error!("http: a handler answered with the field {name:?}: {value:?}, which cannot be sent");
            return Response::error(Status::InternalError);
        }
        let mut built = Built::from(self);
        if name.eq_ignore_ascii_case("content-type") {
            built.content_type.clear();
            push_line(&mut built.content_type, name, value);
        } else {
            push_line(&mut built.fields, name, value);
        }
        Response(Kind::Built(built))
    }

    /// Adds fields that are lines already, each with its end.
    pub(crate) fn with_lines<'l>(self, lines: impl IntoIterator<Item = &'l str>) -> Response {
        let mut built = Built::from(self);
        built.fields.extend(lines);
        Response(Kind::Built(built))
    }

    /// Sets the body.
    pub fn with_body(self, body: impl Into<Body>) -> Response {
        Response(Kind::Built(Built { body: body.into().0, ..Built::from(self) }))
    }

    /// The status.
    pub fn status(&self) -> Status {
        match &self.0 {
            Kind::Built(built) => built.status,
            Kind::Prepared(_) => Status::Ok,
        }
    }

    pub(crate) fn into_kind(self) -> Kind {
        self.0
    }
}

impl From<Response> for Built {
    fn from(response: Response) -> Built {
        match response.0 {
            Kind::Built(built) => built,
            Kind::Prepared(prepared) => Built {
                status: Status::Ok,
                content_type: prepared.lines[..prepared.framing.start].to_owned(),
                fields: prepared.lines[prepared.framing.end..].to_owned(),
                body: Content::One(prepared.body.piece(&(0..prepared.body.len()))),
            },
        }
    }
}

impl Prepared {
    /// Prepares a response with these lines.
    pub(crate) fn new<'l>(
        content_type: &str,
        fields: impl IntoIterator<Item = &'l str>,
        body: Fixed,
    ) -> Prepared {
        let mut lines = content_type.to_owned();
        lines.push_str(&Framing::Length(body.len()).line());
        let framing = content_type.len()..lines.len();
        lines.extend(fields);
        Prepared { lines, framing, body }
    }

    /// All lines of the head but those that differ from one response to the next.
    pub(crate) fn lines(&self) -> &str {
        &self.lines
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let body_bytes = match &self.body {
            Fixed::Bytes(bytes) => bytes.len(),
            Fixed::File(..) => 0,
        };
        self.lines.capacity() + body_bytes
    }
}

impl Fixed {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Fixed::Bytes(bytes) => bytes.len() as u64,
            Fixed::File(_, len) => *len,
        }
    }

    /// A range of it as a piece of a response.
    pub(crate) fn piece(&self, range: &Range<u64>) -> Piece {
        match self {
            Fixed::Bytes(bytes) => Piece::Shared(Arc::clone(bytes), range.start as usize..range.end as usize),
            Fixed::File(file, _) => Piece::File(FileRange {
                file: Arc::clone(file),
                offset: range.start,
                len: range.end - range.start,
            }),
        }
    }
}

/// The body of a response: bytes, bytes that others share, ranges of files, or what a [`Producer`] makes while it is sent.
///
/// Bytes and strings become bodies by [`From`].
///
/// ```
/// use std::sync::Arc;
/// use oneloop::services::http::Body;
///
/// let fixed = Body::from("never copied");
/// let made = Body::from(format!("{} bytes", 7));
/// let logo: Arc<[u8]> = Arc::from(&b"<svg/>"[..]);
/// let shared = Body::shared(Arc::clone(&logo), 0..logo.len());
/// ```
#[derive(Debug)]
pub struct Body(Content);

#[derive(Debug)]
pub(crate) enum Content {
    Empty,
    One(Piece),
    Many(VecDeque<Piece>),
    Producer(Box<dyn Producer>),
}

/// A piece of a body whose length is known.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes, of which the given number has been put.
    Bytes(Cow<'static, [u8]>, usize),
    /// A range of bytes that others have too.
    Shared(Arc<[u8]>, Range<usize>),
    File(FileRange),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Body {
        Body(Content::Empty)
    }

    /// A range of bytes that others hold too; long ones are sent without a copy.
    ///
    /// # Panics
    /// If `range` is not within `bytes`.
    pub fn shared(bytes: Arc<[u8]>, range: Range<usize>) -> Body {
        assert!(range.start <= range.end && range.end <= bytes.len(), "{range:?} of {} bytes", bytes.len());
        Body(Content::One(Piece::Shared(bytes, range)))
    }

    /// A range of an open file. The response ends its connection if the file ends sooner.
    pub fn file(range: FileRange) -> Body {
        Body(Content::One(Piece::File(range)))
    }

    /// A body that is made while it is sent.
    pub fn producer(producer: impl Producer + 'static) -> Body {
        Body(Content::Producer(Box::new(producer)))
    }

    pub(crate) fn pieces(pieces: impl IntoIterator<Item = Piece>) -> Body {
        Body(Content::Many(pieces.into_iter().collect()))
    }
}

impl Content {
    /// How long it is, `None` if that is not known before its end.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Content::Empty => Some(0),
            Content::One(piece) => Some(piece.len()),
            Content::Many(pieces) => Some(pieces.iter().map(Piece::len).sum()),
            Content::Producer(producer) => producer.len_bytes(),
        }
    }
}

impl Piece {
    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> Piece {
        Piece::Bytes(Cow::Owned(bytes.into()), 0)
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes, at) => (bytes.len() - at) as u64,
            Piece::Shared(_, range) => range.len() as u64,
            Piece::File(range) => range.len,
        }
    }

    /// Memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Piece::Bytes(bytes, _) => bytes.len(),
            Piece::Shared(_, range) => range.len(), // it may be the only response that keeps them
            Piece::File(_) => 0,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body(Content::One(Piece::bytes(bytes)))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        text.into_bytes().into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        Body(Content::One(Piece::Bytes(Cow::Borrowed(bytes), 0)))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        text.as_bytes().into()
    }
}

/// Makes a body piece by piece, when there is room for the next one.
///
/// ```
/// use std::io::{self, Write};
/// use oneloop::services::http::{Body, Produced, Producer, Response, Status};
///
/// #[derive(Debug)]
/// struct Countdown(u32);
///
/// impl Producer for Countdown {
///     fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced> {
///         writeln!(piece, "{}", self.0)?;
///         self.0 -= 1;
///         Ok(if self.0 == 0 { Produced::End } else { Produced::More })
///     }
/// }
///
/// let response = Response::text(Status::Ok, Body::producer(Countdown(1_000_000)));
/// ```
pub trait Producer: fmt::Debug {
    /// Appends the next piece of the body to `piece`, which is empty. It should be some KiB at most and must not take long: other
    /// clients wait. After an error the connection is cut, so that the client does not take what it has for the whole.
    fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced>;

    /// The length of the whole body in bytes, if it is known before. A body that turns out longer is cut there; for one that ends
    /// sooner the connection is cut.
    fn len_bytes(&self) -> Option<u64> {
        None
    }

    /// Memory that it keeps on the heap for this response, in bytes; it counts with the client's buffers.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// What a [`Producer`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Produced {
    /// There is more; it is called again when there is room.
    More,
    /// There is more, and other clients have their turn before it.
    Yield,
    /// That was the last piece.
    End,
}
