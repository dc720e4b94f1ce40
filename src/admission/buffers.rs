//! The memory of the buffers of all clients of a process, for `buffers_bytes_max`.
//!
//! A loop can end any of its clients: over the bound it ends those with the largest buffers
//! ([`LoopBuffers`]). A thread can end only its own client: over the bound, each thread whose client holds at
//! least the average ends that client ([`SharedBuffers`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Candidates that a pass over all clients finds: enough that the pass costs little for each client that is
/// ended.
const CANDIDATES_MAX: usize = 64;
/// How often the log may warn, in ms: while a crowd attacks, clients are ended all the time.
const WARN_EVERY_MS: u64 = 60_000;

/// The buffers of all clients of one loop.
#[derive(Debug)]
pub(crate) struct LoopBuffers {
    /// `0`: without a bound, and nothing is counted.
    bytes_max: u64,
    sum_bytes: u64,
    /// By slot of the slab. Apart from the slots, so that a pass over all of them reads 4 bytes for each.
    held_bytes: Vec<u32>,
    /// The clients with the largest buffers at the last pass of this turn, and those that have grown to the
    /// same size since, the largest last. No other client holds more than the first of them.
    candidates: Vec<Candidate>,
    warn_from_ms: u64,
}

/// What a client held when it became a candidate, and its slot.
type Candidate = (u32, u32);

impl LoopBuffers {
    /// With room for `clients`, which becomes memory as it is used.
    pub(crate) fn new(bytes_max: u64, clients: usize) -> Self {
        let room = if bytes_max > 0 { clients } else { 0 };
        LoopBuffers {
            bytes_max,
            sum_bytes: 0,
            held_bytes: Vec::with_capacity(room),
            candidates: Vec::new(),
            warn_from_ms: 0,
        }
    }

    /// Whether there is a bound at all.
    pub(crate) fn are_bounded(&self) -> bool {
        self.bytes_max > 0
    }

    /// The client in `slot` holds `bytes` now.
    pub(crate) fn set(&mut self, slot: usize, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.candidates.first().is_some_and(|&(least, _)| bytes > least) {
            let place = self.candidates.partition_point(|&(other, _)| other < bytes);
            self.candidates.insert(place, (bytes, slot as u32));
            if self.candidates.len() > CANDIDATES_MAX {
                self.candidates.remove(0);
            }
        }
        match self.held_bytes.get_mut(slot) {
            Some(held) if *held == bytes => {}
            Some(held) => {
                self.sum_bytes = self.sum_bytes - u64::from(*held) + u64::from(bytes);
                *held = bytes;
            }
            None if bytes == 0 => {}
            None => {
                self.held_bytes.resize(slot + 1, 0);
                self.held_bytes[slot] = bytes;
                self.sum_bytes += u64::from(bytes);
            }
        }
    }

    /// The client to end next, one of those with the largest buffers; `None` if all together are within the
    /// bound.
    pub(crate) fn next_to_end(&mut self) -> Option<usize> {
        if self.sum_bytes <= self.bytes_max || self.bytes_max == 0 {
            return None;
        }
        // Bound: over the bound some client holds something, and a pass finds it.
        for _ in 0..2 {
            while let Some((bytes, slot)) = self.candidates.pop() {
                // A candidate may have sent some of it since.
                if self.held_bytes[slot as usize] >= bytes {
                    return Some(slot as usize);
                }
            }
            self.pick();
        }
        None
    }

    /// One pass over all clients.
    fn pick(&mut self) {
        let mut largest: BinaryHeap<Reverse<Candidate>> = BinaryHeap::with_capacity(CANDIDATES_MAX);
        let mut least = 0; // a client that holds no more is not among the largest
        for (slot, &bytes) in self.held_bytes.iter().enumerate() {
            if bytes > least {
                if largest.len() == CANDIDATES_MAX {
                    largest.pop();
                }
                largest.push(Reverse((bytes, slot as u32)));
                if let (CANDIDATES_MAX, Some(&Reverse((bytes, _)))) = (largest.len(), largest.peek()) {
                    least = bytes;
                }
            }
        }
        self.candidates.extend(largest.into_sorted_vec().into_iter().map(|Reverse(candidate)| candidate));
        self.candidates.reverse();
    }

