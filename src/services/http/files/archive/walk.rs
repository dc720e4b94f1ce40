//! A folder as the site serves it, entry by entry, with one open directory at a time and bounded memory for
//! the names of folders that still have to be visited.
//!
//! The files of a folder come before its subfolders. Then the folder is closed, so that the number of
//! descriptors does not depend on the depth. Each path is opened from the root of the site, by the same rules
//! as for a request: a folder that is replaced by a link meanwhile leads no further than a request does.

use std::fs::File;
use std::io;

use super::super::super::bounds::{ARCHIVE_DEPTH_MAX, ARCHIVE_PATH_BYTES_MAX, ARCHIVE_WAITING_BYTES_MAX};
use super::super::super::codec::status::Status;
use crate::sys::directory::Entries;
use crate::sys::files::{DirectoryId, FileKind, Stat};
use crate::sys::root::Root;

/// A folder that is being walked.
#[derive(Debug)]
pub(super) struct Walk {
    /// The root directory that was open when the walk began.
    root: Root,
    /// Whether names that begin with a dot are shown.
    hidden: bool,
    /// The folder of the last level, relative to the root, without a slash at its end.
    path: Vec<u8>,
    /// The remaining entries of that folder.
    entries: Option<Entries>,
    /// The folders from the requested one down to the current one.
    levels: Vec<PendingFolder>,
    /// The memory of the names of all levels.
    waiting_bytes: usize,
}

/// A folder whose subfolders still have to be visited.
#[derive(Debug)]
struct PendingFolder {
    id: DirectoryId,
    /// The length of its path, a prefix of [`Walk::path`].
    path_len: usize,
    /// The names of its subfolders that still have to be visited, each followed by NUL, in reverse order.
    names: Vec<u8>,
}

/// What a step of a walk has found. Paths are relative to the root of the site.
#[derive(Debug)]
pub(super) enum WalkStep {
    /// A folder; what is in it comes later.
    Folder(Vec<u8>, Stat),
    /// A file, open for reading.
    File(Vec<u8>, File, Stat),
    /// Something that the site shows and that cannot be read.
    Omitted(Vec<u8>, Omission),
    /// An entry that the site does not serve; there may be more entries.
    Nothing,
    /// All has been walked.
    End,
}

/// Why something is left out.
#[derive(Debug)]
pub(super) enum Omission {
    Failed(io::Error),
    /// A folder that is its own ancestor, by a link.
    Loop,
    TooDeep,
    TooManyFolders,
}

impl Walk {
    /// Begins with the folder `dir`, which was opened in `root` as `path`.
    pub(super) fn new(root: Root, hidden: bool, path: &[u8], dir: File, stat: &Stat) -> io::Result<Walk> {
        let path = path.to_vec();
        let level = PendingFolder { id: stat.directory_id(), path_len: path.len(), names: Vec::new() };
        let entries = Some(Root::entries(dir)?);
        Ok(Walk { root, hidden, path, entries, levels: vec![level], waiting_bytes: 0 })
    }

    /// Takes the next entry. An error concerns the process, such as no free descriptor, and does not mean
    /// that an entry is missing.
    pub(super) fn step(&mut self) -> io::Result<WalkStep> {
        let Some(entries) = &mut self.entries else { return self.next_folder() };
        match entries.next() {
            Some(Ok(name)) if name.starts_with(b".") && !self.hidden => Ok(WalkStep::Nothing),
            Some(Ok(name)) => {
                let stat = entries.stat(&name);
                self.entry(&name, stat)
            }
            Some(Err(error)) => {
                self.close();
                omitted_unless_fatal(self.path.clone(), error)
            }
            None => {
                self.close();
                Ok(WalkStep::Nothing)
            }
        }
    }

    /// Whether there is a file or folder at `path`.
    pub(super) fn exists(&self, path: &[u8]) -> bool {
        self.root.stat(path).is_ok()
    }

    /// Its memory, except that of the open directory.
    pub(super) fn held_bytes(&self) -> usize {
        self.path.capacity() + self.levels.capacity() * size_of::<PendingFolder>() + self.waiting_bytes
    }

