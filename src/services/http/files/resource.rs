//! What a path leads to: a file with its encoded neighbours, read or opened once and used without a new look
//! for a moment.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use super::super::body::BodyPiece;
use super::super::bounds::{BELIEVED_MS, CROWDED_FILE_BYTES_MAX, MEMORY_FILE_BYTES_MAX};
use super::super::codec::date::http_date;
use super::super::codec::status::Status;
use super::super::response::{FixedBody, PreparedResponse};
use super::clean::page_of;
use super::conditional::Validators;
use super::config::Site;
use super::encoding::Coding;
use super::etag::Name;
use super::media::{SAMPLE_BYTES, is_svgz};
use super::open_files::{DirectoryPermit, no_place};
use super::snapshot::{in_one_state, is_settled, read_at, read_some};
use crate::session::Now;
use crate::sys::files::{FileIdentity, FileKind, Stat, stat_of};
use crate::sys::root::Root;

/// The approximate memory of an entry in addition to its content.
const ENTRY_BYTES: usize = 512;
/// Modification times up to this, in seconds since 1970, are placeholders: for reproducible builds `ostree`
/// sets the times of all files to 0, and Nix to 1. A file that replaces another would not be newer.
const NO_TIME_S_MAX: u64 = 1;
/// What gzip begins with (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Resolutions to which tools cut off a time when they copy it: seconds, milliseconds, microseconds, and 100
/// ns.
const COARSE_CLOCKS_NS: [u32; 4] = [1_000_000_000, 1_000_000, 1_000, 100];

/// A file as it is served: plain, and in the codings whose files lie beside it.
#[derive(Debug)]
pub(crate) struct Resource {
    plain: Variant,
    encoded: Vec<(Coding, Variant)>,
    /// The paths that the lookup depends on, with their states: while these do not change, the result is
    /// valid.
    watched: Vec<(Vec<u8>, Option<Stat>)>,
    /// Whether a later change is sure to show in the file's times.
    settled: bool,
    /// When it was last checked against the directory, in ms: at most `BELIEVED_MS` before its last request.
    pub(crate) checked_ms: AtomicU64,
}

/// A file, ready to be sent.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) validators: Validators,
    /// The media type.
    pub(crate) media_type: String,
    /// Lines about the file that come with its content.
    pub(crate) described: String,
    /// The line `Content-Encoding`, or nothing.
    pub(crate) encoding: String,
    /// Lines that come with 304 too (RFC 9110, section 15.4.5).
    pub(crate) kept: String,
    /// The response with the whole file, and the content.
    pub(crate) whole: Arc<PreparedResponse>,
    /// The state of the file when it was opened; `None` if the content is in memory.
    opened: Option<Stat>,
}

/// What a path leads to.
pub(crate) enum Lookup {
    File(Arc<Resource>),
    /// A directory that was asked for as a file: redirect.
    Slash,
    /// A directory to list.
    Directory(File, DirectoryPermit),
    /// Nothing that can be served.
    Nothing(Status),
}

/// An opened file.
struct OpenedFile {
    stat: Stat,
    content: LoadedContent,
    name: Name,
}

enum LoadedContent {
    Memory(Vec<u8>),
    File(Arc<File>),
}

impl From<io::Result<Resource>> for Lookup {
    fn from(opened: io::Result<Resource>) -> Lookup {
        match opened {
            Ok(resource) => Lookup::File(Arc::new(resource)),
            Err(error) => Lookup::Nothing((&error).into()),
        }
    }
}

impl Resource {
    /// The file in this coding, if there is one beside it.
    pub(crate) fn variant(&self, coding: Option<Coding>) -> &Variant {
        self.encoded.iter().find(|(has, _)| Some(*has) == coding).map_or(&self.plain, |(_, variant)| variant)
    }

    pub(crate) fn codings(&self) -> impl Iterator<Item = Coding> {
        self.encoded.iter().map(|(coding, _)| *coding)
    }

    pub(crate) fn is_encoded(&self) -> bool {
        !self.encoded.is_empty()
    }

    pub(crate) fn is_believed(&self, now: Now) -> bool {
        now.monotonic_ms.saturating_sub(self.checked_ms.load(Ordering::Relaxed)) < BELIEVED_MS
    }

