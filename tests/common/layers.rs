//! Two byte layers for tests, and the client's side of them.
//!
//! [`Frames`] is a toy with all that makes a layer hard: a handshake of three round trips, bytes that change
//! with their place in the stream, records that split and coalesce what is sent, output that is held back, an
//! end of its own, and, where asked for, a failure at any of its calls. [`Origin`] is one line before all
//! else, with the client's address; then it is spent.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

use oneloop::connection::layers::Handshake;
use oneloop::connection::{FlushOutcome, Layer, Patience, ReadOutcome, Transport, WriteOutcome};
use oneloop::session::Peer;

/// What the client sends in each round of the handshake; the server answers each with [`welcome`]. A number
/// after the first asks it to fail after so many calls.
pub const HELLOS: [&[u8]; 3] = [b"hello", b"to server.test", b"speak frames/1"];
/// What the server sends before it closes a connection that broke the protocol.
pub const ALERT: &[u8] = b"alert";

const READ_BYTES: usize = 64;
/// Plain bytes of one record: fewer than most messages have.
const RECORD_BYTES: usize = 7;
/// Plain bytes that one read gives: fewer than most records have together.
const GIVEN_BYTES: usize = 5;
/// Output that is held back.
const HELD_BYTES: usize = 100;

/// The server's answer in this round, from 0.
fn welcome(round: usize) -> Vec<u8> {
    format!("welcome {round}").into_bytes()
}

/// A message of the handshake as it is sent: its length and its bytes.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

/// One direction of the records: each plain byte is changed by its place in the stream.
#[derive(Debug, Default)]
struct Records {
    place: u8,
}

impl Records {
    fn change(&mut self, byte: u8) -> u8 {
        self.place = self.place.wrapping_add(1);
        byte ^ self.place
    }

    fn encode(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        for part in plain.chunks(RECORD_BYTES) {
            records.push(part.len() as u8);
            records.extend(part.iter().map(|&byte| self.change(byte)));
        }
        records
    }

    /// The end of the stream.
    fn end() -> &'static [u8] {
        &[0]
    }

    /// Takes whole records from the front of `raw`; returns whether the end was among them.
    fn decode(&mut self, raw: &mut VecDeque<u8>, plain: &mut impl Extend<u8>) -> bool {
        while let Some(len) = raw.front().map(|&len| usize::from(len)) {
            if raw.len() <= len {
                return false;
            }
            raw.pop_front();
            if len == 0 {
                return true;
            }
            let changed: Vec<u8> = raw.drain(..len).collect();
            plain.extend(changed.into_iter().map(|byte| self.change(byte)));
        }
        false
    }
}

/// The server's side of the toy.
#[derive(Debug, Default)]
pub struct Frames {
    round: usize,
    /// As it came.
    raw: VecDeque<u8>,
    plain: VecDeque<u8>,
    input: Records,
    has_input_ended: bool,
    output: Records,
    held: VecDeque<u8>,
    has_output_ended: bool,
    /// How many calls succeed before one fails.
    calls_left: Option<u32>,
}

impl Frames {
    /// One whose call after so many fails.
    pub fn failing_after(calls: u32) -> Self {
        Frames { calls_left: Some(calls), ..Frames::default() }
    }

