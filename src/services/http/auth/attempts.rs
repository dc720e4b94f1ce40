//! Failed passwords of each address, within a bound (the generic cell rate algorithm of ATM, as in nginx's
//! `limit_req`), in memory that the processes of a server share.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::SharedCounters;

/// Addresses that are counted at once, in 32 KiB.
const NETWORKS_MAX: usize = 4096;
/// The table is set-associative: an address may be in any of these slots. A new address takes the slot that
/// is free first, so the addresses with the most failures stay.
const WAYS: usize = 4;
/// The most attempts of a compare-and-swap: each that fails means that another thread has counted a failure.
const TRIES_MAX: u32 = 64;
/// The failures of a minute may come at once; after that, one per share of the minute.
const BURST_MS: u64 = 60_000;
/// Beyond this, even a password that was right before is refused: otherwise an attacker who shares an address
/// with a user could guess at the speed of the network, and would see which guess is right.
const NOTHING_MS: u64 = 3 * BURST_MS;
/// The unit in which counters keep time, in ms: 40 bits of it last for centuries.
const TICK_MS: u64 = 16;
const TICK_BITS: u32 = 40;

/// For each address, the time at which its failures are forgotten: each failure moves it on by a share of a
/// minute. A word has 24 bits of the address's digest in its upper bits, and this time in the lower bits. It
/// is a time of day, because processes that were started at different times share no other clock.
#[derive(Debug)]
pub(super) struct Attempts {
    words: SharedCounters,
    failure_ms: u64,
}

/// What an address may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// Its passwords are checked.
    Checks,
    /// It failed too often: only passwords that were right before are accepted.
    RememberedOnly,
    /// It keeps failing: no password is checked.
    Nothing,
}

impl Attempts {
    /// Allows this many failures a minute, at least 1.
    pub(super) fn new(per_minute: u32) -> io::Result<Attempts> {
        let failure_ms = (BURST_MS / u64::from(per_minute.max(1))).max(TICK_MS);
        Ok(Attempts { words: SharedCounters::new(NETWORKS_MAX)?, failure_ms })
    }

    /// What the address may do now.
    pub(super) fn look(&self, network: u64, now: SystemTime) -> Allowance {
        let now_ms = ms(now);
        let word =
            self.ways(network).iter().map(|word| word.load(Relaxed)).find(|word| is_of(*word, network));
        self.allowance(debt_ms(word, now_ms))
    }

    /// Counts a failure. The error means that this password must not be checked, and is the number of seconds
    /// until the next may be.
    pub(super) fn charge(&self, network: u64, now: SystemTime) -> Result<(), u64> {
        let now_ms = ms(now);
        let mut retry_s = 1;
        for _ in 0..TRIES_MAX {
            let (place, before) = self.place(network);
            let word = is_of(before, network).then_some(before);
            let debt_ms = debt_ms(word, now_ms);
            let allowed = self.allowance(debt_ms) == Allowance::Checks;
            retry_s = (debt_ms + self.failure_ms).saturating_sub(BURST_MS).div_ceil(1000).max(1);
            let paid_ms = now_ms + (debt_ms + self.failure_ms).min(NOTHING_MS + self.failure_ms);
            if place.compare_exchange(before, word_of(network, paid_ms), Relaxed, Relaxed).is_ok() {
                return if allowed { Ok(()) } else { Err(retry_s) };
            }
        }
        Err(retry_s)
    }

    /// Takes back a failure that was counted in advance.
    pub(super) fn refund(&self, network: u64, now: SystemTime) {
        let now_ms = ms(now);
        for _ in 0..TRIES_MAX {
            let (place, before) = self.place(network);
            if !is_of(before, network) {
                return;
            }
            let paid_ms = now_ms + debt_ms(Some(before), now_ms).saturating_sub(self.failure_ms);
            if place.compare_exchange(before, word_of(network, paid_ms), Relaxed, Relaxed).is_ok() {
                return;
            }
        }
    }

    fn allowance(&self, debt_ms: u64) -> Allowance {
        // The counters' own unit rounds.
        match (debt_ms + self.failure_ms).saturating_sub(TICK_MS) {
            due_ms if due_ms <= BURST_MS => Allowance::Checks,
            due_ms if due_ms <= NOTHING_MS => Allowance::RememberedOnly,
            _ => Allowance::Nothing,
        }
    }

