//! Counters that processes share: what a child counted stays counted when it is killed.
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};

/// How many counters there are.
pub const COUNTERS: usize = 32;

/// Counters in memory that children share with the parent that made them, and threads with each other.
#[derive(Debug)]
pub struct Tally {
    counters: NonNull<[AtomicU64; COUNTERS]>,
}

// SAFETY: the memory is only ever used as atomics, which any thread may use.
unsafe impl Send for Tally {}
// SAFETY: as above.
unsafe impl Sync for Tally {}

impl Tally {
    /// Counters at zero (mmap(2), `MAP_SHARED | MAP_ANONYMOUS`).
    pub fn new() -> io::Result<Self> {
        let len = size_of::<[AtomicU64; COUNTERS]>();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // A mapping begins at a page, is large enough, and its bytes are zero: all that AtomicU64 asks for.
        let counters = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Tally { counters })
    }

    fn counters(&self) -> &[AtomicU64; COUNTERS] {
        // SAFETY: the mapping lives as long as `self`, is aligned and initialised (see `new`).
        unsafe { self.counters.as_ref() }
    }

    /// Adds `n` to one counter. Whoever sees it there sees what was added to others before.
    pub fn add(&self, counter: usize, n: u64) {
        self.counters()[counter].fetch_add(n, Release);
    }

    /// What one counter says.
    pub fn get(&self, counter: usize) -> u64 {
        self.counters()[counter].load(Acquire)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing borrows from it any more.
        unsafe { libc::munmap(self.counters.as_ptr().cast(), size_of::<[AtomicU64; COUNTERS]>()) };
    }
}
