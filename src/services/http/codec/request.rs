//! From bytes to a request: where its head ends, what it asks for, how its body is framed (RFC 9112).
//!
//! Wherever the end of a message could be seen differently by a proxy before us, the request is refused and
//! the connection closed: a bare CR or LF, folded fields, spaces before colons, two lengths, unknown transfer
//! codings.

use httparse::Header;

use super::super::bounds::{HEADERS_MAX, HEADERS_USUAL, LINE_BYTES_MAX};
use super::status::Status;
use super::syntax::{is_host, is_token};
use super::target::{self, RequestTarget};

/// The progress of the search for the end of a head: each byte is checked once, however it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    line_start: u32,
    at: u32,
}

/// Bytes that do not begin a request, refused before the end of a head was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) status: Status,
    /// How many bytes decide that it is malformed: always the same, so that the answer and its report do not
    /// depend on what arrived after them in the same read.
    pub(crate) bytes: usize,
}

impl Scan {
    /// Looks for the end of the head that `bytes` begin with: its length with the empty line, or `None` if
    /// more is needed. One empty line before the request line is skipped (RFC 9112, section 2.2).
    pub(crate) fn head_end(
        &mut self,
        bytes: &[u8],
        head_bytes_max: usize,
    ) -> Result<Option<usize>, Malformed> {
        loop {
            let start = self.line_start as usize;
            let is_request_line = start <= 2;
            let limit = if is_request_line { start + LINE_BYTES_MAX } else { head_bytes_max };
            let limit = limit.min(head_bytes_max);
            let seen = &bytes[self.at as usize..bytes.len().min(limit)];
            let Some(found) = memchr::memchr(b'\n', seen) else {
                self.at = bytes.len().min(limit) as u32;
                if bytes.len() < limit {
                    return Ok(None);
                }
                let status = if is_request_line { Status::UriTooLong } else { Status::HeaderFieldsTooLarge };
                return Err(Malformed { status, bytes: limit });
            };
            let newline = self.at as usize + found;
            let malformed = Malformed { status: Status::BadRequest, bytes: newline + 1 };
            if newline == start || bytes[newline - 1] != b'\r' {
                return Err(malformed);
            }
            self.line_start = newline as u32 + 1;
            self.at = self.line_start;
            if newline - start == 1 && start > 0 {
                return if start == 2 { Err(malformed) } else { Ok(Some(newline + 1)) };
            }
        }
    }
}

/// Whether no request begins in `bytes`: there is at most the empty line that may come before one, or what
/// cannot be the first byte of a method (RFC 9112, section 3.1), even if the rest of the line decides that.
pub(crate) fn is_between_requests(bytes: &[u8]) -> bool {
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    line.first().is_none_or(|&first| !is_token(first))
}

/// The method of a request (RFC 9110, section 9; RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: answered as `GET`, and the server leaves out the body.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH`
    Patch,
    /// Any other; its name is in the request line.
    Other,
}

impl Method {
    fn named(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }
}

/// The version of a request; any later 1.x is answered as 1.1 (RFC 9110, section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestFraming {
    /// `Content-Length`, or none.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl RequestFraming {
    /// Whether it announces more than this many bytes.
    pub(crate) fn is_longer_than(self, bytes: u64) -> bool {
        matches!(self, RequestFraming::Length(length) if length > bytes)
    }
}

/// The header fields that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    AcceptEncoding,
    Connection,
    ContentLength,
    Expect,
    Host,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    Range,
    Referer,
    TransferEncoding,
    UserAgent,
}

const FIELDS: usize = 14;

impl Field {
    fn named(name: &str) -> Option<Field> {
        let (field, canonical) = match name.len() {
            4 => (Field::Host, "host"),
            5 => (Field::Range, "range"),
            6 => (Field::Expect, "expect"),
            7 => (Field::Referer, "referer"),
            8 if name.as_bytes()[3].eq_ignore_ascii_case(&b'r') => (Field::IfRange, "if-range"),
            8 => (Field::IfMatch, "if-match"),
            10 if name.as_bytes()[0].eq_ignore_ascii_case(&b'c') => (Field::Connection, "connection"),
            10 => (Field::UserAgent, "user-agent"),
            13 => (Field::IfNoneMatch, "if-none-match"),
            14 => (Field::ContentLength, "content-length"),
            15 => (Field::AcceptEncoding, "accept-encoding"),
            17 if name.as_bytes()[0].eq_ignore_ascii_case(&b't') => {
                (Field::TransferEncoding, "transfer-encoding")
            }
            17 => (Field::IfModifiedSince, "if-modified-since"),
            19 => (Field::IfUnmodifiedSince, "if-unmodified-since"),
            _ => return None,
        };
        name.eq_ignore_ascii_case(canonical).then_some(field)
    }
}

