//! The body of a response: pieces whose length is known, or a producer that makes them while the response is
//! sent.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::session::FileRange;

/// The body of a response: bytes, bytes that others share, ranges of files, or what a [`Producer`] makes
/// while it is sent.
///
/// Bytes and strings become bodies by [`From`].
///
/// ```
/// use std::sync::Arc;
/// use oneloop::services::http::Body;
///
/// let fixed = Body::from("never copied");
/// let made = Body::from(format!("{} bytes", 7));
/// let logo: Arc<[u8]> = Arc::from(&b"<svg/>"[..]);
/// let shared = Body::shared(Arc::clone(&logo), 0..logo.len());
/// ```
#[derive(Debug)]
pub struct Body(BodyContent);

#[derive(Debug)]
pub(crate) enum BodyContent {
    Empty,
    One(BodyPiece),
    Many(VecDeque<BodyPiece>),
    Producer(Box<dyn Producer>),
    /// A producer that may block.
    Blocking(Box<dyn Producer + Send>),
}

/// A piece of a body whose length is known.
#[derive(Debug)]
pub(crate) enum BodyPiece {
    /// Bytes, of which the given number has been put.
    Bytes(Cow<'static, [u8]>, usize),
    /// A range of shared bytes.
    Shared(Arc<[u8]>, Range<usize>),
    File(FileRange),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Body {
        Body(BodyContent::Empty)
    }

    /// A range of shared bytes; long ones are sent without a copy.
    ///
    /// # Panics
    /// If `range` is not within `bytes`.
    pub fn shared(bytes: Arc<[u8]>, range: Range<usize>) -> Body {
        assert!(range.start <= range.end && range.end <= bytes.len(), "{range:?} of {} bytes", bytes.len());
        Body(BodyContent::One(BodyPiece::Shared(bytes, range)))
    }

    /// A range of an open file. The response ends its connection if the file ends sooner.
    pub fn file(range: FileRange) -> Body {
        Body(BodyContent::One(BodyPiece::File(range)))
    }

    /// A body that is made while it is sent.
    pub fn producer(producer: impl Producer + 'static) -> Body {
        Body(BodyContent::Producer(Box::new(producer)))
    }

    /// A body that is produced while it is sent, by a producer that may block or compute for long. A thread
    /// beside the loop makes its pieces, one ahead of the piece that is sent, so that no other client waits.
    /// (Models with a process or thread per client make them there.) A piece that takes more than a minute
    /// ends the connection.
    ///
    /// Only for handlers that ask for the client
    /// ([`Handler::asks_for_client`](super::Handler::asks_for_client)); for other handlers the loop waits.
    pub fn blocking(producer: impl Producer + Send + 'static) -> Body {
        Body(BodyContent::Blocking(Box::new(producer)))
    }

    /// Pieces that are sent one after another.
    pub(crate) fn pieces(pieces: impl IntoIterator<Item = BodyPiece>) -> Body {
        Body(BodyContent::Many(pieces.into_iter().collect()))
    }

    pub(crate) fn into_content(self) -> BodyContent {
        self.0
    }
}

impl BodyContent {
    /// Its length; `None` if it is not known before the end.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            BodyContent::Empty => Some(0),
            BodyContent::One(piece) => Some(piece.len()),
            BodyContent::Many(pieces) => Some(pieces.iter().map(BodyPiece::len).sum()),
            BodyContent::Producer(producer) => producer.len_bytes(),
            BodyContent::Blocking(producer) => producer.len_bytes(),
        }
    }
}

impl BodyPiece {
    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> BodyPiece {
        BodyPiece::Bytes(Cow::Owned(bytes.into()), 0)
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            BodyPiece::Bytes(bytes, at) => (bytes.len() - at) as u64,
            BodyPiece::Shared(_, range) => range.len() as u64,
            BodyPiece::File(range) => range.len,
        }
    }

    /// Memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            BodyPiece::Bytes(bytes, _) => bytes.len(),
            BodyPiece::Shared(_, range) => range.len(), // it may be the only response that keeps them
            BodyPiece::File(_) => 0,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body(BodyContent::One(BodyPiece::bytes(bytes)))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        text.into_bytes().into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        Body(BodyContent::One(BodyPiece::Bytes(Cow::Borrowed(bytes), 0)))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        text.as_bytes().into()
    }
}

/// Makes a body piece by piece, when there is room for the next one.
///
/// ```
/// use std::io::{self, Write};
/// use oneloop::services::http::{Body, Produced, Producer, Response, Status};
///
/// #[derive(Debug)]
/// struct Countdown(u32);
///
/// impl Producer for Countdown {
///     fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced> {
///         writeln!(piece, "{}", self.0)?;
///         self.0 -= 1;
///         Ok(if self.0 == 0 { Produced::End } else { Produced::More })
///     }
/// }
///
/// let response = Response::text(Status::Ok, Body::producer(Countdown(1_000_000)));
/// ```
pub trait Producer: fmt::Debug {
    /// Appends the next piece of the body to `piece`, which is empty. It should be some KiB at most and must
    /// not take long: other clients wait. After an error the connection is cut, so that the client does not
    /// take what it has for the whole.
    fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced>;

    /// The length of the whole body in bytes, if it is known before. A longer body is cut at this length; if
    /// it is shorter, the connection is cut.
    fn len_bytes(&self) -> Option<u64> {
        None
    }

    /// Memory that it keeps on the heap for this response, in bytes; it counts with the client's buffers.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// What a [`Producer`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Produced {
    /// There is more; it is called again when there is room.
    More,
    /// There is more, after other clients have had their turn.
    Yield,
    /// That was the last piece.
    End,
}
