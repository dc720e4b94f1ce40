//! Slow work that a handler needs before it can answer.
//!
//! The handler returns [`Response::deferred`](super::Response) with the work, and is called again with the
//! same request when the work is done. The result of the work is then in the request
//! ([`Notes::take_result`]), so that handlers between the session and the one that deferred (a router, or a
//! handler of the user) need no code for it.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::session::{Busy, Lane, Offload, Peer, Ticket};

/// What some work has returned.
pub(crate) type WorkResult = Box<dyn Any + Send>;

/// Work to be done before a request can be answered.
pub(crate) struct Deferred {
    lane: Lane,
    work: Box<dyn FnOnce() -> WorkResult + Send>,
}

impl Deferred {
    pub(crate) fn new<T: Any + Send>(lane: Lane, work: impl FnOnce() -> T + Send + 'static) -> Deferred {
        Deferred { lane, work: Box::new(|| Box::new(work())) }
    }

    /// Begins the work, or does it.
    pub(crate) fn begin(self, offload: &Offload) -> Result<Ticket<WorkResult>, Busy> {
        offload.try_run(self.lane, self.work)
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// What a session keeps about its client if its handler asks for the client.
#[derive(Clone, Debug)]
pub(crate) struct HandlerClient {
    pub(crate) peer: Peer,
    pub(crate) offload: Offload,
}

/// Results of handlers about one request.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    results: Mutex<Vec<WorkResult>>,
    /// The name of the user whose password was right.
    user: OnceLock<Box<str>>,
}

impl Notes {
    /// Takes what work of this type has returned, if it was done for this request.
    pub(crate) fn take_result<T: Any>(&self) -> Option<T> {
        let mut results = self.results();
        let place = results.iter().position(|result| result.is::<T>())?;
        results.swap_remove(place).downcast().ok().map(|result| *result)
    }

    pub(crate) fn add_result(&self, result: WorkResult) {
        self.results().push(result);
    }

    fn results(&self) -> MutexGuard<'_, Vec<WorkResult>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.get().map(|name| &**name)
    }

    pub(crate) fn set_user(&self, name: &str) {
        let _ = self.user.set(name.into()); // the first user stays: it is the one that was admitted
    }
}
