//! The number of open files and directories of a service: in the cache, in responses that clients have not
//! read yet, and in listings.
//!
//! Clients and files share the descriptors of a process. With a bound on each, clients that request big files
//! and do not read cannot block other clients, or small files, which need a descriptor only for a moment.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::super::bounds::DESCRIPTORS_PER_OPEN_FILE;

/// With fewer files than this, dropped ones are not searched for.
const SWEEP_MIN: usize = 64;

/// What is open, and how much may be.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    max: AtomicUsize,
    directories: AtomicUsize,
    files: Mutex<OpenList>,
    refused: AtomicUsize,
}

/// Every file that was handed out and may still be open.
#[derive(Debug, Default)]
struct OpenList {
    all: Vec<Weak<File>>,
    /// At this length the list is searched for closed files.
    sweep_at: usize,
}

/// The permit for one open directory; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct DirectoryPermit(Arc<OpenFiles>);

/// The error beyond the bound: that of a process which has no descriptor left.
pub(crate) fn no_place() -> io::Error {
    io::Error::from_raw_os_error(libc::EMFILE)
}

/// The most files and directories that a service opens in a process that may have this many descriptors.
pub(crate) fn open_files_max(descriptors: u64) -> usize {
    usize::try_from(descriptors / DESCRIPTORS_PER_OPEN_FILE).unwrap_or(usize::MAX).max(1)
}

impl OpenFiles {
    pub(crate) fn new(max: usize) -> Arc<OpenFiles> {
        Arc::new(OpenFiles {
            max: AtomicUsize::new(max),
            directories: AtomicUsize::new(0),
            files: Mutex::default(),
            refused: AtomicUsize::new(0),
        })
    }

    pub(crate) fn limit(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// How much may be open.
    pub(crate) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Counts `file` for as long as it is open. Beyond the bound it is given back: the caller must close it
    /// soon.
    pub(crate) fn keep(&self, file: File) -> Result<Arc<File>, File> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_place(&mut files) {
            return Err(file);
        }
        let file = Arc::new(file);
        files.all.push(Arc::downgrade(&file));
        Ok(file)
    }

    /// Counts a directory that stays open, until the permit is dropped.
    pub(crate) fn directory(self: &Arc<Self>) -> io::Result<DirectoryPermit> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_place(&mut files) {
            return Err(no_place());
        }
        self.directories.fetch_add(1, Ordering::Relaxed);
        Ok(DirectoryPermit(Arc::clone(self)))
    }

    /// Counts an answer of 503 because no descriptor is free; the first, tenth, hundredth and so on is
    /// logged.
    pub(crate) fn refused(&self) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused == 10_usize.pow(refused.ilog10()) {
            log::warn!(
                "http: no file descriptor is free; {refused} requests got 503 so far; at most {} files and directories may \
                 be open; raise the limit (ulimit -n)",
                self.max.load(Ordering::Relaxed)
            );
        }
    }

    /// Whether one more may be opened. The caller holds `files` until it is counted.
    fn has_place(&self, files: &mut OpenList) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let directories = self.directories.load(Ordering::Relaxed);
        if files.all.len() >= files.sweep_at || files.all.len() + directories >= max {
            files.all.retain(|file| file.strong_count() > 0);
            files.sweep_at = (2 * files.all.len()).max(SWEEP_MIN);
        }
        files.all.len() + directories < max
    }
}

impl Drop for DirectoryPermit {
    fn drop(&mut self) {
        self.0.directories.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> File {
        tempfile::tempfile().unwrap()
    }

    #[test]
    fn files_and_directories_have_one_bound_and_count_until_the_last_holder_is_gone() {
        let open = OpenFiles::new(3);
        let first = open.keep(file()).unwrap();
        let sent = Arc::clone(&first);
        let second = open.keep(file()).unwrap();
        let listed = open.directory().unwrap();
        assert!(open.keep(file()).is_err());
        assert_eq!(open.directory().unwrap_err().raw_os_error(), Some(libc::EMFILE));
        drop(first);
        assert!(open.keep(file()).is_err(), "it is still being sent");
        drop(sent);
        let third = open.keep(file()).unwrap();
        assert!(open.directory().is_err());
        drop(listed);
        let _listed = open.directory().unwrap();
        open.limit(4);
        assert!(open.directory().is_ok());
        drop((second, third));
    }

    #[test]
    fn files_that_were_closed_are_forgotten() {
        let open = OpenFiles::new(1 << 20);
        for _ in 0..10 * SWEEP_MIN {
            open.keep(file()).unwrap();
        }
        assert!(open.files.lock().unwrap().all.len() <= SWEEP_MIN);
    }
}
