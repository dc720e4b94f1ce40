//! From a request target to the path of a file: decoded once, without dots, and never above the root (RFC
//! 9112, section 3.2; RFC 3986, section 5.2.4).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::status::Status;
use super::syntax::is_host;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestTarget<'a> {
    /// `*`: the server itself (only for OPTIONS).
    Server,
    /// A host and a port (only for CONNECT).
    Authority,
    /// A path.
    Path(Path<'a>),
}

/// The path and the query of a target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    /// Decoded, with the slash at its beginning, without empty or dot segments; with a slash at its end if it
    /// was asked for as a directory. An escaped slash stays escaped.
    pub(crate) decoded: Cow<'a, [u8]>,
    /// What follows the `?`.
    pub(crate) query: &'a [u8],
    /// The host and port of a target in absolute form, which count instead of `Host` (RFC 9112, section
    /// 3.2.2).
    pub(crate) authority: Option<&'a [u8]>,
    /// Whether a segment begins with a dot, other than a first one of `.well-known`, which is public (RFC
    /// 8615).
    pub(crate) hidden: bool,
    /// Whether a segment has an escaped slash in it.
    pub(crate) escaped_slash: bool,
}

/// What need not be encoded in a segment of a link: the unreserved characters (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Characters, in addition to non-ASCII bytes, that a query cannot contain (RFC 3986, section 3.4). Percent
/// signs belong to the client's escapes.
const NO_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

impl Path<'_> {
    /// The path without the slash at its beginning: relative to a directory, and empty for the directory
    /// itself.
    pub(crate) fn file(&self) -> &[u8] {
        &self.decoded[1..]
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.decoded.ends_with(b"/")
    }

    /// Whether a segment after the first `route_bytes` of the path begins with a dot, other than the public
    /// one.
    pub(crate) fn is_hidden_below(&self, route_bytes: usize) -> bool {
        let mut below = self.decoded[route_bytes..].split(|&byte| byte == b'/');
        self.hidden && (route_bytes == 0 || below.any(|segment| segment.starts_with(b".")))
    }
}

/// A segment, escaped for a link.
pub(crate) fn encode_segment(name: &[u8]) -> impl std::fmt::Display {
    percent_encode(name, SEGMENT)
}

/// A query, as it came, as a part of a link.
pub(crate) fn encode_query(query: &[u8]) -> impl std::fmt::Display {
    percent_encode(query, NO_QUERY)
}

/// Parses a request target in origin, absolute or asterisk form.
pub(crate) fn parse(target: &[u8]) -> Result<RequestTarget<'_>, Status> {
    if target == b"*" {
        return Ok(RequestTarget::Server);
    }
    let (raw, query) = match target.iter().position(|&byte| byte == b'?') {
        Some(mark) => (&target[..mark], &target[mark + 1..]),
        None => (target, &[][..]),
    };
    let (authority, raw) = if raw.starts_with(b"/") { (None, raw) } else { split_absolute(raw)? };
    if raw.contains(&b'#') {
        return Err(Status::BadRequest);
    }
    let (decoded, escaped_slash) = if is_plain(raw) {
        (Cow::Borrowed(raw), false)
    } else {
        let (decoded, escaped_slash) = normalise(raw)?;
        (Cow::Owned(decoded), escaped_slash)
    };
    let hidden = matches!(decoded, Cow::Owned(_)) && is_hidden(&decoded[1..]);
    Ok(RequestTarget::Path(Path { decoded, query, authority, hidden, escaped_slash }))
}

/// Splits `http://host/path` into host and path.
fn split_absolute(target: &[u8]) -> Result<(Option<&[u8]>, &[u8]), Status> {
    let colon = target.iter().position(|&byte| byte == b':').ok_or(Status::BadRequest)?;
    let (scheme, rest) = target.split_at(colon);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Status::BadRequest);
    }
    let rest = rest.strip_prefix(b"://").ok_or(Status::BadRequest)?;
    let (host, path) = rest.split_at(rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len()));
    // An empty host is refused (RFC 9110, section 4.2.1).
    if host.is_empty() || host.starts_with(b":") || !is_host(host) {
        return Err(Status::BadRequest);
    }
    Ok((Some(host), if path.is_empty() { b"/" } else { path }))
}

