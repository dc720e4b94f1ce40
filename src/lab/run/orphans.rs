//! Processes that a server leaves behind, outside its group and its tree.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::sample::proc::children;
use crate::sys::process::{ChildRequest, adopt_orphans, notify, reap};

/// How long killed processes may take to end.
const GONE_MAX: Duration = Duration::from_secs(3);
/// How often their end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Ends the processes that servers leave behind. There is one such value per process, which has no other
/// children while [`Orphans::end`] runs.
#[derive(Debug)]
pub(crate) struct Orphans {
    /// Children that this process inherited through execve(2): they are left alone.
    before: Vec<u32>,
}

impl Orphans {
    /// From now on, orphaned descendants become children of this process, where the system supports it.
    pub(crate) fn adopt() -> io::Result<Orphans> {
        adopt_orphans()?;
        Ok(Orphans { before: children(std::process::id()) })
    }

    /// The children that this process has had from its start.
    pub(crate) fn inherited(&self) -> &[u32] {
        &self.before
    }

    /// Ends all of them, and waits until they are gone, so that the next server has the machine for itself.
    pub(crate) fn end(&self) {
        let deadline = Instant::now() + GONE_MAX;
        loop {
            // Children of a process that died become ours, and are found in the next round.
            while let Ok(Some(_)) = reap() {}
            let mut left = children(std::process::id());
            left.retain(|pid| !self.before.contains(pid));
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in left {
                // An error means that it is gone already.
                let _ = notify(pid, ChildRequest::Kill);
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}
