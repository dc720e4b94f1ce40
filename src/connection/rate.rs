//! The minimum rate at which a client must take what is sent to it.

use crate::limits::Limits;

use super::context::after_ms;

/// How many windows a client can earn ahead by reading fast: it may then stop for so many, beside the window
/// in which it stops and the one in which it must read again. By default six are a minute, as for an idle
/// client.
///
/// Once a client's buffer was full, its kernel announces free space in large steps only, a sixteenth of the
/// buffer or a whole segment (on Linux; a Unix socket likewise), however steadily its program reads.
const WINDOWS_AHEAD_MAX: u64 = 6;

/// A span of time for each of which a client has to take `rate_bytes_min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// When it ends.
    pub(super) due_ms: u64,
    /// What the client must have taken by then, since it came.
    duty_bytes: u64,
}

impl Window {
    /// The first window of a client that must read. What the client has taken since `opened_ms` beyond its
    /// duty counts.
    pub(super) fn first(taken_bytes: u64, opened_ms: u64, now_ms: u64, limits: &Limits) -> Window {
        let window_ms = u64::from(limits.rate_window_ms.max(1));
        let windows = now_ms.saturating_sub(opened_ms) / window_ms;
        let duty_bytes = windows.saturating_mul(u64::from(limits.rate_bytes_min)).min(taken_bytes);
        Window::after(duty_bytes, taken_bytes, now_ms, limits)
    }

    /// The next window; `None` if the client has read too little.
    pub(super) fn next(self, taken_bytes: u64, now_ms: u64, limits: &Limits) -> Option<Window> {
        (taken_bytes >= self.duty_bytes).then(|| Window::after(self.duty_bytes, taken_bytes, now_ms, limits))
    }

    /// The window after a duty that was fulfilled. What was taken beyond it counts, up to a bound.
    fn after(duty_bytes: u64, taken_bytes: u64, now_ms: u64, limits: &Limits) -> Window {
        let minimum_bytes = u64::from(limits.rate_bytes_min);
        let ahead_bytes_max = minimum_bytes.saturating_mul(WINDOWS_AHEAD_MAX);
        let duty_bytes = duty_bytes.max(taken_bytes.saturating_sub(ahead_bytes_max));
        Window {
            due_ms: after_ms(now_ms, limits.rate_window_ms),
            duty_bytes: duty_bytes.saturating_add(minimum_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { rate_window_ms: 1_000, rate_bytes_min: 10, ..Limits::default() }
    }

    /// How many windows pass until a client is ended that takes `taken` bytes in each, and then nothing.
    fn windows_until_it_ends(taken: &[u64]) -> Option<usize> {
        const WINDOWS_MAX: usize = 100;
        let (mut window, mut all_bytes) = (Window::first(0, 0, 0, &limits()), 0);
        for at in 0..WINDOWS_MAX {
            all_bytes += taken.get(at).copied().unwrap_or(0);
            let next = window.next(all_bytes, window.due_ms, &limits());
            let Some(next) = next else { return Some(at + 1) };
            assert_eq!(next.due_ms, window.due_ms + 1_000);
            window = next;
        }
        None
    }

    #[test]
    fn whoever_reads_nothing_has_one_window() {
        assert_eq!(windows_until_it_ends(&[]), Some(1));
        assert_eq!(windows_until_it_ends(&[9, 100]), Some(1));
    }

    #[test]
    fn whoever_stops_has_what_it_took_beyond_the_minimum_and_at_most_six_windows() {
        assert_eq!(windows_until_it_ends(&[10]), Some(2));
        assert_eq!(windows_until_it_ends(&[35]), Some(4));
        assert_eq!(windows_until_it_ends(&[60]), Some(7));
        assert_eq!(windows_until_it_ends(&[u64::MAX / 2]), Some(7 + 1));
        // What comes while it is ahead counts from when it came, not again at the end.
        assert_eq!(windows_until_it_ends(&[1_000, 1_000]), Some(8 + 1));
    }

    #[test]
    fn steps_that_are_large_and_rare_are_as_good_as_small_ones() {
        let mut rare = Vec::new();
        for _ in 0..10 {
            rare.extend([60, 0, 0, 0, 0, 0]);
        }
        assert_eq!(windows_until_it_ends(&rare), Some(61));
    }

    #[test]
    fn what_was_taken_before_counts_as_well() {
        let window = Window::first(1_000, 0, 5_000, &limits());
        let mut count = 1;
        let mut next = window.next(1_000, 6_000, &limits());
        while let Some(window) = next {
            count += 1;
            next = window.next(1_000, window.due_ms, &limits());
        }
        assert_eq!(count, 7);
        assert_eq!(Window::first(20, 0, 5_000, &limits()).next(20, 6_000, &limits()), None);
    }
}
