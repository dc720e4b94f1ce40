//! What processes and threads count together.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::sys::SharedCounters;

/// The number of counters that change with clients, not with requests.
pub(super) const COUNTERS: usize = 32;

/// The number of counters of a shard: a cache line.
pub(super) const SHARD_COUNTERS: usize = 8;

/// The number of shards. Counters that change with every request are in shards, so that threads rarely write
/// to the same cache line. With more threads than shards, some share a shard, which is only slower.
const SHARDS: usize = 16;

/// Where the shards begin, at a cache line, and where the count of shards given out is.
const SHARDS_AT: usize = COUNTERS;
const SHARDS_GIVEN: usize = SHARDS_AT + SHARDS * SHARD_COUNTERS;
const _: () = assert!(SHARDS_AT.is_multiple_of(SHARD_COUNTERS));

/// Counters that children share with the parent that forked them, and threads with each other. A clone is the
/// same tally.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    counters: SharedCounters,
    /// Where it begins among them: at a cache line.
    first: usize,
}

/// How many counters a tally has.
const TALLY: usize = (SHARDS_GIVEN + 1).next_multiple_of(SHARD_COUNTERS);

impl Tally {
    /// All at zero.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Tally { counters: SharedCounters::new(TALLY)?, first: 0 })
    }

    /// Several tallies side by side: a page holds several.
    pub(crate) fn several(count: usize) -> io::Result<Vec<Self>> {
        let counters = SharedCounters::new(count * TALLY)?;
        Ok((0..count).map(|nth| Tally { counters: counters.clone(), first: nth * TALLY }).collect())
    }

    fn at(&self, counter: usize) -> &AtomicU64 {
        &self.counters[self.first + counter]
    }

    /// Adds `n` to a counter. A thread that reads the new value also sees earlier additions to other
    /// counters.
    pub(crate) fn add(&self, counter: usize, n: u64) {
        self.at(counter).fetch_add(n, Release);
    }

    /// The value of one counter.
    pub(super) fn get(&self, counter: usize) -> u64 {
        self.at(counter).load(Acquire)
    }

    /// The sum of one counter over all shards.
    pub(super) fn shards_sum(&self, counter: usize) -> u64 {
        (0..SHARDS).map(|shard| self.at(SHARDS_AT + shard * SHARD_COUNTERS + counter).load(Relaxed)).sum()
    }
}

/// The counters of a tally that one process or thread adds to.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    tally: Tally,
    first: usize,
}

impl Shard {
    /// The next shard of this tally, from the first again after the last.
    pub(super) fn of(tally: &Tally) -> Shard {
        let mut shard = Shard { tally: tally.clone(), first: SHARDS_AT };
        shard.change();
        shard
    }

    /// The next shard of another of [`Tally::several`]. It writes nothing but itself: memory that a child
    /// writes to is copied.
    pub(super) fn move_to(&mut self, tally: &Tally) {
        debug_assert_eq!(self.tally.counters.as_ptr(), tally.counters.as_ptr(), "not side by side");
        self.tally.first = tally.first;
        self.change();
    }

    /// The same for another process, which takes the next shard.
    pub(super) fn change(&mut self) {
        let given = self.tally.at(SHARDS_GIVEN).fetch_add(1, Relaxed) as usize;
        self.first = SHARDS_AT + given % SHARDS * SHARD_COUNTERS;
    }

    /// Adds `n` to one counter of the shard, from 0 to [`SHARD_COUNTERS`].
    #[inline]
    pub(super) fn add(&self, counter: usize, n: u64) {
        self.tally.at(self.first + counter).fetch_add(n, Relaxed);
    }

    /// The tally that it belongs to.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_tallies_count_apart() {
        let tallies = Tally::several(3).unwrap();
        for (n, tally) in (1..).zip(&tallies) {
            tally.add(COUNTERS - 1, n);
            (0..SHARDS).for_each(|_| Shard::of(tally).add(SHARD_COUNTERS - 1, n));
        }
        for (n, tally) in (1..).zip(&tallies) {
            assert_eq!(
                (tally.get(COUNTERS - 1), tally.shards_sum(SHARD_COUNTERS - 1)),
                (n, n * SHARDS as u64)
            );
        }
    }

    #[test]
    fn a_shard_that_moves_counts_for_the_other_tally_alone() {
        let tallies = Tally::several(2).unwrap();
        let mut shard = Shard::of(&tallies[0]);
        shard.move_to(&tallies[1]);
        shard.add(0, 5);
        shard.tally().add(1, 7);
        assert_eq!((tallies[0].shards_sum(0), tallies[0].get(1)), (0, 0));
        assert_eq!((tallies[1].shards_sum(0), tallies[1].get(1)), (5, 7));
    }

    #[test]
    fn shards_are_counted_together_however_many_share_one() {
        let tally = Tally::new().unwrap();
        for n in 0..3 * SHARDS as u64 {
            Shard::of(&tally).add(SHARD_COUNTERS - 1, n);
        }
        assert_eq!(tally.shards_sum(SHARD_COUNTERS - 1), (0..3 * SHARDS as u64).sum::<u64>());
        assert_eq!((tally.shards_sum(0), tally.get(COUNTERS - 1)), (0, 0));
    }
}
