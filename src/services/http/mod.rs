//! Static files over HTTP/1.1 (RFC 9110, RFC 9112).
//!
//! ```text
//! bytes ─ request (head, framing) ─ target (path) ─ cache / resource (file, neighbours) ─ respond (head, parts) ─ outbox
//!              └ body (skipped)                        └ sys::files (containment)             └ listing
//! ```
//!
//! A request for a small file that was seen within the last half second costs no call of the system, no allocation and
//! no formatting: its head and content lie ready, the date is put into words once a second.

mod access;
mod bounds;
mod codec;
mod files;
mod session;
#[cfg(test)]
mod tests;

pub use access::AccessFormat;
pub use files::config::{Config, ConfigError};
pub use session::HttpSession;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::bounds::{CLOSES_PER_CALL_MAX, ROOT_LOOKED_AT_MS, UNUSED_MS};
use self::codec::date::{Clock, OkPrefix};
use self::codec::request::{Field, Request};
use self::codec::status::Status;
use self::files::cache::Cache;
use self::files::config::Site;
use self::files::listing::Budget;
use self::files::resource::{Found, Resource};
use self::files::root::RootWatch;
use self::files::{open_files, resource};
use crate::session::{Client, Now, Refusal, Service};

/// The service: one directory. Clones share what is in memory; a forked child has its own copy.
#[derive(Clone, Debug)]
pub struct Http {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    site: Site,
    listings: Arc<Budget>,
    root: RootWatch,
    /// When [`Shared::maintain`] is to be called.
    due_ms: AtomicU64,
    hot: Mutex<Hot>,
}

/// What changes while serving. Held for a look-up only, never while a file is opened or read.
#[derive(Debug)]
struct Hot {
    clock: Clock,
    cache: Cache,
}

impl Http {
    /// The smallest inbox, in bytes, in which a head that is too long is answered (414, 431). In a smaller one the client would
    /// be closed without a word.
    pub const INBOX_BYTES_MIN: u32 = bounds::HEAD_BYTES_MAX as u32;

    /// Opens the directory and checks the rest of `config`.
    pub fn new(config: Config) -> Result<Http, ConfigError> {
        let hot = Mutex::new(Hot { clock: Clock::new(), cache: Cache::new() });
        let (site, listings) = (Site::new(config)?, Arc::new(Budget::new(bounds::LISTINGS_BYTES_MAX)));
        let due_ms = AtomicU64::new(bounds::ROOT_LOOKED_AT_MS);
        Ok(Http { shared: Arc::new(Shared { site, listings, root: RootWatch::new(), due_ms, hot }) })
    }

    /// Whether [`Config::fallback`] is asked for and is no file that can be served now. One that is made later is found then.
    pub fn lacks_fallback(&self, now: Now) -> bool {
        let site = &self.shared.site;
        // Not remembered: privileges may be given up between now and the first request.
        let is_file = |path: &[u8]| matches!(resource::find(site, path, now), Found::File(_));
        site.fallback.as_deref().is_some_and(|path| !is_file(path))
    }

    /// How many files and directories a service has open at most, kept, being sent or being listed, where a process may have so
    /// many descriptors. Who bounds the number of clients by the descriptors leaves room for them.
    pub fn open_files_max(descriptors: u64) -> usize {
        open_files::open_files_max(descriptors)
    }

    /// Has it open at most so many files and directories at once. Whoever asks for one more is answered with 503.
    pub fn limit_open_files(&self, max: usize) {
        self.shared.site.open_files.limit(max);
    }
}

impl Service for Http {
    type Session = HttpSession;

    fn open(&self, _client: &Client<'_>) -> HttpSession {
        HttpSession::new(Arc::clone(&self.shared))
    }

    fn refusal(&self, _why: Refusal) -> &[u8] {
        &self.shared.site.refusal
    }

    fn client_speaks_first(&self) -> bool {
        true
    }

    fn maintenance_due_ms(&self) -> Option<u64> {
        Some(self.shared.due_ms.load(Ordering::Relaxed))
    }

    fn maintain(&self, now: Now) {
        self.shared.maintain(now);
    }
}

impl Shared {
    fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The beginning of an answer of 200 now.
    fn prefix(&self, now: Now) -> OkPrefix {
        *self.hot().clock.ok_prefix(now.wall)
    }

    /// The file at `path` if it was seen a moment ago.
    fn remembered(&self, path: &[u8], now: Now) -> (OkPrefix, Option<Arc<Resource>>) {
        let mut hot = self.hot();
        let prefix = *hot.clock.ok_prefix(now.wall);
        let resource = hot.cache.get(path).filter(|resource| resource.is_believed(now)).map(Arc::clone);
        (prefix, resource)
    }

    /// Looks where the root's path leads. What is remembered of another directory is forgotten.
    fn look_at_root(&self, now: Now) {
        if self.root.look(&self.site.root, now) {
            let before = std::mem::replace(&mut self.hot().cache, Cache::new());
            drop(before); // closed while nobody waits for the lock
        }
    }

    /// Does what no request does: looks at the root, and closes files that nobody has asked for lately.
    fn maintain(&self, now: Now) {
        self.look_at_root(now);
        let unused: Vec<_> = {
            let mut hot = self.hot();
            let unused =
                (0..CLOSES_PER_CALL_MAX).map_while(|_| hot.cache.pop_unused(now.monotonic_ms)).collect();
            let root_ms = now.monotonic_ms + ROOT_LOOKED_AT_MS;
            self.due_ms.store(
                hot.cache.close_due_ms().map_or(root_ms, |due_ms| due_ms.min(root_ms)),
                Ordering::Relaxed,
            );
            unused
        };
        drop(unused); // closed while nobody waits for the lock
    }

    /// What `path` leads to, looked at now.
    fn looked_up(&self, path: &[u8], request: &Request<'_, '_>, now: Now) -> Found {
        if self.root.is_due(now) {
            self.look_at_root(now);
        }
        let before = self.hot().cache.get(path).map(Arc::clone);
        if let Some(resource) = before {
            // Who asks for a part may put it to others: of a file that was written to since, it would be the part of no file.
            let is_believed =
                resource.is_believed(now) && (!request.has(Field::Range) || resource.is_intact());
            if is_believed || resource.is_unchanged(&self.site.root, now) {
                return Found::File(resource);
            }
            self.hot().cache.remove(path);
        }
        let mut found = resource::find(&self.site, path, now);
        if matches!(found, Found::Nothing(Status::Unavailable)) && self.hot().cache.give_up_files() {
            found = resource::find(&self.site, path, now);
        }
        if matches!(found, Found::Nothing(Status::Unavailable)) {
            self.site.open_files.refused();
        }
        if let Found::File(resource) = &found {
            let mut hot = self.hot();
            hot.cache.insert(path, Arc::clone(resource));
            if resource.open_files() > 0 {
                // Behind the same lock as in `maintain`: else that could miss this file.
                self.due_ms.fetch_min(now.monotonic_ms + UNUSED_MS, Ordering::Relaxed);
            }
        }
        found
    }
}
