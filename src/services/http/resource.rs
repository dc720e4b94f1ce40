//! What a path leads to: a file with its encoded neighbours, read or opened once and believed for a moment.

use std::fmt::Write as _;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::bounds::{BELIEVED_MS, MEMORY_FILE_BYTES_MAX, READ_TRIES_MAX, SETTLED_MS, SETTLED_SECONDS_MS};
use super::clock::http_date;
use super::conditional::Validators;
use super::config::Site;
use super::encoding::Coding;
use super::media::type_of;
use super::status::Status;
use crate::session::Now;
use crate::sys::files::{Identity, Kind, Root, Stat, stat_of};

/// What an entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 512;

/// A file as it is served: plain, and in the codings that lie beside it.
#[derive(Debug)]
pub(super) struct Resource {
    plain: Variant,
    encoded: Vec<(Coding, Variant)>,
    /// The paths that decided what was found, and what was there: as long as they are the same, so is the answer.
    watched: Vec<(Vec<u8>, Option<Stat>)>,
    /// Whether a later change is sure to show in the file's times.
    settled: bool,
    checked_ms: AtomicU64,
}

/// One file, ready to be sent.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) validators: Validators,
    /// The media type.
    pub(super) media_type: String,
    /// Lines about the file that come with its content.
    pub(super) described: String,
    /// The line that says how the content is encoded, or nothing.
    pub(super) encoding: String,
    /// Lines that come with 304 too (RFC 9110, section 15.4.5).
    pub(super) kept: String,
    pub(super) len: u64,
    /// The lines of an answer of 200 with the empty one, and behind them the content if it is in memory.
    pub(super) whole: Arc<[u8]>,
    pub(super) body_at: usize,
    pub(super) content: Content,
}

/// Where the content is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// In [`Variant::whole`].
    Memory,
    /// In a file, which was in this state when it was opened.
    File(Arc<File>, Stat),
}

/// What a path leads to.
pub(super) enum Found {
    File(Arc<Resource>),
    /// A directory that was asked for as a file: redirect.
    Slash,
    /// A directory to list.
    Directory(File),
    /// Nothing that can be served.
    Nothing(Status),
}

/// A file as it was opened.
struct Opened {
    stat: Stat,
    content: Loaded,
}

enum Loaded {
    Memory(Vec<u8>),
    File(File),
}

impl Resource {
    /// The file in the coding, if it lies beside it.
    pub(super) fn variant(&self, coding: Option<Coding>) -> &Variant {
        self.encoded.iter().find(|(has, _)| Some(*has) == coding).map_or(&self.plain, |(_, variant)| variant)
    }

    pub(super) fn codings(&self) -> impl Iterator<Item = Coding> {
        self.encoded.iter().map(|(coding, _)| *coding)
    }

    pub(super) fn is_encoded(&self) -> bool {
        !self.encoded.is_empty()
    }

    pub(super) fn is_believed(&self, now: Now) -> bool {
        now.monotonic_ms.saturating_sub(self.checked_ms.load(Ordering::Relaxed)) < BELIEVED_MS
    }

    /// Looks at the files again; if nothing has changed the resource is believed for another moment.
    pub(super) fn is_unchanged(&self, root: &Root, now: Now) -> bool {
        let same = self.settled && self.watched.iter().all(|(path, before)| stat_at(root, path) == *before);
        if same {
            self.checked_ms.store(now.monotonic_ms, Ordering::Relaxed);
        }
        same
    }

    /// Whether what is kept open still is what was opened: a file that is written to in place is not.
    pub(super) fn is_intact(&self) -> bool {
        self.variants().all(|variant| match &variant.content {
            Content::Memory => true,
            Content::File(file, before) => stat_of(file).is_ok_and(|stat| stat == *before),
        })
    }

    pub(super) fn held_bytes(&self) -> usize {
        let paths_bytes: usize = self.watched.iter().map(|(path, _)| path.len()).sum();
        paths_bytes + self.variants().map(|variant| variant.whole.len() + ENTRY_BYTES).sum::<usize>()
    }

