//! The files of one directory: the lookup of paths, the choice of what to send, and the cache.

mod archive;
mod cache;
mod clean;
mod conditional;
mod config;
mod encoding;
mod etag;
mod listing;
mod media;
mod open_files;
mod range;
mod resource;
mod respond;
mod root;
mod snapshot;

pub use config::FilesConfig;
#[cfg(feature = "cli")]
pub(crate) use media::MediaTypes;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bounds::{BODY_BYTES_MAX, CLOSES_PER_CALL_MAX, ROOT_LOOKED_AT_MS, UNUSED_MS};
use super::codec::request::{Field, Method, RequestHead};
use super::codec::status::Status;
use super::config::ConfigError;
use super::deferred::Notes;
use super::handler::{BodyPolicy, Handler, Request};
use super::response::Response;
use crate::session::{Lane, Now};
use crate::sys::SharedCounters;
use archive::{Archive, ArchiveKind, Archives};
use cache::Cache;
use config::Site;
use listing::{Listing, ListingBudget};
use resource::Lookup;
use root::RootWatch;

/// A handler that serves the files of one directory, and nothing outside it: with validators, ranges, encoded
/// neighbours (`page.html.gz` beside `page.html`), and listings if the configuration allows them. As the
/// handler of a route it serves [`Request::path_below`].
///
/// ```no_run
/// use oneloop::services::http::{Files, FilesConfig};
///
/// let mut config = FilesConfig::new("public");
/// config.listing = true;
/// let files = Files::new(config)?;
/// # Ok::<(), oneloop::services::http::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Files {
    site: Arc<Site>,
    listings: Arc<ListingBudget>,
    archives: Arc<Archives>,
    root: RootWatch,
    /// Of the directories that links may lead into, in their order.
    followed: Vec<RootWatch>,
    /// Whether a link that leads outside was logged, once for all processes. `None` if there was no memory
    /// for it.
    is_link_logged: Option<SharedCounters>,
    /// When [`Handler::maintain`] is to be called.
    due_ms: AtomicU64,
    /// Held for a look-up only, never while a file is opened or read.
    cache: Mutex<Cache>,
}

impl Files {
    /// Opens the directory and checks the rest of `config`.
    pub fn new(config: FilesConfig) -> Result<Files, ConfigError> {
        let site = Site::new(config)?;
        Ok(Files {
            listings: Arc::new(ListingBudget::one_of(site.shares)),
            archives: Arc::new(Archives::one_of(site.shares)),
            root: RootWatch::new(),
            followed: site.root.followed().iter().map(|_| RootWatch::new()).collect(),
            is_link_logged: SharedCounters::new(1).ok(),
            due_ms: AtomicU64::new(ROOT_LOOKED_AT_MS),
            cache: Mutex::new(Cache::new(site.shares)),
            site: Arc::new(site),
        })
    }

    /// Whether [`FilesConfig::fallback`] is set and cannot be served now. A file that is made later is found
    /// then.
    pub fn lacks_fallback(&self, now: Now) -> bool {
        // Not remembered: privileges may be given up between now and the first request.
        let is_file = |path: &[u8]| matches!(resource::find(&self.site, path, now), Lookup::File(_));
        self.site.fallback.as_deref().is_some_and(|path| !is_file(path))
    }

    /// Looks at the root once privileges are given up, and logs what `user` may not do with it.
    #[cfg(feature = "cli")]
    pub(crate) fn check_for(&self, user: &str, now: Now) {
        self.look_at_root(now);
        let root = &self.site.root;
        let path = root.path().to_string_lossy();
        let path = path.escape_debug();
        let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        if let Some(error) = root.stat(b"").err().filter(is_refused) {
            log::warn!(
                "the directory \"{path}\" cannot be read by {user}: {error}; requests get 403. Let {user} read and search it"
            );
        } else if self.site.listing
            && let Some(error) = root.open_file(b"").err().filter(is_refused)
            && matches!(resource::find(&self.site, b"", now), Lookup::Nothing(Status::Forbidden))
        {
            log::warn!(
                "the directory \"{path}\" cannot be read by {user}: {error}; its listing gets 403. Let {user} read it"
            );
        }
    }

    /// The most files and directories that are open (cached, being sent or being listed) in a process that
    /// may have this many descriptors. A limit on clients that is computed from the descriptors must leave
    /// room for them.
    pub fn open_files_max(descriptors: u64) -> usize {
        open_files::open_files_max(descriptors)
    }

