//! Heads of HTTP replies, read in pieces of any size.

use super::chunked::{Chunked, StreamPiece};

/// The relevant part of a response head.
pub(super) struct ReplyHead {
    pub(super) bytes: usize,
    pub(super) status: u16,
    pub(super) keep_alive: bool,
    pub(super) framing: ReplyFraming,
}

/// How the end of a body is found.
#[derive(Debug)]
pub(super) enum ReplyFraming {
    Length { left: u64 },
    Chunked(Chunked),
    UntilEnd,
}

/// Fields of a response head that only some loads look at.
#[derive(Debug, Default)]
pub(super) struct MoreFields {
    /// Whether the body has the content coding gzip.
    pub(super) is_gzip: bool,
    /// The target of a redirect.
    pub(super) location: Option<String>,
    /// The values of Set-Cookie.
    pub(super) cookies: Vec<String>,
}

/// The longest head that is kept while it comes in pieces.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
/// A head that comes in pieces is parsed with each piece up to here, and with each end of a line beyond: with
/// `HEADERS_MAX` lines that is a bounded number of times.
const HEAD_BYTES_USUAL: usize = 1 << 10;
pub(super) const HEADERS_MAX: usize = 256;
/// Cookies of one reply that are looked at.
const COOKIES_MAX: usize = 64;

impl ReplyFraming {
    /// Takes a piece of a body from the front of `bytes`, which may be empty.
    pub(super) fn take(&mut self, bytes: &[u8]) -> StreamPiece {
        match self {
            ReplyFraming::Length { left } => {
                let len = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= len as u64;
                StreamPiece::Body(len)
            }
            ReplyFraming::Chunked(chunked) if !bytes.is_empty() => chunked.take(bytes),
            ReplyFraming::Chunked(_) => StreamPiece::Framing(0),
            ReplyFraming::UntilEnd => StreamPiece::Body(bytes.len()),
        }
    }
}

/// The head at the front of `kept` and `bytes`, and how much of `bytes` it took. `None` if it is incomplete:
/// then all of `bytes` is kept. The result does not depend on how the head was split, except that an error
/// may be noticed later.
pub(super) fn head_of(
    kept: &mut Vec<u8>,
    bytes: &[u8],
    ended: bool,
    more: Option<&mut MoreFields>,
) -> Result<Option<(ReplyHead, usize)>, &'static str> {
    let before = kept.len();
    let new = &bytes[..bytes.len().min(HEAD_BYTES_MAX - before)];
    let head = if before == 0 {
        parse(new, more)?
    } else {
        kept.extend_from_slice(new);
        // Each parse begins at the front, so a long head is not parsed again for every piece.
        let is_due = kept.len() <= HEAD_BYTES_USUAL || new.contains(&b'\n') || kept.len() == HEAD_BYTES_MAX;
        if is_due || ended { parse(kept, more)? } else { None }
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

fn parse(bytes: &[u8], more: Option<&mut MoreFields>) -> Result<Option<ReplyHead>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    // Accepts an empty line before the head, which some servers send after a body, and folded fields, which a
    // user agent must understand (RFC 9112, sections 2.2 and 5.2).
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let len = match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("the head is not an HTTP response"),
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
    if let Some(more) = more {
        *more = MoreFields::of(response.headers);
    }
    Ok(Some(ReplyHead { bytes: len, status, keep_alive, framing }))
}

impl MoreFields {
    fn of(headers: &[httparse::Header<'_>]) -> MoreFields {
        let mut more = MoreFields::default();
        for header in headers {
            let value = || String::from_utf8_lossy(header.value).trim().to_owned();
            if header.name.eq_ignore_ascii_case("content-encoding") {
                let coding = header.value.trim_ascii();
                more.is_gzip = coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip");
            } else if header.name.eq_ignore_ascii_case("location") {
                more.location = Some(value());
            } else if header.name.eq_ignore_ascii_case("set-cookie") && more.cookies.len() < COOKIES_MAX {
                more.cookies.push(value());
            }
        }
        more
    }
}
