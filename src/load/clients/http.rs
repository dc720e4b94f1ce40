//! The client of HTTP/1.1: requests one target again and again, and expects the same reply each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::chunked::{Chunked, Met};
use super::request::HttpRequest;
use crate::load::{Client, ReplyStatus, Unasked, Workload};

/// Sends the same request again and again. Every reply must have the framing that its head declares (RFC
/// 9112, section 6.3). A whole reply with any status is right, and is counted by its status. The first reply
/// with a status of 2xx determines the body: each reply to GET with the same status must have the same body,
/// byte for byte.
#[derive(Clone, Debug)]
pub struct HttpLoad {
    shared: Arc<SharedRequest>,
}

#[derive(Debug)]
struct SharedRequest {
    target: String,
    request: Vec<u8>,
    /// Whether replies have no body, whatever their head declares.
    is_head: bool,
    check: BodyCheck,
    first: Mutex<First>,
}

/// The first reply of 2xx, as far as it is known: the connection that reads a byte of the body first
/// determines what that byte must be.
#[derive(Debug, Default)]
struct First {
    /// The status of the replies whose bodies are compared.
    status: Option<u16>,
    body: Vec<u8>,
    /// How long the body is, once one has ended.
    len: Option<u64>,
}

/// One connection of [`HttpLoad`].
#[derive(Debug)]
pub struct HttpClient {
    shared: Arc<SharedRequest>,
    stage: ReplyPart,
    keep_alive: bool,
    /// The status of the reply that comes, or came last.
    status: Option<u16>,
    check: BodyCheck,
    /// How much of the body came.
    received: u64,
}

/// Whether the body of a reply must be that of the first reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyCheck {
    Exact,
    /// Only its framing is checked.
    Framing,
}

#[derive(Debug)]
enum ReplyPart {
    /// What came of the head so far; nothing is kept when it comes whole.
    Head(Vec<u8>),
    Body(ReplyFraming),
}

#[derive(Debug)]
enum ReplyFraming {
    Length { left: u64 },
    Chunked(Chunked),
    UntilEnd,
}

/// The relevant part of a response head.
struct ReplyHead {
    bytes: usize,
    status: u16,
    keep_alive: bool,
    framing: ReplyFraming,
}

/// The longest head that is kept while it comes in pieces.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A head that comes in pieces is parsed with each piece up to here, and with each end of a line beyond: with
/// `HEADERS_MAX` lines that is a bounded number of times.
const HEAD_BYTES_USUAL: usize = 1 << 10;
const HEADERS_MAX: usize = 256;
/// Bodies are compared byte for byte up to here, and by their length beyond it.
const BODY_KEPT_BYTES_MAX: u64 = 64 << 20;

impl HttpLoad {
    /// GET of `target`, such as `/file?x=1`, of `host` (for the field Host); with `close` each reply ends its
    /// connection.
    pub fn new(host: &str, target: &str, close: bool) -> Self {
        let get = HttpRequest::get(host, target);
        HttpLoad::of(&if close { get.closes() } else { get })
    }

    /// Any request. The bodies of replies are compared only for GET: replies to other methods may differ.
    pub fn of(request: &HttpRequest) -> Self {
        let shared = SharedRequest {
            target: request.target().to_owned(),
            request: request.to_bytes(),
            is_head: request.is_head(),
            check: if request.is_get() { BodyCheck::Exact } else { BodyCheck::Framing },
            first: Mutex::default(),
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
        Some(&self.shared.target)
    }

    fn request_bytes(&self) -> u64 {
        self.shared.request.len() as u64
    }

    fn open(&self, _number: u32) -> HttpClient {
        let shared = Arc::clone(&self.shared);
        HttpClient {
            shared,
            stage: ReplyPart::Head(Vec::new()),
            keep_alive: true,
            status: None,
            check: BodyCheck::Framing,
            received: 0,
        }
    }
}

impl Client for HttpClient {
    fn request(&self, _number: u64, sent: usize) -> &[u8] {
        &self.shared.request[sent..]
    }

