//! Zstandard (RFC 8878) in independent frames: each is compressed separately, so that only one is in memory.
//! Decoders concatenate the content of consecutive frames (section 3).

use std::io::Cursor;

use ruzstd::encoding::{CompressionLevel, FrameCompressor, MatchGeneratorDriver};

use super::super::super::bounds::ZSTD_FRAME_BYTES;

/// Compresses what is written into its buffer.
pub(super) struct Zstd {
    /// What waits to be compressed: at most a frame, and what comes at once.
    pub(super) plain: Vec<u8>,
    compressor: FrameCompressor<Cursor<Vec<u8>>, Vec<u8>, MatchGeneratorDriver>,
}

/// The approximate memory of the compressor for a frame: two copies of its content and a table.
const COMPRESSOR_BYTES: usize = 16 * ZSTD_FRAME_BYTES;
/// One byte in this many of a frame is sampled, to decide whether to compress it.
const SAMPLE_EVERY: usize = 16;
/// A frame is compressed if two of its bytes are equal more often than in noise, by more than this many
/// percent. Compressed pictures and videos are below this, text and programs far above.
const NOISE_PERCENT: u64 = 110;

impl Zstd {
    pub(super) fn new() -> Zstd {
        Zstd { plain: Vec::new(), compressor: FrameCompressor::new(CompressionLevel::Fastest) }
    }

    /// Whether there are enough bytes for a frame.
    pub(super) fn is_full(&self) -> bool {
        self.plain.len() >= ZSTD_FRAME_BYTES
    }

    /// Appends the frame that waits to `out`.
    pub(super) fn compress(&mut self, out: &mut Vec<u8>) {
        if self.plain.is_empty() {
            return;
        }
        // Twice the time of text, for nothing.
        let level =
            if is_noise(&self.plain) { CompressionLevel::Uncompressed } else { CompressionLevel::Fastest };
        self.compressor.set_compression_level(level);
        self.compressor.set_source(Cursor::new(std::mem::take(&mut self.plain)));
        self.compressor.set_drain(std::mem::take(out));
        self.compressor.compress();
        *out = self.compressor.take_drain().unwrap_or_default();
        if let Some(source) = self.compressor.take_source() {
            self.plain = source.into_inner();
            self.plain.clear();
        }
    }

    /// Memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.plain.capacity() + COMPRESSOR_BYTES
    }
}

/// Whether compressing it would be in vain.
fn is_noise(bytes: &[u8]) -> bool {
    let mut counts = [0_u64; 256];
    for &byte in bytes.iter().step_by(SAMPLE_EVERY) {
        counts[usize::from(byte)] += 1;
    }
    let samples = bytes.len().div_ceil(SAMPLE_EVERY) as u64;
    let pairs: u64 = counts.iter().map(|count| count * count).sum();
    // The expected count in noise: each sample equals itself, and one in 256 of the others.
    let of_noise = samples + samples * samples / 256;
    pairs * 100 <= of_noise * NOISE_PERCENT
}

impl std::fmt::Debug for Zstd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zstd").field("plain_bytes", &self.plain.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(plain: &[u8]) -> Vec<u8> {
        let (mut zstd, mut out) = (Zstd::new(), Vec::new());
        for piece in plain.chunks(ZSTD_FRAME_BYTES) {
            zstd.plain.extend_from_slice(piece);
            zstd.compress(&mut out);
        }
        out
    }

    fn decompressed(bytes: &[u8], len: usize) -> Vec<u8> {
        let mut plain = Vec::with_capacity(len);
        ruzstd::decoding::FrameDecoder::new().decode_all_to_vec(bytes, &mut plain).unwrap();
        plain
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn frames_are_one_content_and_noise_is_not_compressed() {
        let text = "the quick brown fox jumps over the lazy dog, ".repeat(9_000).into_bytes();
        let noise = noise(3 * ZSTD_FRAME_BYTES + 1);
        for (plain, percent) in [(text, 0..50), (noise, 100..101), (b"a".to_vec(), 0..usize::MAX)] {
            let bytes = compressed(&plain);
            assert!(
                percent.contains(&(bytes.len() * 100 / plain.len())),
                "{} of {}",
                bytes.len(),
                plain.len()
            );
            assert!(decompressed(&bytes, plain.len()) == plain);
        }
        assert!(is_noise(&self::noise(ZSTD_FRAME_BYTES)) && !is_noise(include_bytes!("zstd.rs")));
    }
}
