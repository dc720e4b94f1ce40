//! Deadlines of clients: a hierarchical timer wheel with lazy updates.
//!
//! A deadline that moves later (the next request of an idle client) costs one comparison: the client stays
//! filed at the earlier time, is checked then, and filed again. A deadline that moves earlier is filed at
//! once. Filing is O(1); a client passes through at most [`LEVELS`] lists on its way to its deadline, so a
//! million idle clients cost nothing per turn.

/// A level has this many slots, each as wide as the whole level below; the lowest are 1 ms wide.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 6;
/// 64^7 ms are 139 years.
const LEVELS: usize = 7;
const HORIZON_MS: u64 = (1 << (SLOT_BITS as usize * LEVELS)) - 1;
/// The index of the list of due clients, after the lists of the slots.
const DUE: u32 = (LEVELS * SLOTS) as u32;
/// The index of the first client's link, after the heads of all lists.
const FIRST: u32 = DUE + 1;
const UNFILED_MS: u64 = u64::MAX;

/// The time at which each slot of the slab must be checked.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// Heads of the lists, then a link per slot of the slab: circular, doubly linked.
    links: Vec<Link>,
    /// A bit per slot of each level. A slot with a clear bit is empty; a slot with a set bit may be.
    occupied: [u64; LEVELS],
    now_ms: u64,
}

/// A client's place in a list: 16 bytes of the memory of an idle client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    prev: u32,
    next: u32,
    filed_ms: u64,
}

impl Deadlines {
    /// With room for `clients`. Memory is committed as it is used.
    pub(crate) fn with_capacity(clients: usize) -> Self {
        let mut links = Vec::with_capacity(FIRST as usize + clients);
        links.extend((0..FIRST).map(|head| Link { prev: head, next: head, filed_ms: UNFILED_MS }));
        Deadlines { links, occupied: [0; LEVELS], now_ms: 0 }
    }

    /// Files the client in `slot` for `due_ms`. Does nothing if it is filed for an earlier time.
    pub(crate) fn file(&mut self, slot: usize, due_ms: u64) {
        let index = FIRST as usize + slot;
        if index >= self.links.len() {
            let unfiled = |at: usize| Link { prev: at as u32, next: at as u32, filed_ms: UNFILED_MS };
            self.links.extend((self.links.len()..=index).map(unfiled));
        }
        if due_ms < self.links[index].filed_ms {
            self.unlink(index as u32);
            self.insert(index as u32, due_ms);
        }
    }

    /// Forgets the client in `slot`.
    pub(crate) fn forget(&mut self, slot: usize) {
        let index = FIRST as usize + slot;
        if index < self.links.len() {
            self.unlink(index as u32);
        }
    }

