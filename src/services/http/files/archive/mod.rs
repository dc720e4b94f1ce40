//! A folder as an archive that is made while it is sent: tar, tar compressed with Zstandard, or zip.
//!
//! It has the files that the site serves below the folder, by the same rules: names with a dot only if they
//! are served, and links, if the site follows them, as the files they lead to. All names begin with the name
//! of the folder, so that none is absolute or leaves the folder in which the archive is unpacked.
//!
//! A file is archived with the length that it had when it was opened. Files that cannot be opened are left
//! out and named in a list at the end of the archive. This is not possible after the header of a file was
//! sent: if the file gets shorter or cannot be read, the connection is cut, so that the client does not take
//! the archive for complete.

mod name;
mod omissions;
mod tar;
mod walk;
mod zip;
mod zstd;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::body::{Body, Produced, Producer};
use super::super::bounds::{
    ARCHIVE_ENTRIES_MAX, ARCHIVE_PIECE_BYTES, ARCHIVE_SMALL_FILE_BYTES_MAX, ARCHIVE_STEPS_PER_PIECE_MAX,
    ARCHIVES_MAX, OPEN_FILES_PER_ARCHIVE, ZSTD_FRAME_BYTES,
};
use super::super::codec::status::Status;
use super::super::response::Response;
use super::config::Site;
use super::open_files::DirectoryPermit;
use super::snapshot::read_at;
use crate::sys::directory::Entries;
use crate::sys::files::{FileKind, Stat};
use omissions::Omissions;
use walk::{Walk, WalkStep, join};
use zip::Zip;
use zstd::Zstd;

/// The kind of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveKind {
    Tar,
    TarZst,
    Zip,
}

/// The archives of a site that are being sent.
#[derive(Debug)]
pub(crate) struct Archives {
    sent: AtomicUsize,
    sent_max: usize,
}

/// The permit to send one archive; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct ArchivePermit(Arc<Archives>);

/// An archive under way.
#[derive(Debug)]
pub(crate) struct Archive {
    walk: Walk,
    /// The folder that was asked for, relative to the root.
    folder: Vec<u8>,
    /// Its name in the archive.
    top: Vec<u8>,
    encoder: ArchiveEncoder,
    zstd: Option<Box<Zstd>>,
    phase: ArchivePhase,
    entries: u64,
    omissions: Omissions,
    /// A permit for the directory that is read, and one for the file.
    _directories: [DirectoryPermit; 2],
    _permit: ArchivePermit,
}

#[derive(Debug)]
enum ArchiveEncoder {
    Tar,
    Zip(Zip),
}

#[derive(Debug)]
enum ArchivePhase {
    /// The entry of the folder itself, with its time.
    Top(i64),
    Walking,
    /// The content of a file.
    Content(FileContent),
    /// The directory of a zip archive.
    Directory(zip::CentralDirectory),
    Done,
}

/// A file whose header was written, and its content.
#[derive(Debug)]
struct FileContent {
    path: Vec<u8>,
    file: File,
    size_bytes: u64,
    read_bytes: u64,
    /// Of a zip archive.
    zip: Option<(zip::ZipEntry, crc32fast::Hasher)>,
}

impl ArchiveKind {
    pub(crate) const ALL: [ArchiveKind; 3] = [ArchiveKind::Zip, ArchiveKind::Tar, ArchiveKind::TarZst];

    /// The archive that a query requests; an error for an unknown kind.
    pub(crate) fn asked(query: &[u8]) -> Option<Result<ArchiveKind, Status>> {
        let kind = query.split(|&byte| byte == b'&').find_map(|pair| pair.strip_prefix(b"archive="))?;
        let known = ArchiveKind::ALL.into_iter().find(|known| known.extension().as_bytes() == kind);
        Some(known.ok_or(Status::BadRequest))
    }

    /// What the name of the archive ends with, and what is asked for in a query.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            ArchiveKind::Tar => "tar",
            ArchiveKind::TarZst => "tar.zst",
            ArchiveKind::Zip => "zip",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            ArchiveKind::Tar => "application/x-tar",
            ArchiveKind::TarZst => "application/zstd",
            ArchiveKind::Zip => "application/zip",
        }
    }
}