    /// Forgets the candidates at the end of a turn: other clients may hold more at the next.
    pub(crate) fn forget_candidates(&mut self) {
        self.candidates.clear();
    }

    /// Whether to warn that clients are ended: at most once in `WARN_EVERY_MS`.
    pub(crate) fn should_warn(&mut self, now_ms: u64) -> bool {
        let warns = now_ms >= self.warn_from_ms;
        if warns {
            self.warn_from_ms = now_ms + WARN_EVERY_MS;
        }
        warns
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What all clients hold together.
    pub(crate) fn sum_bytes(&self) -> u64 {
        self.sum_bytes
    }
}

/// The buffers of all clients of one process, each in a thread of its own.
#[derive(Debug)]
pub(crate) struct SharedBuffers {
    /// `0`: without a bound, and nothing is counted.
    bytes_max: u64,
    sum_bytes: AtomicU64,
    /// The number of clients that hold anything.
    holders: AtomicU64,
}

/// The part of one client. Returned when it is dropped.
#[derive(Debug)]
pub(crate) struct BufferShare {
    of: Option<Arc<SharedBuffers>>,
    bytes: u64,
}

impl SharedBuffers {
    pub(crate) fn new(bytes_max: u64) -> Self {
        SharedBuffers { bytes_max, sum_bytes: AtomicU64::new(0), holders: AtomicU64::new(0) }
    }
}

impl BufferShare {
    /// An empty share of `buffers`. With `None` nothing is counted: a client that is alone in its process has
    /// its own bounds.
    pub(crate) fn of(of: Option<&Arc<SharedBuffers>>) -> Self {
        BufferShare { of: of.filter(|of| of.bytes_max > 0).cloned(), bytes: 0 }
    }

    /// Whether anything counts.
    pub(crate) fn is_bounded(&self) -> bool {
        self.of.is_some()
    }

    /// Whether the client holds anything that counts: then the caller must check again soon.
    pub(crate) fn is_counted(&self) -> bool {
        self.bytes > 0 && self.of.is_some()
    }

    /// Sets the share to `bytes`. Returns whether the client must end: the sum is over the bound, and the
    /// client holds at least the average of the shares that are not empty. At least one client does, and each
    /// thread checks within a second, when its blocking call returns. A client that holds less than the
    /// average stays.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
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

impl Drop for BufferShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain table: the sum is right, and no client holds more than the one that is ended, new
        /// ones included.
        #[test]
        fn the_largest_go_until_the_sum_is_within_the_bound(
            held in prop::collection::vec((0usize..300, 0usize..5_000, 0..20), 1..600),
            bytes_max in 1u64..400_000,
        ) {
            let mut buffers = LoopBuffers::new(bytes_max, 0);
            let mut model = std::collections::BTreeMap::new();
            for (slot, bytes, turn) in held {
                buffers.set(slot, bytes);
                model.insert(slot, bytes);
                while let Some(slot) = buffers.next_to_end() {
                    let gone = model.insert(slot, 0).unwrap();
                    prop_assert!(gone > 0 && gone >= *model.values().max().unwrap());
                    buffers.set(slot, 0);
                }
                let sum = model.values().sum::<usize>() as u64;
                prop_assert!(sum <= bytes_max);
                prop_assert_eq!(buffers.sum_bytes(), sum);
                if turn == 0 {
                    buffers.forget_candidates();
                }
            }
        }
    }

    #[test]
    fn a_candidate_that_has_sent_its_bytes_since_stays() {
        let mut buffers = LoopBuffers::new(100, 0);
        for slot in 0..10 {
            buffers.set(slot, 50 + slot);
        }
        assert_eq!(buffers.next_to_end(), Some(9));
        buffers.set(9, 0);
        buffers.set(8, 1);
        assert_eq!(buffers.next_to_end(), Some(7));
    }

    #[test]
    fn without_a_bound_no_client_is_ended() {
        let mut buffers = LoopBuffers::new(0, 0);
        buffers.set(3, usize::MAX);
        assert!(buffers.next_to_end().is_none() && !buffers.are_bounded());
    }

    #[test]
    fn over_the_bound_a_client_with_more_than_the_average_is_ended_and_one_with_less_stays() {
        let buffers = Arc::new(SharedBuffers::new(100));
        let mut clients: Vec<BufferShare> = (0..3).map(|_| BufferShare::of(Some(&buffers))).collect();
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
