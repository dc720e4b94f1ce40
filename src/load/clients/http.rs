//! The client of HTTP/1.1: sends requests, and checks that each reply is whole and as it was asked for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::body_check::{BodyCheck, FirstReply, Verify};
use super::chooser::Chooser;
use super::chunked::{Chunked, StreamPiece};
use super::head::{ReplyFraming, ReplyHead, head_of};
use super::request::{HttpRequest, PreparedRequest, RequestError};
use super::requests::{HttpCounts, HttpOptions, HttpRequests, RequestOrder, SharedRequests};
use super::template::Variables;
use crate::load::report::RequestSettings;
use crate::load::{Client, ReplyStatus, Unsolicited, Workload};

/// Sends requests of HTTP. Every reply must have the framing that its head declares (RFC 9112, section 6.3).
/// A whole reply with any status is right, and is counted by its status.
#[derive(Clone, Debug)]
pub struct HttpLoad {
    shared: Arc<SharedRequests>,
}

/// One connection of [`HttpLoad`].
#[derive(Debug)]
pub struct HttpClient {
    shared: Arc<SharedRequests>,
    stage: ReplyPart,
    keep_alive: bool,
    /// The status of the reply that comes, or came last.
    status: Option<u16>,
    check: BodyCheck,
    chooser: Option<Box<Chooser>>,
}

#[derive(Debug)]
enum ReplyPart {
    /// The part of the head received so far; a head that arrives in one piece is not kept.
    Head(Vec<u8>),
    Body(ReplyFraming),
}

impl HttpLoad {
    /// GET of `target`, such as `/file?x=1`, of `host` (for the field Host); with `close` each reply ends its
    /// connection. The first reply of 2xx determines the body of all others with its status.
    pub fn new(host: &str, target: &str, close: bool) -> Self {
        let get = HttpRequest::get(host, target);
        HttpLoad::of(&if close { get.closes() } else { get })
    }

    /// Any request, again and again. The bodies of replies are compared only for GET: replies to other
    /// methods may differ.
    pub fn of(request: &HttpRequest) -> Self {
        let prepared = vec![PreparedRequest::fixed(request)];
        let settings = HttpRequest::settings([(request, 1)].into_iter());
        let options = HttpOptions::default();
        HttpLoad::made(prepared, Vec::new(), HttpRequests::default(), request, options, settings)
    }

    /// Several requests, or more than sending them.
    pub fn with(mut requests: HttpRequests, options: HttpOptions) -> Result<Self, RequestError> {
        let list = std::mem::take(&mut requests.requests);
        let (first, _) = list.first().ok_or(RequestError::None)?;
        let rows = requests.variables.as_ref();
        let prepared: Result<Vec<PreparedRequest>, RequestError> =
            list.iter().map(|(request, _)| PreparedRequest::new(request, rows)).collect();
        let mut sum = 0;
        let sums = list.iter().map(|&(_, weight)| {
            sum += u64::from(weight);
            sum
        });
        let sums = if requests.order == RequestOrder::Random { sums.collect() } else { Vec::new() };
        if sums.last() == Some(&0) {
            return Err(RequestError::None);
        }
        let settings = HttpRequest::settings(list.iter().map(|(request, weight)| (request, *weight)));
        Ok(HttpLoad::made(prepared?, sums, requests, first, options, settings))
    }

    fn made(
        prepared: Vec<PreparedRequest>,
        sums: Vec<u64>,
        asked: HttpRequests,
        first: &HttpRequest,
        options: HttpOptions,
        settings: RequestSettings,
    ) -> Self {
        let HttpOptions { decodes, redirects_max, keeps_cookies, verify } = options;
        let is_one = matches!(&prepared[..], [request] if request.is_fixed());
        let by_default = || if is_one && first.is_get() { Verify::Exact } else { Verify::Framing };
        let verify = verify.unwrap_or_else(by_default);
        let settings = RequestSettings {
            verify: verify.to_string(),
            decodes_gzip: decodes,
            redirects_max,
            keeps_cookies,
            ..settings
        };
        let shared = SharedRequests {
            shown: asked.shown.unwrap_or_else(|| first.target().to_owned()),
            host: first.host().to_owned(),
            firsts: prepared.iter().map(|_| FirstReply::new()).collect(),
            requests: prepared,
            sums,
            next: AtomicU64::new(0),
            settings,
            verify,
            decodes,
            redirects_max,
            keeps_cookies,
            variables: Variables::new(asked.variables.unwrap_or_default(), asked.seed),
            chooses: !is_one || decodes || redirects_max > 0 || keeps_cookies,
            counts: HttpCounts::default(),
            memories: Mutex::default(),
        };
        HttpLoad { shared: Arc::new(shared) }
    }
}

