//! The requests of an HTTP load, and what its connections share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::body_check::{FirstReply, Verify};
use super::memory::Memory;
use super::request::{HttpRequest, PreparedRequest};
use super::template::{Rows, Variables};
use crate::load::random::Random;
use crate::load::report::RequestSettings;

/// The requests of an [`super::HttpLoad`].
#[derive(Clone, Debug, Default)]
pub struct HttpRequests {
    /// The requests with their weights: how often each is sent, relative to the others. At least one.
    pub requests: Vec<(HttpRequest, u32)>,
    /// The order of the requests.
    pub order: RequestOrder,
    /// Whether variables in braces are replaced ([`super::Template`]): in targets, values of fields and
    /// bodies. The values of columns are encoded in targets.
    pub variables: Option<Rows>,
    /// Decides on random numbers and random requests.
    pub seed: u64,
    /// The text for reports; by default the target of the first request.
    pub shown: Option<String>,
}

/// Which request of several is sent next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestOrder {
    /// At random, by weight.
    #[default]
    Random,
    /// Each in turn, whatever its weight; after the last the first follows.
    InTurn,
}

/// Options of an [`super::HttpLoad`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpOptions {
    /// The check of bodies. `None`: the bodies of a single GET without variables must be equal, byte for
    /// byte.
    pub verify: Option<Verify>,
    /// Whether bodies with the content coding gzip are decoded before they are checked.
    pub decodes: bool,
    /// How many redirects in a row are followed; 0: none. A redirect is a reply, and the next request of the
    /// connection goes where it leads. Redirects to other servers are only counted.
    pub redirects_max: u32,
    /// Whether each client keeps the cookies that it gets, and sends them back. They outlive its connections.
    pub keeps_cookies: bool,
}

/// What all connections of a load share.
#[derive(Debug)]
pub(super) struct SharedRequests {
    pub(super) shown: String,
    /// What reports have of the rest.
    pub(super) settings: RequestSettings,
    /// The host of the URL.
    pub(super) host: String,
    pub(super) requests: Vec<PreparedRequest>,
    /// The first replies, in the order of the requests.
    pub(super) firsts: Vec<FirstReply>,
    /// The sums of the weights up to each request; empty if they are sent in turn.
    pub(super) sums: Vec<u64>,
    pub(super) next: AtomicU64,
    pub(super) verify: Verify,
    pub(super) decodes: bool,
    pub(super) redirects_max: u32,
    pub(super) keeps_cookies: bool,
    pub(super) variables: Variables,
    /// Whether something is chosen for each request. Otherwise the only request is sent as it is.
    pub(super) chooses: bool,
    pub(super) counts: HttpCounts,
    /// What clients remember while they have no connection.
    pub(super) memories: Mutex<HashMap<u32, Memory>>,
}

/// Counters other than requests.
#[derive(Debug, Default)]
pub(super) struct HttpCounts {
    pub(super) redirects_followed: AtomicU64,
    pub(super) redirects_elsewhere: AtomicU64,
    pub(super) redirects_given_up: AtomicU64,
    pub(super) cookies_set: AtomicU64,
    pub(super) bytes_decoded: AtomicU64,
}

impl SharedRequests {
    pub(super) fn memories(&self) -> MutexGuard<'_, HashMap<u32, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first reply to the request with this number; `None` for a request that follows a redirect.
    pub(super) fn first(&self, request: Option<usize>) -> Option<&FirstReply> {
        request.and_then(|index| self.firsts.get(index))
    }

    /// The number of the request that is sent next.
    pub(super) fn choose(&self, random: &mut Random) -> usize {
        let last = self.requests.len() - 1;
        if last == 0 {
            return 0;
        }
        match self.sums.last() {
            None => (self.next.fetch_add(1, Relaxed) % self.requests.len() as u64) as usize,
            Some(&total) => {
                let drawn = ((u128::from(random.next()) * u128::from(total)) >> 64) as u64;
                self.sums.partition_point(|&sum| sum <= drawn).min(last)
            }
        }
    }
}