    fn ways(&self, network: u64) -> &[AtomicU64] {
        let set = (network % (NETWORKS_MAX / WAYS) as u64) as usize;
        &self.words[WAYS * set..][..WAYS]
    }

    /// The slot of an address, or the slot that it will take, with its content.
    fn place(&self, network: u64) -> (&AtomicU64, u64) {
        let ways = || self.ways(network).iter().map(|word| (word, word.load(Relaxed)));
        let own = ways().find(|(_, word)| is_of(*word, network));
        own.or_else(|| ways().min_by_key(|(_, word)| ticks(*word))).expect("a set has ways")
    }
}

fn ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

fn word_of(network: u64, paid_ms: u64) -> u64 {
    (network >> TICK_BITS << TICK_BITS) | (paid_ms.div_ceil(TICK_MS) & ((1 << TICK_BITS) - 1))
}

fn is_of(word: u64, network: u64) -> bool {
    word >> TICK_BITS == network >> TICK_BITS
}

fn ticks(word: u64) -> u64 {
    word & ((1 << TICK_BITS) - 1)
}

/// How long it takes until the failures of an address are forgotten. Bounded, in case the clock was set back.
fn debt_ms(word: Option<u64>, now_ms: u64) -> u64 {
    word.map_or(0, |word| (ticks(word) * TICK_MS).saturating_sub(now_ms).min(NOTHING_MS + BURST_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(2_000_000_000 + second)
    }

    /// How many of `tries` successive passwords are checked.
    fn checked(attempts: &Attempts, network: u64, second: u64, tries: u32) -> usize {
        (0..tries).filter(|_| attempts.charge(network, at(second)).is_ok()).count()
    }

    #[test]
    fn a_minutes_worth_is_checked_at_once_and_then_one_when_its_time_has_come() {
        let attempts = Attempts::new(10).unwrap();
        assert_eq!(checked(&attempts, 7, 0, 10), 10);
        assert_eq!(attempts.charge(7, at(0)), Err(6));
        assert_eq!(checked(&attempts, 7, 5, 1), 0, "a refused one counts, too");
        assert_eq!((checked(&attempts, 7, 17, 1), checked(&attempts, 7, 18, 1)), (0, 0));
        assert_eq!(checked(&attempts, 7, 100, 5), 5);
        assert_eq!(checked(&attempts, 7, 1_000, 11), 10);
        assert_eq!(checked(&attempts, 8, 1_000, 1), 1, "another address has its own");
    }

    #[test]
    fn an_address_that_keeps_failing_is_refused_and_free_again_within_minutes() {
        let attempts = Attempts::new(10).unwrap();
        checked(&attempts, 7, 0, 10);
        assert_eq!(attempts.look(7, at(0)), Allowance::RememberedOnly);
        checked(&attempts, 7, 0, 100_000);
        assert_eq!(attempts.look(7, at(0)), Allowance::Nothing);
        assert_eq!(attempts.look(7, at(13)), Allowance::RememberedOnly);
        assert_eq!(attempts.look(7, at(200)), Allowance::Checks);
    }

    #[test]
    fn a_success_is_not_a_failure() {
        let attempts = Attempts::new(10).unwrap();
        for _ in 0..1_000 {
            assert_eq!(attempts.charge(7, at(0)), Ok(()));
            attempts.refund(7, at(0));
        }
        assert_eq!(checked(&attempts, 7, 0, 20), 10);
    }

    #[test]
    fn many_addresses_take_no_more_memory_and_evict_those_with_the_fewest_failures() {
        let attempts = Attempts::new(10).unwrap();
        checked(&attempts, 7, 0, 30);
        for network in 0..100_000_u64 {
            attempts.charge(network.wrapping_mul(0x9e37_79b9_7f4a_7c15), at(0)).unwrap();
        }
        assert_eq!(attempts.look(7, at(0)), Allowance::Nothing);
    }

    #[test]
    fn a_clock_jump_locks_no_address_out_for_longer_than_the_bound() {
        let attempts = Attempts::new(10).unwrap();
        checked(&attempts, 7, 1_000_000, 100);
        assert_eq!(attempts.look(7, at(0)), Allowance::Nothing);
        assert!(attempts.charge(7, at(0)).is_err());
        assert_eq!(attempts.look(7, at(300)), Allowance::Checks);
    }
}