    /// Looks at an entry of the folder that is walked now.
    fn entry(&mut self, name: &[u8], stat: io::Result<Stat>) -> io::Result<WalkStep> {
        let path = join(&self.path, name);
        if path.len() > ARCHIVE_PATH_BYTES_MAX {
            return Ok(WalkStep::Omitted(path, Omission::TooDeep));
        }
        let stat = match stat {
            // The root resolves a link, and refuses one that leads outside.
            Ok(Stat { kind: FileKind::Link, .. }) => self.root.stat(&path),
            stat => stat,
        };
        match stat {
            Ok(Stat { kind: FileKind::Directory, .. }) => {
                if self.waiting_bytes + name.len() >= ARCHIVE_WAITING_BYTES_MAX {
                    return Ok(WalkStep::Omitted(path, Omission::TooManyFolders));
                }
                if let Some(level) = self.levels.last_mut() {
                    level.names.extend_from_slice(name);
                    level.names.push(0);
                    self.waiting_bytes += name.len() + 1;
                }
                Ok(WalkStep::Nothing)
            }
            Ok(Stat { kind: FileKind::File, .. }) => match self.root.open_file(&path) {
                Ok((file, stat)) if stat.kind == FileKind::File => Ok(WalkStep::File(path, file, stat)),
                Ok(_) => Ok(WalkStep::Nothing), // replaced by a folder just now
                Err(error) => omitted_unless_fatal(path, error),
            },
            // What is gone since, leads outside, or is never served, is not shown either.
            Ok(_) => Ok(WalkStep::Nothing),
            Err(error) => fatal(error).map_or(Ok(WalkStep::Nothing), Err),
        }
    }

    /// All entries of a folder were looked at: its folders come in the order of their names.
    fn close(&mut self) {
        self.entries = None;
        if let Some(level) = self.levels.last_mut() {
            let mut names: Vec<&[u8]> = level.names.split_inclusive(|&byte| byte == 0).collect();
            names.sort_unstable_by(|a, b| b.cmp(a));
            level.names = names.concat();
        }
    }

    /// Goes into the next folder that waits.
    fn next_folder(&mut self) -> io::Result<WalkStep> {
        let Some(level) = self.levels.last_mut() else { return Ok(WalkStep::End) };
        self.path.truncate(level.path_len);
        let Some(name) = pop_name(&mut level.names) else {
            self.levels.pop();
            return Ok(WalkStep::Nothing);
        };
        self.waiting_bytes -= name.len() + 1;
        let path = join(&self.path, &name);
        if self.levels.len() >= ARCHIVE_DEPTH_MAX {
            return Ok(WalkStep::Omitted(path, Omission::TooDeep));
        }
        let (dir, stat) = match self.root.open_file(&path) {
            Ok(opened) => opened,
            Err(error) => return omitted_unless_fatal(path, error),
        };
        if stat.kind != FileKind::Directory {
            return Ok(WalkStep::Nothing); // replaced by a file just now
        }
        let id = stat.directory_id();
        if self.levels.iter().any(|level| level.id == id) {
            return Ok(WalkStep::Omitted(path, Omission::Loop));
        }
        self.entries = Some(Root::entries(dir)?);
        self.levels.push(PendingFolder { id, path_len: path.len(), names: Vec::new() });
        self.path.clone_from(&path);
        Ok(WalkStep::Folder(path, stat))
    }
}

/// A name in a folder, which is empty for the root.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

fn pop_name(names: &mut Vec<u8>) -> Option<Vec<u8>> {
    names.pop()?;
    let start = names.iter().rposition(|&byte| byte == 0).map_or(0, |nul| nul + 1);
    Some(names.split_off(start))
}

/// The error, if it concerns the process and not the file.
fn fatal(error: io::Error) -> Option<io::Error> {
    (Status::from(&error) == Status::Unavailable).then_some(error)
}

