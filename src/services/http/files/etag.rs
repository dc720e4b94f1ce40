//! Entity tags (RFC 9110, section 8.8.3): names for the content of a file.
//!
//! Up to [`HASHED_BYTES_MAX`] the tag is a hash of the content and of nothing else: every change changes it,
//! whatever the file's times are, and copies have the same tag on every server and after every deployment. A
//! file is hashed when it is found in a new state (device, inode, size, times of modification and change),
//! and at each request while its last change is so recent that another could leave the state unchanged.
//!
//! The tag of a longer file is a hash of its state: inode, size, and both times. Only the kernel sets the
//! time of change, at each write and whenever another time is set, so the tag is strong; copies have other
//! tags. The tag is weak while another change could leave the state unchanged, and on file systems that store
//! whole seconds (FAT has no time of change at all).
//!
//! The hash is XXH3 with 128 bits. It is not cryptographic: a user with write access to a file could make two
//! contents with one tag, which would deceive caches about that file alone.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use lru::LruCache;
use twox_hash::XxHash3_128;

use super::super::bounds::{HASH_PIECE_BYTES, HASHED_BYTES_MAX, HASHES_MAX};
use super::encoding::Coding;
use super::snapshot::{in_one_state, is_in_seconds, is_settled, read_at};
use crate::sys::files::Stat;

/// An entity tag as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag {
    /// With its quotes.
    pub(crate) opaque: String,
    pub(crate) is_weak: bool,
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_weak { "W/" } else { "" })?;
        f.write_str(&self.opaque)
    }
}

/// What the entity tag of a file is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The hash of its content.
    Content(u128),
    /// The hash of its state; weak if the content may have changed and the state not.
    State { hash: u128, is_weak: bool },
}

impl Name {
    /// For a file whose content is in memory.
    pub(crate) fn of_content(bytes: &[u8]) -> Name {
        Name::Content(XxHash3_128::oneshot(bytes))
    }

    fn of_state(stat: &Stat, wall: SystemTime) -> Name {
        let is_weak = !is_settled(stat, wall) || is_in_seconds(stat);
        let identity = &stat.identity;
        let mut hasher = XxHash3_128::new();
        for number in [identity.inode, identity.size_bytes, u64::from(is_weak)] {
            hasher.write(&number.to_le_bytes());
        }
        for (seconds, nanoseconds) in
            [(identity.modified_s, identity.modified_ns), (stat.changed_s, stat.changed_ns)]
        {
            hasher.write(&seconds.to_le_bytes());
            hasher.write(&nanoseconds.to_le_bytes());
        }
        Name::State { hash: hasher.finish_128(), is_weak }
    }

    /// The tag of the file in a coding, which no other coding shares, even if the bytes are the same.
    pub(crate) fn tag(self, coding: Option<Coding>) -> EntityTag {
        let (dash, coding) = coding.map_or(("", ""), |coding| ("-", coding.name()));
        match self {
            Name::Content(hash) => {
                EntityTag { opaque: format!("\"{hash:032x}{dash}{coding}\""), is_weak: false }
            }
            Name::State { hash, is_weak } => {
                EntityTag { opaque: format!("\"s-{hash:032x}{dash}{coding}\""), is_weak }
            }
        }
    }
}

/// The hashes of contents that are not kept in memory, by the state in which they were read: a file that was
/// evicted from the open files is not hashed again.
#[derive(Debug)]
pub(crate) struct Hashes {
    known: Mutex<LruCache<Stat, u128>>,
    len_max: usize,
}

impl Hashes {
    /// The hashes for one of `shares` sites of the process, which have equal parts.
    pub(crate) fn new(shares: usize) -> Hashes {
        Hashes { known: Mutex::new(LruCache::unbounded()), len_max: (HASHES_MAX / shares).max(1) }
    }

    /// The name of an open file, which is read if necessary. `stat` is its state, and is updated to the state
    /// that the name belongs to.
    pub(crate) fn name(&self, file: &File, stat: &mut Stat, wall: SystemTime) -> io::Result<Name> {
        if let Some(hash) = self.with(|known| known.get(stat).copied()) {
            return Ok(Name::Content(hash));
        }
        let Some(hash) = in_one_state(file, stat, HASHED_BYTES_MAX, hash_of)? else {
            return Ok(Name::of_state(stat, wall));
        };
        if is_settled(stat, wall) {
            self.remember(stat, hash);
        }
        Ok(Name::Content(hash))
    }

