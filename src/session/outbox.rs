//! What a session sends: bytes, shared bytes and file ranges, bounded, in order.
//!
//! The bytes of small answers are in one buffer, so that an answer, or a batch of them, leaves in one write.
//! Answers of plain bytes, the most frequent kind, consist of this buffer only.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use super::{AnswerDetail, AnswerInfo};

/// Pieces beyond plain bytes that may wait at once: each costs a few words, so the count is bounded as the
/// bytes are.
const PIECES_MAX: usize = 64;
/// From this many bytes on, a put of bytes of the call's input sends them from where they lie: fewer are
/// copied as fast.
pub(crate) const LENT_BYTES_MIN: usize = 4 << 10;
/// Slices of one vectored write, gathered without an allocation.
pub(crate) const GATHER_MAX: usize = 16;

/// The outbox of one client, seen by its session.
///
/// Its room is bounded, and each of its writes puts all or nothing, except [`Outbox::put_some`]. A session
/// that finds no room returns [`Progress::need_room`](super::Progress::need_room), and is called again when
/// the client has read.
///
/// Puts copy their bytes, except [`Outbox::share`]. A server also sends 4 KiB or more of a call's input that
/// are put back at once from where they lie.
///
/// ```
/// use oneloop::session::{Full, Outbox};
///
/// let mut out = Outbox::new(16);
/// assert_eq!(out.put(b"HELLO "), Ok(()));
/// assert_eq!(out.put_fmt(format_args!("{} {}\n", 2, 3)), Ok(()));
/// assert_eq!(out.put(b"too long for it"), Err(Full));
/// assert_eq!(out.room(), 6);
/// ```
#[derive(Debug, Default)]
pub struct Outbox {
    /// Literal bytes of all [`Piece::Bytes`], in order, then the last `tail`; those before `head` have been
    /// sent.
    bytes: Vec<u8>,
    head: usize,
    pieces: VecDeque<Piece>,
    /// How many literal bytes follow the last piece.
    tail: usize,
    /// Waiting bytes in memory: literal and shared ones, without files.
    held_bytes: usize,
    bytes_max: usize,
    /// The buffer of the current call's input, until a put of bytes in it sends them from there.
    lent: Option<Arc<[u8]>>,
    answers: Answers,
    answer_detail: AnswerDetail,
}

/// Answers that a session has begun, for the counters of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers([u32; Answers::KINDS]);

impl Answers {
    /// Answers without a status, then those of the classes 1xx to 5xx.
    pub(crate) const KINDS: usize = 6;

    /// The number of answers of each kind.
    pub(crate) fn counts(self) -> [u32; Answers::KINDS] {
        self.0
    }
}

#[derive(Debug)]
enum Piece {
    Bytes(usize),
    Shared(Arc<[u8]>, Range<usize>),
    /// As `Shared`, in the buffer of the loop, which is needed for the next read.
    Lent(Arc<[u8]>, Range<usize>),
    File(FileRange),
    Answered(AnswerInfo),
}

/// A range of an open file, sent without passing through memory where the transport can.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file, open for reading. It is read at explicit offsets, so it can be shared.
    pub file: Arc<File>,
    /// Where the range begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes. A file that ends sooner ends the connection: the promise can no longer be
    /// kept.
    pub len: u64,
}

/// A run of the content of an outbox: see [`Outbox::content`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Content<'a> {
    /// Bytes in memory.
    Bytes(&'a [u8]),
    /// A range of a file.
    File(&'a FileRange),
    /// The answer of the bytes before it ends here.
    Answered(&'a AnswerInfo),
}

/// The outbox has no room; nothing was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room in the outbox")
    }
}

impl std::error::Error for Full {}

/// The front of an outbox, as the connection sends it.
pub(crate) enum Front<'a> {
    Empty,
    /// `count` slices are filled; with `file_follows` a file range comes next.
    Bytes {
        count: usize,
        file_follows: bool,
    },
    File(&'a FileRange),
}

