//! The choice of a handler by host and path.

use std::fmt;
use std::net::Ipv6Addr;

use super::codec::status::Status;
#[cfg(feature = "cli")]
use super::codec::syntax::is_host;
#[cfg(feature = "cli")]
use super::codec::target::{self, RequestTarget};
use super::handler::{BodyPolicy, Handler, Request};
use super::response::Response;
use crate::session::Now;

/// A handler that passes requests to other handlers, by host and path.
///
/// A route has a path whose segments a request's path begins with: `/api` and `/api/` both are for `/api`,
/// `/api/` and `/api/notes`, and not for `/apiary`. The longest matching path wins. Routes of the requested
/// host come first, then those without a host. Paths are compared decoded, as in [`Request::path`], so that
/// no spelling of a path bypasses its route. A handler finds the rest of the path in [`Request::path_below`].
///
/// A request without a matching route is answered with 404, or with 421 (Misdirected Request) if all routes
/// have a host and none has the requested one.
///
/// ```
/// use oneloop::services::http::{Http, Request, Response, Router, Status};
/// use oneloop::session::rehearsal;
///
/// let router = Router::new()
///     .route("/", |_: &Request<'_>| Response::text(Status::Ok, "all the rest"))
///     .route("/ping", |_: &Request<'_>| Response::text(Status::Ok, "pong"))
///     .route_host("admin.example", "/", |_: &Request<'_>| Response::error(Status::Forbidden));
///
/// let get = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// let answer = rehearsal::answer(&Http::new(router), &[get], true, 64 << 10);
/// assert!(answer.ends_with(b"pong"));
/// ```
pub struct Router<H = Box<dyn Handler>> {
    routes: Vec<(Mount, H)>,
}

/// The requests of a route: for a host, or any host, and paths that begin with these segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `None` for any.
    host: Option<Host>,
    /// Decoded, without a slash at its end.
    path: Vec<u8>,
}

/// The name of a host as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// In small letters, without a dot at its end.
    Name(String),
    /// An address has several spellings.
    V6(Ipv6Addr),
}

/// Why a host and a path make no [`Mount`].
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountError {
    /// The host is not valid, or has a port.
    Host,
    /// The path is not valid, or has a query or an escaped slash.
    Path,
}

impl Router {
    /// A router without routes.
    pub fn new() -> Router {
        Router { routes: Vec::new() }
    }

    /// Has `handler` answer requests for `path` and what is below it, whatever their host.
    ///
    /// # Panics
    /// If `path` does not begin with a slash.
    pub fn route(self, path: &str, handler: impl Handler) -> Router {
        self.with(None, path, Box::new(handler))
    }

    /// The same for one host. Case, port and a dot at the end do not matter.
    ///
    /// # Panics
    /// If `path` does not begin with a slash.
    pub fn route_host(self, host: &str, path: &str, handler: impl Handler) -> Router {
        self.with(Some(Host::new(host)), path, Box::new(handler))
    }

    fn with(mut self, host: Option<Host>, path: &str, handler: Box<dyn Handler>) -> Router {
        assert!(path.starts_with('/'), "the path of a route begins with a slash: {path:?}");
        let path = path.trim_end_matches('/').as_bytes().to_owned();
        self.routes.push((Mount { host, path }, handler));
        self
    }
}

impl Default for Router {
    fn default() -> Self {
        Router::new()
    }
}

/// A router with one route, for all requests.
impl<H: Handler> From<H> for Router<H> {
    fn from(handler: H) -> Self {
        Router::of(vec![(Mount::ROOT, handler)])
    }
}

impl<H: Handler> Router<H> {
    /// A router with these routes, whose handlers have the same type: they are called without dynamic
    /// dispatch.
    pub(crate) fn of(routes: Vec<(Mount, H)>) -> Router<H> {
        Router { routes }
    }

    /// The handlers of all routes.
    #[cfg(feature = "cli")]
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&Mount, &H)> {
        self.routes.iter().map(|(mount, handler)| (mount, handler))
    }

    /// The handler for a request, and the request as passed to it.
    fn choose<'a>(&self, request: &Request<'a>) -> Result<(&H, Request<'a>), Status> {
        // What most servers have costs no comparison.
        if let [(Mount { host: None, path }, handler)] = &self.routes[..]
            && path.is_empty()
        {
            return Ok((handler, *request));
        }
        let host = request.host();
        let best = self
            .routes
            .iter()
            .filter(|(mount, _)| mount.is_for(host, request.path()))
            .max_by_key(|(mount, _)| (mount.host.is_some(), mount.path.len()));
        match best {
            Some((mount, handler)) => Ok((handler, request.below(mount.path.len()))),
            None if self.routes.iter().any(|(mount, _)| mount.takes_host(host)) => Err(Status::NotFound),
            None if self.routes.is_empty() => Err(Status::NotFound),
            // RFC 9110, section 15.5.20.
            None => Err(Status::MisdirectedRequest),
        }
    }
}