/// The head of a request, parsed.
#[derive(Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: Method,
    /// The request target as it was sent.
    pub(crate) target: &'a [u8],
    /// The same, parsed; an error is what the request is answered with.
    pub(crate) resource: Result<RequestTarget<'a>, Status>,
    pub(crate) version: Version,
    pub(crate) framing: RequestFraming,
    /// Whether the client may send another request on this connection.
    pub(crate) persistent: bool,
    /// `Expect: 100-continue` (RFC 9110, section 10.1.1).
    pub(crate) expects_continue: bool,
    /// The line `method target version`.
    pub(crate) line: &'a [u8],
    headers: &'a [Header<'a>],
    first: [Option<&'a [u8]>; FIELDS],
    repeated: u16,
}

impl<'a> RequestHead<'a> {
    /// The value of a field that a request has once; `None` if it is absent or repeated.
    pub(crate) fn value(&self, field: Field) -> Option<&'a [u8]> {
        if self.repeated & (1 << field as u16) == 0 { self.first[field as usize] } else { None }
    }

    /// The values of the fields with this name, in the order in which they were sent.
    pub(crate) fn values_named(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.first[field as usize].is_some()
    }

    /// Whether the request may ask for something other than the whole file: it has a range or a condition.
    pub(crate) fn is_selective(&self) -> bool {
        use Field::{IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince, Range};
        [IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince, Range].iter().any(|field| self.has(*field))
    }

    /// All values of a field that is a list (RFC 9110, section 5.3).
    pub(crate) fn values(&self, field: Field) -> impl Iterator<Item = &'a [u8]> {
        let headers = if self.has(field) { self.headers } else { &[] };
        headers
            .iter()
            .filter(move |header| Field::named(header.name) == Some(field))
            .map(|header| header.value)
    }
}

/// Parses `head` (with its empty line) and calls `then` with it, or with the status that refuses it.
pub(crate) fn parsed<R>(head: &[u8], then: impl FnOnce(Result<&RequestHead<'_>, Status>) -> R) -> R {
    let mut few = [httparse::EMPTY_HEADER; HEADERS_USUAL];
    match parse(head, &mut few) {
        Err(Status::HeaderFieldsTooLarge) => {
            let mut many = [httparse::EMPTY_HEADER; HEADERS_MAX];
            then(parse(head, &mut many).as_ref().map_err(|status| *status))
        }
        Err(status) => then(Err(status)),
        Ok(request) => then(Ok(&request)),
    }
}

/// The request line of `head`, whatever it is worth.
pub(crate) fn line_of(head: &[u8]) -> &[u8] {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end]
}

fn parse<'h, 'a: 'h>(head: &'a [u8], headers: &'h mut [Header<'a>]) -> Result<RequestHead<'h>, Status> {
    let line = line_of(head);
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let fields = head.get(line.len()..).and_then(|rest| rest.strip_prefix(b"\r\n"));
    let fields = fields.ok_or(Status::BadRequest)?;
    let (method, target, version) = parse_line(line)?;
    let headers: &'h [Header<'h>] = match httparse::parse_headers(fields, headers) {
        Ok(httparse::Status::Complete((_, headers))) => headers,
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeaderFieldsTooLarge),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Status::BadRequest),
    };
    let resource =
        if method == Method::Connect { Ok(RequestTarget::Authority) } else { target::parse(target) };
    let mut request = RequestHead {
        method,
        target,
        resource,
        version,
        framing: RequestFraming::Length(0),
        persistent: version == Version::Http11,
        expects_continue: false,
        line,
        headers,
        first: [None; FIELDS],
        repeated: 0,
    };
    for header in headers {
        let Some(field) = Field::named(header.name) else { continue };
        let first = &mut request.first[field as usize];
        if first.is_some() {
            request.repeated |= 1 << field as u16;
        } else {
            *first = Some(header.value);
        }
    }
    check_host(&request)?;
    request.framing = framing(&request)?;
    if request.has(Field::Connection) {
        request.persistent = persistent(&request);
    }
    request.expects_continue = expects_continue(&request)?;
    Ok(request)
}