    fn remember(&self, stat: &Stat, hash: u128) {
        self.with(|known| {
            known.put(*stat, hash);
            if known.len() > self.len_max {
                known.pop_lru();
            }
        });
    }

    /// Held for a look-up only, never while a file is read.
    fn with<T>(&self, then: impl FnOnce(&mut LruCache<Stat, u128>) -> T) -> T {
        then(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The hash of the first `bytes_max` bytes, and their number.
fn hash_of(file: &File, bytes_max: u64) -> io::Result<(u128, u64)> {
    let mut hasher = XxHash3_128::new();
    let mut piece = vec![0; HASH_PIECE_BYTES.min(bytes_max as usize)];
    let mut len = 0;
    while len < bytes_max {
        let wanted = piece.len().min((bytes_max - len) as usize);
        let read = read_at(file, &mut piece[..wanted], len)?;
        if read == 0 {
            break;
        }
        hasher.write(&piece[..read]);
        len += read as u64;
    }
    Ok((hasher.finish_128(), len))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::super::bounds::SETTLED_MS;
    use super::*;
    use crate::sys::files::stat_of;

    fn file_of(byte: u8, size: u64) -> (File, Stat) {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![byte; size as usize], 0).unwrap();
        let stat = stat_of(&file).unwrap();
        (file, stat)
    }

    /// A time this many ms after the last change of the file.
    fn later(stat: &Stat, ms: u64) -> SystemTime {
        UNIX_EPOCH
            + Duration::new(stat.changed_s.cast_unsigned(), stat.changed_ns)
            + Duration::from_millis(ms)
    }

    #[test]
    fn a_file_is_hashed_once_in_each_state_that_a_change_is_sure_to_end() {
        let ((one, stat), (other, _)) = (file_of(b'1', HASHED_BYTES_MAX), file_of(b'2', HASHED_BYTES_MAX));
        let hashes = Hashes::new(1);
        let name = |file, ms| {
            let mut seen = stat;
            hashes.name(file, &mut seen, later(&stat, ms)).unwrap()
        };
        let first = name(&one, SETTLED_MS - 1);
        // What is not read is not seen: this is another file.
        assert_ne!(name(&other, SETTLED_MS - 1), first, "read again: it may have changed within the tick");
        assert_eq!(name(&one, SETTLED_MS), first);
        assert_eq!(name(&other, SETTLED_MS), first, "known by its state, and not read");
    }

    #[test]
    fn the_hashes_that_are_remembered_are_bounded() {
        let hashes = Hashes::new(1);
        let (file, stat) = file_of(b'x', 1);
        for size in 0..HASHES_MAX as u64 + 10 {
            // As if the file had been read in this many states.
            let mut state = stat;
            state.identity.modified_s = size.cast_signed();
            hashes.remember(&state, 0);
        }
        assert_eq!(hashes.with(|known| known.len()), HASHES_MAX);
        assert!(hashes.name(&file, &mut { stat }, later(&stat, SETTLED_MS)).is_ok());
        assert_eq!(hashes.with(|known| known.len()), HASHES_MAX);
    }

    #[test]
    fn a_long_file_is_named_by_its_state_weakly_until_a_change_is_sure_to_show() {
        let (file, stat) = file_of(b'x', HASHED_BYTES_MAX + 1);
        let hashes = Hashes::new(1);
        let tag = |stat: Stat, ms| hashes.name(&file, &mut { stat }, later(&stat, ms)).unwrap().tag(None);
        let (soon, settled) = (tag(stat, SETTLED_MS - 1), tag(stat, SETTLED_MS));
        assert!(soon.is_weak && !settled.is_weak);
        assert_ne!(soon.opaque, settled.opaque, "the weak one is of content that may have changed since");
        assert_eq!(tag(stat, 10 * SETTLED_MS), settled);
        // The time of change, which no user can set, and the inode, which no other file has.
        let mut rewritten = stat;
        rewritten.changed_ns ^= 1;
        let mut another = stat;
        another.identity.inode ^= 1;
        assert!(tag(rewritten, SETTLED_MS) != settled && tag(another, SETTLED_MS) != settled);
        // As on FAT, which has no time of change.
        let mut in_seconds = stat;
        (in_seconds.changed_ns, in_seconds.identity.modified_ns) = (0, 0);
        assert!(tag(in_seconds, 1_000_000).is_weak);
    }
}
