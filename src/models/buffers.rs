//! How much memory the buffers of all clients take where each has a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the threads of one process count together.
#[derive(Debug)]
pub(super) struct Buffers {
    /// `0`: without a bound, and nothing is counted.
    bytes_max: u64,
    sum_bytes: AtomicU64,
    /// Clients that hold anything.
    holders: AtomicU64,
}

/// What one client holds of it: given back at its end, whatever that is.
#[derive(Debug)]
pub(super) struct Held {
    of: Option<Arc<Buffers>>,
    bytes: u64,
}

impl Buffers {
    pub(super) fn new(bytes_max: u64) -> Self {
        Buffers { bytes_max, sum_bytes: AtomicU64::new(0), holders: AtomicU64::new(0) }
    }
}

impl Held {
    /// Nothing yet, of these; `None`: of one client alone, whose own bounds suffice.
    pub(super) fn none(of: Option<&Arc<Buffers>>) -> Self {
        Held { of: of.filter(|of| of.bytes_max > 0).cloned(), bytes: 0 }
    }

    /// The client holds so much now; says whether it must go: all together are over the bound, and it holds no less than the
    /// average of those who hold anything. At least one of them does, and each looks whenever its call returns, within a
    /// second at the latest; a client that holds less than the others stays.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let Some(of) = &self.of else { return false };
        let (before, bytes) = (std::mem::replace(&mut self.bytes, bytes as u64), bytes as u64);
        if before != bytes {
            // Wrapping: the difference may be negative, the sum never is.
            of.sum_bytes.fetch_add(bytes.wrapping_sub(before), Relaxed);
            match (before, bytes) {
                (0, _) => of.holders.fetch_add(1, Relaxed),
                (_, 0) => of.holders.fetch_sub(1, Relaxed),
                (_, _) => 0,
            };
        }
        if bytes == 0 {
            return false;
        }
        let sum = of.sum_bytes.load(Relaxed);
        sum > of.bytes_max && bytes >= sum / of.holders.load(Relaxed).max(1)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_bound_who_holds_more_than_the_average_goes_and_who_holds_less_stays() {
        let buffers = Arc::new(Buffers::new(100));
        let mut clients: Vec<Held> = (0..3).map(|_| Held::none(Some(&buffers))).collect();
        assert!(!clients[0].set(10));
        assert!(!clients[1].set(60));
        assert!(clients[2].set(50), "120 of 100, 40 each");
        assert!(!clients[0].set(10));
        clients.pop();
        assert!(!clients[1].set(60), "there is room again");
        clients.clear();
        assert_eq!((buffers.sum_bytes.load(Relaxed), buffers.holders.load(Relaxed)), (0, 0));
    }
}