    /// Looks at the files again; if nothing has changed the resource is believed for another moment.
    pub(crate) fn is_unchanged(&self, root: &Root, now: Now) -> bool {
        let same = self.settled && self.watched.iter().all(|(path, before)| stat_at(root, path) == *before);
        if same {
            self.checked_ms.store(now.monotonic_ms, Ordering::Relaxed);
        }
        same
    }

    /// Whether the open file is unchanged since it was opened: a file that is overwritten in place is not.
    pub(crate) fn is_intact(&self) -> bool {
        self.variants().all(|variant| match (&variant.whole.body, variant.opened) {
            (FixedBody::File(file, _), Some(before)) => stat_of(file).is_ok_and(|stat| stat == before),
            _ => true,
        })
    }

    pub(crate) fn held_bytes(&self) -> usize {
        let paths_bytes: usize = self.watched.iter().map(|(path, _)| path.len()).sum();
        paths_bytes + self.variants().map(|variant| variant.whole.memory_bytes() + ENTRY_BYTES).sum::<usize>()
    }

    pub(crate) fn open_files(&self) -> usize {
        self.variants().filter(|variant| variant.opened.is_some()).count()
    }

    fn variants(&self) -> impl Iterator<Item = &Variant> {
        std::iter::once(&self.plain).chain(self.encoded.iter().map(|(_, variant)| variant))
    }
}

fn stat_at(root: &Root, path: &[u8]) -> Option<Stat> {
    root.stat(path).ok()
}

impl OpenedFile {
    /// The beginning and the end of the content, as far as they can be read.
    fn sample(&self) -> Vec<u8> {
        let size_bytes = self.stat.identity.size_bytes;
        let ends = [0, size_bytes.saturating_sub(SAMPLE_BYTES)];
        ends.map(|offset| self.some_bytes(offset, SAMPLE_BYTES.min(size_bytes) as usize)).concat()
    }

    fn is_gzip(&self) -> bool {
        self.some_bytes(0, GZIP_MAGIC.len()) == GZIP_MAGIC
    }

    fn some_bytes(&self, offset: u64, bytes_max: usize) -> Vec<u8> {
        match &self.content {
            LoadedContent::Memory(bytes) => {
                bytes[offset as usize..].iter().copied().take(bytes_max).collect()
            }
            LoadedContent::File(file) => {
                let mut bytes = vec![0; bytes_max];
                let len = read_at(file, &mut bytes, offset).unwrap_or(0);
                bytes.truncate(len);
                bytes
            }
        }
    }
}

/// Finds what `path` (as in `Path::file`) leads to, without the cache.
pub(crate) fn find(site: &Site, path: &[u8], now: Now) -> Lookup {
    match path.strip_suffix(b"/") {
        Some(directory) => in_directory(site, directory, now),
        None if path.is_empty() => in_directory(site, path, now),
        None => {
            // Looked at before: what comes in between is seen as a change.
            let page = page_of(site, path).map(|page| (page, stat_at(&site.root, path)));
            let found = match open(site, path, now) {
                Ok(Some(opened)) => return resource(site, path, opened, Vec::new(), now).into(),
                Ok(None) => Lookup::Slash,
                Err(error) => nothing(path, &error),
            };
            match page {
                Some((page, there)) if matches!(found, Lookup::Slash | Lookup::Nothing(Status::NotFound)) => {
                    match open(site, &page, now) {
                        Ok(Some(opened)) => {
                            resource(site, &page, opened, vec![(path.to_vec(), there)], now).into()
                        }
                        Err(error) if Status::from(&error) == Status::Unavailable => {
                            Lookup::Nothing(Status::Unavailable)
                        }
                        _ => found,
                    }
                }
                _ => found,
            }
        }
    }
}