    pub(super) fn open_files(&self) -> usize {
        self.variants().filter(|variant| matches!(variant.content, Content::File(..))).count()
    }

    fn variants(&self) -> impl Iterator<Item = &Variant> {
        std::iter::once(&self.plain).chain(self.encoded.iter().map(|(_, variant)| variant))
    }
}

fn stat_at(root: &Root, path: &[u8]) -> Option<Stat> {
    root.stat(path).ok()
}

/// Finds what `path` (as in [`super::target::Path::file`]) leads to, without the cache.
pub(super) fn find(site: &Site, path: &[u8], now: Now) -> Found {
    match path.strip_suffix(b"/") {
        Some(directory) => in_directory(site, directory, now),
        None if path.is_empty() => in_directory(site, path, now),
        None => match open(site, path) {
            Ok(Some(opened)) => Found::File(Arc::new(resource(site, path, opened, Vec::new(), now))),
            Ok(None) => Found::Slash,
            Err(error) => Found::Nothing((&error).into()),
        },
    }
}

/// The index file of a directory, or the directory.
fn in_directory(site: &Site, directory: &[u8], now: Now) -> Found {
    let mut watched = Vec::new();
    for index in &site.index {
        let path = if directory.is_empty() { index.clone() } else { [directory, b"/", index].concat() };
        // Looked at before: what comes in between is seen as a change.
        let there = stat_at(&site.root, &path);
        match open(site, &path) {
            Ok(Some(opened)) => return Found::File(Arc::new(resource(site, &path, opened, watched, now))),
            Ok(None) => {}
            Err(error) => match Status::from(&error) {
                Status::NotFound => {}
                status => return Found::Nothing(status),
            },
        }
        watched.push((path, there));
    }
    match site.root.open_file(directory) {
        Ok((_, stat)) if stat.kind != Kind::Directory => Found::Nothing(Status::NotFound),
        Ok((file, _)) if site.listing => Found::Directory(file),
        // There is no page of it: the application has one.
        Ok(_) if site.fallback.is_some() => Found::Nothing(Status::NotFound),
        Ok(_) => Found::Nothing(Status::Forbidden),
        Err(error) => Found::Nothing((&error).into()),
    }
}

/// Opens a regular file, and reads it if it is small; `None` for a directory.
fn open(site: &Site, path: &[u8]) -> io::Result<Option<Opened>> {
    let (file, mut stat) = match site.root.open_file(path) {
        // It may be one that can only be passed through.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && site.root.is_directory(path) => {
            return Ok(None);
        }
        opened => opened?,
    };
    if stat.kind == Kind::Directory {
        return Ok(None);
    }
    let content = match in_one_state(&file, &mut stat, read_some)? {
        Some(bytes) => Loaded::Memory(bytes),
        None => Loaded::File(file),
    };
    Ok(Some(Opened { stat, content }))
}

/// Reads a small file whole and in one state: it was the same before and after. `None` for one that is not small, or
/// changes each time it is read; `stat` is the state that was seen last.
fn in_one_state(
    file: &File,
    stat: &mut Stat,
    mut read: impl FnMut(&File, usize) -> io::Result<Vec<u8>>,
) -> io::Result<Option<Vec<u8>>> {
    for _ in 0..READ_TRIES_MAX {
        let size_bytes = stat.identity.size_bytes;
        if size_bytes > MEMORY_FILE_BYTES_MAX {
            break;
        }
        let bytes = read(file, size_bytes as usize + 1)?;
        let after = stat_of(file)?;
        if after == *stat && bytes.len() as u64 == size_bytes {
            return Ok(Some(bytes));
        }
        *stat = after;
    }
    Ok(None)
}

