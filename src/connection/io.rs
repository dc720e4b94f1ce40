//! The bytes of a connection: reading, writing, flushing, and what waits on either side.

// Functions on the path of every request are inlined: calls and copies of `Step` were a fifth of its
// instructions.
#![allow(clippy::inline_always)]

use std::io::{self, IoSlice};

use crate::limits::Limits;
use crate::session::{AnswerInfo, Front, GATHER_MAX, Outbox, Peer};
use crate::telemetry::{Answer, Reason, Telemetry};

use super::context::{Context, TimeSource, TurnBudget};
use super::inbox::Inbox;
use super::layers::{Handshake, Layers};
use super::transport::{FlushOutcome, Patience, ReadOutcome, Transport, WriteOutcome};

/// What TCP sends to a client that has acknowledged nothing yet: ten segments of an Ethernet (RFC 6928).
pub(super) const INITIAL_WINDOW_BYTES: u64 = 10 * 1460;

/// The stream of a client, its unconsumed input and its unsent output.
#[derive(Debug)]
pub(super) struct Io<T> {
    pub(super) transport: T,
    pub(super) input_end: InputEnd,
    extra: Option<Box<HeapState>>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// `bytes_out` at the end of the last reported answer: later bytes belong to the next answer.
    answered_bytes: u64,
    pub(super) peer: Peer,
    family: Family,
}

/// What a client has beyond its slot: most clients have it only while bytes wait.
#[derive(Debug)]
struct HeapState {
    /// Bytes that the session has not consumed.
    inbox: Inbox,
    /// Bytes that could not be sent yet. Exists only while the connection flushes.
    outbox: Option<Box<Outbox>>,
    layers: Layers,
}

/// Whether the client may still send. Independent of the state, because a client may end its side in any
/// state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputEnd {
    Open,
    Seen,
}

/// What kind of socket the stream is, whatever address the layers have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Tcp,
    Unix,
}

/// How an attempt to flush ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flushed {
    All,
    NotNow,
    Budget,
    Failed(Reason),
}

impl<T: Transport> Io<T> {
    pub(super) fn new(transport: T, layers: Layers, peer: Peer) -> Self {
        let extra = HeapState { inbox: Inbox::default(), outbox: None, layers };
        Io {
            transport,
            input_end: InputEnd::Open,
            extra: (!extra.layers.is_empty()).then(|| Box::new(extra)),
            bytes_in: 0,
            bytes_out: 0,
            answered_bytes: 0,
            peer,
            family: if peer == Peer::UNIX { Family::Unix } else { Family::Tcp },
        }
    }

    fn extra(&mut self) -> &mut HeapState {
        self.extra.get_or_insert_with(|| {
            Box::new(HeapState { inbox: Inbox::default(), outbox: None, layers: Layers::none() })
        })
    }

    /// Frees the heap state if it is empty. Not on the path of a request, which has none.
    #[inline(never)]
    fn release_extra(&mut self) {
        if let Some(HeapState { inbox, outbox: None, layers }) = self.extra.as_deref()
            && inbox.len() == 0
            && layers.is_empty()
        {
            self.extra = None;
        }
    }

    /// `None` if there are no layers.
    pub(super) fn layers(&self) -> Option<&Layers> {
        self.extra.as_ref().map(|extra| &extra.layers).filter(|layers| !layers.is_empty())
    }

    /// Moves the handshakes of the layers on. When they are done, the peer is the address that the layers
    /// have found.
    pub(super) fn handshake(&mut self, patience: Patience) -> io::Result<Handshake> {
        let Some(extra) = &mut self.extra else { return Ok(Handshake::Done) };
        let handshake = extra.layers.handshake(&mut self.transport, patience)?;
        if handshake == Handshake::Done {
            self.peer = extra.layers.peer().unwrap_or(self.peer);
        }
        Ok(handshake)
    }