/// Whether there is nothing to decode, remove or hide: no escape, no empty segment, no segment that begins
/// with a dot.
fn is_plain(raw: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in raw {
        if byte == b'%' || (previous == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        previous = byte;
    }
    true
}

/// Whether a segment of a decoded path begins with a dot, other than a first one of `.well-known` (RFC 8615,
/// section 3).
fn is_hidden(file: &[u8]) -> bool {
    let mut segments = file.split(|&byte| byte == b'/');
    let first = segments.next().unwrap_or_default();
    (first.starts_with(b".") && first != b".well-known") || segments.any(|segment| segment.starts_with(b"."))
}

/// Decodes a path and removes its empty and dot segments. The flag: whether a segment has an escaped slash.
fn normalise(raw: &[u8]) -> Result<(Vec<u8>, bool), Status> {
    let mut path = Vec::with_capacity(raw.len() + 1);
    path.push(b'/');
    // Where each segment in `path` begins.
    let mut starts = Vec::new();
    let (mut directory, mut escaped_slash) = (true, false);
    for segment in raw.split(|&byte| byte == b'/').skip(1) {
        let (segment, has_slash) = decode(segment)?;
        escaped_slash |= has_slash;
        directory = matches!(&segment[..], b"" | b"." | b"..");
        match &segment[..] {
            b"" | b"." => {}
            b".." => path.truncate(starts.pop().ok_or(Status::BadRequest)?),
            _ => {
                starts.push(path.len());
                path.extend_from_slice(&segment);
                path.push(b'/');
            }
        }
    }
    if !directory {
        path.pop();
    }
    Ok((path, escaped_slash))
}

/// Decodes one segment. An escaped slash stays escaped, so that it does not separate segments; the flag is
/// whether there is one.
fn decode(segment: &[u8]) -> Result<(Cow<'_, [u8]>, bool), Status> {
    let is_hex = |at: usize| segment.get(at).is_some_and(u8::is_ascii_hexdigit);
    let escapes = segment.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    if !escapes.map(|(at, _)| at).all(|at| is_hex(at + 1) && is_hex(at + 2)) {
        return Err(Status::BadRequest);
    }
    let decoded = Cow::from(percent_decode(segment));
    if decoded.contains(&0) {
        return Err(Status::BadRequest);
    }
    if !decoded.contains(&b'/') {
        return Ok((decoded, false));
    }
    let pieces: Vec<&[u8]> = decoded.split(|&byte| byte == b'/').collect();
    Ok((Cow::Owned(pieces.join(&b"%2F"[..])), true))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(target: &str) -> Result<String, u16> {
        match parse(target.as_bytes()) {
            // No file has a slash in its name.
            Ok(RequestTarget::Path(path)) if path.escaped_slash => Err(404),
            Ok(RequestTarget::Path(path)) => Ok(String::from_utf8(path.file().to_vec()).unwrap()),
            Ok(RequestTarget::Server) => Ok("*".into()),
            Ok(RequestTarget::Authority) => unreachable!("only of CONNECT"),
            Err(status) => Err(status.code()),
        }
    }

    #[test]
    fn targets_lead_to_paths_beneath_the_root_or_nowhere() {
        let table = [
            ("/", Ok("")),
            ("/a/b.txt", Ok("a/b.txt")),
            ("/a/", Ok("a/")),
            ("/a//b", Ok("a/b")),
            ("//evil.example/x", Ok("evil.example/x")),
            ("/a/./b/../c", Ok("a/c")),
            ("/a/..", Ok("")),
            ("/a/b/..", Ok("a/")),
            ("/%61%20b?x=%zz", Ok("a b")),
            ("/..", Err(400)),
            ("/a/../../b", Err(400)),
            ("/%2e%2e/x", Err(400)),
            ("/a/%2E./%2e%2e/x", Err(400)),
            ("/a%2fb", Err(404)),
            ("/..%2fx", Err(404)),
            ("/a%00b", Err(400)),
            ("/a%", Err(400)),
            ("/a%4", Err(400)),
            ("/a%zz", Err(400)),
            ("/a#b", Err(400)),
            ("a", Err(400)),
            ("ftp://h/a", Err(400)),
            ("http:/a", Err(400)),
            ("http:///a", Err(400)),
            ("http://user@h/a", Err(400)),
            ("http://h:80/a/b?c", Ok("a/b")),
            ("HTTP://h", Ok("")),
            ("http://h?x", Ok("")),
            ("*", Ok("*")),
        ];
        for (target, expected) in table {
            assert_eq!(file(target), expected.map(str::to_owned), "{target}");
        }
        let hidden = |target: &str| {
            matches!(parse(target.as_bytes()), Ok(RequestTarget::Path(Path { hidden: true, .. })))
        };
        assert!(hidden("/.git/config") && hidden("/a/.b") && hidden("/%2egit/") && hidden("/..."));
        assert!(!hidden("/a.b") && !hidden("/./a") && !hidden("/a/../b"));
        for shown in [
            "/.well-known",
            "/.well-known/",
            "/.well-known/acme-challenge/x",
            "/%2ewell-known/a",
            "/x/../.well-known/a",
        ] {
            assert!(!hidden(shown), "{shown}");
        }
        for kept in [
            "/.well-known/.secret",
            "/.well-known/a/.b/c",
            "/.well-known2/x",
            "/a/.well-known/x",
            "/.well-known/../.git/x",
        ] {
            assert!(hidden(kept), "{kept}");
        }
    }

    proptest! {
        #[test]
        fn a_decoded_path_has_no_dot_segments_and_encoding_reverses_decoding(target in "/[a-c./%2eEF0]{0,40}") {
            let Ok(RequestTarget::Path(path)) = parse(target.as_bytes()) else { return Ok(()) };
            let file = path.file().strip_suffix(b"/").unwrap_or(path.file());
            prop_assert!(!path.file().starts_with(b"/"));
            if !file.is_empty() {
                for segment in file.split(|&byte| byte == b'/') {
                    prop_assert!(!matches!(segment, b"" | b"." | b".."), "{}", file.escape_ascii());
                }
            }
            let segments = path.file().split(|&byte| byte == b'/').map(|segment| encode_segment(segment).to_string());
            let link = format!("/{}", segments.collect::<Vec<_>>().join("/"));
            let Ok(RequestTarget::Path(again)) = parse(link.as_bytes()) else { panic!("{link}") };
            prop_assert_eq!(again.decoded, path.decoded);
        }
    }
}
