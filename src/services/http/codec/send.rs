//! A response on its way into the outbox, as there is room.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::super::body::{BodyContent, BodyPiece, Produced, Producer};
use super::super::bounds::{PIECES_PER_CALL_MAX, STEPS_BESIDE_MAX};
use super::head::{Framing, Persistence};
use crate::session::{AnswerInfo, Lane, Offload, Outbox, Outcome, Ticket};

/// The rest of a response.
#[derive(Debug)]
pub(crate) struct Sending {
    /// The head, of which the given number of bytes has been put.
    pub(crate) head: Vec<u8>,
    pub(crate) head_at: usize,
    pub(crate) body: Outgoing,
    /// The report that follows the body.
    pub(crate) info: Option<AnswerInfo>,
    /// The deadline of a piece that is made beside the loop.
    pub(crate) due_ms: Option<u64>,
    pub(crate) persistence: Persistence,
}

/// The rest of a body.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Nothing,
    Piece(BodyPiece),
    Pieces(VecDeque<BodyPiece>),
    Produced(Production),
}

/// How far a step of sending came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendProgress {
    Done,
    /// No room for the rest.
    Full,
    /// The rest comes after other clients have had their turn.
    Yield,
    /// The next piece is made beside the loop, which wakes the session when it is done.
    Waits,
    /// The rest cannot be produced.
    Failed,
}

impl Sending {
    /// Puts as much as there is room for.
    pub(crate) fn put(&mut self, out: &mut Outbox) -> SendProgress {
        self.head_at += out.put_some(&self.head[self.head_at..]);
        if self.head_at < self.head.len() {
            return SendProgress::Full;
        }
        let room = out.room();
        let sent = self.body.put(out);
        if out.room() != room {
            self.due_ms = None; // the next piece has the whole time again
        }
        if sent == SendProgress::Done
            && let Some(info) = self.info.take()
        {
            out.answered(info);
        }
        sent
    }

    /// Memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let info_bytes = self.info.as_ref().map_or(0, AnswerInfo::heap_bytes);
        size_of::<Sending>() + self.head.capacity() + self.body.memory_bytes() + info_bytes
    }
}

impl Outgoing {
    pub(crate) fn new(body: BodyContent, framing: Framing, offload: Option<&Offload>) -> Outgoing {
        match body {
            BodyContent::Empty => Outgoing::Nothing,
            BodyContent::One(piece) => Outgoing::Piece(piece),
            BodyContent::Many(pieces) => Outgoing::Pieces(pieces),
            BodyContent::Producer(producer) => {
                Outgoing::Produced(Production::new(Maker::Here(producer), framing))
            }
            BodyContent::Blocking(producer) => {
                let offload = offload.cloned().unwrap_or_else(Offload::inline);
                let work = begin_piece(&offload, producer, Vec::new());
                Outgoing::Produced(Production::new(Maker::Beside { offload, work, held_bytes: 0 }, framing))
            }
        }
    }

    /// Whether it is put in one step: at most one piece.
    pub(crate) fn is_short(&self) -> bool {
        matches!(self, Outgoing::Nothing | Outgoing::Piece(_))
    }

    /// Puts pieces from the front, as far as there is room.
    pub(crate) fn put(&mut self, out: &mut Outbox) -> SendProgress {
        match self {
            Outgoing::Nothing => SendProgress::Done,
            Outgoing::Piece(piece) => put_piece(piece, out),
            Outgoing::Pieces(pieces) => {
                while let Some(piece) = pieces.front_mut() {
                    if put_piece(piece, out) == SendProgress::Full {
                        return SendProgress::Full;
                    }
                    pieces.pop_front();
                }
                SendProgress::Done
            }
            Outgoing::Produced(production) => production.put(out),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Outgoing::Nothing => 0,
            Outgoing::Piece(piece) => piece.memory_bytes(),
            Outgoing::Pieces(pieces) => {
                let own_bytes = pieces.capacity() * size_of::<BodyPiece>();
                own_bytes + pieces.iter().map(BodyPiece::memory_bytes).sum::<usize>()
            }
            Outgoing::Produced(production) => production.piece.capacity() + production.maker.memory_bytes(),
        }
    }
}

/// Puts as much of a piece as there is room for.
fn put_piece(piece: &mut BodyPiece, out: &mut Outbox) -> SendProgress {
    let done = match piece {
        BodyPiece::Bytes(bytes, at) => {
            *at += out.put_some(&bytes[*at..]);
            *at == bytes.len()
        }
        BodyPiece::Shared(bytes, range) => {
            let end = range.end.min(range.start + out.room());
            if out.share(Arc::clone(bytes), range.start..end).is_ok() {
                range.start = end;
            }
            range.start == range.end
        }
        BodyPiece::File(range) => out.file(range.clone()).is_ok(),
    };
    if done { SendProgress::Done } else { SendProgress::Full }
}

