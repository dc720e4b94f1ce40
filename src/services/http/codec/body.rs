//! Request bodies: framing, within bounds, so that the next request is found where it begins.

use super::super::bounds::{BODY_BYTES_MAX, CHUNK_LINE_BYTES_MAX, LINE_BYTES_MAX};
use super::request::RequestFraming;
use super::status::Status;
use super::syntax::is_token;

/// How far a request body has been read.
#[derive(Debug)]
pub(crate) struct BodyReader {
    awaits: BodyState,
    /// Bytes of content that may still come.
    content_left: u64,
    /// Bytes that may still come, framing included.
    total_left: u64,
    /// The content; `None` if it is discarded.
    content: Option<Vec<u8>>,
}

/// The expected next part of a body (RFC 9112, sections 6.2 and 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyState {
    /// This many bytes, then the end.
    Length(u64),
    /// The line with the size of a chunk.
    Size,
    /// The rest of a chunk.
    Data(u64),
    /// The end of line after a chunk.
    DataEnd,
    /// A trailer field, or the empty line at the end.
    Trailer,
    /// Nothing.
    End,
}

impl BodyReader {
    /// Reads a body and discards it. `BODY_BYTES_MAX` is for content and framing together.
    pub(crate) fn discard(framing: RequestFraming) -> Result<BodyReader, Status> {
        BodyReader::new(framing, BODY_BYTES_MAX, BODY_BYTES_MAX, None)
    }

    /// Reads a body of up to `bytes_max` bytes of content and keeps it. The framing of a chunked body may be
    /// as long as a discarded body.
    pub(crate) fn keep(framing: RequestFraming, bytes_max: u64) -> Result<BodyReader, Status> {
        BodyReader::new(framing, bytes_max, bytes_max.saturating_add(BODY_BYTES_MAX), Some(Vec::new()))
    }

    fn new(
        framing: RequestFraming,
        content_left: u64,
        total_left: u64,
        content: Option<Vec<u8>>,
    ) -> Result<BodyReader, Status> {
        let awaits = match framing {
            RequestFraming::Length(0) => BodyState::End,
            RequestFraming::Length(len) if len > content_left => return Err(Status::ContentTooLarge),
            RequestFraming::Length(len) => BodyState::Length(len),
            RequestFraming::Chunked => BodyState::Size,
        };
        Ok(BodyReader { awaits, content_left, total_left, content })
    }

    /// Whether the whole body was read.
    pub(crate) fn is_over(&self) -> bool {
        self.awaits == BodyState::End
    }

    /// The content that was kept.
    pub(crate) fn content(&self) -> &[u8] {
        self.content.as_deref().unwrap_or_default()
    }

    /// Memory that the content takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.content.as_ref().map_or(0, Vec::capacity)
    }

    /// Reads what of `bytes` belongs to the body; returns how much that was.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<usize, Status> {
        let mut at = 0;
        // Each round takes at least a byte, ends, or waits for more.
        while !self.is_over() {
            let rest = &bytes[at..];
            let Some(len) = self.step(rest)? else { break };
            self.total_left = self.total_left.checked_sub(len as u64).ok_or(Status::ContentTooLarge)?;
            at += len;
        }
        Ok(at)
    }

    /// Takes a line, or a run of data: returns its length, or `None` if more bytes are needed.
    fn step(&mut self, rest: &[u8]) -> Result<Option<usize>, Status> {
        if rest.is_empty() {
            return Ok(None);
        }
        match self.awaits {
            BodyState::Length(left) | BodyState::Data(left) => {
                let len = left.min(rest.len() as u64);
                self.content_left = self.content_left.checked_sub(len).ok_or(Status::ContentTooLarge)?;
                if let Some(content) = &mut self.content {
                    content.extend_from_slice(&rest[..len as usize]);
                }
                self.awaits = match (self.awaits, left - len) {
                    (BodyState::Length(_), 0) => BodyState::End,
                    (BodyState::Length(_), left) => BodyState::Length(left),
                    (_, 0) => BodyState::DataEnd,
                    (_, left) => BodyState::Data(left),
                };
                Ok(Some(len as usize))
            }
            BodyState::DataEnd => match rest {
                [b'\r', b'\n', ..] => {
                    self.awaits = BodyState::Size;
                    Ok(Some(2))
                }
                [b'\r'] => Ok(None),
                _ => Err(Status::BadRequest),
            },
            BodyState::Size => {
                let Some(line) = line(rest, CHUNK_LINE_BYTES_MAX)? else { return Ok(None) };
                self.awaits = match chunk_size(line)? {
                    0 => BodyState::Trailer,
                    size if size > self.content_left => return Err(Status::ContentTooLarge),
                    size => BodyState::Data(size),
                };
                Ok(Some(line.len() + 2))
            }
            BodyState::Trailer => {
                let Some(line) = line(rest, LINE_BYTES_MAX)? else { return Ok(None) };
                if line.is_empty() {
                    self.awaits = BodyState::End;
                } else if !is_field(line) {
                    return Err(Status::BadRequest);
                }
                Ok(Some(line.len() + 2))
            }
            BodyState::End => Ok(None),
        }
    }
}