/// The index file of a directory, or the directory.
fn in_directory(site: &Site, directory: &[u8], now: Now) -> Lookup {
    let mut watched = Vec::new();
    for index in &site.index {
        let path = if directory.is_empty() { index.clone() } else { [directory, b"/", index].concat() };
        // Looked at before: what comes in between is seen as a change.
        let there = stat_at(&site.root, &path);
        match open(site, &path, now) {
            Ok(Some(opened)) => return resource(site, &path, opened, watched, now).into(),
            Ok(None) => {}
            Err(error) => match Status::from(&error) {
                Status::NotFound => {}
                _ => return nothing(&path, &error),
            },
        }
        watched.push((path, there));
    }
    match site.root.open_file(directory) {
        Ok((_, stat)) if stat.kind != FileKind::Directory => Lookup::Nothing(Status::NotFound),
        Ok((file, _)) if site.listing => match site.open_files.directory() {
            Ok(permit) => Lookup::Directory(file, permit),
            Err(error) => Lookup::Nothing((&error).into()),
        },
        // The fallback of the application takes the place of a listing.
        Ok(_) if site.fallback.is_some() => Lookup::Nothing(Status::NotFound),
        Ok(_) => Lookup::Nothing(Status::Forbidden),
        Err(error) => nothing(directory, &error),
    }
}

/// What cannot be opened.
fn nothing(path: &[u8], error: &io::Error) -> Lookup {
    log_refused(path, error);
    Lookup::Nothing(error.into())
}

/// Logs why a path gets 403: the client does not learn the reason.
pub(crate) fn log_refused(path: &[u8], error: &io::Error) {
    if error.kind() == io::ErrorKind::PermissionDenied {
        log::debug!("http: cannot open \"{}\": {error}", String::from_utf8_lossy(path).escape_debug());
    }
}

/// Opens a regular file, reads it if it is small, and computes its entity tag; `None` for a directory.
fn open(site: &Site, path: &[u8], now: Now) -> io::Result<Option<OpenedFile>> {
    let (file, mut stat) = match site.root.open_file(path) {
        // It may be a directory with search permission only.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && site.root.is_directory(path) => {
            return Ok(None);
        }
        opened => opened?,
    };
    if stat.kind == FileKind::Directory {
        return Ok(None);
    }
    let (content, name) = if let Some(read) = in_memory(&file, &mut stat, MEMORY_FILE_BYTES_MAX)? {
        read
    } else {
        match site.open_files.keep(file) {
            Ok(file) => {
                let name = site.hashes.name(&file, &mut stat, now.wall)?;
                (LoadedContent::File(file), name)
            }
            Err(file) => in_memory(&file, &mut stat, CROWDED_FILE_BYTES_MAX)?.ok_or_else(no_place)?,
        }
    };
    Ok(Some(OpenedFile { stat, content, name }))
}

/// The content of a file of up to `bytes_max` bytes, and its name.
fn in_memory(file: &File, stat: &mut Stat, bytes_max: u64) -> io::Result<Option<(LoadedContent, Name)>> {
    let bytes = in_one_state(file, stat, bytes_max, read_some)?;
    Ok(bytes.map(|bytes| {
        let name = Name::of_content(&bytes);
        (LoadedContent::Memory(bytes), name)
    }))
}

fn resource(
    site: &Site,
    path: &[u8],
    plain: OpenedFile,
    mut watched: Vec<(Vec<u8>, Option<Stat>)>,
    now: Now,
) -> io::Result<Resource> {
    let mut settled = is_settled(&plain.stat, now.wall);
    watched.push((path.to_vec(), Some(plain.stat)));
    // A file that is compressed itself has no encoded neighbours: their content would be compressed twice.
    let own_coding = (is_svgz(path) && plain.is_gzip()).then_some(Coding::Gzip);
    let codings = if own_coding.is_some() { &[][..] } else { &Coding::ALL };
    let mut neighbours = Vec::new();
    for &coding in codings {
        let neighbour_path = [path, coding.suffix().as_bytes()].concat();
        // Looked at before: what comes in between is seen as a change.
        let there = stat_at(&site.root, &neighbour_path);
        let opened = match there.map(|_| open(site, &neighbour_path, now)) {
            // Out of descriptors: without this error, the neighbour would be taken as absent until something
            // changes.
            Some(Err(error)) if Status::from(&error) == Status::Unavailable => return Err(error),
            opened => opened.and_then(Result::ok).flatten(),
        };
        let Some(opened) = opened else {
            watched.push((neighbour_path, there));
            continue;
        };
        settled &= is_settled(&opened.stat, now.wall);
        watched.push((neighbour_path, Some(opened.stat)));
        if is_current(&opened.stat, &plain.stat) {
            neighbours.push((coding, opened));
        }
    }
    let media_type = site.types.type_of(path, || plain.sample());
    let vary = if neighbours.is_empty() { "" } else { "Vary: Accept-Encoding\r\n" };
    let variant = |coding, opened| variant(site, &media_type, vary, coding, opened, now);
    let encoded =
        neighbours.into_iter().map(|(coding, opened)| (coding, variant(Some(coding), opened))).collect();
    let checked_ms = AtomicU64::new(now.monotonic_ms);
    Ok(Resource { plain: variant(own_coding, plain), encoded, watched, settled, checked_ms })
}

