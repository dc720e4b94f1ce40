//! Bodies with the content coding gzip.

use std::fmt;
use std::io::Write;

use flate2::write::MultiGzDecoder;

/// Decodes a body piece by piece.
pub(super) struct GzipBody {
    decoder: MultiGzDecoder<Vec<u8>>,
    decoded: u64,
    /// Bytes that came.
    received: u64,
}

/// What is decoded at once: it becomes at most a thousand times as long.
const PIECE_BYTES: usize = 1 << 10;
/// The longest decoded body: a longer one is probably a decompression bomb.
const DECODED_BYTES_MAX: u64 = 1 << 30;

impl fmt::Debug for GzipBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GzipBody").field("decoded", &self.decoded).finish_non_exhaustive()
    }
}

impl GzipBody {
    pub(super) fn new() -> Self {
        GzipBody { decoder: MultiGzDecoder::new(Vec::new()), decoded: 0, received: 0 }
    }

    /// Bytes that were decoded.
    pub(super) fn decoded(&self) -> u64 {
        self.decoded
    }

    /// Whether a byte came: a reply without a body may name its coding.
    pub(super) fn has_begun(&self) -> bool {
        self.received > 0
    }

    /// Decodes a piece and passes on what it yields.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut pass: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        self.received += bytes.len() as u64;
        for piece in bytes.chunks(PIECE_BYTES) {
            self.decoder.write_all(piece).map_err(|_| "the gzip body is malformed")?;
            self.pass_on(&mut pass)?;
        }
        Ok(())
    }

    /// The body is whole.
    pub(super) fn end(
        &mut self,
        mut pass: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        self.decoder.try_finish().map_err(|_| "the gzip body is cut short or malformed")?;
        self.pass_on(&mut pass)
    }

    fn pass_on(
        &mut self,
        pass: &mut impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let decoded = self.decoder.get_mut();
        self.decoded += decoded.len() as u64;
        if self.decoded > DECODED_BYTES_MAX {
            return Err("the gzip body has more than 1 GiB when it is decoded");
        }
        pass(decoded)?;
        decoded.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8], step: usize) -> Result<Vec<u8>, &'static str> {
        let (mut body, mut text) = (GzipBody::new(), Vec::new());
        for piece in bytes.chunks(step) {
            body.take(piece, |decoded| {
                text.extend_from_slice(decoded);
                Ok(())
            })?;
        }
        body.end(|decoded| {
            text.extend_from_slice(decoded);
            Ok(())
        })?;
        assert_eq!(body.decoded(), text.len() as u64);
        Ok(text)
    }

    #[test]
    fn a_body_is_decoded_in_pieces_of_any_size() {
        let text: Vec<u8> =
            (0..100_000_u32).flat_map(|number| number.wrapping_mul(number).to_le_bytes()).collect();
        let bytes = [zipped(&text), zipped(b"more")].concat();
        for step in [7, 1000, 1 << 20] {
            assert_eq!(decode(&bytes, step).unwrap(), [&text[..], b"more"].concat(), "by {step}");
        }
    }

    #[test]
    fn a_body_that_is_cut_short_or_changed_is_wrong() {
        let bytes = zipped(b"hello, hello, hello");
        let mut changed = bytes.clone();
        let checksum = changed.len() - 8;
        changed[checksum] ^= 1;
        for wrong in [&bytes[..bytes.len() - 1], &bytes[..5], b"plain text, no gzip", &changed] {
            assert!(decode(wrong, 3).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_bomb_takes_no_memory() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..64 {
            encoder.write_all(&zeros).unwrap();
        }
        let bytes = encoder.finish().unwrap();
        let (mut body, mut most) = (GzipBody::new(), 0);
        body.take(&bytes, |decoded| {
            most = most.max(decoded.len());
            Ok(())
        })
        .unwrap();
        assert!(body.decoded() > 60 << 20 && most <= 2 << 20, "{most} of {}", body.decoded());
    }
}