impl Archives {
    /// The bound for one of `shares` sites of the process, which have equal parts.
    pub(crate) fn one_of(shares: usize) -> Archives {
        Archives { sent: AtomicUsize::new(0), sent_max: (ARCHIVES_MAX / shares).max(1) }
    }

    /// Takes a permit, if one is free, for a site that may have this many files and directories open.
    pub(crate) fn begin(self: &Arc<Self>, open_files_max: usize) -> io::Result<ArchivePermit> {
        let max = (open_files_max / OPEN_FILES_PER_ARCHIVE).clamp(1, self.sent_max);
        let permit = ArchivePermit(Arc::clone(self));
        if self.sent.fetch_add(1, Ordering::Relaxed) >= max {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        Ok(permit)
    }
}

impl Drop for ArchivePermit {
    fn drop(&mut self) {
        self.0.sent.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The response with an archive that was opened.
pub(crate) fn response(archive: Archive, kind: ArchiveKind) -> Response {
    let fields = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
    Response::new(Status::Ok)
        .with_field("Content-Type", kind.media_type())
        .with_field("Content-Disposition", name::disposition(&archive.top, kind.extension()))
        .with_lines([fields])
        .with_body(Body::blocking(archive))
}

impl Archive {
    /// Opens the folder at `path`, which is relative to the root and may have a slash at its end. A slow disk
    /// makes this slow.
    pub(crate) fn open(
        site: &Site,
        permit: ArchivePermit,
        path: &[u8],
        kind: ArchiveKind,
    ) -> io::Result<Archive> {
        let folder = path.strip_suffix(b"/").unwrap_or(path);
        let directories = [site.open_files.directory()?, site.open_files.directory()?];
        let root = site.root.pinned()?;
        let (dir, stat) = root.open_file(folder)?;
        if stat.kind != FileKind::Directory {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Archive {
            walk: Walk::new(root, site.hidden, folder, dir, &stat)?,
            folder: folder.to_vec(),
            top: name::of_folder(folder, site.root.path()),
            encoder: if kind == ArchiveKind::Zip {
                ArchiveEncoder::Zip(Zip::default())
            } else {
                ArchiveEncoder::Tar
            },
            zstd: (kind == ArchiveKind::TarZst).then(|| Box::new(Zstd::new())),
            phase: ArchivePhase::Top(stat.identity.modified_s),
            entries: 0,
            omissions: Omissions::default(),
            _directories: directories,
            _permit: permit,
        })
    }

    /// Appends to `out` until it has this many bytes, or until the work of a call is done. Returns whether
    /// the archive is complete.
    fn fill(&mut self, out: &mut Vec<u8>, bytes: usize) -> io::Result<Produced> {
        for _ in 0..ARCHIVE_STEPS_PER_PIECE_MAX {
            if out.len() >= bytes {
                break;
            }
            self.step(out, bytes)?;
            if let ArchivePhase::Done = self.phase {
                return Ok(Produced::End);
            }
        }
        Ok(Produced::More)
    }

    fn step(&mut self, out: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
        self.phase = match std::mem::replace(&mut self.phase, ArchivePhase::Done) {
            ArchivePhase::Top(modified_s) => {
                let folder = self.folder.clone();
                self.add_folder(out, &folder, modified_s)?;
                ArchivePhase::Walking
            }
            ArchivePhase::Walking => match self.walk.step()? {
                WalkStep::Folder(path, stat) => {
                    self.add_folder(out, &path, stat.identity.modified_s)?;
                    ArchivePhase::Walking
                }
                WalkStep::File(path, file, stat) => self.add_file(out, path, file, &stat)?,
                WalkStep::Omitted(path, why) => {
                    self.omissions.add(&self.name(&path), &why);
                    ArchivePhase::Walking
                }
                WalkStep::Nothing => ArchivePhase::Walking,
                WalkStep::End => self.finish(out)?,
            },
            ArchivePhase::Content(content) => self.add_content(out, content, bytes)?,
            ArchivePhase::Directory(mut directory) => {
                if directory.put_next(out) {
                    ArchivePhase::Directory(directory)
                } else {
                    ArchivePhase::Done
                }
            }
            ArchivePhase::Done => ArchivePhase::Done,
        };
        Ok(())
    }

    fn add_folder(&mut self, out: &mut Vec<u8>, path: &[u8], modified_s: i64) -> io::Result<()> {
        self.count()?;
        let name = [&self.name(path)[..], b"/"].concat();
        match &mut self.encoder {
            ArchiveEncoder::Tar => tar::folder(out, &name, modified_s),
            ArchiveEncoder::Zip(zip) => {
                let entry = zip.begin(out, &name, 0, modified_s, Some(0));
                zip.end(out, &entry, 0)?;
            }
        }
        Ok(())
    }

    /// Adds a small file with its content, or the header of a larger one.
    fn add_file(
        &mut self,
        out: &mut Vec<u8>,
        path: Vec<u8>,
        file: File,
        stat: &Stat,
    ) -> io::Result<ArchivePhase> {
        self.count()?;
        let (size_bytes, modified_s) = (stat.identity.size_bytes, stat.identity.modified_s);
        let name = self.name(&path);
        if size_bytes <= ARCHIVE_SMALL_FILE_BYTES_MAX {
            let mut content = vec![0; size_bytes as usize];
            match read_at(&file, &mut content, 0) {
                Ok(len) => self.add_bytes(out, &name, &content[..len], modified_s)?,
                Err(error) => self.omissions.add(&name, &walk::Omission::Failed(error)),
            }
            return Ok(ArchivePhase::Walking);
        }
        let zip = match &mut self.encoder {
            ArchiveEncoder::Tar => {
                tar::file(out, &name, size_bytes, modified_s);
                None
            }
            ArchiveEncoder::Zip(zip) => {
                Some((zip.begin(out, &name, size_bytes, modified_s, None), crc32fast::Hasher::new()))
            }
        };
        Ok(ArchivePhase::Content(FileContent { path, file, size_bytes, read_bytes: 0, zip }))
    }

    /// Adds a file whose content is in memory.
    fn add_bytes(&mut self, out: &mut Vec<u8>, name: &[u8], bytes: &[u8], modified_s: i64) -> io::Result<()> {
        let size_bytes = bytes.len() as u64;
        match &mut self.encoder {
            ArchiveEncoder::Tar => {
                tar::file(out, name, size_bytes, modified_s);
                out.extend_from_slice(bytes);
                tar::pad(out, size_bytes);
            }
            ArchiveEncoder::Zip(zip) => {
                let crc = crc32fast::hash(bytes);
                let entry = zip.begin(out, name, size_bytes, modified_s, Some(crc));
                out.extend_from_slice(bytes);
                zip.end(out, &entry, crc)?;
            }
        }
        Ok(())
    }

    /// Adds as much of the content of a file as fits and, after the last byte, what follows the content.
    fn add_content(
        &mut self,
        out: &mut Vec<u8>,
        mut content: FileContent,
        bytes: usize,
    ) -> io::Result<ArchivePhase> {
        let start = out.len();
        let left = content.size_bytes - content.read_bytes;
        let len = left.min(bytes.saturating_sub(start) as u64) as usize;
        out.resize(start + len, 0);
        let read = read_at(&content.file, &mut out[start..], content.read_bytes).and_then(|read| {
            if read == len { Ok(()) } else { Err(io::Error::other("it has become shorter")) }
        });
        read.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", content.path.escape_ascii()))
        })?;
        if let Some((_, crc)) = &mut content.zip {
            crc.update(&out[start..]);
        }
        content.read_bytes += len as u64;
        if content.read_bytes < content.size_bytes {
            return Ok(ArchivePhase::Content(content));
        }
        match (&mut self.encoder, content.zip) {
            (ArchiveEncoder::Zip(zip), Some((entry, crc))) => zip.end(out, &entry, crc.finalize())?,
            _ => tar::pad(out, content.size_bytes),
        }
        Ok(ArchivePhase::Walking)
    }