impl Workload for HttpLoad {
    type Client = HttpClient;

    fn name(&self) -> &'static str {
        "http"
    }

    fn resource(&self) -> Option<&str> {
        Some(&self.shared.shown)
    }

    fn request_settings(&self) -> Option<RequestSettings> {
        Some(self.shared.settings.clone())
    }

    fn request_bytes(&self) -> u64 {
        match &self.shared.requests[..] {
            [only] => only.as_fixed().len() as u64,
            _ => 0,
        }
    }

    fn open(&self, number: u32) -> HttpClient {
        let shared = Arc::clone(&self.shared);
        let chooser = shared.chooses.then(|| {
            let memory = shared.memories().remove(&number).unwrap_or_default();
            Box::new(Chooser::new(number, shared.variables.random(), memory))
        });
        HttpClient {
            shared,
            stage: ReplyPart::Head(Vec::new()),
            keep_alive: true,
            status: None,
            check: BodyCheck::default(),
            chooser,
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let SharedRequests { decodes, redirects_max, keeps_cookies, ref counts, .. } = *self.shared;
        [
            (redirects_max > 0, "redirects_followed", &counts.redirects_followed),
            (redirects_max > 0, "redirects_to_other_servers", &counts.redirects_elsewhere),
            (redirects_max > 0, "redirects_too_many", &counts.redirects_given_up),
            (keeps_cookies, "cookies_set", &counts.cookies_set),
            (decodes, "bytes_decoded", &counts.bytes_decoded),
        ]
        .into_iter()
        .filter(|(is_asked, ..)| *is_asked)
        .map(|(_, name, count)| (name, count.load(Relaxed)))
        .collect()
    }
}

impl Client for HttpClient {
    fn begin(&mut self, number: u64) {
        if let Some(chooser) = &mut self.chooser {
            chooser.begin(&self.shared, number);
        }
    }

    fn request(&self, number: u64, sent: usize) -> &[u8] {
        match &self.chooser {
            None => &self.shared.requests[0].as_fixed()[sent..],
            Some(chooser) => chooser.request(&self.shared, number).map_or(b"?", |bytes| &bytes[sent..]),
        }
    }

    fn reply(&mut self, _number: u64, bytes: &[u8], ended: bool) -> ReplyStatus {
        let mut at = 0;
        // Bounded: each pass takes a byte at least, or ends.
        loop {
            let rest = &bytes[at..];
            let taken = match &mut self.stage {
                ReplyPart::Head(kept) => {
                    let more = self.chooser.as_mut().map(|chooser| chooser.more());
                    match head_of(kept, rest, ended, more) {
                        Ok(None) => return ReplyStatus::Incomplete,
                        Ok(Some((head, taken))) => {
                            self.begin_body(head);
                            taken
                        }
                        Err(what) => return ReplyStatus::Wrong(what),
                    }
                }
                ReplyPart::Body(framing) => match framing.take(rest) {
                    StreamPiece::Framing(len) => len,
                    StreamPiece::Body(len) => match self.take_body(&rest[..len]) {
                        Ok(()) => len,
                        Err(what) => return ReplyStatus::Wrong(what),
                    },
                    StreamPiece::Malformed => return ReplyStatus::Wrong("the chunked body is malformed"),
                },
            };
            at += taken;
            let ReplyPart::Body(framing) = &self.stage else { continue };
            let is_whole = match framing {
                ReplyFraming::Length { left } => *left == 0,
                ReplyFraming::Chunked(chunked) => *chunked == Chunked::End,
                ReplyFraming::UntilEnd => ended && at == bytes.len(),
            };
            if is_whole {
                return self.done(at);
            }
            if at == bytes.len() {
                return ReplyStatus::Incomplete;
            }
        }
    }

    fn status(&self) -> Option<u16> {
        self.status
    }

    fn unasked(&mut self, bytes: &[u8]) -> Unsolicited {
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return Unsolicited::Ignored; // some servers send an empty line after a body
        }
        let is_timeout = |reply: &&[u8]| {
            let len = bytes.len().min(reply.len());
            bytes[..len] == reply[..len]
        };
        if TIMEOUT_REPLIES.iter().any(is_timeout) {
            Unsolicited::Closing
        } else {
            Unsolicited::Wrong("unsolicited bytes")
        }
    }
}

/// What begins a reply that servers may send before they close a connection on which they have waited for a
/// request for too long (RFC 9110, section 15.5.9).
const TIMEOUT_REPLIES: [&[u8]; 2] = [b"HTTP/1.1 408", b"HTTP/1.0 408"];

