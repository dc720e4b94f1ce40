//! Which handler answers, by host and path.

use std::fmt;

use super::codec::status::Status;
use super::handler::{BodyPolicy, Handler, Request};
use super::response::Response;
use crate::session::Now;

/// A handler that passes requests to other handlers, by host and path.
///
/// A route has a path whose segments a request's path begins with: `/api` and `/api/` both are for `/api`,
/// `/api/` and `/api/notes`, and not for `/apiary`. The longest matching path wins. Routes of the requested
/// host come first, then those without a host. A request without a matching route is answered with 404. Paths
/// are compared as [`Request::path`] has them, decoded, so that no spelling of a path leads around its route;
/// and they are not changed.
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
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
}

struct Route {
    /// `None` for any.
    host: Option<String>,
    /// Without a slash at its end.
    path: String,
    handler: Box<dyn Handler>,
}

impl Router {
    /// A router without routes.
    pub fn new() -> Router {
        Router::default()
    }

    /// Has `handler` answer requests for `path` and what is below it, whatever their host.
    ///
    /// # Panics
    /// If `path` does not begin with a slash.
    pub fn route(self, path: &str, handler: impl Handler) -> Router {
        self.with(None, path, Box::new(handler))
    }

    /// The same for one host, which is compared without its port and the case of its letters.
    ///
    /// # Panics
    /// If `path` does not begin with a slash.
    pub fn route_host(self, host: &str, path: &str, handler: impl Handler) -> Router {
        self.with(Some(host.to_owned()), path, Box::new(handler))
    }

    fn with(mut self, host: Option<String>, path: &str, handler: Box<dyn Handler>) -> Router {
        assert!(path.starts_with('/'), "the path of a route begins with a slash: {path:?}");
        let path = path.trim_end_matches('/').to_owned();
        self.routes.push(Route { host, path, handler });
        self
    }

    /// The handler for a request.
    fn choose(&self, request: &Request<'_>) -> Option<&dyn Handler> {
        let (host, path) = (request.host(), request.path());
        let is_for = |route: &&Route| {
            let host_fits = route.host.as_ref().is_none_or(|its| its.eq_ignore_ascii_case(host));
            let below = path.strip_prefix(route.path.as_bytes());
            // A target without a path, such as `OPTIONS *`, goes to the routes of `/`.
            host_fits && below.is_some_and(|below| matches!(below, [] | [b'/', ..]) || route.path.is_empty())
        };
        let best =
            self.routes.iter().filter(is_for).max_by_key(|route| (route.host.is_some(), route.path.len()));
        best.map(|route| &*route.handler)
    }
}

impl Handler for Router {
    fn respond(&self, request: &Request<'_>) -> Response {
        match self.choose(request) {
            Some(handler) => handler.respond(request),
            None => Response::error(Status::NotFound),
        }
    }

    fn body_policy(&self, request: &Request<'_>) -> BodyPolicy {
        self.choose(request).map_or(BodyPolicy::Discard, |handler| handler.body_policy(request))
    }

    fn asks_for_client(&self) -> bool {
        self.routes.iter().any(|route| route.handler.asks_for_client())
    }

    fn maintenance_due_ms(&self) -> Option<u64> {
        self.routes.iter().filter_map(|route| route.handler.maintenance_due_ms()).min()
    }

    fn maintain(&self, now: Now) {
        for route in &self.routes {
            if route.handler.maintenance_due_ms().is_some_and(|due_ms| due_ms <= now.monotonic_ms) {
                route.handler.maintain(now);
            }
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| (&route.host, &route.path))).finish()
    }
}