impl Outbox {
    /// An empty outbox that holds at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Outbox { bytes_max, ..Outbox::default() }
    }

    /// Allocates room for this many bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// The memory for literal bytes and pieces, used or not.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.bytes.capacity() + self.pieces.capacity() * size_of::<Piece>()
    }

    /// Frees what its literal bytes and pieces do not need.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.pieces.shrink_to_fit();
        self.give_back();
    }

    /// How many bytes can be put now.
    pub fn room(&self) -> usize {
        if self.pieces.len() >= PIECES_MAX { 0 } else { self.bytes_max.saturating_sub(self.held_bytes) }
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.tail == 0 && self.pieces.is_empty()
    }

    /// Whether bytes or a file wait to be sent: reports of answers alone are nothing for the client.
    pub(crate) fn has_content(&self) -> bool {
        self.held_bytes > 0 || self.has_file()
    }

    /// How many bytes it can hold when empty.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes that wait in memory (files apart).
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Its memory: literal bytes, pieces, and the requests of answers. Shared bytes count for each client, as
    /// in [`Outbox::held_bytes`], because this outbox may hold the last reference.
    pub(crate) fn memory_bytes(&self) -> usize {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Shared(_, range) | Piece::Lent(_, range) => range.len(),
            Piece::Answered(info) => info.heap_bytes(),
            Piece::Bytes(_) | Piece::File(_) => 0,
        });
        let table = self.pieces.capacity() * size_of::<Piece>();
        size_of::<Outbox>() + self.bytes.capacity() + table + pieces.sum::<usize>()
    }

    /// The content that waits to be sent, in order. For sessions that call other sessions: such an adapter
    /// gives the inner session its own outbox ([`Outbox::inner`]), and passes on its content.
    ///
    /// ```
    /// use oneloop::session::{Content, Full, Input, Outbox, Progress, Session};
    ///
    /// /// Sends what another session sends, in capitals.
    /// struct Capitals<S>(S);
    ///
    /// impl<S: Session> Session for Capitals<S> {
    ///     fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
    ///         let mut inner = out.inner();
    ///         let progress = self.0.advance(input, &mut inner);
    ///         for content in inner.content() {
    ///             let put = match content {
    ///                 Content::Bytes(bytes) => out.put(&bytes.to_ascii_uppercase()),
    ///                 Content::File(range) => out.file(range.clone()),
    ///                 Content::Answered(info) => Ok(out.answered(info.clone())),
    ///                 _ => Ok(()),
    ///             };
    ///             put.expect("an inner outbox holds no more than the outer one");
    ///         }
    ///         out.count_answers_of(&mut inner);
    ///         progress
    ///     }
    ///
    ///     fn timer_due_ms(&self) -> Option<u64> {
    ///         self.0.timer_due_ms()
    ///     }
    /// }
    /// ```
    pub fn content(&self) -> impl Iterator<Item = Content<'_>> {
        let (mut at, end) = (self.head, self.bytes.len());
        let pieces = self.pieces.iter().map(move |piece| match piece {
            Piece::Bytes(len) => {
                at += len;
                Content::Bytes(&self.bytes[at - len..at])
            }
            Piece::Shared(bytes, range) | Piece::Lent(bytes, range) => Content::Bytes(&bytes[range.clone()]),
            Piece::File(range) => Content::File(range),
            Piece::Answered(info) => Content::Answered(info),
        });
        let tail = (self.tail > 0).then(|| Content::Bytes(&self.bytes[end - self.tail..]));
        pieces.chain(tail)
    }

    /// An empty outbox for a session inside the session of this one, with as much room as this one has and
    /// the same detail of answers. It allocates nothing until something is put.
    pub fn inner(&self) -> Outbox {
        Outbox { answer_detail: self.answer_detail, ..Outbox::new(self.room()) }
    }

    /// Counts the answers that were counted in an inner outbox ([`Outbox::count_answer`]).
    pub fn count_answers_of(&mut self, inner: &mut Outbox) {
        let counted = std::mem::take(&mut inner.answers);
        for (count, more) in self.answers.0.iter_mut().zip(counted.0) {
            *count = count.saturating_add(more);
        }
    }

    /// Puts all of `bytes`, or nothing.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if bytes.len() > self.room() {
            return Err(Full);
        }
        self.append(bytes);
        Ok(())
    }

    /// Puts all of several runs of bytes, or nothing.
    pub fn put_all(&mut self, runs: &[&[u8]]) -> Result<(), Full> {
        let len = runs.iter().map(|run| run.len()).sum();
        if len > self.room() {
            return Err(Full);
        }
        for run in runs {
            self.bytes.extend_from_slice(run);
        }
        self.grew(len);
        Ok(())
    }

    /// Puts all of a formatted text, or nothing: `out.put_fmt(format_args!("{len} bytes\n"))`. A formatting
    /// error counts as no room.
    pub fn put_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), Full> {
        let (start, room) = (self.bytes.len(), self.room());
        let mut writer = TextWriter { out: self, start, room };
        fmt::write(&mut writer, text).map_err(|fmt::Error| Full)?;
        writer.commit();
        Ok(())
    }

    /// Puts as many of `bytes` as there is room for; returns how many that was.
    pub fn put_some(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room());
        self.append(&bytes[..len]);
        len
    }

    /// Puts bytes for which there is room.
    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        if bytes.len() >= LENT_BYTES_MIN
            && let Some((buffer, range)) = self.take_lent(bytes)
        {
            self.held_bytes += bytes.len();
            self.push(Piece::Lent(buffer, range));
        } else {
            self.bytes.extend_from_slice(bytes);
            self.grew(bytes.len());
        }
    }

    /// Lends the buffer of the input with which the session is called, so that a session that sends its
    /// input back needs no copy of it. Before the next read, [`Outbox::give_back`] must follow.
    pub(crate) fn lend(&mut self, buffer: Arc<[u8]>) {
        self.lent = Some(buffer);
    }

    /// Gives the lent buffer back if no put has used it. (One that was used is given back when it was sent.)
    #[inline]
    pub(crate) fn give_back(&mut self) {
        if self.lent.is_some() {
            self.lent = None;
        }
    }

    /// The lent buffer and where in it `bytes` lie, if they do.
    fn take_lent(&mut self, bytes: &[u8]) -> Option<(Arc<[u8]>, Range<usize>)> {
        let start = bytes.as_ptr().addr().checked_sub(self.lent.as_ref()?.as_ptr().addr())?;
        let range = start..start + bytes.len();
        let buffer = self.lent.take_if(|buffer| range.end <= buffer.len())?;
        Some((buffer, range))
    }

    /// Puts a range of shared bytes, without a copy.
    ///
    /// # Panics
    /// If `range` is not within `bytes`.
    pub fn share(&mut self, bytes: Arc<[u8]>, range: Range<usize>) -> Result<(), Full> {
        assert!(range.start <= range.end && range.end <= bytes.len(), "{range:?} of {} bytes", bytes.len());
        if range.len() > self.room() {
            return Err(Full);
        }
        if !range.is_empty() {
            self.held_bytes += range.len();
            self.push(Piece::Shared(bytes, range));
        }
        Ok(())
    }

    /// Puts a range of a file. Files do not count as bytes, only as pieces.
    pub fn file(&mut self, range: FileRange) -> Result<(), Full> {
        if self.pieces.len() >= PIECES_MAX {
            return Err(Full);
        }
        if range.len > 0 {
            self.push(Piece::File(range));
        }
        Ok(())
    }

    /// Whether a file waits to be sent: it stays open until then.
    pub fn has_file(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::File(_)))
    }

    /// How much is to be reported of each answer with [`Outbox::answered`].
    pub fn answer_detail(&self) -> AnswerDetail {
        self.answer_detail
    }

    /// Asks the session for this much of each answer.
    pub(crate) fn set_answer_detail(&mut self, detail: AnswerDetail) {
        self.answer_detail = detail;
    }

    /// Reports an answer, which ends after the bytes put so far. There is always room: an answer has one
    /// report. Nothing is stored if no observer needs it ([`AnswerDetail::Count`]).
    pub fn answered(&mut self, info: AnswerInfo) {
        if self.answer_detail > AnswerDetail::Count {
            self.push(Piece::Answered(info));
        }
    }

    /// Counts an answer that begins, with its status in HTTP or a protocol with the same numbers (100 to
    /// 599). It counts requests that were understood or refused, whether or not their answers are sent
    /// completely.
    pub fn count_answer(&mut self, status: Option<u16>) {
        let kind = status.map_or(0, |status| usize::from(status / 100));
        if let Some(count) = self.answers.0.get_mut(kind) {
            *count = count.saturating_add(1);
        }
    }

    /// What was counted since this was last called.
    pub(crate) fn take_answers(&mut self) -> Option<Answers> {
        (self.answers != Answers::default()).then(|| std::mem::take(&mut self.answers))
    }

    fn push(&mut self, piece: Piece) {
        if self.tail > 0 {
            self.pieces.push_back(Piece::Bytes(std::mem::take(&mut self.tail)));
        }
        self.pieces.push_back(piece);
    }

    fn grew(&mut self, len: usize) {
        self.held_bytes += len;
        self.tail += len;
    }

    /// What is to be sent, if it is all in one run of bytes.
    #[inline]
    pub(crate) fn plain(&self) -> Option<&[u8]> {
        if self.pieces.is_empty() {
            (self.tail > 0).then(|| &self.bytes[self.head..])
        } else {
            self.only_piece()
        }
    }

    fn only_piece(&self) -> Option<&[u8]> {
        match self.pieces.front()? {
            Piece::Shared(bytes, range) | Piece::Lent(bytes, range)
                if self.tail == 0 && self.pieces.len() == 1 =>
            {
                Some(&bytes[range.clone()])
            }
            _ => None,
        }
    }

    /// What is to be sent next. Slices are gathered past reports of answers, up to the next file.
    pub(crate) fn front<'a>(&'a self, slices: &mut [IoSlice<'a>; GATHER_MAX]) -> Front<'a> {
        let (mut count, mut at) = (0, self.head);
        for piece in &self.pieces {
            match piece {
                Piece::File(range) if count == 0 => return Front::File(range),
                Piece::File(_) => return Front::Bytes { count, file_follows: true },
                Piece::Answered(_) => {}
                Piece::Bytes(len) => {
                    slices[count] = IoSlice::new(&self.bytes[at..at + len]);
                    at += len;
                    count += 1;
                }
                Piece::Shared(bytes, range) | Piece::Lent(bytes, range) => {
                    slices[count] = IoSlice::new(&bytes[range.clone()]);
                    count += 1;
                }
            }
            if count == GATHER_MAX {
                return Front::Bytes { count, file_follows: false };
            }
        }
        if self.tail > 0 {
            slices[count] = IoSlice::new(&self.bytes[at..]);
            count += 1;
        }
        if count == 0 { Front::Empty } else { Front::Bytes { count, file_follows: false } }
    }

    /// Notes that `len` bytes of the front were sent. Passes each answer that ends within them to `ended`,
    /// with how many of the bytes came before its end.
    #[inline]
    pub(crate) fn sent(&mut self, len: u64, ended: impl FnMut(&AnswerInfo, u64)) {
        if self.pieces.is_empty() && len == self.tail as u64 {
            // All of the content, if it is plain bytes.
            self.bytes.clear();
            (self.head, self.held_bytes, self.tail) = (0, self.held_bytes - self.tail, 0);
        } else {
            self.sent_part(len, ended);
        }
    }

    fn sent_part(&mut self, len: u64, mut ended: impl FnMut(&AnswerInfo, u64)) {
        let mut left = len;
        // Bound: each pass drops a piece, or is the last.
        while let Some(piece) = self.pieces.front_mut() {
            if let Piece::Answered(info) = piece {
                ended(info, len - left);
            } else if left == 0 {
                break;
            } else {
                let (part, whole) = piece.took(left);
                left -= part;
                match piece {
                    Piece::Bytes(_) => {
                        self.head += part as usize;
                        self.held_bytes -= part as usize;
                    }
                    Piece::Shared(..) | Piece::Lent(..) => self.held_bytes -= part as usize,
                    Piece::File(_) | Piece::Answered(_) => {}
                }
                if !whole {
                    break;
                }
            }
            self.pieces.pop_front();
        }
        debug_assert!(left <= self.tail as u64, "more was sent than there was");
        self.head += left as usize;
        self.held_bytes -= left as usize;
        self.tail -= left as usize;
        if self.is_empty() {
            self.bytes.clear();
            self.head = 0;
        }
    }

    /// Drops all that was not sent. Passes the answers that will not be sent in full to `cut`.
    pub(crate) fn abandon(&mut self, mut cut: impl FnMut(&AnswerInfo)) {
        for piece in self.pieces.drain(..) {
            if let Piece::Answered(info) = piece {
                cut(&info);
            }
        }
        self.bytes.clear();
        (self.head, self.tail, self.held_bytes) = (0, 0, 0);
    }

    /// Moves the unsent content into a new outbox for the client, which is no larger than needed: the scratch
    /// outbox and a lent buffer stay with the loop.
    pub(crate) fn take_rest(&mut self) -> Box<Outbox> {
        let has_lent = self.pieces.iter().any(|piece| matches!(piece, Piece::Lent(..)));
        let bytes = if has_lent { self.copy_lent() } else { self.bytes[self.head..].to_vec() };
        let rest = Outbox {
            bytes,
            head: 0,
            pieces: self.pieces.drain(..).collect(),
            tail: self.tail,
            held_bytes: self.held_bytes,
            bytes_max: self.bytes_max,
            lent: None,
            answers: Answers::default(),
            answer_detail: self.answer_detail,
        };
        self.bytes.clear();
        (self.head, self.tail, self.held_bytes) = (0, 0, 0);
        Box::new(rest)
    }

    /// Returns all literal and lent bytes in order. From then on the pieces and the tail stand for literal
    /// bytes only.
    fn copy_lent(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.held_bytes);
        let mut at = self.head;
        for piece in &mut self.pieces {
            match piece {
                Piece::Bytes(len) => {
                    bytes.extend_from_slice(&self.bytes[at..at + *len]);
                    at += *len;
                }
                Piece::Lent(buffer, range) => {
                    bytes.extend_from_slice(&buffer[range.clone()]);
                    *piece = Piece::Bytes(range.len());
                }
                Piece::Shared(..) | Piece::File(_) | Piece::Answered(_) => {}
            }
        }
        bytes.extend_from_slice(&self.bytes[at..]);
        while let Some(Piece::Bytes(len)) = self.pieces.back() {
            self.tail += len;
            self.pieces.pop_back();
        }
        bytes
    }
}

