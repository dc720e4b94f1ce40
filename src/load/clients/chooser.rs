//! Everything that varies between the requests of an HTTP client: the choice of the request, variables,
//! cookies, and redirects.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use cookie::time::OffsetDateTime;

use super::cookies::CookieJar;
use super::gzip::GzipBody;
use super::head::MoreFields;
use super::memory::{Hop, Memory};
use super::redirect::{Redirect, is_redirect, request_after, resolve};
use super::requests::SharedRequests;
use super::template::RenderedRequests;
use crate::load::random::Random;

/// Redirects that wait to be followed: with several requests in flight more may come than are sent.
const HOPS_MAX: usize = 64;

/// Chooses the requests of one connection.
#[derive(Debug)]
pub(super) struct Chooser {
    client: u32,
    random: Random,
    memory: Memory,
    /// Those that were begun and not answered.
    begun: VecDeque<BegunRequest>,
    /// The rendered requests of this client.
    rendered: RenderedRequests,
    /// The number of the first one.
    first: u64,
    /// Of the reply that comes.
    more: MoreFields,
    gzip: Option<GzipBody>,
}

#[derive(Clone, Copy, Debug)]
struct BegunRequest {
    /// Its number in the load; `None` for a request that follows a redirect.
    request: Option<usize>,
    /// Whether its bytes were made for this client.
    is_made: bool,
    is_head: bool,
    fields_end: usize,
    redirects: u32,
}

impl Chooser {
    pub(super) fn new(client: u32, random: Random, memory: Memory) -> Self {
        Chooser {
            client,
            random,
            memory,
            begun: VecDeque::new(),
            rendered: RenderedRequests::default(),
            first: 0,
            more: MoreFields::default(),
            gzip: None,
        }
    }

    /// The client and what it remembers, if it is anything.
    pub(super) fn into_memory(self) -> Option<(u32, Memory)> {
        let has_any = self.memory.cookies != CookieJar::default() || !self.memory.hops.is_empty();
        has_any.then_some((self.client, self.memory))
    }

    /// Request `number` begins.
    pub(super) fn begin(&mut self, shared: &SharedRequests, number: u64) {
        let buffer = self.rendered.begin(number);
        let mut begun = if let Some(hop) = self.memory.hops.pop_front() {
            *buffer = hop.bytes;
            let is_head = buffer.starts_with(b"HEAD ");
            let (fields_end, redirects) = (hop.fields_end, hop.redirects);
            BegunRequest { request: None, is_made: true, is_head, fields_end, redirects }
        } else {
            let index = shared.choose(&mut self.random);
            let request = &shared.requests[index];
            let mut draw = shared.variables.draw(&mut self.random);
            let fields_end = request.render(&mut draw, buffer);
            BegunRequest {
                request: Some(index),
                is_made: !request.is_fixed(),
                is_head: request.is_head(),
                fields_end,
                redirects: 0,
            }
        };
        if shared.keeps_cookies && self.memory.cookies != CookieJar::default() {
            let sent = match begun.request {
                Some(index) if !begun.is_made => shared.requests[index].as_fixed(),
                _ => buffer,
            };
            let mut made = sent[..begun.fields_end].to_vec();
            self.memory.cookies.append_field(target_of(sent), &mut made);
            let rest = &sent[begun.fields_end..];
            let fields_end = made.len();
            made.extend_from_slice(rest);
            *buffer = made;
            (begun.is_made, begun.fields_end) = (true, fields_end);
        }
        self.begun.push_back(begun);
    }

    /// The bytes of request `number`, if it was begun.
    pub(super) fn request<'a>(&'a self, shared: &'a SharedRequests, number: u64) -> Option<&'a [u8]> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.bytes_of(shared, number, self.begun.get(at)?)
    }

    fn bytes_of<'a>(
        &'a self,
        shared: &'a SharedRequests,
        number: u64,
        begun: &BegunRequest,
    ) -> Option<&'a [u8]> {
        match begun.request {
            Some(index) if !begun.is_made => Some(shared.requests[index].as_fixed()),
            _ => self.rendered.get(number),
        }
    }

    /// Where the fields of the reply go that only some loads look at.
    pub(super) fn more(&mut self) -> &mut MoreFields {
        &mut self.more
    }

    /// Whether the reply that comes is to HEAD.
    pub(super) fn is_head(&self) -> bool {
        self.begun.front().is_some_and(|begun| begun.is_head)
    }

    /// The number in the load of the request whose reply is expected.
    pub(super) fn answering(&self) -> Option<usize> {
        self.begun.front().and_then(|begun| begun.request)
    }

    /// The head of the reply is whole.
    pub(super) fn begin_reply(&mut self, shared: &SharedRequests) {
        self.gzip = (shared.decodes && self.more.is_gzip && !self.is_head()).then(GzipBody::new);
        if shared.keeps_cookies && !self.more.cookies.is_empty() {
            let target = self.request(shared, self.first).map_or("/", target_of).to_owned();
            let now = OffsetDateTime::now_utc();
            for field in &self.more.cookies {
                let is_set = self.memory.cookies.set(field, &target, now);
                shared.counts.cookies_set.fetch_add(u64::from(is_set), Relaxed);
            }
        }
    }

    /// The decoder of the body that comes.
    pub(super) fn gzip(&mut self) -> Option<&mut GzipBody> {
        self.gzip.as_mut()
    }

    /// The decoder of the body that came, if it had a byte.
    pub(super) fn take_gzip(&mut self) -> Option<GzipBody> {
        self.gzip.take().filter(GzipBody::has_begun)
    }

    /// The reply is whole.
    pub(super) fn end_reply(&mut self, shared: &SharedRequests, status: u16) {
        if shared.redirects_max > 0 && is_redirect(status) {
            self.follow(shared, status);
        }
        self.begun.pop_front();
        self.rendered.sent(self.first);
        self.first += 1;
    }

    fn follow(&mut self, shared: &SharedRequests, status: u16) {
        let (Some(location), Some(begun)) = (&self.more.location, self.begun.front()) else { return };
        let Some(sent) = self.bytes_of(shared, self.first, begun) else { return };
        let named = host_of(&sent[..begun.fields_end]);
        let hosts: Vec<&str> = [shared.host.as_str()].into_iter().chain(named).collect();
        let counts = &shared.counts;
        match resolve(location, &hosts, target_of(sent)) {
            Redirect::Elsewhere => counts.redirects_elsewhere.fetch_add(1, Relaxed),
            Redirect::Here(_)
                if begun.redirects >= shared.redirects_max || self.memory.hops.len() >= HOPS_MAX =>
            {
                counts.redirects_given_up.fetch_add(1, Relaxed)
            }
            Redirect::Here(target) => {
                let (bytes, fields_end) = request_after(sent, begun.fields_end, status, &target);
                self.memory.hops.push_back(Hop { bytes, fields_end, redirects: begun.redirects + 1 });
                counts.redirects_followed.fetch_add(1, Relaxed)
            }
        };
    }
}

/// The target of a request.
fn target_of(request: &[u8]) -> &str {
    let target = request.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    std::str::from_utf8(target).unwrap_or("/")
}

/// The value of the field Host.
fn host_of(head: &[u8]) -> Option<&str> {
    let fields = head.split(|&byte| byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..at], &line[at + 1..]))
    });
    let mut hosts = fields.filter(|(name, _)| name.eq_ignore_ascii_case(b"host"));
    let (_, value) = hosts.next()?;
    std::str::from_utf8(value).ok().map(str::trim)
}
