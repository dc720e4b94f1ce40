//! What a server leaves behind: processes in no group and no tree of its own, which nobody else would end.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::sample::proc::children;
use crate::sys::process::{ChildRequest, adopt_orphans, notify, reap};

/// How long processes that were killed may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(3);
/// How often is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Who ends the processes that servers leave behind. There is one such value in a process, which has no other children
/// while [`Orphans::end`] is at work.
#[derive(Debug)]
pub(crate) struct Orphans {
    /// Children that this process had before, as one has whose program was replaced (execve(2)): they are not ours.
    before: Vec<u32>,
}

impl Orphans {
    /// Whoever below this process loses its parent is this process's child from now on, where the system can do that.
    pub(crate) fn adopt() -> io::Result<Orphans> {
        adopt_orphans()?;
        Ok(Orphans { before: children(std::process::id()) })
    }

    /// Ends all that were left behind, and waits until they are gone: the next server has the machine for itself.
    pub(crate) fn end(&self) {
        let deadline = Instant::now() + GONE_MAX;
        loop {
            // Those of one that died come to us in turn, and are found by the next look.
            while let Ok(Some(_)) = reap() {}
            let mut left = children(std::process::id());
            left.retain(|pid| !self.before.contains(pid));
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in left {
                // Gone already is what is wanted.
                let _ = notify(pid, ChildRequest::Kill);
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}
