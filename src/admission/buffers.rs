//! Memory that the buffers of all clients of one process take together, for `buffers_bytes_max`.
//!
//! A loop knows all of its clients: over the bound it ends those with the largest buffers ([`LoopBuffers`]). A thread knows only
//! its own client, and no thread can end that of another: over the bound each of those that hold at least the average ends its own
//! ([`SharedBuffers`]). The two have a bound in common and nothing else.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Clients that one pass picks to go first: so many that a pass over a million clients costs little for each of them.
const CANDIDATES_MAX: usize = 64;
/// The log warns at most so often, in ms: while a crowd attacks, clients go all the time.
const WARN_EVERY_MS: u64 = 60_000;

/// The buffers of all clients of one loop.
#[derive(Debug)]
pub(crate) struct LoopBuffers {
    /// `0`: without a bound, and nothing is counted.
    bytes_max: u64,
    sum_bytes: u64,
    /// By slot of the slab: apart from the slots, so that a pass over all of them reads 4 bytes each.
    held_bytes: Vec<u32>,
    /// The largest of this turn's last pass and those who have come to hold as much since, the largest last: nobody else
    /// holds more than the first of them.
    candidates: Vec<Candidate>,
    warn_from_ms: u64,
}

/// What a client held when it was picked, and its slot.
type Candidate = (u32, u32);

impl LoopBuffers {
    /// With room for so many clients, which becomes memory as it is used.
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

    pub(crate) fn are_bounded(&self) -> bool {
        self.bytes_max > 0
    }

    /// The client in `slot` holds so much now.
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

    /// Which client goes next: one of the largest, `None` if all together are within the bound.
    pub(crate) fn next_to_go(&mut self) -> Option<usize> {
        if self.sum_bytes <= self.bytes_max || self.bytes_max == 0 {
            return None;
        }
        // Bound: the first pass finds whoever holds something, and somebody does.
        for _ in 0..2 {
            while let Some((bytes, slot)) = self.candidates.pop() {
                // One that was picked may have sent some of it since.
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
        let mut least = 0; // whoever holds no more is none of the largest
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

    /// The turn ends: others may hold more at the next.
    pub(crate) fn forget_candidates(&mut self) {
        self.candidates.clear();
    }

    /// Whether the log is to tell that clients go, which it does at most once in a time.
    pub(crate) fn is_to_warn(&mut self, now_ms: u64) -> bool {
        let warns = now_ms >= self.warn_from_ms;
        if warns {
            self.warn_from_ms = now_ms + WARN_EVERY_MS;
        }
        warns
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What all clients hold.
    pub(crate) fn sum_bytes(&self) -> u64 {
        self.sum_bytes
    }
}

/// What the threads of one process count together.
#[derive(Debug)]
pub(crate) struct SharedBuffers {
    /// `0`: without a bound, and nothing is counted.
    bytes_max: u64,
    sum_bytes: AtomicU64,
    /// Clients that hold anything.
    holders: AtomicU64,
}

/// What one client holds of it: given back at its end, whatever that is.
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
    /// Nothing yet, of these; `None`: of one client alone, whose own bounds suffice.
    pub(crate) fn of(of: Option<&Arc<SharedBuffers>>) -> Self {
        BufferShare { of: of.filter(|of| of.bytes_max > 0).cloned(), bytes: 0 }
    }

    /// The client holds so much now; says whether it must go: all together are over the bound, and it holds no less than the
    /// average of those who hold anything. At least one of them does, and each looks whenever its call returns, within a
    /// second at the latest; a client that holds less than the others stays.
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
        /// Against a plain table: the sum is the sum, and whoever goes holds as much as anybody, newcomers included.
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
                while let Some(slot) = buffers.next_to_go() {
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
    fn who_has_sent_what_it_held_since_it_was_picked_stays() {
        let mut buffers = LoopBuffers::new(100, 0);
        for slot in 0..10 {
            buffers.set(slot, 50 + slot);
        }
        assert_eq!(buffers.next_to_go(), Some(9));
        buffers.set(9, 0);
        buffers.set(8, 1);
        assert_eq!(buffers.next_to_go(), Some(7));
    }

    #[test]
    fn without_a_bound_nobody_goes() {
        let mut buffers = LoopBuffers::new(0, 0);
        buffers.set(3, usize::MAX);
        assert!(buffers.next_to_go().is_none() && !buffers.are_bounded());
    }

    #[test]
    fn over_the_bound_who_holds_more_than_the_average_goes_and_who_holds_less_stays() {
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
