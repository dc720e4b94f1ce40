//! The service: a handler, and the parts common to all of its responses.

use std::sync::{Arc, Mutex};

use super::codec::date::DateCache;
use super::codec::head::{Framing, Head, Persistence};
use super::codec::status::Status;
use super::config::{ConfigError, HttpConfig, service_lines};
use super::deferred::HandlerClient;
use super::files::Files;
use super::handler::Handler;
use super::session::{HttpSession, HttpShared};
use crate::session::{ClientInfo, Now, Refusal, Service};

/// HTTP/1.1 for a [`Handler`]: [`Files`], a [`super::Router`], or one of your own. Clones share the handler;
/// a forked child has its own copy.
///
/// ```no_run
/// use oneloop::limits::Limits;
/// use oneloop::reactor::Reactor;
/// use oneloop::services::http::{Files, FilesConfig, Http};
///
/// let files = Files::new(FilesConfig::new("public"))?;
/// let mut reactor = Reactor::new(Limits::default())?;
/// reactor.bind("127.0.0.1:8000", Http::new(files))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Http<H = Files> {
    shared: Arc<HttpShared<H>>,
}

impl<H> Clone for Http<H> {
    fn clone(&self) -> Self {
        Http { shared: Arc::clone(&self.shared) }
    }
}

impl<H: Handler> Http<H> {
    /// The service of `handler`, with no fields for every response.
    pub fn new(handler: H) -> Http<H> {
        Http::with_lines(handler, String::new(), HttpConfig::default().head_bytes_max)
    }

    /// The same with a configuration.
    pub fn with_config(handler: H, config: &HttpConfig) -> Result<Http<H>, ConfigError> {
        Ok(Http::with_lines(handler, service_lines(&config.headers)?, config.head_bytes_max))
    }

    fn with_lines(handler: H, lines: String, head_bytes_max: u32) -> Http<H> {
        let head_end = lines + "\r\n";
        let refusal = refusal(&head_end);
        let dates = Mutex::new(DateCache::new());
        let head_bytes_max = head_bytes_max as usize;
        Http { shared: Arc::new(HttpShared { handler, head_bytes_max, head_end, refusal, dates }) }
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.shared.handler
    }
}

/// The response to a client that gets no session. It is the same for all, so it has no date, which a 5xx may
/// lack (RFC 9110, section 6.6.1).
fn refusal(head_end: &str) -> Vec<u8> {
    const BODY: &str = "503 Service Unavailable\n";
    let framing = Framing::Length(BODY.len() as u64).line();
    let lines = format!("Content-Type: text/plain; charset=utf-8\r\n{framing}Retry-After: 1\r\n");
    let head = Head {
        status: Status::Unavailable,
        date: b"",
        persistence: Persistence::Close,
        lines: &lines,
        end: head_end,
    };
    head.pieces(BODY.as_bytes()).concat()
}

impl<H: Handler> Service for Http<H> {
    type Session = HttpSession<H>;

    fn open(&self, client: &ClientInfo<'_>) -> HttpSession<H> {
        let kept = self.shared.handler.asks_for_client();
        let client = kept.then(|| Box::new(HandlerClient { peer: client.peer, offload: client.offload() }));
        HttpSession::new(Arc::clone(&self.shared), client)
    }

    fn refusal(&self, _why: Refusal) -> &[u8] {
        &self.shared.refusal
    }

    fn client_speaks_first(&self) -> bool {
        true
    }

    fn maintenance_due_ms(&self) -> Option<u64> {
        self.shared.handler.maintenance_due_ms()
    }

    fn maintain(&self, now: Now) {
        self.shared.handler.maintain(now);
    }
}
