//! Idle clients in the order in which they became idle: the first is evicted when a new client needs the
//! place.
//!
//! Maintained only where idle clients may be evicted: it costs two links per slot and a few writes per
//! request.

const NONE: u32 = u32::MAX;

/// A list through slots of the slab, oldest first.
#[derive(Debug)]
pub(crate) struct IdleOrder {
    links: Vec<ListLinks>,
    oldest: u32,
    newest: u32,
}

#[derive(Clone, Copy, Debug)]
enum ListLinks {
    Absent,
    Present { older: u32, newer: u32 },
}

impl IdleOrder {
    /// With room for `clients`, which becomes memory as it is used.
    pub(crate) fn with_capacity(clients: usize) -> Self {
        IdleOrder { links: Vec::with_capacity(clients), oldest: NONE, newest: NONE }
    }

    /// The client in `slot` has become idle just now.
    pub(crate) fn became_idle(&mut self, slot: usize) {
        self.remove(slot);
        if slot >= self.links.len() {
            self.links.resize(slot + 1, ListLinks::Absent);
        }
        let older = self.newest;
        self.links[slot] = ListLinks::Present { older, newer: NONE };
        self.join(older, slot as u32);
        self.newest = slot as u32;
    }

    /// The client in `slot` is idle and has moved no byte: if it was idle before, its place in the order
    /// stays.
    pub(crate) fn remained_idle(&mut self, slot: usize) {
        if !matches!(self.links.get(slot), Some(ListLinks::Present { .. })) {
            self.became_idle(slot);
        }
    }

    /// The client in `slot` is no longer idle, or has ended.
    pub(crate) fn remove(&mut self, slot: usize) {
        if let Some(&ListLinks::Present { older, newer }) = self.links.get(slot) {
            self.links[slot] = ListLinks::Absent;
            self.join(older, newer);
            if newer == NONE {
                self.newest = older;
            }
        }
    }

    /// The client that has been idle longest.
    pub(crate) fn oldest(&self) -> Option<usize> {
        (self.oldest != NONE).then_some(self.oldest as usize)
    }

    /// All idle clients, the longest idle first.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = usize> {
        std::iter::successors(self.oldest(), |&slot| match self.links[slot] {
            ListLinks::Present { newer, .. } if newer != NONE => Some(newer as usize),
            _ => None,
        })
    }

    fn join(&mut self, left: u32, right: u32) {
        match self.links.get_mut(left as usize) {
            Some(ListLinks::Present { newer, .. }) => *newer = right,
            _ => self.oldest = right,
        }
        if let Some(ListLinks::Present { older, .. }) = self.links.get_mut(right as usize) {
            *older = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_oldest_is_the_one_a_plain_list_names(ops in prop::collection::vec((0..3, 0usize..12), 1..200)) {
            let (mut order, mut model) = (IdleOrder::with_capacity(0), Vec::new());
            for (op, slot) in ops {
                if op == 2 {
                    order.remained_idle(slot);
                    if !model.contains(&slot) {
                        model.push(slot);
                    }
                    prop_assert_eq!(order.oldest(), model.first().copied());
                    continue;
                }
                model.retain(|&other| other != slot);
                if op == 1 {
                    order.became_idle(slot);
                    model.push(slot);
                } else {
                    order.remove(slot);
                }
                prop_assert_eq!(order.oldest(), model.first().copied());
                prop_assert_eq!(&order.oldest_first().collect::<Vec<_>>(), &model);
            }
        }
    }
}
