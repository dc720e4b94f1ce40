//! Slow work that a handler needs before it can answer.
//!
//! The handler returns [`Response::deferred`](super::Response) with the work, and is called again with the
//! same request when the work is done. What the work has returned is in the request then
//! ([`Notes::finding`]), so that a handler between the session and the one that deferred (a router, or one of
//! the user's) needs to know nothing of it.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::session::{Busy, Lane, Offload, Peer, Ticket};

/// What some work has returned.
pub(crate) type Finding = Box<dyn Any + Send>;

/// Work to be done before a request can be answered.
pub(crate) struct Deferred {
    lane: Lane,
    work: Box<dyn FnOnce() -> Finding + Send>,
}

impl Deferred {
    pub(crate) fn new<T: Any + Send>(lane: Lane, work: impl FnOnce() -> T + Send + 'static) -> Deferred {
        Deferred { lane, work: Box::new(|| Box::new(work())) }
    }

    /// Begins the work, or does it.
    pub(crate) fn begin(self, offload: &Offload) -> Result<Ticket<Finding>, Busy> {
        offload.try_run(self.lane, self.work)
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// What a session keeps of its client, if its handler asks for that.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    pub(crate) peer: Peer,
    pub(crate) offload: Offload,
}

/// What was found out about one request.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    findings: Mutex<Vec<Finding>>,
    /// The name of the user whose password was right.
    user: OnceLock<Box<str>>,
}

impl Notes {
    /// Takes what work of this type has returned, if it was done for this request.
    pub(crate) fn take_finding<T: Any>(&self) -> Option<T> {
        let mut findings = self.findings();
        let place = findings.iter().position(|finding| finding.is::<T>())?;
        findings.swap_remove(place).downcast().ok().map(|finding| *finding)
    }

    pub(crate) fn add_finding(&self, finding: Finding) {
        self.findings().push(finding);
    }

    fn findings(&self) -> MutexGuard<'_, Vec<Finding>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.get().map(|name| &**name)
    }

    pub(crate) fn set_user(&self, name: &str) {
        let _ = self.user.set(name.into()); // the first one stays: it let the request in
    }
}
