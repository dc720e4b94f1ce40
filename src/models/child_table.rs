//! Which client each child of [`super::fork`] serves.
//!
//! The parent writes to it between two forks. Were it memory of the heap, each child would keep a copy of the
//! page as it was: a page for each client that stays. So it lies in memory that processes share.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use crate::session::Peer;
use crate::sys::SharedCounters;

/// The words of a slot: process, kind of the client's address and port in the first, the address in the
/// others. All are 0 in an empty slot.
const SLOT: usize = 3;
/// The most slots: more than a system has processes (`PID_MAX_LIMIT` of Linux, 2²²).
const SLOTS_MAX: u64 = 1 << 23;

const UNIX: u64 = 1 << 32;
const IPV4: u64 = 2 << 32;
const IPV6: u64 = 3 << 32;
const PORT_SHIFT: u32 = 48;

/// A hash table with linear probing, at most half full.
#[derive(Debug)]
pub(super) struct ChildTable {
    slots: SharedCounters,
    /// The number of slots, a power of two, minus one.
    mask: usize,
    len: usize,
}

impl ChildTable {
    /// For this many clients, at most the system's number of processes. Memory is committed as it is used.
    pub(super) fn new(clients_max: u32) -> io::Result<Self> {
        let slots = (2 * u64::from(clients_max)).next_power_of_two().min(SLOTS_MAX) as usize;
        Ok(ChildTable { slots: SharedCounters::new(slots * SLOT)?, mask: slots - 1, len: 0 })
    }

    /// How many children there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The ids of all children.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        (0..=self.mask).filter_map(|slot| self.pid(slot)).take(self.len)
    }

    /// A child was made that serves this client. A process that has not been reaped has no second.
    pub(super) fn insert(&mut self, pid: u32, peer: Peer) {
        let mut slot = self.home(pid);
        while self.pid(slot).is_some() {
            slot = (slot + 1) & self.mask;
        }
        self.store(slot, [u64::from(pid), 0, 0], peer);
        self.len += 1;
    }

    /// Removes a child that has ended; returns its client, `None` if there is no such child.
    pub(super) fn remove(&mut self, pid: u32) -> Option<Peer> {
        let mut slot = self.home(pid);
        while self.pid(slot)? != pid {
            slot = (slot + 1) & self.mask;
        }
        let peer = self.peer(slot);
        self.len -= 1;
        // Later entries of the run move up, so that each is found from its home slot without a gap.
        let mut next = (slot + 1) & self.mask;
        while let Some(moved) = self.pid(next) {
            let (way, gap) =
                (next.wrapping_sub(self.home(moved)) & self.mask, next.wrapping_sub(slot) & self.mask);
            if way >= gap {
                (0..SLOT).for_each(|at| self.set(slot, at, self.get(next, at)));
                slot = next;
            }
            next = (next + 1) & self.mask;
        }
        (0..SLOT).for_each(|at| self.set(slot, at, 0));
        Some(peer)
    }

    /// The home slot of a process: ids are assigned in order.
    fn home(&self, pid: u32) -> usize {
        pid as usize & self.mask
    }

    fn get(&self, slot: usize, at: usize) -> u64 {
        self.slots[slot * SLOT + at].load(Relaxed)
    }

    fn set(&self, slot: usize, at: usize, value: u64) {
        self.slots[slot * SLOT + at].store(value, Relaxed);
    }

    fn pid(&self, slot: usize) -> Option<u32> {
        Some(self.get(slot, 0) as u32).filter(|&pid| pid != 0)
    }

    fn store(&self, slot: usize, [pid, mut high, mut low]: [u64; SLOT], peer: Peer) {
        let (kind, port) = match peer.socket_addr() {
            None => (UNIX, 0),
            Some(addr) => {
                let kind = match addr.ip() {
                    IpAddr::V4(ip) => {
                        low = u32::from(ip).into();
                        IPV4
                    }
                    IpAddr::V6(ip) => {
                        (high, low) = ((u128::from(ip) >> 64) as u64, u128::from(ip) as u64);
                        IPV6
                    }
                };
                (kind, u64::from(addr.port()))
            }
        };
        let first = pid | kind | port << PORT_SHIFT;
        [first, high, low].into_iter().enumerate().for_each(|(at, value)| self.set(slot, at, value));
    }

    fn peer(&self, slot: usize) -> Peer {
        let (first, high, low) = (self.get(slot, 0), self.get(slot, 1), self.get(slot, 2));
        let ip = match first & 0xff << 32 {
            IPV4 => IpAddr::from((low as u32).to_be_bytes()),
            IPV6 => IpAddr::from((u128::from(high) << 64 | u128::from(low)).to_be_bytes()),
            _ => return Peer::UNIX,
        };
        Peer::from(SocketAddr::new(ip, (first >> PORT_SHIFT) as u16))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn peer(number: u32) -> Peer {
        let ip = match number % 3 {
            0 => return Peer::UNIX,
            1 => IpAddr::from(number.to_be_bytes()),
            _ => IpAddr::from((u128::from(number) << 70 | 5).to_be_bytes()),
        };
        Peer::from(SocketAddr::new(ip, number as u16))
    }

    proptest! {
        /// Against std's table, with ids that collide.
        #[test]
        fn each_child_is_found_with_its_client_however_others_come_and_go(
            steps in prop::collection::vec((1u32..40, 0u32..3), 1..200),
        ) {
            let mut table = ChildTable::new(32).unwrap();
            let mut model = HashMap::new();
            for (number, spread) in steps {
                let pid = number + spread * 64;
                match model.remove(&pid) {
                    Some(known) => prop_assert_eq!(table.remove(pid), Some(known)),
                    None if model.len() < 32 => {
                        model.insert(pid, peer(pid));
                        table.insert(pid, peer(pid));
                    }
                    None => prop_assert_eq!(table.remove(pid), None),
                }
                let mut pids: Vec<u32> = table.pids().collect();
                let mut known: Vec<u32> = model.keys().copied().collect();
                pids.sort_unstable();
                known.sort_unstable();
                prop_assert_eq!((pids, table.len()), (known, model.len()));
            }
            for (pid, peer) in model {
                prop_assert_eq!(table.remove(pid), Some(peer));
            }
            prop_assert_eq!(table.len(), 0);
        }
    }
}
