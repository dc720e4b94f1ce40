//! Answers: heads, errors, files whole and in ranges.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::super::codec::date::{OkPrefix, date_of};
use super::super::codec::request::{Field, Method, Request, Version};
use super::super::codec::send::{Part, Parts};
use super::super::codec::status::Status;
use super::super::codec::target::{encode_query, encode_segment};
use super::conditional::{Verdict, range_counts, verdict};
use super::config::Site;
use super::encoding;
use super::listing::Listing;
use super::range::{Wanted, wanted};
use super::resource::{Content, Resource, Variant};
use crate::session::FileRange;

/// What becomes of the connection after an answer, and how the client learns of it (RFC 9112, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// HTTP/1.1 stays open unless told otherwise.
    Implied,
    /// HTTP/1.0 stays open only if told so.
    Told,
    /// It ends, as the client asked, or as HTTP/1.0 has it: the client sends nothing more.
    Asked,
    /// It ends, because where the next request begins is in doubt, or the server stops.
    Close,
}

impl Persistence {
    pub(crate) fn of(request: &Request<'_, '_>) -> Persistence {
        match (request.persistent, request.version) {
            (false, _) => Persistence::Asked,
            (true, Version::Http10) => Persistence::Told,
            (true, Version::Http11) => Persistence::Implied,
        }
    }

    /// Its line.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Persistence::Implied => "",
            Persistence::Told => "Connection: keep-alive\r\n",
            Persistence::Asked | Persistence::Close => "Connection: close\r\n",
        }
    }
}

/// What all answers of one moment have in common.
pub(crate) struct Scene<'a> {
    pub(crate) site: &'a Site,
    pub(crate) prefix: OkPrefix,
}

/// An answer that is to be put.
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) head_bytes: usize,
    pub(crate) parts: Parts,
    pub(crate) persistence: Persistence,
}

/// What methods there are for files.
const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";

