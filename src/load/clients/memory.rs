//! What an HTTP client remembers beyond its connections.

use std::collections::VecDeque;

use super::cookies::CookieJar;

/// What a client remembers beyond its connection.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) cookies: CookieJar,
    /// Requests that follow redirects; they are sent before others.
    pub(super) hops: VecDeque<Hop>,
}

/// A request that follows a redirect.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) bytes: Vec<u8>,
    /// Where its fields end.
    pub(super) fields_end: usize,
    /// Redirects that led here.
    pub(super) redirects: u32,
}