    /// Adds the list of omitted files, and the end of the archive.
    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<ArchivePhase> {
        if let Some(list) = self.omissions.list() {
            let folder = self.folder.escape_ascii();
            log::warn!("http: the archive of /{folder} lacks what could not be read: {}", self.omissions);
            let is_free = |name: &&str| !self.walk.exists(&join(&self.folder, name.as_bytes()));
            // If no name is free, the list is a second file of that name.
            let name = omissions::NAMES.iter().copied().find(is_free).unwrap_or(omissions::NAMES[0]);
            let name = [&self.top[..], b"/", name.as_bytes()].concat();
            self.add_bytes(out, &name, list.as_bytes(), 0)?;
        }
        match &mut self.encoder {
            ArchiveEncoder::Tar => {
                tar::end(out);
                Ok(ArchivePhase::Done)
            }
            ArchiveEncoder::Zip(zip) => Ok(ArchivePhase::Directory(std::mem::take(zip).into_directory())),
        }
    }

    /// The name in the archive of what is at `path`.
    fn name(&self, path: &[u8]) -> Vec<u8> {
        let below = path.strip_prefix(&self.folder[..]).unwrap_or(path);
        let below = below.strip_prefix(b"/").unwrap_or(below);
        if below.is_empty() { self.top.clone() } else { join(&self.top, below) }
    }

