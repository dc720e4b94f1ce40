//! The served directory under its name: it may be replaced, mounted over, or missing for a while.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::bounds::ROOT_BELIEVED_MS;
use crate::session::Now;
use crate::sys::SharedCounters;
use crate::sys::files::DirectoryId;
use crate::sys::root::{Renewal, Root};

/// The last check of the root, and the state that was last logged.
#[derive(Debug)]
pub(crate) struct RootWatch {
    looked_ms: AtomicU64,
    /// The state that was last written to the log.
    logged: AtomicU64,
    /// The same for all processes of the server: all of them see a change, and one logs it. `None` if there
    /// was no memory for it; then each logs it.
    logged_by_all: Option<SharedCounters>,
}

/// Nothing was logged yet: the directory is that of the start.
const AT_START: u64 = 0;
const MISSING: u64 = 1;
const REFUSED: u64 = 2;

impl RootWatch {
    pub(crate) fn new() -> RootWatch {
        let (looked_ms, logged) = (AtomicU64::new(0), AtomicU64::new(AT_START));
        RootWatch { looked_ms, logged, logged_by_all: SharedCounters::new(1).ok() }
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
        let renewal = root.renew();
        self.log(root, &renewal);
        matches!(renewal, Renewal::Replaced(_) | Renewal::Missing)
    }

    /// Logs a change, once for all processes.
    fn log(&self, root: &Root, renewal: &Renewal) {
        let state = match renewal {
            Renewal::Same(id) | Renewal::Replaced(id) => state_of(*id),
            Renewal::Missing => MISSING,
            Renewal::Refused(_) => REFUSED,
        };
        let before = match &self.logged_by_all {
            Some(logged) => logged[0].swap(state, Ordering::AcqRel),
            None => self.logged.swap(state, Ordering::Relaxed),
        };
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
            (Renewal::Refused(error), _) => log::warn!(
                "cannot check whether the directory \"{path}\" was replaced: {error}; still serving the one that was opened before. \
                 Let the server's user read it and search the directories above it, or restart the server when it is replaced"
            ),
            (_, MISSING) => log::info!("the directory \"{path}\" exists again and is served"),
            (_, REFUSED) => {
                log::info!("the directory \"{path}\" can be checked again and is served as it is now");
            }
            (Renewal::Same(_), AT_START) => {}
            _ => log::info!("the directory \"{path}\" was replaced; the new one is served"),
        }
    }
}

/// A number for each directory, different from the constants above.
fn state_of(id: DirectoryId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish() | 1 << 63
}
