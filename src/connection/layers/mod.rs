//! Byte layers between a connection and its transport: the header of a proxy, or TLS.
//!
//! A [`Layer`] sees what is below it as a [`Transport`], and does the same for what is above it: it reads,
//! writes and sends files. Before the first byte of the service it may need several reads and writes of its
//! own: its handshake. It does not depend on whether the calls below it block, so a layer works under every
//! model.
//!
//! Most clients have no layers; that costs them one branch per call of the transport.
//!
//! A new layer is a file here that implements [`Layer`]; a listener gets it through [`ListenerLayers`].
//! Neither the state machine nor a model changes. `tests/common/layers.rs` has two examples.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::session::{FileRange, Peer};

use super::transport::{FlushOutcome, Patience, ReadOutcome, Transport, WriteOutcome};

/// Bytes of a file that are in memory at once where a layer has to see them.
const FILE_BYTES_AT_ONCE: usize = 16 << 10;

/// How far a handshake got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It is done: bytes may be read and written through the layer.
    Done,
    /// Bytes came, and there may be more to do at once.
    Progress,
    /// Bytes, or room, must come first.
    NotNow,
}

/// One layer of one client's stream.
///
/// What a layer keeps in memory must be bounded in both directions. Each call does at most one read below, so
/// that the budget of reads bounds the work for one client. An error of kind `InvalidData` means that the
/// client broke the protocol of the layer; `UnexpectedEof`, that its bytes ended too early.
pub trait Layer: fmt::Debug + Send {
    /// Continues the handshake. Called again, when there may be more bytes or room, until it is complete.
    ///
    /// # Errors
    /// The client ends. With `InvalidData` the output that the layer holds (an alert) is sent first, if there
    /// is room.
    fn handshake(&mut self, below: &mut dyn Transport, patience: Patience) -> io::Result<Handshake>;

    /// Reads, as [`Transport::read`]. Output that the layer holds is written first, if there is room.
    ///
    /// # Errors
    /// As for [`Layer::handshake`].
    fn read(
        &mut self,
        below: &mut dyn Transport,
        buf: &mut [u8],
        patience: Patience,
    ) -> io::Result<ReadOutcome>;

    /// Takes bytes to be sent, as [`Transport::write`]. The layer may hold them back until [`Layer::flush`];
    /// it takes none while it holds its maximum.
    ///
    /// # Errors
    /// The client ends.
    fn write(
        &mut self,
        below: &mut dyn Transport,
        slices: &[IoSlice<'_>],
        more: bool,
    ) -> io::Result<WriteOutcome>;

    /// Writes all that the layer holds, then flushes what is below. With `end_follows` no more bytes come,
    /// and the layer adds its own end first; it must do so once, although it may be called again.
    ///
    /// # Errors
    /// The client ends.
    fn flush(&mut self, below: &mut dyn Transport, end_follows: bool) -> io::Result<FlushOutcome>;

    /// Sends bytes of a file. By default they are read, and written with [`Layer::write`].
    ///
    /// # Errors
    /// The client ends.
    fn send_file(
        &mut self,
        below: &mut dyn Transport,
        range: &FileRange,
        bytes_max: usize,
    ) -> io::Result<WriteOutcome> {
        let len = usize::try_from(range.len).unwrap_or(usize::MAX).min(bytes_max).min(FILE_BYTES_AT_ONCE);
        let mut bytes = vec![0; len];
        match range.file.read_at(&mut bytes, range.offset)? {
            0 => Ok(WriteOutcome::FileShort),
            read => self.write(below, &[IoSlice::new(&bytes[..read])], (read as u64) < range.len),
        }
    }

    /// Whether a read would give bytes, or the end, without a read below.
    fn has_input(&self) -> bool;

    /// Bytes that the layer holds to be written.
    fn output_bytes(&self) -> usize;

    /// Memory that the layer takes.
    fn memory_bytes(&self) -> usize;

    /// Whether the layer holds nothing and will change nothing: then it is dropped.
    fn is_spent(&self) -> bool {
        false
    }

    /// The client's real address, if it is not that of the socket. Known when the handshake is done.
    fn peer(&self) -> Option<Peer> {
        None
    }

    /// The name of the server that the client asked for. Known when the handshake is done.
    fn server_name(&self) -> Option<&str> {
        None
    }

    /// The application protocol that was agreed on. Known when the handshake is done.
    fn protocol(&self) -> Option<&[u8]> {
        None
    }
}

/// The layers that each client of a listener gets.
///
/// The first is next to the stream. Where an address is found by a layer, the reactor limits clients by that
/// address (`clients_per_address_max`); the models that accept in another process or thread than they serve
/// in limit them by the address of the socket. A refused client is closed without a handshake.
///
/// ```
/// use oneloop::connection::{Layer, ListenerLayers};
///
/// fn with_header<L: Layer + Default + 'static>() -> ListenerLayers {
///     ListenerLayers::none().with(L::default)
/// }
/// ```
#[derive(Clone, Default)]
pub struct ListenerLayers {
    /// From the stream up.
    makers: Vec<Arc<MakeLayer>>,
}

type MakeLayer = dyn Fn() -> Box<dyn Layer> + Send + Sync;

impl ListenerLayers {
    /// No layers: the bytes of the service are those of the stream.
    pub fn none() -> Self {
        ListenerLayers::default()
    }