    /// Counts an entry. A tree of links to folders that have links to folders seems to have no end.
    fn count(&mut self) -> io::Result<()> {
        self.entries += 1;
        if self.entries > ARCHIVE_ENTRIES_MAX {
            return Err(io::Error::other(format!(
                "it has more than {ARCHIVE_ENTRIES_MAX} files and folders"
            )));
        }
        Ok(())
    }
}

impl Producer for Archive {
    fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced> {
        let next = match self.zstd.take() {
            None => self.fill(piece, ARCHIVE_PIECE_BYTES),
            Some(mut zstd) => {
                let next = self.fill(&mut zstd.plain, ZSTD_FRAME_BYTES);
                if zstd.is_full() || matches!(next, Ok(Produced::End)) {
                    zstd.compress(piece);
                }
                self.zstd = Some(zstd);
                next
            }
        };
        next.map_err(|error| {
            let folder = self.folder.escape_ascii();
            io::Error::new(error.kind(), format!("the archive of /{folder}: {error}"))
        })
    }

    fn held_bytes(&self) -> usize {
        let format_bytes = match (&self.encoder, &self.phase) {
            (_, ArchivePhase::Directory(directory)) => directory.held_bytes(),
            (ArchiveEncoder::Zip(zip), _) => zip.held_bytes(),
            (ArchiveEncoder::Tar, _) => 0,
        };
        let zstd_bytes = self.zstd.as_ref().map_or(0, |zstd| zstd.held_bytes());
        let names_bytes = self.folder.capacity() + self.top.capacity() + self.omissions.held_bytes();
        Entries::BUFFER_BYTES + self.walk.held_bytes() + format_bytes + zstd_bytes + names_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_leave_half_of_the_open_files_to_other_requests_and_give_their_permits_back() {
        let archives = Arc::new(Archives::one_of(1));
        let mut permits: Vec<_> = (0..2).map(|_| archives.begin(8).unwrap()).collect();
        assert_eq!(Status::from(&archives.begin(8).unwrap_err()), Status::Unavailable);
        permits.pop();
        permits.push(archives.begin(8).unwrap());
        assert!(archives.begin(8).is_err());
        permits.clear();
        permits.push(archives.begin(1).unwrap());
        assert!(archives.begin(1).is_err());
        permits.extend((1..ARCHIVES_MAX).map(|_| archives.begin(1 << 20).unwrap()));
        assert!(archives.begin(1 << 20).is_err());
    }
}