/// Whether a precompressed neighbour belongs to the current file: an older one was made from an older state.
/// Many tools and archives copy the file's time with a coarser resolution (`pigz -k` and `brotli -k` in whole
/// seconds, NTFS in 100 ns): a truncated copy of the file's time counts as equal if the neighbour was created
/// after the file: after its time, or after its last change if its time is in the future.
fn is_current(neighbour: &Stat, plain: &Stat) -> bool {
    let modified = |stat: &Stat| (stat.identity.modified_s, stat.identity.modified_ns);
    let (coded, own) = (modified(neighbour), modified(plain));
    let is_cut_off =
        coded.0 == own.0 && COARSE_CLOCKS_NS.iter().any(|tick_ns| coded.1 == own.1 - own.1 % tick_ns);
    let changed = |stat: &Stat| (stat.changed_s, stat.changed_ns);
    coded >= own || (is_cut_off && changed(neighbour) >= own.min(changed(plain)))
}

fn variant(
    site: &Site,
    media_type: &str,
    vary: &str,
    coding: Option<Coding>,
    opened: OpenedFile,
    now: Now,
) -> Variant {
    let FileIdentity { size_bytes, modified_s, .. } = opened.stat.identity;
    let etag = opened.name.tag(coding);
    // A time in the future is not sent (RFC 9110, section 8.8.2.1).
    let now_s = now.wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let is_usable = |modified_s: &u64| *modified_s > NO_TIME_S_MAX && *modified_s <= now_s;
    let modified_s = u64::try_from(modified_s).ok().filter(is_usable);
    let mut described = String::from("Accept-Ranges: bytes\r\n");
    if let Some(modified_s) = modified_s {
        write!(described, "Last-Modified: {}\r\n", http_date(modified_s)).expect("memory takes all");
    }
    let encoding = coding.map_or(String::new(), |coding| format!("Content-Encoding: {}\r\n", coding.name()));
    let kept = format!("ETag: {etag}\r\n{vary}");
    let (body, opened) = match opened.content {
        LoadedContent::Memory(bytes) => (FixedBody::Bytes(bytes.into()), None),
        LoadedContent::File(file) => (FixedBody::File(file, size_bytes), Some(opened.stat)),
    };
    let content_type = format!("Content-Type: {media_type}\r\n");
    let fields = [described.as_str(), &encoding, &kept, &site.cache_control, &site.fields];
    let whole = Arc::new(PreparedResponse::new(&content_type, fields, body));
    Variant {
        validators: Validators { etag, modified_s },
        media_type: media_type.to_owned(),
        described,
        encoding,
        kept,
        whole,
        opened,
    }
}

impl Variant {
    /// How long the content is, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.whole.body.len()
    }

    /// A range of the content as a piece of a response.
    pub(crate) fn piece(&self, range: &Range<u64>) -> BodyPiece {
        self.whole.body.piece(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_count_for_what_they_take() {
        let dir = tempfile::tempdir().unwrap();
        let name = "n".repeat(200);
        std::os::unix::fs::symlink(".", dir.path().join(&name)).unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let site = Site::new(super::super::super::FilesConfig::new(dir.path())).unwrap();
        let now = Now { monotonic_ms: 0, wall: UNIX_EPOCH };
        let held_bytes = |path: &str| match find(&site, path.as_bytes(), now) {
            Lookup::File(resource) => resource.held_bytes(),
            _ => panic!("{path}: no file"),
        };
        let path = format!("{}file", format!("{name}/").repeat(10));
        assert!(held_bytes(&path) >= held_bytes("file") + 4 * 2_000, "the path and those of its neighbours");
    }
}