/// A line without its CRLF; `None` if its end has not arrived.
fn line(bytes: &[u8], bytes_max: usize) -> Result<Option<&[u8]>, Status> {
    match memchr::memchr(b'\n', &bytes[..bytes.len().min(bytes_max)]) {
        Some(newline) => match bytes[..newline].strip_suffix(b"\r") {
            Some(line) if is_clean(line) => Ok(Some(line)),
            _ => Err(Status::BadRequest),
        },
        None if bytes.len() < bytes_max => Ok(None),
        None => Err(Status::BadRequest),
    }
}

fn is_clean(line: &[u8]) -> bool {
    line.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// `1*HEXDIG [ chunk-ext ]`. Extensions are ignored, but must follow the grammar: otherwise another parser
/// might see another end of the line.
fn chunk_size(line: &[u8]) -> Result<u64, Status> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    if digits == 0 || digits > 15 || !are_extensions(&line[digits..]) {
        return Err(Status::BadRequest);
    }
    let digits = std::str::from_utf8(&line[..digits]).map_err(|_| Status::BadRequest)?;
    u64::from_str_radix(digits, 16).map_err(|_| Status::BadRequest)
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112, section 7.1.1).
fn are_extensions(mut rest: &[u8]) -> bool {
    let space_bytes =
        |bytes: &[u8]| bytes.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(bytes.len());
    let token_bytes = |bytes: &[u8]| bytes.iter().position(|&byte| !is_token(byte)).unwrap_or(bytes.len());
    // Each round takes at least two bytes.
    while !rest.is_empty() {
        let Some(extension) = rest[space_bytes(rest)..].strip_prefix(b";") else { return false };
        let name = &extension[space_bytes(extension)..];
        let name_bytes = token_bytes(name);
        if name_bytes == 0 {
            return false;
        }
        rest = &name[name_bytes..];
        let Some(value) = rest[space_bytes(rest)..].strip_prefix(b"=") else { continue };
        let value = &value[space_bytes(value)..];
        let value_bytes = if value.starts_with(b"\"") { quoted_bytes(value) } else { token_bytes(value) };
        if value_bytes == 0 {
            return false;
        }
        rest = &value[value_bytes..];
    }
    true
}

/// The length of the `quoted-string` at the front (RFC 9110, section 5.6.4), 0 if it has no end. Control
/// characters were excluded before.
fn quoted_bytes(quoted: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in quoted.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    0
}

