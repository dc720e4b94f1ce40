//! Chunked bodies (RFC 9112, section 7.1), read in pieces of any size.

/// The position of the stream in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In the digits of a size.
    Size {
        /// The size so far.
        size: u64,
        /// The number of digits so far.
        digits: u8,
    },
    /// After the digits, up to the end of the line; extensions are skipped.
    Extension { size: u64 },
    /// In a chunk.
    Data { left: u64 },
    /// After a chunk: CR LF.
    DataEnd { seen: u8 },
    /// In the trailer; the length of its line so far.
    Trailer { line: u16 },
    /// After the body.
    End,
}

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StreamPiece {
    /// Bytes of framing.
    Framing(usize),
    /// Bytes of the body.
    Body(usize),
    /// Not a chunked body.
    Malformed,
}

/// 16 hexadecimal digits are 64 bits.
const DIGITS_MAX: u8 = 16;
/// A longer line of a trailer is probably an attack.
const TRAILER_LINE_MAX: u16 = 8 << 10;

impl Chunked {
    pub(super) fn start() -> Self {
        Chunked::Size { size: 0, digits: 0 }
    }

    /// Takes a piece from the front of `bytes`, which has at least one.
    pub(super) fn take(&mut self, bytes: &[u8]) -> StreamPiece {
        if let Chunked::Data { left } = self {
            let len = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= len as u64;
            if *left == 0 {
                *self = Chunked::DataEnd { seen: 0 };
            }
            return StreamPiece::Body(len);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            if matches!(self, Chunked::Data { .. } | Chunked::End) {
                return StreamPiece::Framing(at);
            }
            let Some(next) = self.after(byte) else { return StreamPiece::Malformed };
            *self = next;
        }
        StreamPiece::Framing(bytes.len())
    }

    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Chunked::Size { size, digits }, byte) if byte.is_ascii_hexdigit() && digits < DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16)?;
                Chunked::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Chunked::Size { size, digits: 1.. } | Chunked::Extension { size }, b'\n') => match size {
                0 => Chunked::Trailer { line: 0 },
                left => Chunked::Data { left },
            },
            (Chunked::Size { size, digits: 1.. }, b';' | b' ' | b'\t' | b'\r')
            | (Chunked::Extension { size }, _) => Chunked::Extension { size },
            (Chunked::DataEnd { seen: 0 }, b'\r') => Chunked::DataEnd { seen: 1 },
            (Chunked::DataEnd { seen: 1 }, b'\n') => Chunked::start(),
            (Chunked::Trailer { line: 0 }, b'\n') => Chunked::End,
            (Chunked::Trailer { .. }, b'\n') => Chunked::Trailer { line: 0 },
            (Chunked::Trailer { line }, b'\r') => Chunked::Trailer { line },
            (Chunked::Trailer { line }, _) if line < TRAILER_LINE_MAX => Chunked::Trailer { line: line + 1 },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and what follows it, read in pieces of `step` bytes.
    fn read(stream: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
        let (mut chunked, mut body, mut at) = (Chunked::start(), Vec::new(), 0);
        while chunked != Chunked::End && at < stream.len() {
            let piece = &stream[at..stream.len().min(at + step)];
            at += match chunked.take(piece) {
                StreamPiece::Framing(len) => len,
                StreamPiece::Body(len) => {
                    body.extend_from_slice(&piece[..len]);
                    len
                }
                StreamPiece::Malformed => return None,
            };
        }
        (chunked == Chunked::End).then_some((body, at))
    }

    #[test]
    fn chunks_extensions_and_trailers_in_any_pieces() {
        let stream = b"5\r\nhello\r\nB;name=value\r\n, chunked w\r\n4\norld\r\n0\r\nX-Sum: 1\r\n\r\nnext";
        for step in 1..stream.len() {
            let (body, end) = read(stream, step).unwrap();
            assert_eq!(body, b"hello, chunked world", "in steps of {step}");
            assert_eq!(&stream[end..], b"next");
        }
    }

    #[test]
    fn a_malformed_chunked_body_is_an_error() {
        for wrong in [&b"\r\n"[..], b"g\r\n", b"2\r\nabc\r\n", b"11112222333344445\r\n", b"-1\r\n"] {
            assert_eq!(read(wrong, 3), None);
        }
    }
}