    /// Takes off the layers that would change nothing any more.
    pub(super) fn drop_spent_layers(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.layers.drop_spent();
            self.release_extra();
        }
    }

    /// Whether a read may give bytes: the system has some, or a layer keeps some.
    pub(super) fn may_read(&self) -> bool {
        self.transport.may_read() || self.has_layer_input()
    }

    /// Whether a layer keeps bytes for a read.
    pub(super) fn has_layer_input(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.layers.has_input())
    }

    /// How many bytes are unconsumed.
    pub(super) fn inbox_len(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.inbox.len())
    }

    /// How many bytes a read may ask for: the inbox must be able to keep them all.
    pub(super) fn input_room(&self, ctx: &Context<'_>) -> usize {
        inbox_bytes_max(ctx.limits).saturating_sub(self.inbox_len()).min(ctx.scratch.input.len())
    }

    /// Reads up to `room` bytes to the front of the scratch input, and counts them.
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        room: usize,
        patience: Patience,
        ctx: &mut Context<'_>,
    ) -> io::Result<ReadOutcome> {
        ctx.scratch.outbox.give_back();
        let buf = &mut ctx.scratch.input.for_read()[..room];
        let read = match &mut self.extra {
            None => self.transport.read(buf, patience),
            Some(extra) => {
                let read = extra.layers.read(&mut self.transport, buf, patience);
                self.release_extra(); // the last layer may have been dropped
                read
            }
        };
        ctx.call_returned();
        let read = read?;
        match read {
            ReadOutcome::Bytes(len) => {
                ctx.scratch.input.received(len);
                self.bytes_in += len as u64;
                ctx.telemetry.received(len as u64);
            }
            ReadOutcome::End => self.input_end = InputEnd::Seen,
            ReadOutcome::Overhead | ReadOutcome::NotNow => {}
        }
        Ok(read)
    }

    /// All bytes that are unconsumed, with `fresh`, the bytes that were just read; and when the first and the
    /// last arrived.
    #[inline(always)]
    pub(super) fn unconsumed<'a>(&'a mut self, fresh: &'a [u8], now_ms: u64) -> (&'a [u8], u64, u64) {
        match &mut self.extra {
            Some(extra) if extra.inbox.len() > 0 => {
                extra.inbox.append(fresh, now_ms);
                let (first_ms, last_ms) = extra.inbox.arrived_ms();
                (extra.inbox.bytes(), first_ms, last_ms)
            }
            _ => (fresh, now_ms, now_ms),
        }
    }

    /// The session has taken `len` of what [`Io::unconsumed`] gave for `fresh`: the rest is kept.
    #[inline(always)]
    pub(super) fn consume(&mut self, len: usize, fresh: &[u8], now_ms: u64) {
        match &mut self.extra {
            Some(extra) if extra.inbox.len() > 0 => {
                extra.inbox.consume(len);
                if extra.inbox.len() == 0 {
                    self.drop_inbox();
                }
            }
            _ if len < fresh.len() => self.extra().inbox = Inbox::of(&fresh[len..], now_ms),
            _ => {}
        }
    }

    pub(super) fn drop_inbox(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.inbox = Inbox::default();
            self.release_extra();
        }
    }

    /// Keeps what could not be sent.
    pub(super) fn keep_outbox(&mut self, outbox: Box<Outbox>) {
        self.extra().outbox = Some(outbox);
    }

    pub(super) fn take_outbox(&mut self) -> Option<Box<Outbox>> {
        let outbox = self.extra.as_mut()?.outbox.take();
        self.release_extra();
        outbox
    }

    /// Writes from `outbox` until it is empty, the write would block, or the budget is spent; then flushes
    /// the layers. If the FIN follows at once, the system may hold the last bytes back, so that both leave in
    /// one segment.
    #[inline(always)]
    pub(super) fn flush(
        &mut self,
        outbox: &mut Outbox,
        end_follows: bool,
        clock: TimeSource<'_>,
        telemetry: &mut Telemetry,
        budget: &mut TurnBudget,
    ) -> Flushed {
        while !outbox.is_empty() {
            if budget.write_bytes == 0 {
                return Flushed::Budget;
            }
            let written = match outbox.plain() {
                Some(bytes) => self.write(&[IoSlice::new(bytes)], end_follows),
                None => self.write_front(outbox, end_follows, budget),
            };
            match written {
                Ok(WriteOutcome::Bytes(len)) => {
                    let before = self.bytes_out;
                    self.bytes_out += len as u64;
                    telemetry.sent(len as u64);
                    budget.write_bytes = budget.write_bytes.saturating_sub(len);
                    outbox.sent(len as u64, |info, sent| {
                        let (peer, sent_bytes) = (self.peer, self.answer_ends_at(before + sent));
                        telemetry.answered(&Answer {
                            peer,
                            info,
                            sent_bytes,
                            is_complete: true,
                            ended_ms: clock.now().monotonic_ms,
                        });
                    });
                }
                Ok(WriteOutcome::NotNow) => return Flushed::NotNow,
                Ok(WriteOutcome::FileShort) => return Flushed::Failed(Reason::FileShort),
                Err(error) => return Flushed::Failed(Reason::of_error(&error)),
            }
        }
        let Some(extra) = &mut self.extra else { return Flushed::All };
        match extra.layers.flush(&mut self.transport, end_follows) {
            Ok(FlushOutcome::All) => Flushed::All,
            Ok(FlushOutcome::NotNow) => Flushed::NotNow,
            Err(error) => Flushed::Failed(Reason::of_error(&error)),
        }
    }

    #[inline(never)] // its slices would be on the stack of every write
    fn write_front(
        &mut self,
        outbox: &Outbox,
        end_follows: bool,
        budget: &TurnBudget,
    ) -> io::Result<WriteOutcome> {
        let mut slices = [IoSlice::new(&[]); GATHER_MAX];
        match outbox.front(&mut slices) {
            Front::Empty => Ok(WriteOutcome::Bytes(0)), // reports of answers only
            Front::Bytes { count, file_follows } => self.write(&slices[..count], file_follows || end_follows),
            Front::File(range) => match &mut self.extra {
                None => self.transport.send_file(range, budget.write_bytes),
                Some(extra) => extra.layers.send_file(&mut self.transport, range, budget.write_bytes),
            },
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<WriteOutcome> {
        match &mut self.extra {
            None => self.transport.write(slices, more),
            Some(extra) => extra.layers.write(&mut self.transport, slices, more),
        }
    }

    /// Drops what was not sent, and reports its answers with the bytes that were.
    pub(super) fn abandon(&mut self, outbox: &mut Outbox, now_ms: u64, telemetry: &mut Telemetry) {
        outbox.abandon(|info| self.cut_answer(info, now_ms, telemetry));
    }

    /// Reports an answer of which nothing more is sent.
    pub(super) fn cut_answer(&mut self, info: &AnswerInfo, now_ms: u64, telemetry: &mut Telemetry) {
        let (peer, sent_bytes) = (self.peer, self.answer_ends_at(self.bytes_out));
        telemetry.answered(&Answer { peer, info, sent_bytes, is_complete: false, ended_ms: now_ms });
    }

    /// Ends the answer at this position of the sent bytes; returns its size.
    fn answer_ends_at(&mut self, bytes_out: u64) -> u64 {
        bytes_out - std::mem::replace(&mut self.answered_bytes, bytes_out)
    }

    /// Ends our side, and drops the layers: bytes that still come are discarded as they are.
    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        if let Some(extra) = &mut self.extra {
            extra.layers = Layers::none();
            self.release_extra();
        }
        self.transport.shutdown_write()
    }

    /// Bytes the client's side has taken, as far as is known.
    pub(super) fn taken_bytes(&self) -> u64 {
        self.bytes_out.saturating_sub(self.unacknowledged_bytes())
    }

    /// Sent bytes that the client has not acknowledged: a reset would destroy them. 0 on a Unix socket.
    pub(super) fn untaken_bytes(&self) -> u64 {
        match self.family {
            Family::Unix => 0,
            Family::Tcp => self.unacknowledged_bytes(),
        }
    }

    fn unacknowledged_bytes(&self) -> u64 {
        let held = self.extra.as_ref().map_or(0, |extra| extra.layers.output_bytes());
        self.transport.unacknowledged_bytes() + held as u64
    }

    /// Whether more is unacknowledged than TCP sends at once. After a plain close the system would try to
    /// deliver it for minutes.
    pub(super) fn is_behind(&self) -> bool {
        self.bytes_out > INITIAL_WINDOW_BYTES && self.untaken_bytes() > INITIAL_WINDOW_BYTES
    }

    /// Whether all that was ever sent, with `outbox`, leaves the kernel as soon as it is written. Bytes that
    /// wait in the kernel would be destroyed by a reset, should the client send anything after its end.
    pub(super) fn leaves_at_once(&self, outbox: &Outbox) -> bool {
        !outbox.has_file() && self.bytes_out + outbox.held_bytes() as u64 <= INITIAL_WINDOW_BYTES
    }

    /// Unconsumed and unsent bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let Some(extra) = &self.extra else { return 0 };
        extra.inbox.len() + extra.outbox.as_ref().map_or(0, |outbox| outbox.held_bytes())
    }

    /// Memory of the buffers and layers.
    pub(super) fn memory_bytes(&self) -> usize {
        let Some(extra) = &self.extra else { return 0 };
        size_of::<HeapState>()
            + extra.inbox.memory_bytes()
            + extra.outbox.as_ref().map_or(0, |outbox| outbox.memory_bytes())
            + extra.layers.memory_bytes()
    }
}

/// A read of no bytes would look like the end of input.
pub(super) fn inbox_bytes_max(limits: &Limits) -> usize {
    limits.inbox_bytes_max.max(1) as usize
}