fn is_field(line: &[u8]) -> bool {
    let colon = line.iter().position(|&byte| byte == b':');
    colon.is_some_and(|colon| colon > 0 && line[..colon].iter().all(|&byte| is_token(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Skipped = Result<(usize, bool), Status>;

    fn skip_all(framing: RequestFraming, bytes: &[u8], piece: usize) -> Skipped {
        let mut body = BodyReader::discard(framing)?;
        let (mut from, mut to) = (0, 0);
        while to < bytes.len() && !body.is_over() {
            to = (to + piece).min(bytes.len());
            from += body.read(&bytes[from..to])?;
        }
        Ok((from, body.is_over()))
    }

    #[test]
    fn a_body_ends_by_its_framing_however_it_arrives() {
        let table: [(RequestFraming, &str, Skipped); 21] = [
            (RequestFraming::Length(0), "GET", Ok((0, true))),
            (RequestFraming::Length(3), "abcGET", Ok((3, true))),
            (RequestFraming::Length(9), "abc", Ok((3, false))),
            (RequestFraming::Chunked, "0\r\n\r\nGET", Ok((5, true))),
            (RequestFraming::Chunked, "3\r\nabc\r\n00\r\n\r\nGET", Ok((14, true))),
            (
                RequestFraming::Chunked,
                "a;x=\"y\"\r\n0123456789\r\n0 ;z\r\nA: b\r\nC:\r\n\r\nX",
                Ok((39, true)),
            ),
            (RequestFraming::Chunked, "3\r\nabcd\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "3\nabc\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "+3\r\nabc\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "0x3\r\nabc\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "3 3\r\nabc\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "3\rX\r\nabc\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "fffffffffffffffff\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "fffffff\r\n", Err(Status::ContentTooLarge)),
            (RequestFraming::Chunked, "0\r\n folded\r\n\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "3;\0\r\nabc\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "0\r\nA: \x7f\r\n\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "0\r\nA : b\r\n\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "0\r\n: b\r\n\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "0\r\nA: b\n\r\n", Err(Status::BadRequest)),
            (RequestFraming::Chunked, "0\r\n\n", Err(Status::BadRequest)),
        ];
        for (framing, bytes, expected) in table {
            for piece in 1..=bytes.len() {
                assert_eq!(skip_all(framing, bytes.as_bytes(), piece), expected, "{bytes:?} by {piece}");
            }
        }
    }

    #[test]
    fn chunk_extensions_are_by_the_grammar() {
        let is_size = |line: &str| chunk_size(line.as_bytes()) == Ok(5);
        for right in [
            "5",
            "5;a",
            "5;a=b",
            "5;a=\"b\"",
            "5 ; a = b",
            "5\t;\ta\t=\t\"\"",
            "5;a;b=c;d=\"e;f\"",
            r#"5;a="b\"c\\""#,
            "5;a=\"\u{e9}\"",
            "5;a ;b",
            "5; ieof",
        ] {
            assert!(is_size(right), "{right:?}");
        }
        for wrong in [
            "5 ",
            "5;",
            "5;;a",
            "5;=b",
            "5;a=",
            "5;a=b c",
            "5;a b",
            "5;a=\"b",
            r#"5;a="b\""#,
            "5;a=\"b\"c",
            "5;\u{e9}",
            "5;a=b ",
            "5 a",
            "5,a",
            "5;a=b=c",
        ] {
            assert_eq!(chunk_size(wrong.as_bytes()), Err(Status::BadRequest), "{wrong:?}");
        }
    }

    #[test]
    fn framing_counts_towards_the_bound_so_that_no_body_is_endless() {
        let tiny = b"1;extension-of-a-chunk-of-one-byte\r\nx\r\n".repeat(40_000);
        assert_eq!(skip_all(RequestFraming::Chunked, &tiny, 4096), Err(Status::ContentTooLarge));
        let trailers = [&b"0\r\n"[..], &b"A: b\r\n".repeat(200_000)].concat();
        assert_eq!(skip_all(RequestFraming::Chunked, &trailers, 4096), Err(Status::ContentTooLarge));
        assert_eq!(skip_all(RequestFraming::Chunked, &[b'1'; 300], 7), Err(Status::BadRequest));
    }

    #[test]
    fn a_body_that_is_kept_is_its_content_alone_and_its_bound_is_of_the_content_alone() {
        let kept = |framing, bytes: &[u8], bytes_max, piece| {
            let mut body = BodyReader::keep(framing, bytes_max)?;
            for piece in bytes.chunks(piece) {
                assert_eq!(body.read(piece)?, piece.len());
            }
            assert!(body.is_over());
            Ok(body.content().to_vec())
        };
        let chunks = b"1\r\na\r\n2;x=y\r\nbc\r\n1\r\nd\r\n0\r\nT: u\r\n\r\n";
        for (framing, bytes, pieces) in [
            (RequestFraming::Length(4), &b"abcd"[..], &[1, 2, 4][..]),
            (RequestFraming::Chunked, chunks, &[chunks.len()]),
        ] {
            for &piece in pieces {
                assert_eq!(kept(framing, bytes, 4, piece).as_deref(), Ok(&b"abcd"[..]));
                assert_eq!(kept(framing, bytes, 3, piece), Err(Status::ContentTooLarge));
            }
        }
        let framing_alone = b"1;extension-of-a-chunk-of-one-byte\r\nx\r\n".repeat(40_000);
        assert_eq!(
            BodyReader::keep(RequestFraming::Chunked, 100_000).unwrap().read(&framing_alone),
            Err(Status::ContentTooLarge)
        );
    }
}
