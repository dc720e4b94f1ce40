//! A bound on the passwords that are checked at a time: under a model with a thread or process per client,
//! many wrong passwords would take all processors.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sys::SharedCounters;

/// Checks that wait for another check, as many as wait in the queue of a loop.
const WAITING_MAX: usize = 64;
/// Processes that check at the same time, if each process serves one client: more than a browser has
/// connections. Further processes do not wait: their clients get 503.
const PROCESSES_MAX: usize = 8;
/// A place that is held for longer, in s, belongs to a process that died: no check takes this long.
const HELD_S_MAX: u64 = 60;

/// Limits the checks of passwords: one at a time in each process, and few processes at the same time.
#[derive(Debug)]
pub(super) struct Gate {
    one: Mutex<()>,
    /// The running and the waiting checks of this process.
    inside: AtomicUsize,
    /// A place for each checking process: until when it may hold the place, in s of the time of day; 0 for a
    /// free place.
    places: SharedCounters,
}

/// Counts one in [`Gate::inside`] while it lives.
struct InsideGuard<'a>(&'a AtomicUsize);

impl Drop for InsideGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The place of a checking process, freed on drop.
struct PlaceGuard<'a> {
    place: &'a AtomicU64,
    until_s: u64,
}

impl Drop for PlaceGuard<'_> {
    fn drop(&mut self) {
        // Fails if it was held for too long and has another owner.
        let _ = self.place.compare_exchange(self.until_s, 0, Relaxed, Relaxed);
    }
}

impl Gate {
    pub(super) fn new() -> io::Result<Gate> {
        let places = SharedCounters::new(PROCESSES_MAX)?;
        Ok(Gate { one: Mutex::new(()), inside: AtomicUsize::new(0), places })
    }

    /// Runs `check` when no other check runs in this process; `None` if too many wait already.
    pub(super) fn pass<T>(&self, check: impl FnOnce() -> T) -> Option<T> {
        let before = self.inside.fetch_add(1, Relaxed);
        let _inside = InsideGuard(&self.inside);
        if before > WAITING_MAX {
            return None;
        }
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        Some(check())
    }

    /// The same for models with a process per client, where many processes may check.
    pub(super) fn pass_alone<T>(&self, now: SystemTime, check: impl FnOnce() -> T) -> Option<T> {
        let held = || self.hold(now).map(|held| (check(), held).0);
        self.pass(held).flatten()
    }

    /// Takes a place, if one is free.
    fn hold(&self, now: SystemTime) -> Option<PlaceGuard<'_>> {
        let now_s = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let until_s = now_s + HELD_S_MAX;
        self.places.iter().find_map(|place| {
            let held = place.load(Relaxed);
            // A time further ahead is from before the clock was set back.
            let is_free = held < now_s || held > until_s;
            let taken = || place.compare_exchange(held, until_s, Relaxed, Relaxed).is_ok();
            // Construct the guard only for a place that was taken: its drop frees the place.
            if is_free && taken() { Some(PlaceGuard { place, until_s }) } else { None }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_is_at_work_some_wait_and_the_rest_is_refused() {
        let (gate, (entered, entries)) = (Gate::new().unwrap(), mpsc::channel());
        let (release, gate_opens) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let gate = &gate;
            scope.spawn(move || {
                gate.pass(|| {
                    entered.send(()).unwrap();
                    let _ = gate_opens.recv();
                })
            });
            entries.recv().unwrap();
            let waiting: Vec<_> = (0..WAITING_MAX).map(|_| scope.spawn(|| gate.pass(|| 7))).collect();
            while gate.inside.load(Relaxed) <= WAITING_MAX {
                thread::yield_now();
            }
            assert_eq!(gate.pass(|| 7), None);
            drop(release);
            for waiting in waiting {
                assert_eq!(waiting.join().unwrap(), Some(7));
            }
        });
        assert_eq!(gate.pass(|| 7), Some(7));
        assert_eq!(gate.inside.load(Relaxed), 0);
    }

    #[test]
    fn few_processes_are_at_work_and_one_that_died_gives_its_place_back() {
        let at = |second| UNIX_EPOCH + Duration::from_secs(second);
        let gate = Gate::new().unwrap();
        let held: Vec<_> = (0..PROCESSES_MAX).map(|_| gate.hold(at(1_000)).unwrap()).collect();
        assert_eq!(gate.pass_alone(at(1_000 + HELD_S_MAX), || 7), None);
        drop(held);
        assert_eq!(gate.pass_alone(at(1_000), || 7), Some(7));
        for second in [2_000, 2_001 + HELD_S_MAX, 1_000] {
            std::iter::from_fn(|| gate.hold(at(second))).for_each(std::mem::forget); // they died
            assert_eq!(gate.pass_alone(at(second), || 7), None);
        }
    }
}
