//! Counters in shared memory: what a child has counted stays counted when it is killed.
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// How many counters there are.
pub(crate) const COUNTERS: usize = 32;

/// How many counters a lane has: a cache line of them.
pub(crate) const LANE: usize = 8;

/// How many lanes there are. Counters that change with every request are in lanes, so that threads rarely write to the cache
/// line of another: with more threads than lanes some share one, and are right all the same.
const LANES: usize = 16;

/// Counters in memory that children share with the parent that made them, and threads with each other.
#[derive(Debug)]
pub struct Tally {
    mapped: NonNull<Mapped>,
}

/// What the processes share. A mapping begins at a page, so each lane is a cache line.
#[derive(Debug)]
#[repr(C)]
struct Mapped {
    counters: [AtomicU64; COUNTERS],
    lanes: [[AtomicU64; LANE]; LANES],
    lanes_given: AtomicU64,
}

/// The counters of a tally that one process or thread adds to.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    tally: Arc<Tally>,
    index: usize,
}

impl Lane {
    /// The next lane of this tally, from the first again after the last.
    pub(crate) fn of(tally: &Arc<Tally>) -> Lane {
        let given = tally.mapped().lanes_given.fetch_add(1, Relaxed);
        Lane { tally: Arc::clone(tally), index: given as usize % LANES }
    }

    /// Adds `n` to one counter, from 0 to [`LANE`].
    #[inline]
    pub(crate) fn add(&self, counter: usize, n: u64) {
        self.tally.mapped().lanes[self.index][counter].fetch_add(n, Relaxed);
    }

    /// The tally that it belongs to.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
}

// SAFETY: the memory is only ever used as atomics, which any thread may use.
unsafe impl Send for Tally {}
// SAFETY: as above.
unsafe impl Sync for Tally {}

impl Tally {
    /// Counters at zero (mmap(2), `MAP_SHARED | MAP_ANONYMOUS`).
    pub fn new() -> io::Result<Self> {
        let len = size_of::<Mapped>();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // A mapping begins at a page, is large enough, and its bytes are zero: all that AtomicU64 asks for.
        let mapped = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Tally { mapped })
    }

    fn mapped(&self) -> &Mapped {
        // SAFETY: the mapping lives as long as `self`, is aligned and initialised (see `new`).
        unsafe { self.mapped.as_ref() }
    }

    /// Adds `n` to one counter. A reader that sees it also sees what was added to other counters before.
    pub fn add(&self, counter: usize, n: u64) {
        self.mapped().counters[counter].fetch_add(n, Release);
    }

    /// Sets one counter, and returns its old value: of several processes that set it to the same value, one sees another old value.
    pub fn replace(&self, counter: usize, n: u64) -> u64 {
        self.mapped().counters[counter].swap(n, AcqRel)
    }

    /// The value of one counter.
    pub fn get(&self, counter: usize) -> u64 {
        self.mapped().counters[counter].load(Acquire)
    }

    /// The sum of this counter over all lanes.
    pub fn lanes_sum(&self, counter: usize) -> u64 {
        self.mapped().lanes.iter().map(|lane| lane[counter].load(Relaxed)).sum()
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing borrows from it any more.
        unsafe { libc::munmap(self.mapped.as_ptr().cast(), size_of::<Mapped>()) };
    }
}
