//! Counters in memory that processes share: what a child counted stays counted when it is killed.
#![allow(unsafe_code)]

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Counters that forked children share with their parent, and threads with each other. A child inherits the
/// mapping, so the parent makes it before it forks. A clone is the same counters.
#[derive(Clone, Debug)]
pub(crate) struct SharedCounters {
    /// Of the mapping: a request that counts reads no other memory.
    counters: NonNull<AtomicU64>,
    len: usize,
    _mapping: Arc<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    counters: NonNull<AtomicU64>,
    bytes: usize,
}

// SAFETY: the memory is only ever used as atomics, which any thread may use.
unsafe impl Send for SharedCounters {}
// SAFETY: as above.
unsafe impl Sync for SharedCounters {}
// SAFETY: nothing but its drop uses the address, and any thread may unmap memory.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl SharedCounters {
    /// This many counters, all zero (mmap(2), `MAP_SHARED | MAP_ANONYMOUS`). The first begins a page.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let bytes = len.max(1) * size_of::<AtomicU64>();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let counters = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(SharedCounters { counters, len, _mapping: Arc::new(Mapping { counters, bytes }) })
    }
}

impl Deref for SharedCounters {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping lives as long as `self`, begins at a page, is large enough, and its bytes were
        // zero at first: all that AtomicU64 asks for.
        unsafe { std::slice::from_raw_parts(self.counters.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing borrows from it any more: what
        // does has a share of this.
        unsafe { libc::munmap(self.counters.as_ptr().cast(), self.bytes) };
    }
}
