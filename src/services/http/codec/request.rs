//! From bytes to a request: where its head ends, what it asks for, how its body is framed (RFC 9112).
//!
//! Wherever the end of a message could be seen differently by a proxy before us, the request is refused and the
//! connection closed: a bare CR or LF, folded fields, spaces before colons, two lengths, unknown transfer codings.

use std::net::Ipv6Addr;

use httparse::Header;

use super::super::bounds::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, HEADERS_USUAL, LINE_BYTES_MAX};
use super::status::Status;

/// How far the search for the end of a head got: each byte is looked at once, however it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    line_start: u16,
    at: u16,
}

/// Bytes that do not begin a request, refused before the end of a head was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) status: Status,
    /// How many bytes decide it: always the same ones, so that the answer and its record do not depend on what arrived behind
    /// them in the same read.
    pub(crate) bytes: usize,
}

impl Scan {
    /// Looks for the end of the head that `bytes` begin with: its length with the empty line, or `None` if more is
    /// needed. One empty line before the request line is passed over (RFC 9112, section 2.2).
    pub(crate) fn head_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        loop {
            let start = usize::from(self.line_start);
            let limit = (start + LINE_BYTES_MAX).min(HEAD_BYTES_MAX);
            let seen = &bytes[usize::from(self.at)..bytes.len().min(limit)];
            let Some(found) = memchr::memchr(b'\n', seen) else {
                self.at = bytes.len().min(limit) as u16;
                if bytes.len() < limit {
                    return Ok(None);
                }
                let status = if start <= 2 { Status::UriTooLong } else { Status::HeaderFieldsTooLarge };
                return Err(Malformed { status, bytes: limit });
            };
            let newline = usize::from(self.at) + found;
            let malformed = Malformed { status: Status::BadRequest, bytes: newline + 1 };
            if newline == start || bytes[newline - 1] != b'\r' {
                return Err(malformed);
            }
            self.line_start = newline as u16 + 1;
            self.at = self.line_start;
            if newline - start == 1 && start > 0 {
                return if start == 2 { Err(malformed) } else { Ok(Some(newline + 1)) };
            }
        }
    }
}

/// Whether `bytes` are at most the beginning of the empty line that may come before a request.
pub(crate) fn is_between_requests(bytes: &[u8]) -> bool {
    matches!(bytes, b"" | b"\r" | b"\r\n")
}

/// The methods that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Options,
    /// Known, and not for files: 405.
    Other,
    /// Unknown: 501.
    Unknown,
}

/// The versions that are told apart; any later 1.x is answered as 1.1 (RFC 9110, section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`, or none.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
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

/// One request's head.
#[derive(Debug)]
pub(crate) struct Request<'a, 'h> {
    pub(crate) method: Method,
    pub(crate) target: &'a [u8],
    pub(crate) version: Version,
    pub(crate) framing: Framing,
    /// Whether the client wants to ask for more on this connection.
    pub(crate) persistent: bool,
    /// `Expect: 100-continue` (RFC 9110, section 10.1.1).
    pub(crate) expects_continue: bool,
    /// The line `method target version`.
    pub(crate) line: &'a [u8],
    headers: &'h [Header<'a>],
    first: [Option<&'a [u8]>; FIELDS],
    repeated: u16,
}

impl<'a> Request<'a, '_> {
    /// The value of a field that a request has once; `None` if it is absent or repeated.
    pub(crate) fn value(&self, field: Field) -> Option<&'a [u8]> {
        if self.repeated & (1 << field as u16) == 0 { self.first[field as usize] } else { None }
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.first[field as usize].is_some()
    }

    /// Whether anything but the whole file, whatever the client has of it, could be asked for.
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

/// Parses `head` (with its empty line) and hands the request, or the status that refuses it, to `then`.
pub(crate) fn parsed<R>(head: &[u8], then: impl FnOnce(Result<Request<'_, '_>, Status>) -> R) -> R {
    let mut few = [httparse::EMPTY_HEADER; HEADERS_USUAL];
    match parse(head, &mut few) {
        Err(Status::HeaderFieldsTooLarge) => {
            let mut many = [httparse::EMPTY_HEADER; HEADERS_MAX];
            then(parse(head, &mut many))
        }
        result => then(result),
    }
}

/// The request line of `head`, whatever it is worth, for the access log.
pub(crate) fn line_of(head: &[u8]) -> &[u8] {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end]
}

