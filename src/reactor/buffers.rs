//! How much memory the buffers of all clients take, and whose are the largest when that is too much.
//!
//! A client that keeps nothing costs one comparison after its turn. Only when the sum is over the bound are the largest looked
//! for, in one pass over all a turn, and one more for each [`CANDIDATES_MAX`] clients that go.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Clients that one pass picks to go first: so many that a pass over a million clients costs little for each of them.
const CANDIDATES_MAX: usize = 64;
/// The log warns at most so often, in ms: while a crowd attacks, clients go all the time.
const WARN_EVERY_MS: u64 = 60_000;

/// The buffers of all clients of one loop.
#[derive(Debug)]
pub(super) struct Buffers {
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

impl Buffers {
    /// With room for so many clients, which becomes memory as it is used.
    pub(super) fn new(bytes_max: u64, clients: usize) -> Self {
        let room = if bytes_max > 0 { clients } else { 0 };
        Buffers {
            bytes_max,
            sum_bytes: 0,
            held_bytes: Vec::with_capacity(room),
            candidates: Vec::new(),
            warn_from_ms: 0,
        }
    }

    pub(super) fn are_bounded(&self) -> bool {
        self.bytes_max > 0
    }

    /// The client in `slot` holds so much now.
    pub(super) fn set(&mut self, slot: usize, bytes: usize) {
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
    pub(super) fn next_to_go(&mut self) -> Option<usize> {
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
    pub(super) fn forget_candidates(&mut self) {
        self.candidates.clear();
    }

    /// Whether the log is to tell that clients go, which it does at most once in a time.
    pub(super) fn is_to_warn(&mut self, now_ms: u64) -> bool {
        let warns = now_ms >= self.warn_from_ms;
        if warns {
            self.warn_from_ms = now_ms + WARN_EVERY_MS;
        }
        warns
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What all clients hold.
    pub(super) fn sum_bytes(&self) -> u64 {
        self.sum_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::Limits;
    use crate::reactor::Reactor;
    use crate::services::Echo;
    use crate::telemetry::Reason;

    proptest! {
        /// Against a plain table: the sum is the sum, and whoever goes holds as much as anybody, newcomers included.
        #[test]
        fn the_largest_go_until_the_sum_is_within_the_bound(
            held in prop::collection::vec((0usize..300, 0usize..5_000, 0..20), 1..600),
            bytes_max in 1u64..400_000,
        ) {
            let mut buffers = Buffers::new(bytes_max, 0);
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
        let mut buffers = Buffers::new(100, 0);
        for slot in 0..10 {
            buffers.set(slot, 50 + slot);
        }
        assert_eq!(buffers.next_to_go(), Some(9));
        buffers.set(9, 0);
        buffers.set(8, 1);
        assert_eq!(buffers.next_to_go(), Some(7));
    }

    #[test]
    fn at_the_end_of_each_turn_the_buffers_are_within_the_bound_and_what_is_counted_is_what_is_held() {
        const CLIENTS: usize = 60;
        const BYTES_MAX: u64 = 128 << 10;
        let limits = Limits { buffers_bytes_max: BYTES_MAX, ..Limits::default() };
        let directory = tempfile::tempdir().unwrap();
        let address = format!("unix:{}", directory.path().join("echo.sock").display());
        let mut reactor = Reactor::new(limits).unwrap();
        reactor.bind(&address, Echo).unwrap();
        let connect = || {
            let client = UnixStream::connect(&address["unix:".len()..]).unwrap();
            client.set_nonblocking(true).unwrap();
            client
        };
        let mut clients: Vec<UnixStream> = (0..CLIENTS).map(|_| connect()).collect();
        let mut most_bytes = 0;
        // Bound: the kernel takes about 200 KiB of what each sends and does not read.
        for _ in 0..100 {
            for client in &mut clients {
                let _ = client.write(&[7; 8 << 10]);
            }
            reactor.turn(Some(Duration::ZERO)).unwrap();
            let held = reactor.clients.iter().map(|(_, slot)| slot.connection.memory_bytes() as u64);
            assert_eq!(reactor.buffers.sum_bytes(), held.sum::<u64>());
            assert!(reactor.buffers.sum_bytes() <= BYTES_MAX, "{:?}", reactor.buffers);
            most_bytes = most_bytes.max(reactor.buffers.sum_bytes());
        }
        let gone = reactor.summary().counters.of(Reason::BuffersFull);
        assert!(most_bytes > BYTES_MAX / 2 && gone > 30, "{most_bytes} bytes, {gone} gone");
        assert_eq!(reactor.clients.len() as u64 + gone, CLIENTS as u64);
    }

    #[test]
    fn without_a_bound_nobody_goes() {
        let mut buffers = Buffers::new(0, 0);
        buffers.set(3, usize::MAX);
        assert!(buffers.next_to_go().is_none() && !buffers.are_bounded());
    }
}