    /// The latest time at which [`Deadlines::advance`] has to be called.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        if self.has_due() {
            return Some(self.now_ms);
        }
        self.next_slot().map(|(_, _, starts_ms)| starts_ms)
    }

    /// Moves the wheel on to `now_ms`: clients that come near their time go to a lower level, or become due.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        // Bounded: each pass empties a slot of a level, and time passes each slot at most once.
        while let Some((level, slot, starts_ms)) =
            self.next_slot().filter(|&(_, _, starts_ms)| starts_ms <= now_ms)
        {
            self.now_ms = self.now_ms.max(starts_ms);
            self.occupied[level] &= !(1 << slot);
            let head = (level * SLOTS + slot) as u32;
            // Bounded: the list is finite, and a client that is filed again goes to a lower level or is due.
            while self.links[head as usize].next != head {
                let index = self.links[head as usize].next;
                let filed_ms = self.links[index as usize].filed_ms;
                self.unlink(index);
                self.insert(index, filed_ms);
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Whether a client is due.
    pub(crate) fn has_due(&self) -> bool {
        self.links[DUE as usize].next != DUE
    }

    /// Takes a client that is due; it is no longer filed.
    pub(crate) fn pop_due(&mut self) -> Option<usize> {
        let index = self.links[DUE as usize].next;
        if index == DUE {
            return None;
        }
        self.unlink(index);
        Some((index - FIRST) as usize)
    }

    /// The occupied slot whose time comes first: level, slot, and when it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        (0..LEVELS)
            .filter(|&level| self.occupied[level] != 0)
            .map(|level| self.first_of(level))
            .min_by_key(|n| n.2)
    }

    fn first_of(&self, level: usize) -> (usize, usize, u64) {
        let shift = SLOT_BITS * level as u32;
        let here = (self.now_ms >> shift) as u32 & (SLOTS as u32 - 1);
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let slot = (here + ahead) as usize & (SLOTS - 1);
        let round_ms = self.now_ms >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        let wrapped = u64::from(slot < here as usize) << (shift + SLOT_BITS);
        (level, slot, round_ms + wrapped + ((slot as u64) << shift))
    }

    fn insert(&mut self, index: u32, due_ms: u64) {
        if due_ms == UNFILED_MS {
            return;
        }
        let due_ms = due_ms.min(HORIZON_MS);
        let head = if due_ms <= self.now_ms {
            DUE
        } else {
            // The level is that of the highest digit in which the due time differs from now, so no list mixes
            // rounds.
            let level = ((due_ms ^ self.now_ms).ilog2() / SLOT_BITS) as usize;
            let slot = (due_ms >> (SLOT_BITS * level as u32)) as usize & (SLOTS - 1);
            self.occupied[level] |= 1 << slot;
            (level * SLOTS + slot) as u32
        };
        let last = self.links[head as usize].prev;
        self.links[index as usize] = Link { prev: last, next: head, filed_ms: due_ms };
        self.links[last as usize].next = index;
        self.links[head as usize].prev = index;
    }

    fn unlink(&mut self, index: u32) {
        let Link { prev, next, .. } = self.links[index as usize];
        self.links[prev as usize].next = next;
        self.links[next as usize].prev = prev;
        self.links[index as usize] = Link { prev: index, next: index, filed_ms: UNFILED_MS };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        File(usize, u64),
        Forget(usize),
        Pass(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        // A deadline is at most u32::MAX ms ahead.
        let span =
            prop_oneof![0u64..80, 0u64..5_000, 0u64..400_000, 0u64..20_000_000, 0..=u64::from(u32::MAX)];
        prop_oneof![
            4 => (0usize..40, span.clone()).prop_map(|(slot, ms)| Op::File(slot, ms)),
            1 => (0usize..40).prop_map(Op::Forget),
            2 => span.prop_map(Op::Pass),
        ]
    }

    proptest! {
        /// Against a map: no client is early or late, `next_ms` never oversleeps, and the earliest filing
        /// counts.
        #[test]
        fn each_is_due_exactly_at_the_earliest_time_it_was_filed_for(ops in prop::collection::vec(op(), 1..200)) {
            let (mut wheel, mut model, mut now) = (Deadlines::with_capacity(0), BTreeMap::<usize, u64>::new(), 0u64);
            for op in ops {
                match op {
                    Op::File(slot, ms) => {
                        wheel.file(slot, now + ms);
                        let filed = model.entry(slot).or_insert(u64::MAX);
                        *filed = (*filed).min(now + ms);
                    }
                    Op::Forget(slot) => {
                        wheel.forget(slot);
                        model.remove(&slot);
                    }
                    Op::Pass(ms) => now += ms,
                }
                if let Some(&earliest) = model.values().min() {
                    prop_assert!(wheel.next_ms().is_some_and(|next| next <= earliest.max(now)));
                }
                wheel.advance(now);
                let mut due = Vec::new();
                while let Some(slot) = wheel.pop_due() {
                    due.push(slot);
                }
                due.sort_unstable();
                let expected: Vec<usize> = model.iter().filter(|&(_, &at)| at <= now).map(|(&slot, _)| slot).collect();
                prop_assert_eq!(&due, &expected, "at {}", now);
                for slot in expected {
                    model.remove(&slot);
                }
            }
        }
    }

    #[test]
    fn filing_later_again_and_again_moves_nothing() {
        let mut wheel = Deadlines::with_capacity(0);
        wheel.file(7, 1_000);
        for later in 1_001..2_000 {
            wheel.file(7, later);
        }
        wheel.advance(999);
        assert_eq!(wheel.pop_due(), None);
        wheel.advance(1_000);
        assert_eq!(wheel.pop_due(), Some(7), "looked at when it was filed first; the caller files it again");
    }
}
