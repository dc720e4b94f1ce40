//! A number that shows whether two runs sent the same.

/// Collects what is sent. The same parts give the same number in every build, which std's hasher does not
/// promise (FNV-1a).
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestDigest(u64);

impl RequestDigest {
    pub(super) const EMPTY: RequestDigest = RequestDigest(0xcbf2_9ce4_8422_2325);

    /// Adds a part, and where it ends.
    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
        self.bytes(&(bytes.len() as u64).to_le_bytes());
    }

    /// Adds a part without these bytes in it, wherever they are.
    pub(super) fn part_without(&mut self, bytes: &[u8], left_out: &[u8]) {
        let Some(&begin) = left_out.first() else { return self.part(bytes) };
        let (mut from, mut at) = (0, 0);
        // Bounded: each pass takes a byte at least.
        while at < bytes.len() {
            if bytes[at] == begin && bytes[at..].starts_with(left_out) {
                self.part(&bytes[from..at]);
                at += left_out.len();
                from = at;
            } else {
                at += 1;
            }
        }
        self.part(&bytes[from..]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// As eight digits: enough to see a difference. A digest confirms a guess of what was sent, so no secret
    /// is added.
    pub(super) fn shown(self) -> String {
        format!("{:08x}", (self.0 >> 32) ^ (self.0 & 0xffff_ffff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&str]) -> String {
        let mut digest = RequestDigest::EMPTY;
        for part in parts {
            digest.part(part.as_bytes());
        }
        digest.shown()
    }

    #[test]
    fn what_differs_has_another_digest() {
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        let all = [of(&[]), of(&[""]), of(&["ab"]), of(&["a", "b"]), of(&["", "ab"]), of(&["b", "a"])];
        for (at, one) in all.iter().enumerate() {
            assert!(one.len() == 8 && !all[..at].contains(one), "{all:?}");
        }
        let without = |text: &str, left_out: &str| {
            let mut digest = RequestDigest::EMPTY;
            digest.part_without(text.as_bytes(), left_out.as_bytes());
            digest.shown()
        };
        assert_eq!(without("--x12 a --x12--", "x12"), without("--y3 a --y3--", "y3"));
        assert_ne!(without("--x12 a --x12--", "x12"), without("--x12 b --x12--", "x12"));
        assert_eq!(without("text", ""), of(&["text"]));
    }
}
