//! Heads of responses, all written by [`Head::pieces`].

use std::borrow::Cow;

use super::request::{RequestHead, Version};
use super::status::Status;
use super::syntax::is_token;

/// What a head is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) status: Status,
    /// The line `Date`, or nothing.
    pub(crate) date: &'a [u8],
    pub(crate) persistence: Persistence,
    /// The lines of the response's fields, and the line that frames its body.
    pub(crate) lines: &'a str,
    /// The lines that every response of the service has, and the empty line at the end.
    pub(crate) end: &'a str,
}

/// The number of pieces of a head with the content copied after it.
pub(crate) const PIECES: usize = 6;

impl<'a> Head<'a> {
    /// The head as sent, followed by `content`, in pieces.
    pub(crate) fn pieces(&self, content: &'a [u8]) -> [&'a [u8]; PIECES] {
        [
            self.status.line().as_bytes(),
            self.date,
            self.persistence.line().as_bytes(),
            self.lines.as_bytes(),
            self.end.as_bytes(),
            content,
        ]
    }

    /// The head of an interim response.
    pub(crate) fn interim(status: Status) -> Head<'static> {
        Head { status, date: b"", persistence: Persistence::Implied, lines: "", end: "\r\n" }
    }
}

/// Whether the connection stays open after a response, and how the head announces it (RFC 9112, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It stays open, as is usual in HTTP/1.1.
    Implied,
    /// It stays open, which has to be announced to HTTP/1.0 clients.
    Announced,
    /// It ends, as the client asked, or as is usual in HTTP/1.0: the client sends nothing more.
    Asked,
    /// It ends, because where the next request begins is in doubt, or the server stops.
    Close,
}

impl Persistence {
    pub(crate) fn of(request: &RequestHead<'_>) -> Persistence {
        match (request.persistent, request.version) {
            (false, _) => Persistence::Asked,
            (true, Version::Http10) => Persistence::Announced,
            (true, Version::Http11) => Persistence::Implied,
        }
    }

    fn line(self) -> &'static str {
        match self {
            Persistence::Implied => "",
            Persistence::Announced => "Connection: keep-alive\r\n",
            Persistence::Asked | Persistence::Close => "Connection: close\r\n",
        }
    }
}

/// Fields that only the codec sends: a second one could contradict the first.
const RESERVED: [&str; 5] = ["connection", "content-length", "date", "transfer-encoding", "upgrade"];

/// Whether a field can be sent (RFC 9110, section 5), and is not one that the codec sends itself.
pub(crate) fn is_sendable(name: &str, value: &str) -> bool {
    let is_value = |char: char| char == '\t' || !char.is_ascii_control();
    !name.is_empty()
        && name.bytes().all(is_token)
        && value.chars().all(is_value)
        && !RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// Adds a field as a line.
pub(crate) fn push_line(lines: &mut String, name: &str, value: &str) {
    lines.extend([name, ": ", value.trim(), "\r\n"]);
}

/// How the end of a response's body is known to the client (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The status implies that there is no body.
    None,
    Length(u64),
    Chunked,
    /// By the end of the connection.
    Close,
}

impl Framing {
    /// Its line of the head.
    pub(crate) fn line(self) -> Cow<'static, str> {
        match self {
            Framing::None | Framing::Close => "".into(),
            Framing::Length(len) => format!("Content-Length: {len}\r\n").into(),
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".into(),
        }
    }
}
