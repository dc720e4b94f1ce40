//! Bytes to send: one pattern that all clients share, each from an offset of its own.

use std::sync::Arc;

use crate::load::random::Random;

/// The pattern repeats after this: a power of two, small enough to stay in a processor's cache.
const PERIOD_BYTES: usize = 64 << 10;
/// From one client's place in the pattern to the next one's: odd, so that all places are used.
const STRIDE: u64 = 40_503;

/// Random bytes without end. What was sent to another client, or at another time, does not look right.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// Twice the period, so that any piece of up to a period is in a row.
    bytes: Arc<[u8]>,
}

impl Pattern {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut bytes: Vec<u8> = (0..PERIOD_BYTES / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        bytes.extend_from_within(..);
        Pattern { bytes: bytes.into() }
    }

    /// Where the client with this number begins.
    pub(super) fn place(number: u32) -> u64 {
        u64::from(number) * STRIDE
    }

    /// Up to `len` bytes at `offset`, as many as are in a row.
    pub(super) fn at(&self, offset: u64, len: u64) -> &[u8] {
        let start = offset as usize & (PERIOD_BYTES - 1);
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(PERIOD_BYTES);
        &self.bytes[start..start + len]
    }
}
