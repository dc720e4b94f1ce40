//! The portion of a run that one thread executes.

/// The index of a thread, and the number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Portion {
    index: u32,
    threads: u32,
}

impl Portion {
    /// All of a run.
    pub(super) const WHOLE: Portion = Portion { index: 0, threads: 1 };

    /// The portions of a run with this many threads.
    pub(super) fn all(threads: u32) -> impl Iterator<Item = Portion> {
        (0..threads).map(move |index| Portion { index, threads })
    }

    /// How many of `count` things it has; all portions together have all.
    pub(super) fn count(self, count: u32) -> u32 {
        count / self.threads + u32::from(self.index < count % self.threads)
    }

    /// Maps a number within the portion to a number unique in the run; with one thread it is the same.
    pub(super) fn number(self, number: u32) -> u32 {
        number * self.threads + self.index
    }

    /// Which of a sequence that the threads share it takes first, and how many it passes over between two.
    pub(super) fn first_and_passed(self) -> (u32, u32) {
        (self.index, self.threads - 1)
    }

    /// The part of `0..count` that only this thread uses; all of it if it is too short to be divided.
    pub(super) fn range(self, count: u64) -> std::ops::Range<u64> {
        let (index, threads) = (u64::from(self.index), u64::from(self.threads));
        if count < threads { 0..count } else { index * count / threads..(index + 1) * count / threads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_disjoint_and_complete() {
        for threads in [1, 2, 3, 7] {
            for count in [0, 1, 2, 5, 7, 64, 1_000] {
                let counts = || Portion::all(threads).map(|portion| portion.count(count));
                assert_eq!(counts().sum::<u32>(), count);
                assert!(counts().max() <= counts().min().map(|least| least + 1), "evenly");
                let numbers = |portion: Portion| (0..portion.count(count)).map(move |at| portion.number(at));
                let mut numbers: Vec<u32> = Portion::all(threads).flat_map(numbers).collect();
                numbers.sort_unstable();
                assert_eq!(numbers, (0..count).collect::<Vec<_>>());
                let ranges: Vec<u64> =
                    Portion::all(threads).flat_map(|part| part.range(count.into())).collect();
                let shared = u64::from(count) < u64::from(threads);
                let times = if shared { u64::from(threads) } else { 1 };
                assert_eq!(ranges.len() as u64, u64::from(count) * times);
            }
        }
    }
}