    fn reply(&mut self, _number: u64, bytes: &[u8], ended: bool) -> ReplyStatus {
        let mut at = 0;
        // Bounded: each pass takes a byte at least, or ends.
        loop {
            let rest = &bytes[at..];
            let taken = match &mut self.stage {
                ReplyPart::Head(kept) => match head_of(kept, rest, ended) {
                    Ok(None) => return ReplyStatus::Incomplete,
                    Ok(Some((head, taken))) => {
                        self.begin_body(head);
                        taken
                    }
                    Err(what) => return ReplyStatus::Wrong(what),
                },
                ReplyPart::Body(framing) => match framing.take(rest) {
                    Met::Framing(len) => len,
                    Met::Body(len) => {
                        if self.check == BodyCheck::Exact
                            && let Err(what) = self.shared.first().has(self.received, &rest[..len])
                        {
                            return ReplyStatus::Wrong(what);
                        }
                        self.received += len as u64;
                        len
                    }
                    Met::Nonsense => return ReplyStatus::Wrong("the chunked body is malformed"),
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

    fn unasked(&mut self, bytes: &[u8]) -> Unasked {
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return Unasked::Ignored; // some servers send an empty line after a body
        }
        let is_timeout = |reply: &&[u8]| {
            let len = bytes.len().min(reply.len());
            bytes[..len] == reply[..len]
        };
        if TIMEOUT_REPLIES.iter().any(is_timeout) {
            Unasked::Closing
        } else {
            Unasked::Wrong("unsolicited bytes")
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
        self.check = match self.shared.check {
            BodyCheck::Exact => self.shared.first().check_of(head.status),
            BodyCheck::Framing => BodyCheck::Framing,
        };
        let framing = if self.shared.is_head { ReplyFraming::Length { left: 0 } } else { head.framing };
        self.keep_alive = head.keep_alive && !matches!(framing, ReplyFraming::UntilEnd);
        self.stage = ReplyPart::Body(framing);
    }

    fn done(&mut self, taken: usize) -> ReplyStatus {
        if self.check == BodyCheck::Exact
            && let Err(what) = self.shared.first().ends_at(self.received)
        {
            return ReplyStatus::Wrong(what);
        }
        self.received = 0;
        self.stage = ReplyPart::Head(Vec::new());
        if self.keep_alive { ReplyStatus::Complete(taken) } else { ReplyStatus::Final(taken) }
    }
}

impl SharedRequest {
    fn first(&self) -> MutexGuard<'_, First> {
        // What it holds is whole after every step, so a panic elsewhere has not spoilt it.
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl First {
    fn check_of(&mut self, status: u16) -> BodyCheck {
        if status / 100 == 2 && *self.status.get_or_insert(status) == status {
            BodyCheck::Exact
        } else {
            BodyCheck::Framing
        }
    }

    fn has(&mut self, at: u64, bytes: &[u8]) -> Result<(), &'static str> {
        let kept = self.body.len() as u64;
        // Bytes within the kept body are compared; bytes after it are new, unless the end of the body is
        // known.
        let compared = (kept.saturating_sub(at) as usize).min(bytes.len());
        let start = at.min(kept) as usize;
        if self.body[start..start + compared] != bytes[..compared] {
            return Err("the body is not that of the first reply");
        }
        // Behind the comparison, so that the verdict does not depend on how the body was split.
        if self.len.is_some_and(|len| at + bytes.len() as u64 > len) {
            return Err("the body is longer than the first one");
        }
        let room = BODY_KEPT_BYTES_MAX.saturating_sub(kept) as usize;
        if at <= kept && compared < bytes.len() {
            let new = &bytes[compared..];
            self.body.extend_from_slice(&new[..new.len().min(room)]);
        }
        Ok(())
    }

    fn ends_at(&mut self, len: u64) -> Result<(), &'static str> {
        match self.len {
            Some(first) if first != len => Err("the body is shorter than the first one"),
            None if (self.body.len() as u64) > len => Err("the body is shorter than that of another reply"),
            _ => {
                self.len = Some(len);
                Ok(())
            }
        }
    }
}

impl ReplyFraming {
    /// Takes a piece of a body from the front of `bytes`, which may be empty.
    fn take(&mut self, bytes: &[u8]) -> Met {
        match self {
            ReplyFraming::Length { left } => {
                let len = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= len as u64;
                Met::Body(len)
            }
            ReplyFraming::Chunked(chunked) if !bytes.is_empty() => chunked.take(bytes),
            ReplyFraming::Chunked(_) => Met::Framing(0),
            ReplyFraming::UntilEnd => Met::Body(bytes.len()),
        }
    }
}

/// The head at the front of `kept` and `bytes`, and how much of `bytes` it took; `None` if it is not whole:
/// then all of `bytes` is kept. The result is the same however the head was split; only what is malformed may
/// be noticed later.
fn head_of(
    kept: &mut Vec<u8>,
    bytes: &[u8],
    ended: bool,
) -> Result<Option<(ReplyHead, usize)>, &'static str> {
    let before = kept.len();
    let new = &bytes[..bytes.len().min(HEAD_BYTES_MAX - before)];
    let head = if before == 0 {
        parse(new)?
    } else {
        kept.extend_from_slice(new);
        // A parse begins at the front each time, so beyond a short head it is not worth one for each piece.
        let is_due = kept.len() <= HEAD_BYTES_USUAL || new.contains(&b'\n') || kept.len() == HEAD_BYTES_MAX;
        if is_due || ended { parse(kept)? } else { None }
    };
    if let Some(head) = head {
        let taken = head.bytes - before;
        return Ok(Some((head, taken)));
    }
    if before == 0 {
        kept.extend_from_slice(new);
    }
    if kept.len() == HEAD_BYTES_MAX { Err("the head has no end") } else { Ok(None) }
}

fn parse(bytes: &[u8]) -> Result<Option<ReplyHead>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    // An empty line before the head is passed over: some servers send one after a body. So are folded fields,
    // which a user agent must understand (RFC 9112, sections 2.2 and 5.2).
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let len = match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("the head is no HTTP response"),
    };
    let status = response.code.unwrap_or(0);
    let mut keep_alive = response.version == Some(1);
    let (mut length, mut chunked, mut coded) = (None, false, false);
    for header in response.headers.iter() {
        let has_token = |token: &str| {
            let tokens = header.value.split(|&byte| byte == b',');
            tokens.into_iter().any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        };
        if header.name.eq_ignore_ascii_case("connection") {
            keep_alive = (keep_alive || has_token("keep-alive")) && !has_token("close");
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            (coded, chunked) = (true, has_token("chunked"));
        } else if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).ok().filter(|text| !text.starts_with('+'));
            let value = text.and_then(|text| text.trim().parse::<u64>().ok());
            if value.is_none() || length.is_some_and(|length| Some(length) != value) {
                return Err("Content-Length is malformed");
            }
            length = value;
        }
    }
    let framing = match length {
        _ if matches!(status, 100..=199 | 204 | 304) => ReplyFraming::Length { left: 0 },
        _ if chunked => ReplyFraming::Chunked(Chunked::start()),
        Some(left) if !coded => ReplyFraming::Length { left },
        _ => ReplyFraming::UntilEnd,
    };
    Ok(Some(ReplyHead { bytes: len, status, keep_alive, framing }))
}

