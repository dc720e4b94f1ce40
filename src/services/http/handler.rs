//! What answers requests: the seam between the protocol and everything that is served.

use super::bounds::BODY_BYTES_MAX;
use super::codec::request::{Field, Method, RequestHead};
use super::codec::target::{Path, RequestTarget};
use super::deferred::{HandlerClient, Notes};
use super::response::Response;
use crate::session::{Now, Peer};

/// Answers requests. [`super::Files`] and [`super::Router`] are handlers, and so is a function from a request
/// to a response.
///
/// A handler is called in the loop that serves all clients, so it must not block. It is called once for each
/// request, when all of the request has arrived; requests of one client are answered in their order. A panic
/// ends only the client of the request.
///
/// ```
/// use oneloop::services::http::{Handler, Http, Method, Request, Response, Status};
/// use oneloop::session::rehearsal;
///
/// struct Upper;
///
/// impl Handler for Upper {
///     fn respond(&self, request: &Request<'_>) -> Response {
///         match request.method() {
///             Method::Post => Response::text(Status::Ok, request.body().to_ascii_uppercase()),
///             _ => Response::error(Status::MethodNotAllowed).with_field("Allow", "POST"),
///         }
///     }
/// }
///
/// let post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
/// let answer = rehearsal::answer(&Http::new(Upper), &[post], true, 64 << 10);
/// assert!(answer.ends_with(b"\r\n\r\nABC"));
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Answers a request.
    fn respond(&self, request: &Request<'_>) -> Response;

    /// What to do with the body of a request. Called when the head has arrived; [`Request::body`] is empty
    /// then.
    fn body_policy(&self, request: &Request<'_>) -> BodyPolicy {
        let _ = request;
        BodyPolicy::default()
    }

    /// Whether it asks for [`Request::peer`]. Each client then keeps some 50 bytes more. Must always return
    /// the same.
    fn asks_for_client(&self) -> bool {
        false
    }

    /// When [`Handler::maintain`] is to be called, in ms of [`Now::monotonic_ms`]; `None` for never. Called
    /// before each wait.
    fn maintenance_due_ms(&self) -> Option<u64> {
        None
    }

    /// Does what is due and belongs to no request. Must not block for long.
    fn maintain(&self, now: Now) {
        let _ = now;
    }
}

impl<F> Handler for F
where
    F: Fn(&Request<'_>) -> Response + Send + Sync + 'static,
{
    fn respond(&self, request: &Request<'_>) -> Response {
        self(request)
    }
}

impl Handler for Box<dyn Handler> {
    fn respond(&self, request: &Request<'_>) -> Response {
        (**self).respond(request)
    }

    fn body_policy(&self, request: &Request<'_>) -> BodyPolicy {
        (**self).body_policy(request)
    }

    fn asks_for_client(&self) -> bool {
        (**self).asks_for_client()
    }

    fn maintenance_due_ms(&self) -> Option<u64> {
        (**self).maintenance_due_ms()
    }

    fn maintain(&self, now: Now) {
        (**self).maintain(now);
    }
}

/// What to do with the body of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyPolicy {
    /// It is kept for [`Request::body`]. A body of more than `bytes_max` bytes is answered with 413, and the
    /// connection closes.
    Keep {
        /// The most bytes of content.
        bytes_max: u64,
    },
    /// It is read and discarded. A body of more than 1 MiB, including its framing, is answered with 413, and
    /// the connection closes.
    Discard,
    /// It is not read: the request is answered with this, and the connection closes.
    Refuse(Response),
}

impl BodyPolicy {
    /// How much of a body is kept where a handler does not decide: 1 MiB.
    pub const BYTES_MAX: u64 = BODY_BYTES_MAX;
}

impl Default for BodyPolicy {
    fn default() -> Self {
        BodyPolicy::Keep { bytes_max: BodyPolicy::BYTES_MAX }
    }
}

/// A request: its head, parsed, and its body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub(crate) head: &'a RequestHead<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) now: Now,
    /// Present if the handler asks for it, as the notes are, except in [`Handler::body_policy`].
    pub(crate) client: Option<&'a HandlerClient>,
    pub(crate) notes: Option<&'a Notes>,
    /// How many bytes of the path are those of the route that a router chose.
    pub(crate) route_bytes: usize,
}

impl<'a> Request<'a> {
    /// A request without a body.
    pub(crate) fn new(head: &'a RequestHead<'a>, now: Now) -> Request<'a> {
        Request { head, body: &[], now, client: None, notes: None, route_bytes: 0 }
    }

    /// The request as the handler of a route gets it, where the path of the route has `route_bytes` bytes.
    pub(crate) fn below(self, route_bytes: usize) -> Request<'a> {
        Request { route_bytes, ..self }
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.head.method
    }

    /// The target as it was sent, with its escapes and query.
    pub fn target(&self) -> &'a [u8] {
        self.head.target
    }

    /// The path, from its first slash on: decoded, without empty segments and dots (`/a//b/../%63` is
    /// `/a/c`). An escaped slash (`%2F`) stays escaped, so that it divides no segments. It is not always
    /// UTF-8. `*` for the target of `OPTIONS *`; what was sent for `CONNECT`.
    pub fn path(&self) -> &'a [u8] {
        match &self.head.resource {
            Ok(RequestTarget::Path(path)) => &path.decoded,
            _ => self.head.target,
        }
    }

    /// The path below the route that a [`super::Router`] chose: `/a` for `/docs/a` of the route `/docs`. It
    /// is empty for `/docs` itself. Without a router, the same as [`Request::path`].
    pub fn path_below(&self) -> &'a [u8] {
        &self.path()[self.route_bytes..]
    }

    /// The path of the route that a router chose, without a slash at its end.
    pub(crate) fn route(&self) -> &'a [u8] {
        &self.path()[..self.route_bytes]
    }

    /// The text after the `?` of the target, as it was sent; empty without a `?`.
    pub fn query(&self) -> &'a [u8] {
        self.located().map_or(b"", |path| path.query)
    }

    /// The requested host, without a port: from the target if it has a host, otherwise from the field `Host`.
    /// Empty without either.
    pub fn host(&self) -> &'a str {
        let authority = self.located().and_then(|path| path.authority);
        let authority = authority.or_else(|| self.head.value(Field::Host)).unwrap_or_default();
        // What was parsed as a host is ASCII.
        let authority = std::str::from_utf8(authority).unwrap_or_default();
        match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
            _ => authority,
        }
    }

    /// The value of a field that the request has once; `None` if it is absent or repeated. The case of `name`
    /// does not matter.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.head.values_named(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// All values of a field, in the order in which they were sent.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.head.values_named(name)
    }

    /// The body, if [`Handler::body_policy`] keeps it; without chunks and trailers.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Whether the client waits for `100 Continue`, or for a refusal, before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.head.expects_continue
    }

    /// The time at which the request is answered.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The address of the client, if the handler asks for it ([`Handler::asks_for_client`]).
    pub fn peer(&self) -> Option<Peer> {
        self.client.map(|client| client.peer)
    }

    /// The parsed path; `None` for a target without a path.
    pub(crate) fn located(&self) -> Option<&'a Path<'a>> {
        match &self.head.resource {
            Ok(RequestTarget::Path(path)) => Some(path),
            _ => None,
        }
    }
}
