//! Files written completely or not at all: the content goes to a temporary file in the same folder, which is
//! then renamed.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The most links followed in a row, as in the kernel (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;
/// The most names tried for the temporary file: a killed process with the same id may have left some behind.
const NAMES_MAX: u32 = 16;
/// Here a path stands for what a process has open: a file that took its place would be another.
const OPEN_FILES: [&str; 2] = ["/proc", "/dev/fd"];

/// Writes a file. On failure (a full disk, for instance) an existing file is unchanged, and no new file is
/// left. Permissions, owner and links are kept; a pipe, a terminal or a device is written to as it is.
///
/// A file whose folder is not writable, or that cannot be replaced (a mount point), is overwritten in place.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some((target, old)) = regular(path)? else { return fs::write(path, bytes) };
    match replace(&target, old.as_ref(), bytes) {
        Err(error) if old.is_some() && must_stay(&error) => fs::write(target, bytes),
        done => done,
    }
}

fn must_stay(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

/// The path of the regular file to which `path` leads, or of the file to create; `None` for anything else.
fn regular(path: &Path) -> io::Result<Option<(PathBuf, Option<Metadata>)>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")))?;
        let Some(name) = path.file_name() else { return Ok(None) };
        if OPEN_FILES.iter().any(|open| folder.starts_with(open)) {
            return Ok(None);
        }
        let target = folder.join(name);
        match fs::symlink_metadata(&target) {
            Ok(found) if found.is_symlink() => path = folder.join(fs::read_link(target)?),
            Ok(found) => return Ok(found.is_file().then_some((target, Some(found)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some((target, None))),
            Err(error) => return Err(error),
        }
    }
    Ok(None) // the write follows the same links and returns the error
}

fn replace(target: &Path, old: Option<&Metadata>, bytes: &[u8]) -> io::Result<()> {
    if old.is_some() {
        // A user without permission to write the file must not replace it either.
        OpenOptions::new().write(true).open(target)?;
    }
    let (path, file) = neighbour(target)?;
    let done = fill(file, old, bytes).and_then(|()| fs::rename(&path, target));
    if done.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(path);
    }
    done
}

/// A new file in the folder of the target: on the same file system, as rename(2) requires.
fn neighbour(target: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 0;
    loop {
        let path = target.with_file_name(format!(".oneloop-{}-{number}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES_MAX => number += 1,
            opened => return Ok((path, opened?)),
        }
    }
}

fn fill(mut file: File, old: Option<&Metadata>, bytes: &[u8]) -> io::Result<()> {
    if let Some(old) = old {
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    }
    file.write_all(bytes)?;
    // Some file systems find room only now.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_with_its_permissions_and_a_link_leads_on_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old"), "a longer text").unwrap();
        fs::set_permissions(at("old"), Permissions::from_mode(0o640)).unwrap();
        symlink("link", at("to link")).unwrap();
        symlink(at("old"), at("link")).unwrap();
        symlink("new", at("dangling")).unwrap();
        let mut reader = File::open(at("old")).unwrap();
        for (name, target) in [("to link", "old"), ("dangling", "new"), ("plain", "plain")] {
            write(&at(name), b"text").unwrap();
            assert_eq!(fs::read_to_string(at(target)).unwrap(), "text", "{name}");
        }
        assert_eq!(fs::metadata(at("old")).unwrap().mode() & 0o777, 0o640);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "a longer text", "it was never cut");
        assert_eq!(names(folder.path()), ["dangling", "link", "new", "old", "plain", "to link"]);
    }

    /// An open file of this process is written in place and not replaced: its other readers see the new
    /// content.
    #[test]
    fn what_a_process_has_open_and_what_is_no_file_is_written_to_as_it_is() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().unwrap();
        let open = File::create_new(folder.path().join("open")).unwrap();
        write(format!("/dev/fd/{}", open.as_raw_fd()).as_ref(), b"text").unwrap();
        let read = File::open(folder.path().join("open")).unwrap();
        assert_eq!(read.metadata().unwrap().ino(), open.metadata().unwrap().ino());
        assert_eq!(io::read_to_string(read).unwrap(), "text");

        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || fs::read_to_string(fifo).unwrap()
        });
        write(&fifo, b"text").unwrap();
        assert_eq!(reader.join().unwrap(), "text");
        write(Path::new("/dev/null"), b"text").unwrap();
        assert_eq!(names(folder.path()), ["fifo", "open"]);
    }

    #[test]
    fn what_cannot_be_replaced_is_as_before_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let taken = |number| folder.path().join(format!(".oneloop-{}-{number}.tmp", std::process::id()));
        for number in 0..=NAMES_MAX {
            fs::write(taken(number), "").unwrap();
        }
        let path = folder.path().join("old");
        fs::write(&path, "old").unwrap();
        assert_eq!(write(&path, b"new").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        fs::remove_file(taken(NAMES_MAX)).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), taken(NAMES_MAX).exists()), ("new", false));
        assert!(write(&folder.path().join("no/such"), b"").is_err());
        symlink("loop", folder.path().join("loop")).unwrap();
        assert_eq!(write(&folder.path().join("loop"), b"").unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }
}