impl Piece {
    /// Removes up to `len` bytes from the front; returns how many, and whether the piece is now empty.
    fn took(&mut self, len: u64) -> (u64, bool) {
        match self {
            Piece::Bytes(left) => {
                let part = (*left as u64).min(len);
                *left -= part as usize;
                (part, *left == 0)
            }
            Piece::Shared(_, range) | Piece::Lent(_, range) => {
                let part = (range.len() as u64).min(len);
                range.start += part as usize;
                (part, range.start == range.end)
            }
            Piece::File(range) => {
                let part = range.len.min(len);
                range.offset += part;
                range.len -= part;
                (part, range.len == 0)
            }
            Piece::Answered(_) => (0, false),
        }
    }
}

/// Each call puts all or nothing, as [`Outbox::put`] does: an error of kind `StorageFull` means that there
/// was no room. That holds for `write!` too, whose text may come in many pieces.
impl io::Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map(|()| bytes.len()).map_err(storage_full)
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.put_fmt(text).map_err(storage_full)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn storage_full(full: Full) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, full)
}

/// Text that is being written into an outbox: it is removed on drop unless it was committed.
struct TextWriter<'a> {
    out: &'a mut Outbox,
    /// Where in the literal bytes the text begins.
    start: usize,
    room: usize,
}

