//! Passwords that were right, as digests, in memory that the processes of a server share.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use super::digest::Digest;
use crate::sys::SharedCounters;

/// The most digests kept, in 64 KiB. Of two with the same slot the later one is kept; the other password is
/// checked again. Only right passwords are kept, so an attacker cannot evict them.
const DIGESTS_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct RememberedDigests {
    /// The two halves of each digest. Halves of two different digests, after a race of two writers, match
    /// nothing.
    halves: SharedCounters,
}

impl RememberedDigests {
    pub(super) fn new() -> io::Result<RememberedDigests> {
        Ok(RememberedDigests { halves: SharedCounters::new(2 * DIGESTS_MAX)? })
    }

    pub(super) fn add(&self, digest: Digest) {
        let at = place(digest);
        self.halves[at].store(digest.halves[0], Relaxed);
        self.halves[at + 1].store(digest.halves[1], Relaxed);
    }

    pub(super) fn contains(&self, digest: Digest) -> bool {
        let at = place(digest);
        digest.is([self.halves[at].load(Relaxed), self.halves[at + 1].load(Relaxed)])
    }
}

fn place(digest: Digest) -> usize {
    2 * (digest.place % DIGESTS_MAX as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_stays_until_another_takes_its_slot_and_mixed_halves_do_not_match() {
        let remembered = RememberedDigests::new().unwrap();
        let digest = |first, second, place| Digest { halves: [first, second], place };
        let (one, other) = (digest(1, 2, 7), digest(3, 4, 7 + DIGESTS_MAX as u64));
        assert!(!remembered.contains(one));
        remembered.add(one);
        assert!(remembered.contains(one) && !remembered.contains(other));
        remembered.add(other);
        assert!(!remembered.contains(one) && remembered.contains(other));
        remembered.halves[14].store(1, Relaxed);
        assert!(![one, other, digest(3, 2, 7)].iter().any(|mixed| remembered.contains(*mixed)));
    }
}
