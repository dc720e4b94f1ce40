//! Bytes to send: the same random bytes for all clients, each at its own offset.

use std::sync::Arc;

use crate::load::random::Random;

/// The period of the bytes: a power of two, small enough for the cache of a processor.
const PERIOD_BYTES: usize = 64 << 10;
/// The distance between the offsets of two clients: odd, so that all offsets are used.
const STRIDE: u64 = 40_503;

/// Random bytes without end. Bytes of another client, or of another time, do not match.
#[derive(Clone, Debug)]
pub(super) struct Filler {
    /// Two periods, so that any piece of up to one period is contiguous.
    bytes: Arc<[u8]>,
}

impl Filler {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut bytes: Vec<u8> = (0..PERIOD_BYTES / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        bytes.extend_from_within(..);
        Filler { bytes: bytes.into() }
    }

    /// The offset of the client with this number.
    pub(super) fn place(number: u32) -> u64 {
        u64::from(number) * STRIDE
    }

    /// Up to `len` bytes at `offset`.
    pub(super) fn at(&self, offset: u64, len: u64) -> &[u8] {
        let start = offset as usize & (PERIOD_BYTES - 1);
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(PERIOD_BYTES);
        &self.bytes[start..start + len]
    }
}
