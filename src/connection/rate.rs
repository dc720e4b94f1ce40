//! The minimum rate at which a client must take what is sent to it.

use crate::limits::Limits;

use super::context::after_ms;

/// How many windows a client can earn ahead by reading fast: the longest time for which it may then stop.
/// With the default window it is a minute, as for an idle client.
const WINDOWS_AHEAD_MAX: u64 = 6;

/// A span of time in which a client has to take `rate_bytes_min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// When it ends.
    pub(super) due_ms: u64,
    /// What the client had taken when it began.
    taken_bytes: u64,
}

impl Window {
    /// The first window of a client that must read. What the client has taken since `opened_ms` beyond its
    /// duty counts.
    pub(super) fn first(taken_bytes: u64, opened_ms: u64, now_ms: u64, limits: &Limits) -> Window {
        let window_ms = u64::from(limits.rate_window_ms.max(1));
        let windows = now_ms.saturating_sub(opened_ms) / window_ms;
        let duty_bytes = windows.saturating_mul(u64::from(limits.rate_bytes_min));
        Window::ahead(taken_bytes, taken_bytes.saturating_sub(duty_bytes), now_ms, limits)
    }

    /// The next window; `None` if the client has read too little in this one.
    pub(super) fn next(self, taken_bytes: u64, now_ms: u64, limits: &Limits) -> Option<Window> {
        let taken = taken_bytes.saturating_sub(self.taken_bytes);
        (taken >= u64::from(limits.rate_bytes_min)).then(|| Window::ahead(taken_bytes, taken, now_ms, limits))
    }

    /// A window that is longer by what `ahead_bytes` are worth at the minimum rate. Once a client's buffer
    /// was full, its kernel announces free space in large steps only, a sixteenth of the buffer or a whole
    /// segment (on Linux; a Unix socket likewise), however steadily its program reads.
    fn ahead(taken_bytes: u64, ahead_bytes: u64, now_ms: u64, limits: &Limits) -> Window {
        let earned = ahead_bytes / u64::from(limits.rate_bytes_min.max(1));
        let windows = earned.clamp(1, WINDOWS_AHEAD_MAX) as u32;
        Window { due_ms: after_ms(now_ms, limits.rate_window_ms.saturating_mul(windows)), taken_bytes }
    }
}