/// `method SP request-target SP HTTP-version` (RFC 9112, section 3), with single spaces. The target may have
/// printable characters and bytes above 0x7f that RFC 3986 allows only as escapes: `curl` and scripts send
/// names as typed, and there is only one way to read them.
fn parse_line(line: &[u8]) -> Result<(Method, &[u8], Version), Status> {
    let method_end = line.iter().position(|&byte| !is_token(byte)).ok_or(Status::BadRequest)?;
    let version_start = line.len().saturating_sub(b"HTTP/1.1".len());
    if method_end == 0 || line[method_end] != b' ' || method_end + 2 >= version_start {
        return Err(Status::BadRequest);
    }
    let target = &line[method_end + 1..version_start - 1];
    if line[version_start - 1] != b' ' || target.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err(Status::BadRequest);
    }
    let version = match &line[version_start..] {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            if *major != b'1' {
                return Err(Status::VersionNotSupported);
            }
            Version::Http11
        }
        _ => return Err(Status::BadRequest),
    };
    Ok((Method::named(&line[..method_end]), target, version))
}

/// Exactly one valid Host in HTTP/1.1 (RFC 9112, section 3.2), at most one in HTTP/1.0.
fn check_host(request: &RequestHead<'_>) -> Result<(), Status> {
    match request.value(Field::Host) {
        Some(host) if is_host(host) => Ok(()),
        None if request.version == Version::Http10 && !request.has(Field::Host) => Ok(()),
        _ => Err(Status::BadRequest),
    }
}

/// RFC 9112, section 6.
fn framing(request: &RequestHead<'_>) -> Result<RequestFraming, Status> {
    if request.has(Field::TransferEncoding) {
        if request.has(Field::ContentLength) || request.version == Version::Http10 {
            return Err(Status::BadRequest);
        }
        return match request.value(Field::TransferEncoding) {
            Some(coding) if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => {
                Ok(RequestFraming::Chunked)
            }
            _ => Err(refusal_of_codings(request.values(Field::TransferEncoding))),
        };
    }
    if !request.has(Field::ContentLength) {
        return Ok(RequestFraming::Length(0));
    }
    let Some(digits) = request.value(Field::ContentLength) else { return Err(Status::BadRequest) };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Status::BadRequest);
    }
    let length =
        digits.iter().fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Ok(RequestFraming::Length(length))
}

/// The status that refuses transfer codings other than `chunked` alone. If `chunked` comes last and once, the
/// other codings are not implemented (501, RFC 9112, section 6.1); otherwise the end of the body is ambiguous
/// (400, section 6.3).
fn refusal_of_codings<'a>(values: impl Iterator<Item = &'a [u8]>) -> Status {
    let (mut chunked, mut chunked_last) = (0, false);
    for coding in values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii) {
        let name = coding.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return Status::BadRequest;
        }
        chunked += u32::from(name.eq_ignore_ascii_case(b"chunked"));
        chunked_last = coding.eq_ignore_ascii_case(b"chunked");
    }
    if chunked == 1 && chunked_last { Status::NotImplemented } else { Status::BadRequest }
}

/// RFC 9112, section 9.3.
fn persistent(request: &RequestHead<'_>) -> bool {
    let lists = |option: &[u8]| {
        let mut options =
            request.values(Field::Connection).flat_map(|value| value.split(|&byte| byte == b','));
        options.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(option))
    };
    !lists(b"close") && (request.version == Version::Http11 || lists(b"keep-alive"))
}

/// RFC 9110, section 10.1.1. Empty elements of a list do not count (section 5.6.1.2).
fn expects_continue(request: &RequestHead<'_>) -> Result<bool, Status> {
    let mut expects_continue = false;
    if request.version == Version::Http10 {
        return Ok(expects_continue);
    }
    let members = request.values(Field::Expect).flat_map(|value| value.split(|&byte| byte == b','));
    for member in members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
        if !member.eq_ignore_ascii_case(b"100-continue") {
            return Err(Status::ExpectationFailed);
        }
        expects_continue = true;
    }
    Ok(expects_continue)
}