#[cfg(test)]
mod tests {
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
            (head(5_000, "\x7f"), ReplyStatus::Wrong("the head is no HTTP response")),
            (head(5_000, "\r\nB : c\r\n\r\n"), ReplyStatus::Wrong("the head is no HTTP response")),
            (head(HEAD_BYTES_MAX, "\x7f"), ReplyStatus::Wrong("the head has no end")),
            (
                format!("HTTP/1.1 204 No\r\n{}", "A:\r\n".repeat(HEADERS_MAX + 2)),
                ReplyStatus::Wrong("the head is no HTTP response"),
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
            ("hello!", "the body is longer than the first one"),
            ("hallo!", "the body is not that of the first reply"),
            ("hell", "the body is shorter than the first one"),
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
    fn a_whole_reply_with_any_status_is_right_and_its_status_is_reported() {
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
            (&b"\r\n"[..], Unasked::Ignored),
            (b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", Unasked::Closing),
            (b"HTTP/1.0 408 Request Time-out\r\n\r\n", Unasked::Closing),
            (b"HTTP/1.", Unasked::Closing),
            (b"HTTP/1.1 200 OK\r\n\r\n", Unasked::Wrong("unsolicited bytes")),
            (b"hello", Unasked::Wrong("unsolicited bytes")),
        ] {
            assert_eq!(client.unasked(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