impl HttpClient {
    fn begin_body(&mut self, head: ReplyHead) {
        if head.status / 100 == 1 {
            // An interim reply (RFC 9110, section 15.2): the real one follows.
            self.stage = ReplyPart::Head(Vec::new());
            return;
        }
        self.status = Some(head.status);
        let is_head = match &self.chooser {
            None => self.shared.requests[0].is_head(),
            Some(chooser) => chooser.is_head(),
        };
        let framing = if is_head { ReplyFraming::Length { left: 0 } } else { head.framing };
        self.keep_alive = head.keep_alive && !matches!(framing, ReplyFraming::UntilEnd);
        self.stage = ReplyPart::Body(framing);
        let (first, verify) = (self.shared.first(self.answering()), &self.shared.verify);
        let verify = match (first, verify) {
            _ if is_head => &Verify::Framing,
            // Nothing is compared with what a redirect leads to.
            (None, Verify::Exact | Verify::Length) => &Verify::Framing,
            (_, verify) => verify,
        };
        self.check = BodyCheck::begin(verify, first, head.status);
        if let Some(chooser) = &mut self.chooser {
            chooser.begin_reply(&self.shared);
        }
    }

    /// The number in the load of the request whose reply is expected; `None` if the request follows a
    /// redirect.
    fn answering(&self) -> Option<usize> {
        self.chooser.as_ref().map_or(Some(0), |chooser| chooser.answering())
    }

    fn take_body(&mut self, piece: &[u8]) -> Result<(), &'static str> {
        let answering = self.answering();
        let (shared, check) = (&self.shared, &mut self.check);
        let first = shared.first(answering);
        let mut pass = |bytes: &[u8]| check.take(first, shared.requests.len(), bytes);
        match self.chooser.as_mut().and_then(|chooser| chooser.gzip()) {
            Some(gzip) if !piece.is_empty() => gzip.take(piece, pass),
            _ => pass(piece),
        }
    }

    fn done(&mut self, taken: usize) -> ReplyStatus {
        if let Err(what) = self.end_body() {
            return ReplyStatus::Wrong(what);
        }
        if let Some(chooser) = &mut self.chooser {
            chooser.end_reply(&self.shared, self.status.unwrap_or_default());
        }
        self.stage = ReplyPart::Head(Vec::new());
        if self.keep_alive { ReplyStatus::Complete(taken) } else { ReplyStatus::Final(taken) }
    }

    fn end_body(&mut self) -> Result<(), &'static str> {
        let answering = self.answering();
        let (shared, check) = (&self.shared, &mut self.check);
        let first = shared.first(answering);
        if let Some(mut gzip) = self.chooser.as_mut().and_then(|chooser| chooser.take_gzip()) {
            gzip.end(|bytes| check.take(first, shared.requests.len(), bytes))?;
            shared.counts.bytes_decoded.fetch_add(gzip.decoded(), Relaxed);
        }
        check.end(&shared.verify, first)
    }
}