    /// Adds a layer above the others.
    #[must_use]
    pub fn with<L: Layer + 'static>(mut self, make: impl Fn() -> L + Send + Sync + 'static) -> Self {
        self.makers.push(Arc::new(move || Box::new(make())));
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.makers.is_empty()
    }

    /// The layers of a new client.
    #[inline]
    pub fn make(&self) -> Layers {
        let layers = self.makers.iter().map(|make| make()).collect();
        Layers { layers, done: 0 }
    }
}

impl fmt::Debug for ListenerLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} layers", self.makers.len())
    }
}

/// The layers of one client: none for most.
#[derive(Debug)]
pub struct Layers {
    /// From the stream up.
    layers: Vec<Box<dyn Layer>>,
    /// The number of layers whose handshake is complete.
    done: usize,
}

/// The stream as a layer sees it: the transport and the layers between.
struct LowerStream<'a> {
    layers: &'a mut [Box<dyn Layer>],
    transport: &'a mut dyn Transport,
}

impl Layers {
    /// None.
    pub const fn none() -> Self {
        Layers { layers: Vec::new(), done: 0 }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The stream as it is above all layers.
    fn on<'a, T: Transport>(&'a mut self, transport: &'a mut T) -> LowerStream<'a> {
        LowerStream { layers: &mut self.layers, transport }
    }

    pub(super) fn handshake<T: Transport>(
        &mut self,
        transport: &mut T,
        patience: Patience,
    ) -> io::Result<Handshake> {
        while self.done < self.layers.len() {
            let (layers, above) = self.layers.split_at_mut(self.done);
            match above[0].handshake(&mut LowerStream { layers, transport }, patience)? {
                Handshake::Done => self.done += 1,
                unfinished => return Ok(unfinished),
            }
        }
        Ok(Handshake::Done)
    }

    pub(super) fn read<T: Transport>(
        &mut self,
        transport: &mut T,
        buf: &mut [u8],
        patience: Patience,
    ) -> io::Result<ReadOutcome> {
        let read = self.on(transport).read(buf, patience);
        self.drop_spent();
        read
    }

    pub(super) fn write<T: Transport>(
        &mut self,
        transport: &mut T,
        slices: &[IoSlice<'_>],
        more: bool,
    ) -> io::Result<WriteOutcome> {
        self.on(transport).write(slices, more)
    }

    pub(super) fn send_file<T: Transport>(
        &mut self,
        transport: &mut T,
        range: &FileRange,
        bytes_max: usize,
    ) -> io::Result<WriteOutcome> {
        self.on(transport).send_file(range, bytes_max)
    }

    pub(super) fn flush<T: Transport>(
        &mut self,
        transport: &mut T,
        end_follows: bool,
    ) -> io::Result<FlushOutcome> {
        self.on(transport).flush(end_follows)
    }

    /// Takes off the layers that would change nothing any more.
    pub(super) fn drop_spent(&mut self) {
        if self.layers.iter().any(|layer| layer.is_spent()) {
            self.layers.retain(|layer| !layer.is_spent());
            self.done = self.layers.len();
        }
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = &dyn Layer> {
        self.layers.iter().map(AsRef::as_ref)
    }

    pub(super) fn has_input(&self) -> bool {
        self.all().any(Layer::has_input)
    }

    pub(super) fn output_bytes(&self) -> usize {
        self.all().map(Layer::output_bytes).sum()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.layers.capacity() * size_of::<Box<dyn Layer>>()
            + self.all().map(Layer::memory_bytes).sum::<usize>()
    }

    pub(super) fn peer(&self) -> Option<Peer> {
        self.all().rev().find_map(Layer::peer)
    }

    pub(super) fn server_name(&self) -> Option<&str> {
        self.all().rev().find_map(Layer::server_name)
    }

    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.all().rev().find_map(Layer::protocol)
    }
}

impl LowerStream<'_> {
    /// The uppermost layer, and what is below it.
    fn split(&mut self) -> Option<(&mut dyn Layer, LowerStream<'_>)> {
        let (top, layers) = self.layers.split_last_mut()?;
        Some((top.as_mut(), LowerStream { layers, transport: &mut *self.transport }))
    }
}

impl Transport for LowerStream<'_> {
    fn read(&mut self, buf: &mut [u8], patience: Patience) -> io::Result<ReadOutcome> {
        match self.split() {
            Some((layer, mut below)) => layer.read(&mut below, buf, patience),
            None => self.transport.read(buf, patience),
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<WriteOutcome> {
        match self.split() {
            Some((layer, mut below)) => layer.write(&mut below, slices, more),
            None => self.transport.write(slices, more),
        }
    }

    fn send_file(&mut self, range: &FileRange, bytes_max: usize) -> io::Result<WriteOutcome> {
        match self.split() {
            Some((layer, mut below)) => layer.send_file(&mut below, range, bytes_max),
            None => self.transport.send_file(range, bytes_max),
        }
    }

    fn flush(&mut self, end_follows: bool) -> io::Result<FlushOutcome> {
        match self.split() {
            Some((layer, mut below)) => layer.flush(&mut below, end_follows),
            None => Ok(FlushOutcome::All),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.transport.shutdown_write()
    }

    fn may_read(&self) -> bool {
        self.transport.may_read() || self.layers.iter().any(|layer| layer.has_input())
    }

    fn unacknowledged_bytes(&self) -> u64 {
        let held: usize = self.layers.iter().map(|layer| layer.output_bytes()).sum();
        self.transport.unacknowledged_bytes() + held as u64
    }
}