impl Scene<'_> {
    /// A head: status line, date and connection, `fields`, and what the operator has every answer say.
    fn answer(&self, status: Status, persistence: Persistence, fields: &[&str]) -> Answer {
        let date = std::str::from_utf8(date_of(&self.prefix)).expect("a date is ASCII");
        let line = status.line();
        let mut head = format!("HTTP/1.1 {line}\r\nDate: {date}\r\n{}", persistence.line());
        head.extend(fields.iter().copied().chain([self.site.fields.as_str(), "\r\n"]));
        let mut parts = Parts::default();
        let head_bytes = head.len();
        parts.push(Part::bytes(head));
        Answer { status, head_bytes, parts, persistence }
    }

    /// An answer with a page of its own that says the status.
    pub(crate) fn error(&self, status: Status, persistence: Persistence, with_body: bool) -> Answer {
        let line = status.line();
        let page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <meta name=color-scheme content=\"light dark\"><title>{line}</title><h1>{line}</h1></html>\n"
        );
        let length = format!("Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n", page.len());
        let advice = match status {
            Status::MethodNotAllowed => ALLOW,
            Status::Unavailable => "Retry-After: 1\r\n",
            _ => "",
        };
        let mut answer = self.answer(status, persistence, &[&length, advice]);
        if with_body {
            answer.parts.push(Part::bytes(page));
        }
        answer
    }

    /// What a server or a file can be asked for.
    pub(crate) fn options(&self, persistence: Persistence) -> Answer {
        self.answer(Status::NoContent, persistence, &[ALLOW])
    }

    /// To the same directory with a slash, which is what links in its pages are relative to. The reference is relative (RFC 9110,
    /// section 10.2.2): a reverse proxy may have removed the front of the path that the client asked for.
    pub(crate) fn slash(&self, persistence: Persistence, file: &[u8], query: &[u8]) -> Answer {
        let mark = if query.is_empty() { "" } else { "?" };
        let name = file.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        // Its colons are encoded, so that none ends a scheme (RFC 3986, section 4.2).
        let (name, query) = (encode_segment(name), encode_query(query));
        let location = format!("Location: {name}/{mark}{query}\r\nContent-Length: 0\r\n");
        self.answer(Status::MovedPermanently, persistence, &[&location])
    }

    /// A directory's listing, whose length is not known before.
    pub(crate) fn listing(
        &self,
        request: &Request<'_, '_>,
        persistence: Persistence,
        listing: Listing,
    ) -> Answer {
        let (persistence, coding) = match request.version {
            Version::Http11 => (persistence, "Transfer-Encoding: chunked\r\n"),
            Version::Http10 => (Persistence::Close, ""),
        };
        let fields = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-cache\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'\r\n";
        let mut answer = self.answer(Status::Ok, persistence, &[coding, fields]);
        if request.method != Method::Head {
            answer.parts.push(Part::Listing(Box::new(listing)));
        }
        answer
    }

    /// A file: its conditions, its coding, its ranges.
    pub(crate) fn file(
        &self,
        request: &Request<'_, '_>,
        persistence: Persistence,
        resource: &Resource,
    ) -> Answer {
        let variant = choose(request, resource);
        match verdict(request, &variant.validators) {
            Verdict::NotModified => {
                let fields = [variant.kept.as_str(), &self.site.cache_control];
                return self.answer(Status::NotModified, persistence, &fields);
            }
            Verdict::Failed => {
                return self.error(Status::PreconditionFailed, persistence, request.method != Method::Head);
            }
            Verdict::Proceed => {}
        }
        let wanted = match request.value(Field::Range) {
            Some(range) if request.method == Method::Get && range_counts(request, &variant.validators) => {
                wanted(range, variant.len)
            }
            _ => Wanted::Whole,
        };
        match wanted {
            Wanted::Whole => self.whole(Status::Ok, request, persistence, variant),
            Wanted::Nothing => {
                let range = format!("Content-Range: bytes */{}\r\nContent-Length: 0\r\n", variant.len);
                self.answer(Status::RangeNotSatisfiable, persistence, &[&range, &variant.kept])
            }
            Wanted::Parts(ranges) => match &ranges[..] {
                [range] => self.range(persistence, variant, range),
                ranges => self.ranges(persistence, variant, ranges),
            },
        }
    }

    /// All of a file, with 200, or as the page of an error.
    pub(crate) fn whole(
        &self,
        status: Status,
        request: &Request<'_, '_>,
        persistence: Persistence,
        variant: &Variant,
    ) -> Answer {
        let Variant { media_type, described, encoding, kept, len, .. } = variant;
        let content = format!("Content-Type: {media_type}\r\nContent-Length: {len}\r\n");
        // How long a file may be kept does not say how long it is missing.
        let cache_control = if status == Status::Ok { self.site.cache_control.as_str() } else { "" };
        let fields = [content.as_str(), described, encoding, kept, cache_control];
        let mut answer = self.answer(status, persistence, &fields);
        if request.method != Method::Head {
            answer.parts.push(variant.part(&(0..variant.len)));
        }
        answer
    }

    fn range(&self, persistence: Persistence, variant: &Variant, range: &Range<u64>) -> Answer {
        let Variant { media_type, described, encoding, kept, len, .. } = variant;
        let range_bytes = range.end - range.start;
        let fields = format!("Content-Type: {media_type}\r\nContent-Length: {range_bytes}\r\n");
        let range_line = content_range(range, *len);
        let fields = [&fields, &range_line, described.as_str(), encoding, kept, &self.site.cache_control];
        let mut answer = self.answer(Status::PartialContent, persistence, &fields);
        answer.parts.push(variant.part(range));
        answer
    }

    /// Several ranges in one answer (RFC 9110, section 14.6). What is encoded is in the parts, so they say it: a client that decodes
    /// what the answer says is encoded would decode the lines between them, too.
    fn ranges(&self, persistence: Persistence, variant: &Variant, ranges: &[Range<u64>]) -> Answer {
        let Variant { media_type, described, encoding, kept, len, validators, .. } = variant;
        let mut hasher = DefaultHasher::new();
        (&validators.etag.opaque, ranges).hash(&mut hasher);
        let boundary = format!("oneloop-{:016x}", hasher.finish());
        let heads = ranges.iter().map(|range| {
            let range_line = content_range(range, *len);
            format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\n{encoding}{range_line}\r\n")
        });
        let heads: Vec<String> = heads.collect();
        let end = format!("\r\n--{boundary}--\r\n");
        let heads_bytes = heads.iter().map(String::len).sum::<usize>() + end.len();
        let total = heads_bytes as u64 + ranges.iter().map(|range| range.end - range.start).sum::<u64>();
        let fields =
            format!("Content-Type: multipart/byteranges; boundary={boundary}\r\nContent-Length: {total}\r\n");
        let fields = [fields.as_str(), described, kept, &self.site.cache_control];
        let mut answer = self.answer(Status::PartialContent, persistence, &fields);
        for (head, range) in heads.into_iter().zip(ranges) {
            answer.parts.push(Part::bytes(head));
            answer.parts.push(variant.part(range));
        }
        answer.parts.push(Part::bytes(end));
        answer
    }
}

/// The variant that this client would rather have.
pub(crate) fn choose<'r>(request: &Request<'_, '_>, resource: &'r Resource) -> &'r Variant {
    let coding = if resource.is_encoded() && request.has(Field::AcceptEncoding) {
        encoding::choose(request.values(Field::AcceptEncoding), resource.codings())
    } else {
        None
    };
    resource.variant(coding)
}

fn content_range(range: &Range<u64>, len: u64) -> String {
    let mut line = String::with_capacity(64);
    write!(line, "Content-Range: bytes {}-{}/{len}\r\n", range.start, range.end - 1)
        .expect("memory takes all");
    line
}

impl Variant {
    /// A range of the content as a part of an answer.
    pub(crate) fn part(&self, range: &Range<u64>) -> Part {
        match &self.content {
            Content::Memory => Part::Shared(Arc::clone(&self.whole), self.in_memory(range)),
            Content::File(file, _) => {
                let len = range.end - range.start;
                Part::File(FileRange { file: Arc::clone(file), offset: range.start, len })
            }
        }
    }
}