impl TextWriter<'_> {
    fn commit(self) {
        let len = self.out.bytes.len() - self.start;
        self.out.grew(len);
        std::mem::forget(self);
    }
}

impl fmt::Write for TextWriter<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.room = self.room.checked_sub(piece.len()).ok_or(fmt::Error)?;
        self.out.bytes.extend_from_slice(piece.as_bytes());
        Ok(())
    }
}

impl Drop for TextWriter<'_> {
    fn drop(&mut self) {
        self.out.bytes.truncate(self.start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gathered(out: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); GATHER_MAX];
        match out.front(&mut slices) {
            Front::Bytes { count, .. } => slices[..count].iter().flat_map(|s| s.iter().copied()).collect(),
            Front::Empty | Front::File(_) => Vec::new(),
        }
    }

    #[test]
    fn bytes_and_shared_bytes_leave_in_order_whatever_is_sent_at_a_time() {
        for step in 1..12 {
            let mut out = Outbox::new(64);
            out.put(b"head ").unwrap();
            out.share(Arc::from(&b"..shared.."[..]), 2..8).unwrap();
            out.put(b" tail").unwrap();
            assert_eq!(out.plain(), None, "they leave in one write");
            let mut all = Vec::new();
            while !out.is_empty() {
                let mut part = gathered(&out);
                part.truncate(step);
                out.sent(part.len() as u64, |_, _| {});
                all.extend(part);
            }
            assert_eq!(all, b"head shared tail");
            assert_eq!((out.held_bytes(), out.room()), (0, 64));
        }
    }

    #[test]
    fn a_full_outbox_takes_all_or_nothing() {
        let mut out = Outbox::new(4);
        assert_eq!(out.put(b"12345"), Err(Full));
        assert!(out.is_empty());
        assert_eq!(out.put_some(b"12345"), 4);
        assert_eq!((out.room(), out.put(b"x")), (0, Err(Full)));
    }

    fn info(status: u16) -> AnswerInfo {
        AnswerInfo { status: Some(status), head_bytes: 0, began_ms: 0, request: None }
    }

    #[test]
    fn the_content_is_all_that_waits_in_its_order_though_a_part_was_sent() {
        let mut out = Outbox::new(64);
        out.set_answer_detail(AnswerDetail::Outcome);
        out.put(b"head ").unwrap();
        out.share(Arc::from(&b"..shared.."[..]), 2..8).unwrap();
        out.answered(info(200));
        let file = Arc::new(File::open("/dev/null").unwrap());
        out.file(FileRange { file, offset: 0, len: 7 }).unwrap();
        out.put(b"tail").unwrap();
        out.sent(2, |_, _| {});
        let content = out.content().map(|content| match content {
            Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Content::File(range) => format!("{} of a file", range.len),
            Content::Answered(info) => format!("{:?}", info.status),
        });
        assert_eq!(content.collect::<Vec<_>>(), ["ad ", "shared", "Some(200)", "7 of a file", "tail"]);
        assert_eq!(Outbox::new(8).content().count(), 0);
    }

    #[test]
    fn an_inner_outbox_has_the_room_that_is_left_and_its_counts_are_passed_on() {
        let mut out = Outbox::new(10);
        out.set_answer_detail(AnswerDetail::Request);
        out.put(b"four").unwrap();
        let mut inner = out.inner();
        assert_eq!((inner.room(), inner.answer_detail()), (6, AnswerDetail::Request));
        out.count_answer(Some(200));
        inner.count_answer(Some(200));
        inner.count_answer(None);
        out.count_answers_of(&mut inner);
        assert_eq!(out.take_answers().map(Answers::counts), Some([1, 0, 2, 0, 0, 0]));
        assert_eq!(inner.take_answers(), None);
    }

    #[test]
    fn a_formatted_text_is_put_whole_or_not_at_all_however_it_is_written() {
        use io::Write as _;
        struct Panics;
        impl fmt::Display for Panics {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                panic!("as commanded")
            }
        }
        let (mut out, [eight, nine]) = (Outbox::new(10), [8, 9]);
        assert_eq!(out.put_fmt(format_args!("{}-{}", 123, 4567)), Ok(()));
        assert_eq!(
            out.put_fmt(format_args!("{eight}{nine}{eight}")),
            Err(Full),
            "two pieces alone have room"
        );
        let error = write!(out, "{eight}{nine}{eight}").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!((gathered(&out), out.room()), (b"123-4567".to_vec(), 2));
        write!(out, "{nine}{eight}").unwrap();
        out.sent(10, |_, _| {});
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| out.put_fmt(format_args!("{Panics}"))));
        assert!(panicked.is_err());
        assert_eq!((gathered(&out), out.room()), (Vec::new(), 10));
    }

    #[test]
    fn pieces_are_bounded_however_few_bytes_they_have_and_a_report_has_room_still() {
        let shared: Arc<[u8]> = Arc::from(&b"x"[..]);
        let mut out = Outbox::new(1 << 20);
        out.set_answer_detail(AnswerDetail::Outcome);
        let put = (0..1000).take_while(|_| out.share(Arc::clone(&shared), 0..1).is_ok()).count();
        assert_eq!((put, out.room()), (PIECES_MAX, 0));
        let file = Arc::new(File::open("/dev/null").unwrap());
        assert_eq!(out.file(FileRange { file, offset: 0, len: 1 }), Err(Full));
        out.answered(info(200));
        out.sent(1, |_, _| {});
        assert_eq!(out.room(), 0, "the report took the place that has become free");
        out.sent(1, |_, _| {});
        assert!(out.room() > 0);
    }

    #[test]
    fn an_answer_has_ended_with_its_last_byte_or_is_cut() {
        let mut out = Outbox::new(64);
        out.set_answer_detail(AnswerDetail::Outcome);
        out.put(b"first").unwrap();
        out.answered(info(200));
        out.put(b"second!").unwrap();
        out.answered(info(404));
        let mut seen = Vec::new();
        out.sent(8, |info, before| seen.push((info.status, before)));
        assert_eq!(seen, [(Some(200), 5)]);
        let mut rest = out.take_rest();
        assert!(out.is_empty());
        assert_eq!(gathered(&rest), b"ond!");
        let mut cut = Vec::new();
        rest.abandon(|info| cut.push(info.status));
        assert_eq!(cut, [Some(404)]);
        assert!(rest.is_empty());
    }

    #[test]
    fn input_that_is_put_back_is_sent_from_where_it_lies_if_it_is_long_enough() {
        let buffer: Arc<[u8]> = Arc::from([7; LENT_BYTES_MIN + 1]);
        for range in [0..LENT_BYTES_MIN + 1, 1..LENT_BYTES_MIN + 1, 0..LENT_BYTES_MIN, 0..LENT_BYTES_MIN - 1]
        {
            let mut out = Outbox::new(1 << 20);
            out.lend(Arc::clone(&buffer));
            assert_eq!(out.put_some(&buffer[range.clone()]), range.len());
            let is_in_place = out.plain().unwrap().as_ptr() == buffer[range.clone()].as_ptr();
            assert_eq!(is_in_place, range.len() >= LENT_BYTES_MIN, "{range:?}");
        }
    }

    /// What is done with an outbox.
    #[derive(Clone, Debug)]
    enum Act {
        Put(usize),
        /// This part of the input.
        PutInput(Range<usize>),
        Share(usize),
        Report,
        /// The stream takes up to so many bytes of the front.
        Send(usize),
        /// The rest moves to an outbox of the client's own, and the loop reads into its buffer again.
        TakeRest,
    }

    const INPUT_BYTES: usize = 3 * LENT_BYTES_MIN;

    fn act() -> impl Strategy<Value = Act> {
        let len = 1..2 * LENT_BYTES_MIN;
        prop_oneof![
            len.clone().prop_map(Act::Put),
            (0..INPUT_BYTES, 0..INPUT_BYTES).prop_map(|(a, b)| Act::PutInput(a.min(b)..a.max(b))),
            len.clone().prop_map(Act::Share),
            Just(Act::Report),
            len.prop_map(Act::Send),
            Just(Act::TakeRest),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_was_put_wherever_it_lay(acts in prop::collection::vec(act(), 1..40)) {
            let mut next = 0u32;
            let mut fresh = |len: usize| -> Vec<u8> {
                next += 1;
                (0..len as u32).map(|at| (at.wrapping_mul(31) ^ next) as u8).collect()
            };
            let mut buffer: Arc<[u8]> = fresh(INPUT_BYTES).into();
            let mut out = Box::new(Outbox::new(usize::MAX));
            out.set_answer_detail(AnswerDetail::Outcome);
            let (mut waiting, mut begun, mut ended) = (Vec::new(), 0, 0);
            for act in acts {
                match act {
                    Act::Put(len) => {
                        let bytes = fresh(len);
                        waiting.extend_from_slice(&bytes);
                        out.put(&bytes).unwrap();
                    }
                    Act::PutInput(range) => {
                        out.lend(Arc::clone(&buffer));
                        waiting.extend_from_slice(&buffer[range.clone()]);
                        out.put(&buffer[range]).unwrap();
                    }
                    Act::Share(len) => {
                        let bytes = fresh(len);
                        waiting.extend_from_slice(&bytes);
                        out.share(bytes.into(), 0..len).unwrap();
                    }
                    Act::Report => {
                        begun += 1;
                        out.answered(info(200));
                    }
                    Act::Send(len) => {
                        let mut front = out.plain().map_or_else(|| gathered(&out), <[u8]>::to_vec);
                        front.truncate(len);
                        prop_assert!(waiting.starts_with(&front));
                        waiting.drain(..front.len());
                        out.sent(front.len() as u64, |_, _| ended += 1);
                    }
                    Act::TakeRest => {
                        let rest = out.take_rest();
                        prop_assert!(out.is_empty() && out.content().count() == 0);
                        out.give_back();
                        let owned = Arc::get_mut(&mut buffer).expect("the loop's buffer is its own again");
                        owned.copy_from_slice(&fresh(INPUT_BYTES));
                        out = rest;
                    }
                }
                let content = out.content().map(|content| match content {
                    Content::Bytes(bytes) => bytes,
                    Content::File(_) | Content::Answered(_) => &[],
                });
                prop_assert_eq!(content.collect::<Vec<_>>().concat(), &waiting[..]);
                prop_assert_eq!(out.held_bytes(), waiting.len());
                // `put` adds no piece without room for one: a full table has none.
                if out.room() == 0 {
                    break;
                }
            }
            out.abandon(|_| ended += 1);
            prop_assert_eq!(begun, ended);
        }
    }

    #[test]
    fn a_report_without_an_observer_is_not_stored() {
        let mut out = Outbox::new(64);
        out.put(b"answer").unwrap();
        out.answered(info(200));
        assert_eq!(out.plain(), Some(&b"answer"[..]));
    }
}