    /// Opens at most this many files and directories at once. A request that needs one more is answered with
    /// 503.
    pub fn limit_open_files(&self, max: usize) {
        self.site.open_files.limit(max);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response with the whole file at `path`, if it was checked a moment ago.
    fn remembered(&self, path: &[u8], request: &RequestHead<'_>, now: Now) -> Option<Response> {
        let mut cache = self.cache();
        let resource = cache.get(path).filter(|resource| resource.is_believed(now))?;
        Some(Response::prepared(Arc::clone(&respond::choose(request, resource).whole)))
    }

    /// How many directories it keeps open: the root, and those that links may lead into.
    pub fn open_directories(&self) -> usize {
        1 + self.followed.len()
    }

    /// Looks where the root's path leads, and those that links may lead into. What is remembered of another
    /// directory is forgotten.
    fn look_at_root(&self, now: Now) {
        let mut is_other = self.root.look(&self.site.root, now);
        for (watch, root) in self.followed.iter().zip(self.site.root.followed()) {
            is_other |= watch.look(root, now);
        }
        if is_other {
            let before = std::mem::replace(&mut *self.cache(), Cache::new(self.site.shares));
            drop(before); // closed without the lock
        }
    }

    /// Looks `path` up now, not in the cache.
    fn looked_up(&self, path: &[u8], request: &RequestHead<'_>, now: Now) -> Lookup {
        if self.root.is_due(now) {
            self.look_at_root(now);
        }
        let before = self.cache().get(path).map(Arc::clone);
        if let Some(resource) = before {
            // A client may join a part to parts that it has: those must not be of a file that was written to
            // since.
            let is_believed =
                resource.is_believed(now) && (!request.has(Field::Range) || resource.is_intact());
            if is_believed || resource.is_unchanged(&self.site.root, now) {
                return Lookup::File(resource);
            }
            self.cache().remove(path);
        }
        let mut found = resource::find(&self.site, path, now);
        if matches!(found, Lookup::Nothing(Status::Unavailable)) && self.cache().give_up_files() {
            found = resource::find(&self.site, path, now);
        }
        if matches!(found, Lookup::Nothing(Status::Unavailable)) {
            self.site.open_files.refused();
        }
        if let Lookup::File(resource) = &found {
            let mut cache = self.cache();
            cache.insert(path, Arc::clone(resource));
            if resource.open_files() > 0 {
                // Under the same lock as in `maintain`, which otherwise could miss this file.
                self.due_ms.fetch_min(now.monotonic_ms + UNUSED_MS, Ordering::Relaxed);
            }
        }
        found
    }

    /// The response to a request for a folder as an archive. The folder is opened beside the loop: its disk
    /// may be slow.
    fn archive(&self, request: &Request<'_>, file: &[u8], kind: Result<ArchiveKind, Status>) -> Response {
        let kind = match kind {
            Ok(kind) => kind,
            Err(status) => return respond::error(status, request.head.target, file),
        };
        let opened = match request.notes.and_then(Notes::take_result::<io::Result<Archive>>) {
            Some(opened) => opened,
            None => match self.archive_opener(request.now, file, kind) {
                Ok(open) if request.notes.is_some() => return Response::deferred(Lane::Disk, open),
                // A handler between the session and this one does not ask for the client, so the folder is
                // opened here and the loop waits.
                Ok(open) => open(),
                Err(error) => Err(error),
            },
        };
        match opened {
            Ok(archive) => archive::response(archive, kind),
            Err(error) if Status::from(&error) == Status::NotFound => self.missing(request, file),
            Err(error) => {
                resource::log_refused(file, &error);
                respond::error((&error).into(), request.head.target, file)
            }
        }
    }

    /// What opens a folder as an archive, which holds a permit of the archives of the site.
    fn archive_opener(
        &self,
        now: Now,
        path: &[u8],
        kind: ArchiveKind,
    ) -> io::Result<impl FnOnce() -> io::Result<Archive> + Send + 'static> {
        if self.root.is_due(now) {
            self.look_at_root(now);
        }
        let permit = self.archives.begin(self.site.open_files.max())?;
        let (site, path) = (Arc::clone(&self.site), path.to_vec());
        Ok(move || Archive::open(&site, permit, &path, kind))
    }

    /// Logs the first path that is refused because of a link that leads outside.
    fn log_link(&self, file: &[u8]) {
        let Some(logged) =
            self.is_link_logged.as_ref().filter(|logged| logged[0].load(Ordering::Relaxed) == 0)
        else {
            return;
        };
        if let Some(link) = self.site.root.link_on(file)
            && logged[0].swap(1, Ordering::Relaxed) == 0
        {
            log::info!(
                "http: the link \"{}\" leads out of the directory, so it is not listed and gets 403, as others like it; \
                 --follow DIR lets links lead into DIR",
                link.to_string_lossy().escape_debug()
            );
        }
    }