/// Reports an entry that cannot be opened as left out, unless it has vanished.
fn omitted_unless_fatal(path: Vec<u8>, error: io::Error) -> io::Result<WalkStep> {
    match Status::from(&error) {
        Status::Unavailable => Err(error),
        _ if error.kind() == io::ErrorKind::NotFound => Ok(WalkStep::Nothing),
        _ => Ok(WalkStep::Omitted(path, Omission::Failed(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::files::Links;

    fn walk(dir: &std::path::Path, links: Links, hidden: bool) -> Walk {
        let root = Root::open(dir, links).unwrap();
        let (dir, stat) = root.open_file(b"").unwrap();
        Walk::new(root, hidden, b"", dir, &stat).unwrap()
    }

    /// Everything that a walk finds, one entry per line.
    fn found(mut walk: Walk) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let (mark, path) = match walk.step().unwrap() {
                WalkStep::Folder(path, _) => ("/", path),
                WalkStep::File(path, ..) => ("", path),
                WalkStep::Omitted(path, Omission::Loop) => (" loops", path),
                WalkStep::Omitted(path, Omission::TooDeep) => (" is too deep", path),
                WalkStep::Omitted(path, why) => panic!("{}: {why:?}", path.escape_ascii()),
                WalkStep::Nothing => continue,
                WalkStep::End => break,
            };
            lines.push(format!("{}{mark}", path.escape_ascii()));
        }
        assert_eq!((walk.waiting_bytes, walk.entries.is_none()), (0, true));
        lines
    }

    #[test]
    fn files_come_before_folders_and_folders_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["b/y", "b/x", "a", ".hidden"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["z", "b/f", "b/x/f", ".hidden/f", ".f"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let shown = ["z", "a/", "b/", "b/f", "b/x/", "b/x/f", "b/y/"];
        assert_eq!(found(walk(dir.path(), Links::Beneath, false)), shown);
        let all = found(walk(dir.path(), Links::Beneath, true));
        assert!(all.iter().any(|line| line == ".hidden/f") && all.iter().any(|line| line == ".f"), "{all:?}");
    }

    #[test]
    fn links_lead_nowhere_without_an_end_and_nowhere_outside() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("root");
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::write(top.path().join("outside"), "").unwrap();
        for (to, link) in [("../..", "a/b/up"), (".", "a/self"), ("../outside", "out"), ("..", "parent")] {
            symlink(to, dir.join(link)).unwrap();
        }
        assert_eq!(found(walk(&dir, Links::Never, false)), ["a/", "a/b/"]);
        if cfg!(target_os = "linux") {
            let expected = ["a/", "a/b/", "a/b/up loops", "a/self loops"];
            assert_eq!(found(walk(&dir, Links::Beneath, false)), expected);
        }
    }

    #[test]
    fn no_depth_takes_more_than_one_open_directory_and_the_deepest_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut path = dir.path().to_owned();
        for _ in 0..=ARCHIVE_DEPTH_MAX {
            path.push("d");
            std::fs::create_dir(&path).unwrap();
        }
        let lines = found(walk(dir.path(), Links::Beneath, false));
        assert_eq!(lines.len(), ARCHIVE_DEPTH_MAX);
        assert!(lines.last().unwrap().ends_with("d is too deep"), "{lines:?}");
    }

    #[test]
    fn a_root_that_is_replaced_meanwhile_is_walked_as_it_was() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("root");
        std::fs::create_dir_all(dir.join("a")).unwrap();
        std::fs::write(dir.join("a/old"), "").unwrap();
        let root = Root::open(&dir, Links::Beneath).unwrap();
        let (opened, stat) = root.open_file(b"").unwrap();
        let walk = Walk::new(root.pinned().unwrap(), false, b"", opened, &stat).unwrap();
        std::fs::rename(&dir, top.path().join("gone")).unwrap();
        std::fs::create_dir_all(dir.join("a")).unwrap();
        std::fs::write(dir.join("a/new"), "").unwrap();
        root.renew();
        assert_eq!(found(walk), ["a/", "a/old"]);
    }
}