impl Drop for HttpClient {
    fn drop(&mut self) {
        if let Some(chooser) = self.chooser.take()
            && let Some((client, memory)) = chooser.into_memory()
        {
            self.shared.memories().insert(client, memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::{HEAD_BYTES_MAX, HEADERS_MAX};
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";

    /// The verdict on a stream read in pieces of `step`, as if the server then ended.
    fn verdict(load: &HttpLoad, stream: &[u8], step: usize) -> ReplyStatus {
        let (mut client, mut before) = (load.open(0), 0);
        for piece in stream.chunks(step) {
            match client.reply(0, piece, false) {
                ReplyStatus::Incomplete => before += piece.len(),
                ReplyStatus::Complete(taken) => return ReplyStatus::Complete(before + taken),
                ReplyStatus::Final(taken) => return ReplyStatus::Final(before + taken),
                wrong @ ReplyStatus::Wrong(_) => return wrong,
            }
        }
        client.reply(0, b"", true)
    }

    #[test]
    fn a_reply_in_any_pieces_and_either_framing_is_the_same_reply() {
        let load = HttpLoad::new("h", "/", false);
        for stream in [WHOLE, CHUNKED] {
            let more = [stream, b"HTTP"].concat();
            for step in 1..more.len() {
                assert_eq!(
                    verdict(&load, &more, step),
                    ReplyStatus::Complete(stream.len()),
                    "in steps of {step}"
                );
            }
        }
    }

    #[test]
    fn the_verdict_on_a_head_does_not_depend_on_how_it_was_split() {
        let load = HttpLoad::new("h", "/", false);
        let head = |filler: usize, end: &str| format!("HTTP/1.1 204 No\r\nA: {}{end}", "x".repeat(filler));
        let fits = HEAD_BYTES_MAX - head(0, "\r\n\r\n").len();
        let table = [
            (head(fits, "\r\n\r\n"), ReplyStatus::Complete(HEAD_BYTES_MAX)),
            (head(fits + 1, "\r\n\r\n"), ReplyStatus::Wrong("the head has no end")),
            (head(5_000, "\x7f"), ReplyStatus::Wrong("the head is not an HTTP response")),
            (head(5_000, "\r\nB : c\r\n\r\n"), ReplyStatus::Wrong("the head is not an HTTP response")),
            (head(HEAD_BYTES_MAX, "\x7f"), ReplyStatus::Wrong("the head has no end")),
            (
                format!("HTTP/1.1 204 No\r\n{}", "A:\r\n".repeat(HEADERS_MAX + 2)),
                ReplyStatus::Wrong("the head is not an HTTP response"),
            ),
            ("\r\n".to_owned() + &head(1, "\r\n\r\n"), ReplyStatus::Complete(27)),
            (head(1, "\r\n folded\r\n\r\n"), ReplyStatus::Complete(34)),
            (format!("HTTP/1.1 204 No\r\n{}\r\n", "A:\r\n".repeat(200)), ReplyStatus::Complete(819)),
            (head(5_000, ""), ReplyStatus::Incomplete),
        ];
        for (stream, expected) in table {
            for step in [1, 7, 1_000, 16_384, stream.len()] {
                let seen = verdict(&load, stream.as_bytes(), step);
                assert_eq!(seen, expected, "{} bytes in steps of {step}", stream.len());
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_body_does_not_depend_on_how_it_was_split() {
        let reply = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for (body, wrong) in [
            ("hello!", "the body is longer than the first one; if the page changes, use --verify status"),
            ("hallo!", "the body is not that of the first reply; if the page changes, use --verify status"),
            ("hell", "the body is shorter than the first one; if the page changes, use --verify status"),
        ] {
            for step in [1, 2, 100] {
                let load = HttpLoad::new("h", "/", false);
                assert_eq!(verdict(&load, WHOLE, 100), ReplyStatus::Complete(WHOLE.len()));
                assert_eq!(
                    verdict(&load, reply(body).as_bytes(), step),
                    ReplyStatus::Wrong(wrong),
                    "{body} by {step}"
                );
            }
        }
    }

    #[test]
    fn a_body_up_to_the_end_is_done_when_the_end_comes() {
        let load = HttpLoad::new("h", "/", false);
        for step in [1, 7, 100] {
            assert_eq!(verdict(&load, b"HTTP/1.0 200 OK\r\n\r\nhello", step), ReplyStatus::Final(0));
        }
        let close = b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(verdict(&load, close, 100), ReplyStatus::Final(close.len()));
    }

    #[test]
    fn a_reply_that_differs_from_the_first_is_wrong() {
        let load = HttpLoad::new("h", "/", false);
        assert_eq!(verdict(&load, WHOLE, 10), ReplyStatus::Complete(WHOLE.len()));
        for different in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhallo"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!",
            b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello5",
            b"I got your message",
        ] {
            for step in [1, 13, 100] {
                let seen = verdict(&load, different, step);
                assert!(matches!(seen, ReplyStatus::Wrong(_)), "{seen:?}: {}", different.escape_ascii());
            }
        }
        assert_eq!(verdict(&load, &WHOLE[..WHOLE.len() - 1], 9), ReplyStatus::Incomplete, "cut short");
    }

    #[test]
    fn a_complete_reply_is_right_with_any_status_and_its_status_is_reported() {
        let load = HttpLoad::new("h", "/", false);
        for (stream, status) in [
            (&b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"[..], 503),
            (WHOLE, 200),
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 6\r\n\r\nbusier", 503),
            (b"HTTP/1.1 203 OK\r\nContent-Length: 5\r\n\r\nhallo", 203),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 404),
            (WHOLE, 200),
        ] {
            let mut client = load.open(0);
            assert_eq!(client.status(), None);
            assert_eq!(client.reply(0, stream, false), ReplyStatus::Complete(stream.len()));
            assert_eq!(client.status(), Some(status));
        }
    }

    #[test]
    fn unasked_bytes_are_wrong_but_for_an_empty_line_and_a_timeout() {
        let mut client = HttpLoad::new("h", "/", false).open(0);
        for (bytes, expected) in [
            (&b"\r\n"[..], Unsolicited::Ignored),
            (b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", Unsolicited::Closing),
            (b"HTTP/1.0 408 Request Time-out\r\n\r\n", Unsolicited::Closing),
            (b"HTTP/1.", Unsolicited::Closing),
            (b"HTTP/1.1 200 OK\r\n\r\n", Unsolicited::Wrong("unsolicited bytes")),
            (b"hello", Unsolicited::Wrong("unsolicited bytes")),
        ] {
            assert_eq!(client.unasked(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
