//! What the clients of the load generator promise for any bytes that a server sends; shared by the fuzz
//! target and the replay of its corpus.

use oneloop::load::clients::{ChargenLoad, EchoLoad, HttpLoad, MessageLoad};
use oneloop::load::{Client, ReplyStatus, Workload};

/// Bytes of one stream, repetitions included: more than the longest head that a client keeps.
const STREAM_BYTES_MAX: usize = 160 << 10;
/// A long stream has no more pieces than this, so that one input takes milliseconds.
const PIECES_MAX: usize = 8 << 10;

/// What became of a stream of replies.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Where each whole reply ended in the stream.
    ends: Vec<usize>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing more was owed when the server ended.
    Complete,
    /// The server ended within a reply.
    CutShort,
    /// After the reply that ended last, no other is accepted.
    Last,
    Wrong(&'static str),
}

/// How the end of the stream reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndComes {
    Alone,
    WithTheLastBytes,
}

/// One connection and where it is in its stream.
struct Reader<C> {
    client: C,
    number: u64,
    at: usize,
    ends: Vec<usize>,
    end: Option<End>,
}

impl<C: Client> Reader<C> {
    fn new(client: C) -> Self {
        Reader { client, number: 0, at: 0, ends: Vec::new(), end: None }
    }

    /// Hands on what one read gave, as a conversation does: what a whole reply leaves belongs to the next
    /// one.
    fn read(&mut self, mut bytes: &[u8], ended: bool) {
        let mut is_called = bytes.is_empty() && ended;
        while self.end.is_none() && (!bytes.is_empty() || is_called) {
            is_called = false;
            let verdict = self.client.reply(self.number, bytes, ended);
            let taken = match verdict {
                ReplyStatus::Incomplete => {
                    self.at += bytes.len();
                    self.end = ended.then_some(End::CutShort);
                    return;
                }
                ReplyStatus::Wrong(what) => {
                    self.end = Some(End::Wrong(what));
                    return;
                }
                ReplyStatus::Complete(taken) | ReplyStatus::Final(taken) => taken,
            };
            assert!(taken <= bytes.len(), "more was taken than had come");
            assert!(taken > 0 || ended, "a reply without bytes");
            self.at += taken;
            self.ends.push(self.at);
            self.number += 1;
            bytes = &bytes[taken..];
            if let ReplyStatus::Final(_) = verdict {
                self.end = Some(End::Last);
            } else if bytes.is_empty() && ended {
                self.end = Some(End::Complete);
            }
        }
    }
}

fn outcome<W: Workload>(load: &W, stream: &[u8], piece: usize, end_comes: EndComes) -> Outcome {
    let mut reader = Reader::new(load.open(0));
    let piece = piece.max(stream.len().div_ceil(PIECES_MAX)).max(1);
    let mut rest = stream;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        rest = later;
        reader.read(now, rest.is_empty() && end_comes == EndComes::WithTheLastBytes);
    }
    let is_between = reader.ends.last().copied().unwrap_or(0) == stream.len();
    if reader.end.is_none() && is_between {
        reader.end = Some(End::Complete); // nothing is owed, so the client is not asked
    }
    reader.read(&[], true);
    Outcome { ends: reader.ends, end: reader.end.expect("the stream has ended") }
}

/// The outcome is the same however the stream is split.
fn check_splits<W: Workload>(load: impl Fn() -> W, stream: &[u8], piece: usize) {
    let whole = outcome(&load(), stream, stream.len(), EndComes::Alone);
    for (piece, end_comes) in [
        (piece, EndComes::Alone),
        (piece, EndComes::WithTheLastBytes),
        (stream.len(), EndComes::WithTheLastBytes),
        (1, EndComes::Alone),
    ] {
        assert_eq!(
            outcome(&load(), stream, piece, end_comes),
            whole,
            "in pieces of {piece}, end {end_comes:?}"
        );
    }
}

/// Whether any of two connections of one load gets a wrong reply, when they read their streams in turns of
/// `turn` bytes.
fn any_is_wrong(load: &HttpLoad, streams: [&[u8]; 2], turn: usize) -> bool {
    let mut readers = [Reader::new(load.open(0)), Reader::new(load.open(1))];
    let mut rests = streams;
    let turn = turn.max((streams[0].len() + streams[1].len()).div_ceil(PIECES_MAX)).max(1);
    while rests.iter().any(|rest| !rest.is_empty()) {
        for (reader, rest) in readers.iter_mut().zip(&mut rests) {
            let (now, later) = rest.split_at(turn.min(rest.len()));
            reader.read(now, false);
            *rest = later;
        }
    }
    for reader in &mut readers {
        let is_between = reader.ends.last().copied().unwrap_or(0) == reader.at;
        if !is_between {
            reader.read(&[], true);
        }
    }
    readers.iter().any(|reader| matches!(reader.end, Some(End::Wrong(_))))
}

/// The order in which the replies of a load arrive does not change the verdict: all bodies have to be equal.
fn check_order(stream: &[u8], cut: usize, turn: usize) {
    let (one, other) = stream.split_at(cut.min(stream.len()));
    let load = || HttpLoad::new("h", "/", false);
    let wrong = any_is_wrong(&load(), [one, other], stream.len());
    assert_eq!(any_is_wrong(&load(), [other, one], stream.len()), wrong, "the other one first");
    assert_eq!(any_is_wrong(&load(), [one, other], turn), wrong, "in turns of {turn} bytes");
}

/// Five bytes, then the stream: which client, the size of pieces, and which part of the stream is repeated
/// how often, so that a short input can reach the bounds. No panic; the same verdict however the bytes are
/// split.
pub(crate) fn check(data: &[u8]) {
    let Some((&[kind, piece, from, len, times], rest)) = data.split_first_chunk() else { return };
    let (from, piece) = (usize::from(from).min(rest.len()), usize::from(piece) + 1);
    let to = (from + usize::from(len)).min(rest.len());
    let mut stream = rest[..from].to_vec();
    for _ in 0..=u32::from(times) * 8 {
        if stream.len() + (to - from) > STREAM_BYTES_MAX {
            break;
        }
        stream.extend_from_slice(&rest[from..to]);
    }
    stream.extend_from_slice(&rest[to..]);
    match kind % 8 {
        0..=3 => check_splits(|| HttpLoad::new("h", "/", kind % 2 == 1), &stream, piece),
        4 => check_order(&stream, usize::from(times) * 2, piece),
        5 => check_splits(|| MessageLoad::new(64), &stream, piece),
        6 => check_splits(|| ChargenLoad::new(piece as u64), &stream, usize::from(times) + 1),
        _ => {
            // What is echoed is random: it is put before the stream, so that something is right.
            let load = EchoLoad::new(piece as u64, 7);
            let echo = load.open(0).request(0, 0).to_vec();
            check_splits(|| load.clone(), &[&echo, &stream[..]].concat(), usize::from(times) + 1);
        }
    }
}