    fn count_call(&mut self) -> io::Result<()> {
        match &mut self.calls_left {
            Some(0) => Err(io::Error::new(io::ErrorKind::InvalidData, "the toy fails as it was asked to")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn write_held(&mut self, below: &mut dyn Transport, more: bool) -> io::Result<FlushOutcome> {
        while !self.held.is_empty() {
            match below.write(&[IoSlice::new(self.held.make_contiguous())], more)? {
                WriteOutcome::Bytes(len) => drop(self.held.drain(..len)),
                WriteOutcome::NotNow => return Ok(FlushOutcome::NotNow),
                WriteOutcome::FileShort => unreachable!("it was no file"),
            }
        }
        below.flush(more)
    }

    /// Reads once; `None` if nothing came.
    fn read_raw(&mut self, below: &mut dyn Transport, patience: Patience) -> io::Result<Option<usize>> {
        let mut buf = [0; READ_BYTES];
        match below.read(&mut buf, patience)? {
            ReadOutcome::Bytes(len) => {
                self.raw.extend(&buf[..len]);
                Ok(Some(len))
            }
            ReadOutcome::Overhead => Ok(Some(0)),
            ReadOutcome::End => Err(io::ErrorKind::UnexpectedEof.into()),
            ReadOutcome::NotNow => Ok(None),
        }
    }

    fn give(&mut self, buf: &mut [u8]) -> usize {
        let len = buf.len().min(self.plain.len()).min(GIVEN_BYTES);
        buf.iter_mut().zip(self.plain.drain(..len)).for_each(|(to, byte)| *to = byte);
        len
    }
}

impl Layer for Frames {
    fn handshake(&mut self, below: &mut dyn Transport, patience: Patience) -> io::Result<Handshake> {
        self.count_call()?;
        if self.write_held(below, false)? == FlushOutcome::NotNow {
            return Ok(Handshake::NotNow);
        }
        if self.round == HELLOS.len() {
            return Ok(Handshake::Done);
        }
        if let Some(len) = self.raw.front().map(|&len| usize::from(len))
            && self.raw.len() > len
        {
            let said: Vec<u8> = self.raw.drain(..=len).skip(1).collect();
            let wish = said.strip_prefix(HELLOS[self.round]);
            if let (0, Some([b' ', calls @ ..])) = (self.round, wish) {
                self.calls_left = std::str::from_utf8(calls).ok().and_then(|calls| calls.parse().ok());
            } else if wish != Some(b"") {
                self.held.extend(message(ALERT));
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not the hello of this round"));
            }
            self.held.extend(message(&welcome(self.round)));
            self.round += 1;
            return Ok(Handshake::Progress);
        }
        Ok(if self.read_raw(below, patience)?.is_some() { Handshake::Progress } else { Handshake::NotNow })
    }

    fn read(
        &mut self,
        below: &mut dyn Transport,
        buf: &mut [u8],
        patience: Patience,
    ) -> io::Result<ReadOutcome> {
        self.count_call()?;
        self.write_held(below, false)?;
        self.has_input_ended |= self.input.decode(&mut self.raw, &mut self.plain);
        if self.plain.is_empty() && !self.has_input_ended {
            if self.read_raw(below, patience)?.is_none() {
                return Ok(ReadOutcome::NotNow);
            }
            self.has_input_ended |= self.input.decode(&mut self.raw, &mut self.plain);
        }
        match self.give(buf) {
            0 if self.has_input_ended => Ok(ReadOutcome::End),
            0 => Ok(ReadOutcome::Overhead),
            len => Ok(ReadOutcome::Bytes(len)),
        }
    }

    fn write(
        &mut self,
        below: &mut dyn Transport,
        slices: &[IoSlice<'_>],
        more: bool,
    ) -> io::Result<WriteOutcome> {
        self.count_call()?;
        if self.held.len() >= HELD_BYTES && self.write_held(below, more)? == FlushOutcome::NotNow {
            return Ok(WriteOutcome::NotNow);
        }
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        let plain: Vec<u8> = bytes.take(HELD_BYTES).collect();
        self.held.extend(self.output.encode(&plain));
        Ok(WriteOutcome::Bytes(plain.len()))
    }

    fn flush(&mut self, below: &mut dyn Transport, end_follows: bool) -> io::Result<FlushOutcome> {
        self.count_call()?;
        if end_follows && !std::mem::replace(&mut self.has_output_ended, true) && self.round == HELLOS.len() {
            self.held.extend(Records::end());
        }
        self.write_held(below, end_follows)
    }

    fn has_input(&self) -> bool {
        !self.plain.is_empty() || self.has_input_ended
    }

    fn output_bytes(&self) -> usize {
        self.held.len()
    }

    fn memory_bytes(&self) -> usize {
        self.raw.capacity() + self.plain.capacity() + self.held.capacity()
    }

    fn server_name(&self) -> Option<&str> {
        (self.round > 1).then_some("server.test")
    }

    fn protocol(&self) -> Option<&[u8]> {
        (self.round > 2).then_some(b"frames/1")
    }
}

/// One line with the client's address comes first, as with the PROXY protocol.
#[derive(Debug, Default)]
pub struct Origin {
    raw: VecDeque<u8>,
    peer: Option<Peer>,
}

/// The longest line, without its end.
const LINE_BYTES: usize = 60;

impl Layer for Origin {
    fn handshake(&mut self, below: &mut dyn Transport, patience: Patience) -> io::Result<Handshake> {
        if let Some(len) = self.raw.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.raw.drain(..=len).take(len).collect();
            let addr = String::from_utf8(line).ok().and_then(|line| line.parse::<SocketAddr>().ok());
            let Some(addr) = addr else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not an address"));
            };
            self.peer = Some(addr.into());
            return Ok(Handshake::Done);
        }
        if self.raw.len() > LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
        }
        let mut buf = [0; READ_BYTES];
        match below.read(&mut buf, patience)? {
            ReadOutcome::Bytes(len) => {
                self.raw.extend(&buf[..len]);
                Ok(Handshake::Progress)
            }
            ReadOutcome::Overhead => Ok(Handshake::Progress),
            ReadOutcome::End => Err(io::ErrorKind::UnexpectedEof.into()),
            ReadOutcome::NotNow => Ok(Handshake::NotNow),
        }
    }

    fn read(
        &mut self,
        below: &mut dyn Transport,
        buf: &mut [u8],
        patience: Patience,
    ) -> io::Result<ReadOutcome> {
        if self.raw.is_empty() {
            return below.read(buf, patience);
        }
        let len = buf.len().min(self.raw.len());
        buf.iter_mut().zip(self.raw.drain(..len)).for_each(|(to, byte)| *to = byte);
        Ok(ReadOutcome::Bytes(len))
    }

    fn write(
        &mut self,
        below: &mut dyn Transport,
        slices: &[IoSlice<'_>],
        more: bool,
    ) -> io::Result<WriteOutcome> {
        below.write(slices, more)
    }

    fn flush(&mut self, below: &mut dyn Transport, end_follows: bool) -> io::Result<FlushOutcome> {
        below.flush(end_follows)
    }

    fn has_input(&self) -> bool {
        self.peer.is_some() && !self.raw.is_empty()
    }

    fn output_bytes(&self) -> usize {
        0
    }

    fn memory_bytes(&self) -> usize {
        self.raw.capacity()
    }

    fn is_spent(&self) -> bool {
        self.peer.is_some() && self.raw.is_empty()
    }

    fn peer(&self) -> Option<Peer> {
        self.peer
    }
}

/// The client's side of the toy: what it sends for what it has received.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct FramesClient {
    /// Rounds whose hello was sent, and rounds that were answered.
    sent: usize,
    answered: usize,
    raw: VecDeque<u8>,
    /// What came, as the service put it.
    pub got: Vec<u8>,
    /// The server has ended its side in order.
    pub has_ended: bool,
    /// The server has refused the handshake.
    pub(crate) was_alerted: bool,
    input: Records,
    output: Records,
    waiting: Vec<u8>,
    has_begun: bool,
    ends: bool,
    /// After how many calls the server is to fail.
    fails_after: Option<u32>,
}

impl FramesClient {
    /// A client that asks the server to fail after so many calls.
    pub fn failing_after(calls: u32) -> Self {
        FramesClient { fails_after: Some(calls), ..FramesClient::default() }
    }