fn read_some(file: &File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; bytes_max];
    let mut len = 0;
    while len < bytes_max {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn resource(
    site: &Site,
    path: &[u8],
    plain: Opened,
    mut watched: Vec<(Vec<u8>, Option<Stat>)>,
    now: Now,
) -> Resource {
    let modified = |opened: &Opened| (opened.stat.identity.modified_s, opened.stat.identity.modified_ns);
    let mut settled = is_settled(&plain.stat, now.wall);
    watched.push((path.to_vec(), Some(plain.stat)));
    let mut neighbours = Vec::new();
    for coding in Coding::ALL {
        let neighbour_path = [path, coding.suffix().as_bytes()].concat();
        // Looked at before: what comes in between is seen as a change.
        let there = stat_at(&site.root, &neighbour_path);
        let Some(opened) = there.and_then(|_| open(site, &neighbour_path).ok().flatten()) else {
            watched.push((neighbour_path, there));
            continue;
        };
        settled &= is_settled(&opened.stat, now.wall);
        watched.push((neighbour_path, Some(opened.stat)));
        // One that is older was made from an older state of the file.
        if modified(&opened) >= modified(&plain) {
            neighbours.push((coding, opened));
        }
    }
    let media_type = type_of(path, &site.charset);
    let vary = if neighbours.is_empty() { "" } else { "Vary: Accept-Encoding\r\n" };
    let variant = |coding, opened| variant(site, &media_type, vary, coding, opened, now);
    let encoded =
        neighbours.into_iter().map(|(coding, opened)| (coding, variant(Some(coding), opened))).collect();
    let checked_ms = AtomicU64::new(now.monotonic_ms);
    Resource { plain: variant(None, plain), encoded, watched, settled, checked_ms }
}

/// Whether a change after now gives the file another time: times of files advance in ticks, on some file systems in seconds.
fn is_settled(stat: &Stat, wall: SystemTime) -> bool {
    let in_seconds = stat.changed_ns == 0 && stat.identity.modified_ns == 0;
    let settled_ms = if in_seconds { SETTLED_SECONDS_MS } else { SETTLED_MS };
    let Ok(changed_s) = u64::try_from(stat.changed_s) else { return true };
    let changed = UNIX_EPOCH + Duration::new(changed_s, stat.changed_ns);
    wall.duration_since(changed).is_ok_and(|age| age.as_millis() >= u128::from(settled_ms))
}

fn variant(
    site: &Site,
    media_type: &str,
    vary: &str,
    coding: Option<Coding>,
    opened: Opened,
    now: Now,
) -> Variant {
    let Identity { size_bytes, modified_s, .. } = opened.stat.identity;
    let etag = etag(&opened);
    // Not later than the answer (RFC 9110, section 8.8.2.1); a time from the future is none to tell.
    let now_s = now.wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let modified_s = u64::try_from(modified_s).ok().filter(|modified_s| *modified_s <= now_s);
    let mut described = String::from("Accept-Ranges: bytes\r\n");
    if let Some(modified_s) = modified_s {
        write!(described, "Last-Modified: {}\r\n", http_date(modified_s)).expect("memory takes all");
    }
    let encoding = coding.map_or(String::new(), |coding| format!("Content-Encoding: {}\r\n", coding.name()));
    let kept = format!("ETag: {etag}\r\n{vary}");
    let mut whole = format!(
        "Content-Type: {media_type}\r\nContent-Length: {size_bytes}\r\n{described}{encoding}{kept}{}{}\r\n",
        site.cache_control, site.fields
    );
    let body_at = whole.len();
    let (whole, content) = match opened.content {
        Loaded::Memory(bytes) => {
            let mut whole = std::mem::take(&mut whole).into_bytes();
            whole.extend_from_slice(&bytes);
            (whole, Content::Memory)
        }
        Loaded::File(file) => (whole.into_bytes(), Content::File(Arc::new(file), opened.stat)),
    };
    Variant {
        validators: Validators { etag, modified_s },
        media_type: media_type.to_owned(),
        described,
        encoding,
        kept,
        len: size_bytes,
        whole: whole.into(),
        body_at,
        content,
    }
}

/// From device, inode, size and time; hashed, because the numbers are nobody's business. Of what is read anyway from the content,
/// too: two contents may have one time, within a tick of the file's clock (4 ms before Linux 6.13) or because it was set. The
/// keys of this hasher are fixed, so that every process gives the same tag.
fn etag(opened: &Opened) -> String {
    let Opened { stat: Stat { identity, .. }, content } = opened;
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    if let Loaded::Memory(bytes) = content {
        bytes.hash(&mut hasher);
    }
    format!("\"{:x}-{:016x}\"", identity.size_bytes, hasher.finish())
}

impl Variant {
    /// Where a range of the content lies in [`Variant::whole`].
    pub(super) fn in_memory(&self, range: &Range<u64>) -> Range<usize> {
        self.body_at + range.start as usize..self.body_at + range.end as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file of three bytes while `meddle` does something to it after each read.
    fn read_while(mut meddle: impl FnMut(&mut Vec<u8>, &File, u64)) -> Option<Vec<u8>> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"old", 0).unwrap();
        let mut stat = stat_of(&file).unwrap();
        let mut reads = 0;
        let found = in_one_state(&file, &mut stat, |file, bytes_max| {
            let mut bytes = read_some(file, bytes_max)?;
            reads += 1;
            meddle(&mut bytes, file, reads);
            Ok(bytes)
        });
        assert_eq!(stat, stat_of(&file).unwrap(), "the state that was seen last");
        found.unwrap()
    }

    fn set_modified(file: &File, second: u64) {
        file.set_modified(UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again() {
        // In place, with the same size: only its time tells, by a nanosecond of it if need be.
        let rewritten = read_while(|_, file, reads| {
            if reads == 1 {
                let before = file.metadata().unwrap().modified().unwrap();
                file.write_all_at(b"new", 0).unwrap();
                file.set_modified(before + Duration::from_nanos(1)).unwrap();
            }
        });
        assert_eq!(rewritten.unwrap(), b"new");
        let grown = read_while(|_, file, reads| {
            if reads == 1 {
                file.write_all_at(b"newer", 0).unwrap();
            }
        });
        assert_eq!(grown.unwrap(), b"newer");
        // It was shorter for a moment, within one tick of its clock.
        let cut = read_while(|bytes, _, reads| bytes.truncate(if reads == 1 { 1 } else { 3 }));
        assert_eq!(cut.unwrap(), b"old");
    }

    #[test]
    fn a_file_has_settled_when_the_next_change_must_show_in_its_times() {
        let age_ms = |age_ms, changed_ns| {
            let file = tempfile::tempfile().unwrap();
            set_modified(&file, 1_600_000_000);
            let stat = Stat { changed_s: 2_000_000_000, changed_ns, ..stat_of(&file).unwrap() };
            is_settled(
                &stat,
                UNIX_EPOCH + Duration::new(2_000_000_000, changed_ns) + Duration::from_millis(age_ms),
            )
        };
        assert!(!age_ms(50, 1) && age_ms(150, 1));
        // As on a stick for cameras and the like: FAT tells every second second only.
        assert!(!age_ms(150, 0) && !age_ms(2_000, 0) && age_ms(2_200, 0));
    }

    #[test]
    fn long_paths_count_for_what_they_take() {
        let dir = tempfile::tempdir().unwrap();
        let name = "n".repeat(200);
        std::os::unix::fs::symlink(".", dir.path().join(&name)).unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let site = Site::new(super::super::Config::new(dir.path())).unwrap();
        let now = Now { monotonic_ms: 0, wall: UNIX_EPOCH };
        let held_bytes = |path: &str| match find(&site, path.as_bytes(), now) {
            Found::File(resource) => resource.held_bytes(),
            _ => panic!("{path}: no file"),
        };
        let path = format!("{}file", format!("{name}/").repeat(10));
        assert!(held_bytes(&path) >= held_bytes("file") + 4 * 2_000, "the path and those of its neighbours");
    }

    #[test]
    fn a_file_that_changes_each_time_it_is_read_is_not_kept() {
        assert_eq!(read_while(|_, file, reads| set_modified(file, reads)), None);
    }
}