impl<H: Handler> Handler for Router<H> {
    fn respond(&self, request: &Request<'_>) -> Response {
        match self.choose(request) {
            Ok((handler, request)) => handler.respond(&request),
            Err(status) => Response::error(status),
        }
    }

    fn body_policy(&self, request: &Request<'_>) -> BodyPolicy {
        match self.choose(request) {
            Ok((handler, request)) => handler.body_policy(&request),
            Err(_) => BodyPolicy::Discard,
        }
    }

    fn asks_for_client(&self) -> bool {
        self.routes.iter().any(|(_, handler)| handler.asks_for_client())
    }

    fn maintenance_due_ms(&self) -> Option<u64> {
        self.routes.iter().filter_map(|(_, handler)| handler.maintenance_due_ms()).min()
    }

    fn maintain(&self, now: Now) {
        for (_, handler) in &self.routes {
            if handler.maintenance_due_ms().is_some_and(|due_ms| due_ms <= now.monotonic_ms) {
                handler.maintain(now);
            }
        }
    }
}

impl<H> fmt::Debug for Router<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|(mount, _)| mount)).finish()
    }
}

impl Mount {
    /// All requests.
    pub(crate) const ROOT: Mount = Mount { host: None, path: Vec::new() };

    /// The requests of `host`, or of any, for `path`, which begins with a slash and may have escapes.
    #[cfg(feature = "cli")]
    pub(crate) fn new(host: Option<&str>, path: &str) -> Result<Mount, MountError> {
        let is_port = |host: &str| host.rfind(':').is_some_and(|colon| !host[colon..].contains(']'));
        let is_one = |host: &str| {
            // A name may contain `*` (RFC 3986, section 3.2.2), but a user who types it means a pattern.
            !host.is_empty() && !is_port(host) && !host.contains('*') && is_host(host.as_bytes())
        };
        if !host.is_none_or(is_one) {
            return Err(MountError::Host);
        }
        let path = match target::parse(path.as_bytes()) {
            Ok(RequestTarget::Path(parsed))
                if path.starts_with('/') && !path.contains('?') && !parsed.escaped_slash =>
            {
                parsed.decoded.into_owned()
            }
            _ => return Err(MountError::Path),
        };
        let path = path.strip_suffix(b"/").map_or_else(|| path.clone(), <[u8]>::to_vec);
        Ok(Mount { host: host.map(Host::new), path })
    }

    /// The URL of the route on a server at `top`, such as `http://127.0.0.1:8000/`; with the host of the
    /// route, if any, in place of the address.
    #[cfg(feature = "cli")]
    pub(crate) fn url(&self, top: &str) -> String {
        let named = self.to_string();
        let (host, path) = match named.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", &*named),
        };
        let path = path.trim_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        if host.is_empty() {
            return format!("{top}{path}{slash}");
        }
        let port = top.trim_end_matches('/').rsplit_once(':').map_or("", |(_, port)| port);
        match port.parse::<u16>() {
            Ok(port) => format!("http://{host}:{port}/{path}{slash}"),
            Err(_) => format!("http://{host}/{path}{slash}"),
        }
    }

    fn takes_host(&self, host: &str) -> bool {
        self.host.as_ref().is_none_or(|own| own.is(host))
    }

    fn is_for(&self, host: &str, path: &[u8]) -> bool {
        let below = path.strip_prefix(&self.path[..]);
        // A target without a path, such as `OPTIONS *`, matches the routes of `/`.
        below.is_some_and(|below| matches!(below, [] | [b'/', ..]) || self.path.is_empty())
            && self.takes_host(host)
    }
}

/// As the program's arguments have it: `/docs`, `//example.org/docs`.
#[cfg(feature = "cli")]
impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => {}
            Some(Host::Name(name)) => write!(f, "//{name}")?,
            Some(Host::V6(address)) => write!(f, "//[{address}]")?,
        }
        for segment in self.path.split(|&byte| byte == b'/').skip(1) {
            write!(f, "/{}", target::encode_segment(segment))?;
        }
        if self.path.is_empty() { f.write_str("/") } else { Ok(()) }
    }
}

impl Host {
    /// The host of a route, without a port.
    fn new(host: &str) -> Host {
        match literal_of(host) {
            Some(address) => Host::V6(address),
            None => Host::Name(without_root(host).to_ascii_lowercase()),
        }
    }

    /// Whether it is the host of a request, without its port. Allocates nothing.
    fn is(&self, host: &str) -> bool {
        match self {
            Host::Name(name) => name.eq_ignore_ascii_case(without_root(host)),
            Host::V6(address) => literal_of(host) == Some(*address),
        }
    }
}

/// The address of an IPv6 literal. A zone, with or without the escape of its `%` (RFC 6874, section 2), has a
/// meaning for the client's machine only.
fn literal_of(host: &str) -> Option<Ipv6Addr> {
    let literal = host.strip_prefix('[')?.strip_suffix(']')?;
    literal.split('%').next()?.parse().ok()
}

/// The name without the dot of the root at its end (RFC 1034, section 3.1).
fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}