    /// Bytes came; returns those that are to be sent now.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.raw.extend(bytes);
        while self.answered < HELLOS.len()
            && let Some(len) = self.raw.front().map(|&len| usize::from(len))
            && self.raw.len() > len
        {
            let said: Vec<u8> = self.raw.drain(..=len).skip(1).collect();
            if said == ALERT {
                self.was_alerted = true;
                return Vec::new();
            }
            assert_eq!(said, welcome(self.answered));
            self.answered += 1;
        }
        if self.answered == HELLOS.len() {
            self.has_ended |= self.input.decode(&mut self.raw, &mut self.got);
        }
        self.next_bytes()
    }

    /// Sends `bytes`: when the handshake is done.
    pub fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.waiting.extend_from_slice(bytes);
        self.next_bytes()
    }

    /// Ends the client's side, behind what waits to be sent.
    pub fn end(&mut self) -> Vec<u8> {
        self.ends = true;
        self.next_bytes()
    }

    /// Whether the handshake is done.
    pub fn is_established(&self) -> bool {
        self.answered == HELLOS.len()
    }

    /// Begins the handshake.
    pub fn begin(&mut self) -> Vec<u8> {
        self.has_begun = true;
        self.next_bytes()
    }

    fn next_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.sent < HELLOS.len() {
            if self.has_begun && self.sent == self.answered {
                let wish = self.fails_after.filter(|_| self.sent == 0).map(|calls| format!(" {calls}"));
                bytes.extend(message(&[HELLOS[self.sent], wish.unwrap_or_default().as_bytes()].concat()));
                self.sent += 1;
            }
        } else if self.is_established() {
            bytes.extend(self.output.encode(&std::mem::take(&mut self.waiting)));
            if std::mem::take(&mut self.ends) {
                bytes.extend(Records::end());
            }
        }
        bytes
    }
}