fn parse<'a, 'h>(head: &'a [u8], headers: &'h mut [Header<'a>]) -> Result<Request<'a, 'h>, Status> {
    let line = line_of(head);
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let fields = head.get(line.len()..).and_then(|rest| rest.strip_prefix(b"\r\n"));
    let fields = fields.ok_or(Status::BadRequest)?;
    let (method, target, version) = parse_line(line)?;
    let headers: &'h [Header<'a>] = match httparse::parse_headers(fields, headers) {
        Ok(httparse::Status::Complete((_, headers))) => headers,
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeaderFieldsTooLarge),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Status::BadRequest),
    };
    let mut request = Request {
        method,
        target,
        version,
        framing: Framing::Length(0),
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

/// `method SP request-target SP HTTP-version` (RFC 9112, section 3), with single spaces. The target may have printable
/// characters and bytes above 0x7f that RFC 3986 has only as escapes: `curl` and scripts send a name as it was typed, and there
/// is one way to read it.
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
    let method = match &line[..method_end] {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"OPTIONS" => Method::Options,
        b"POST" | b"PUT" | b"DELETE" | b"PATCH" | b"TRACE" | b"CONNECT" => Method::Other,
        _ => Method::Unknown,
    };
    Ok((method, target, version))
}

/// A character of a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Exactly one valid Host in HTTP/1.1 (RFC 9112, section 3.2), at most one before.
fn check_host(request: &Request<'_, '_>) -> Result<(), Status> {
    match request.value(Field::Host) {
        Some(host) if is_host(host) => Ok(()),
        None if request.version == Version::Http10 && !request.has(Field::Host) => Ok(()),
        _ => Err(Status::BadRequest),
    }
}

/// `uri-host [ ":" port ]` (RFC 3986, section 3.2); it may be empty. An IPv6 address may have a zone, although a client should
/// not send it (RFC 6874, section 4): many do, and other servers accept it.
pub(crate) fn is_host(authority: &[u8]) -> bool {
    let is_port = |port: &[u8]| match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    };
    if let Some(literal) = authority.strip_prefix(b"[") {
        let Some(end) = literal.iter().position(|&byte| byte == b']') else { return false };
        return is_ip_literal(&literal[..end]) && is_port(&literal[end + 1..]);
    }
    let end = authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len());
    let (name, port) = authority.split_at(end);
    is_name(name) && is_port(port)
}

/// What is between the brackets: `IPv6address`, the same with a zone behind `%` or `%25` (RFC 6874, section 2), or `IPvFuture`
/// (RFC 3986, section 3.2.2).
fn is_ip_literal(literal: &[u8]) -> bool {
    let is_unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    if let [b'v' | b'V', future @ ..] = literal {
        let Some(dot) = future.iter().position(|&byte| byte == b'.') else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|byte| is_unreserved(byte) || b"!$&'()*+,;=:".contains(byte));
    }
    let percent = literal.iter().position(|&byte| byte == b'%');
    let (address, zone) = literal.split_at(percent.unwrap_or(literal.len()));
    let is_zone =
        |zone: &[u8]| !zone.is_empty() && zone.iter().all(|byte| is_unreserved(byte) || *byte == b'%');
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
        && zone.strip_prefix(b"%").is_none_or(is_zone)
}

/// `reg-name`: an escape is a percent sign and two hexadecimal digits.
fn is_name(name: &[u8]) -> bool {
    let mut digits = 0;
    for &byte in name {
        match byte {
            _ if digits > 0 && byte.is_ascii_hexdigit() => digits -= 1,
            _ if digits > 0 => return false,
            b'%' => digits = 2,
            _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) => {}
            _ => return false,
        }
    }
    digits == 0
}

/// RFC 9112, section 6.
fn framing(request: &Request<'_, '_>) -> Result<Framing, Status> {
    if request.has(Field::TransferEncoding) {
        if request.has(Field::ContentLength) || request.version == Version::Http10 {
            return Err(Status::BadRequest);
        }
        return match request.value(Field::TransferEncoding) {
            Some(coding) if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            _ => Err(refusal_of_codings(request.values(Field::TransferEncoding))),
        };
    }
    if !request.has(Field::ContentLength) {
        return Ok(Framing::Length(0));
    }
    let Some(digits) = request.value(Field::ContentLength) else { return Err(Status::BadRequest) };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Status::BadRequest);
    }
    let length =
        digits.iter().fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    if length > BODY_BYTES_MAX { Err(Status::ContentTooLarge) } else { Ok(Framing::Length(length)) }
}

/// Why transfer codings other than `chunked` alone are refused. Where that comes last, and once, the others are just not known
/// here (501, RFC 9112, section 6.1); else the body has no end that all would agree on (400, section 6.3).
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
fn persistent(request: &Request<'_, '_>) -> bool {
    let says = |option: &[u8]| {
        let mut options =
            request.values(Field::Connection).flat_map(|value| value.split(|&byte| byte == b','));
        options.any(|said| said.trim_ascii().eq_ignore_ascii_case(option))
    };
    !says(b"close") && (request.version == Version::Http11 || says(b"keep-alive"))
}

/// RFC 9110, section 10.1.1. Empty elements of a list do not count (section 5.6.1.2).
fn expects_continue(request: &Request<'_, '_>) -> Result<bool, Status> {
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