/// A body that is being produced.
#[derive(Debug)]
pub(crate) struct Production {
    maker: Maker,
    framing: Framing,
    /// The framed piece that is being put, and how many of its bytes were put.
    piece: Vec<u8>,
    put_bytes: usize,
    /// What comes after the piece.
    next: Produced,
}

/// Where the pieces of a body are made.
#[derive(Debug)]
enum Maker {
    /// In the session's call.
    Here(Box<dyn Producer>),
    /// Beside the loop: the next piece is made while the one before it is sent. `held_bytes`: the memory of
    /// the producer and its piece when they last returned.
    Beside { offload: Offload, work: Ticket<OffloadedPiece>, held_bytes: usize },
}

/// A piece that was made beside the loop, with its producer.
#[derive(Debug)]
struct OffloadedPiece {
    producer: Box<dyn Producer + Send>,
    piece: Vec<u8>,
    next: io::Result<Produced>,
}

/// Starts the production of the next piece.
fn begin_piece(
    offload: &Offload,
    mut producer: Box<dyn Producer + Send>,
    mut piece: Vec<u8>,
) -> Ticket<OffloadedPiece> {
    offload.run(Lane::Disk, move || {
        let mut next = producer.produce(&mut piece);
        for _ in 1..STEPS_BESIDE_MAX {
            if !piece.is_empty() || !matches!(next, Ok(Produced::Yield)) {
                break;
            }
            next = producer.produce(&mut piece);
        }
        OffloadedPiece { producer, piece, next }
    })
}

impl Maker {
    /// Makes the next piece in `piece`, which is empty. `None` while it is made beside the loop.
    fn make(&mut self, piece: &mut Vec<u8>) -> Option<io::Result<Produced>> {
        let (offload, work, held_bytes) = match self {
            Maker::Here(producer) => return Some(producer.produce(piece)),
            Maker::Beside { offload, work, held_bytes } => (offload, work, held_bytes),
        };
        match work.take() {
            Outcome::Pending => None,
            Outcome::Lost => Some(Err(io::Error::other("the work for its next piece was lost"))),
            Outcome::Done(made) => {
                let OffloadedPiece { producer, piece: made, next } = made;
                let spare = std::mem::replace(piece, made);
                *held_bytes = piece.capacity() + size_of_val(&*producer) + producer.held_bytes();
                if let Ok(Produced::More | Produced::Yield) = next {
                    *work = begin_piece(offload, producer, spare);
                }
                Some(next)
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Maker::Here(producer) => size_of_val(&**producer) + producer.held_bytes(),
            Maker::Beside { held_bytes, .. } => *held_bytes,
        }
    }
}

impl Production {
    fn new(maker: Maker, framing: Framing) -> Production {
        Production { maker, framing, piece: Vec::new(), put_bytes: 0, next: Produced::More }
    }

    fn put(&mut self, out: &mut Outbox) -> SendProgress {
        let mut pieces = 0;
        loop {
            self.put_bytes += out.put_some(&self.piece[self.put_bytes..]);
            if self.put_bytes < self.piece.len() {
                return SendProgress::Full;
            }
            self.piece.clear();
            self.put_bytes = 0;
            match self.next {
                Produced::End => return SendProgress::Done,
                Produced::Yield => {
                    self.next = Produced::More;
                    return SendProgress::Yield;
                }
                Produced::More if pieces == PIECES_PER_CALL_MAX => return SendProgress::Yield,
                Produced::More => {}
            }
            pieces += 1;
            match self.maker.make(&mut self.piece) {
                None => return SendProgress::Waits,
                Some(Ok(next)) => self.next = next,
                Some(Err(error)) => {
                    log::warn!("http: cannot produce the rest of a response: {error}");
                    return SendProgress::Failed;
                }
            }
            if !self.frame() {
                return SendProgress::Failed;
            }
        }
    }

    /// Frames the piece as it was produced. `false` if the body has ended before its announced end.
    fn frame(&mut self) -> bool {
        match &mut self.framing {
            Framing::None | Framing::Close => {}
            Framing::Chunked => {
                if !self.piece.is_empty() {
                    let size = format!("{:x}\r\n", self.piece.len());
                    self.piece.splice(..0, size.into_bytes());
                    self.piece.extend_from_slice(b"\r\n");
                }
                if self.next == Produced::End {
                    self.piece.extend_from_slice(b"0\r\n\r\n");
                }
            }
            Framing::Length(left) => {
                if self.piece.len() as u64 > *left {
                    log::error!(
                        "http: a response is longer than its handler announced; the rest is not sent"
                    );
                    self.piece.truncate(*left as usize);
                    self.next = Produced::End;
                }
                *left -= self.piece.len() as u64;
                if *left == 0 {
                    self.next = Produced::End;
                } else if self.next == Produced::End {
                    log::error!(
                        "http: a response ends {left} bytes before the length that its handler announced"
                    );
                    return false;
                }
            }
        }
        true
    }
}