    /// The response to a request for a path that does not exist: the fallback of the site, its page for that,
    /// or ours.
    fn missing(&self, request: &Request<'_>, file: &[u8]) -> Response {
        let page = |path: &Option<Vec<u8>>| match self.looked_up(path.as_deref()?, request.head, request.now)
        {
            Lookup::File(page) => Some(page),
            Lookup::Slash | Lookup::Directory(..) | Lookup::Nothing(_) => None,
        };
        if let Some(fallback) = page(&self.site.fallback) {
            respond::file(&self.site, request.head, &fallback)
        } else if let Some(page) = page(&self.site.not_found) {
            respond::not_found(respond::choose(request.head, &page))
        } else {
            respond::error(Status::NotFound, request.head.target, file)
        }
    }
}

impl Files {
    /// The response without the fields of the site, unless it was laid out before.
    #[inline]
    fn answer(&self, request: &Request<'_>) -> Response {
        if let Some(auth) = &self.site.auth
            && let Err(response) = auth.admit(request)
        {
            return response;
        }
        let head = request.head;
        match head.method {
            Method::Get | Method::Head => {}
            Method::Options => return respond::options(),
            method => return respond::refused(method),
        }
        let Some(path) = request.located() else { return Response::error(Status::BadRequest) };
        let route = request.route();
        // The route itself, without the slash that links in its pages are relative to.
        let [b'/', file @ ..] = request.path_below() else { return respond::slash(route, path.query) };
        if path.escaped_slash || (!self.site.hidden && path.is_hidden_below(route.len())) {
            return self.missing(request, file);
        }
        if self.site.archive
            && path.is_directory()
            && let Some(kind) = ArchiveKind::asked(path.query)
        {
            return self.archive(request, file, kind);
        }
        if !head.is_selective()
            && !clean::is_page(&self.site, file)
            && let Some(whole) = self.remembered(file, head, request.now)
        {
            return whole;
        }
        if let Some(page) = clean::moved(&self.site, file) {
            return respond::moved(head.target, &page, path.query);
        }
        match self.looked_up(file, head, request.now) {
            Lookup::File(resource) => respond::file(&self.site, head, &resource),
            Lookup::Slash => respond::slash(file, path.query),
            Lookup::Directory(dir, permit) => {
                let (site, budget) = (Arc::clone(&self.site), Arc::clone(&self.listings));
                match Listing::new(site, budget, (dir, permit), file, path.query) {
                    Ok(listing) => respond::listing(listing, self.site.readme),
                    Err(failure) => respond::error((&failure).into(), request.head.target, file),
                }
            }
            Lookup::Nothing(Status::NotFound) => self.missing(request, file),
            Lookup::Nothing(status) => {
                if status == Status::Forbidden {
                    self.log_link(file);
                }
                respond::error(status, request.head.target, file)
            }
        }
    }

    /// A response with the fields of the site.
    #[inline]
    fn with_fields(&self, response: Response) -> Response {
        if self.site.fields.is_empty() || response.is_prepared() {
            return response;
        }
        response.with_lines([self.site.fields.as_str()])
    }
}

impl Handler for Files {
    fn respond(&self, request: &Request<'_>) -> Response {
        self.with_fields(self.answer(request))
    }

    fn body_policy(&self, request: &Request<'_>) -> BodyPolicy {
        match request.method() {
            Method::Get | Method::Head | Method::Options => BodyPolicy::Discard,
            // Refuse without reading the body: this method is not allowed, however long the body is.
            method if request.expects_continue() || request.head.framing.is_longer_than(BODY_BYTES_MAX) => {
                BodyPolicy::Refuse(self.with_fields(respond::refused(method)))
            }
            _ => BodyPolicy::Discard,
        }
    }

    fn asks_for_client(&self) -> bool {
        self.site.archive || self.site.auth.is_some() || self.site.readme
    }

    fn maintenance_due_ms(&self) -> Option<u64> {
        Some(self.due_ms.load(Ordering::Relaxed))
    }

    /// Checks the root, and closes files that were not requested lately.
    fn maintain(&self, now: Now) {
        self.look_at_root(now);
        let unused: Vec<_> = {
            let mut cache = self.cache();
            let unused = (0..CLOSES_PER_CALL_MAX).map_while(|_| cache.pop_unused(now.monotonic_ms)).collect();
            let root_ms = now.monotonic_ms + ROOT_LOOKED_AT_MS;
            self.due_ms
                .store(cache.close_due_ms().map_or(root_ms, |due_ms| due_ms.min(root_ms)), Ordering::Relaxed);
            unused
        };
        drop(unused); // closed without the lock
    }
}
