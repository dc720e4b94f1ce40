//! The served directory under its name: it may be replaced, mounted over, or missing for a while.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::bounds::ROOT_BELIEVED_MS;
use crate::session::Now;
use crate::sys::SharedCounters;
use crate::sys::files::DirectoryId;
use crate::sys::root::{Renewal, Root, Seen};

/// The last check of the root, and the state that was last logged.
#[derive(Debug)]
pub(crate) struct RootWatch {
    looked_ms: AtomicU64,
    /// What was written to the log, in this process.
    logged: [AtomicU64; 2],
    /// The same for all processes of the server: all of them see a change, and one logs it. `None` if there
    /// was no memory for it; then each logs it.
    logged_by_all: Option<SharedCounters>,
}

/// Where the state that was last logged is kept.
const STATE: usize = 0;
/// Where it is kept whether a check has seen a part of the path only.
const SEEN: usize = 1;

/// Nothing was logged yet: the directory is that of the start.
const AT_START: u64 = 0;
const MISSING: u64 = 1;
const REFUSED: u64 = 2;
const OUT_OF_SIGHT: u64 = 3;

impl RootWatch {
    pub(crate) fn new() -> RootWatch {
        let logged = [AtomicU64::new(AT_START), AtomicU64::new(0)];
        RootWatch { looked_ms: AtomicU64::new(0), logged, logged_by_all: SharedCounters::new(2).ok() }
    }

    /// Whether it is time for [`RootWatch::look`]; true for one of several threads.
    pub(crate) fn is_due(&self, now: Now) -> bool {
        let (now_ms, before_ms) = (now.monotonic_ms, self.looked_ms.load(Ordering::Relaxed));
        // A time in the future was noted by another process, by its clock.
        let due = now_ms.checked_sub(before_ms).is_none_or(|age_ms| age_ms >= ROOT_BELIEVED_MS);
        let (claimed, as_before) = (Ordering::Relaxed, Ordering::Relaxed);
        due && self.looked_ms.compare_exchange(before_ms, now_ms, claimed, as_before).is_ok()
    }

    /// Checks which directory the path names now, and returns whether that has changed.
    pub(crate) fn look(&self, root: &Root, now: Now) -> bool {
        self.looked_ms.store(now.monotonic_ms, Ordering::Relaxed);
        let (renewal, seen) = root.renew();
        if seen == Seen::LastComponent && self.swap(SEEN, 1) == 0 {
            log_unseen(root);
        }
        self.log(root, &renewal);
        matches!(renewal, Renewal::Replaced(_) | Renewal::Missing | Renewal::OutOfSight)
    }

    /// Notes what is logged, and returns what was noted before.
    fn swap(&self, what: usize, value: u64) -> u64 {
        match &self.logged_by_all {
            Some(logged) => logged[what].swap(value, Ordering::AcqRel),
            None => self.logged[what].swap(value, Ordering::Relaxed),
        }
    }

    /// Logs a change, once for all processes.
    fn log(&self, root: &Root, renewal: &Renewal) {
        let state = match renewal {
            Renewal::Same(id) | Renewal::Replaced(id) => state_of(*id),
            Renewal::Missing => MISSING,
            Renewal::Refused(_) => REFUSED,
            Renewal::OutOfSight => OUT_OF_SIGHT,
        };
        let before = self.swap(STATE, state);
        if before == state {
            return;
        }
        let path = root.path().to_string_lossy();
        let path = path.escape_debug();
        match (renewal, before) {
            (Renewal::Missing, _) => {
                log::warn!(
                    "the directory \"{path}\" no longer exists; requests get 404 until it exists again"
                );
            }
            (Renewal::OutOfSight, _) => log::warn!(
                "the directory that contained \"{path}\" was removed, and the server's user cannot search those above it; \
                 requests get 403. Restart the server, or let its user search them"
            ),
            (Renewal::Refused(error), _) if root.is_open() => log::warn!(
                "cannot check whether the directory \"{path}\" was replaced: {error}; still serving the one that was opened before. \
                 Let the server's user read it and search the directories above it, or restart the server when it is replaced"
            ),
            (Renewal::Refused(error), _) => log::warn!(
                "cannot check whether the directory \"{path}\" exists again: {error}; requests still get an error. \
                 Let the server's user read it and search the directories above it, or restart the server"
            ),
            (_, MISSING | OUT_OF_SIGHT) => log::info!("the directory \"{path}\" exists again and is served"),
            (_, REFUSED) => {
                log::info!("the directory \"{path}\" can be checked again and is served as it is now");
            }
            (Renewal::Same(_), AT_START) => {}
            _ => log::info!("the directory \"{path}\" was replaced; the new one is served"),
        }
    }
}

/// Logs that a change above the root cannot be seen.
fn log_unseen(root: &Root) {
    let name = root.path().file_name().unwrap_or_default().to_string_lossy();
    let (path, name) = (root.path().to_string_lossy(), name.escape_debug());
    log::warn!(
        "the server's user cannot search all directories above \"{}\": a replaced \"{name}\" is noticed, a replaced directory \
         or link above it is not. Restart the server after such a change, or let its user search them",
        path.escape_debug()
    );
}

/// A number for each directory, different from the constants above.
fn state_of(id: DirectoryId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish() | 1 << 63
}
