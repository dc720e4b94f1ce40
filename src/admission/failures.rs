//! What follows when `accept` fails: the next call, a wait for the next client, or a pause.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::sys::{AcceptError, Listener, wait};

/// Accepting pauses after this many failures in a row that concern one client each. Clients are never lost in
/// such numbers; without the bound, a system that denies every accept(2) (a seccomp filter that answers
/// EPERM) would make the caller spin.
const FAILURES_IN_A_ROW_MAX: u32 = 1_000;
/// How often the log may warn that accepting pauses, in ms. A server without descriptors pauses several times
/// a second.
const WARN_EVERY_MS: u64 = 60_000;

/// What follows from a failed `accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// No client waits.
    Empty,
    /// No client waits, and because descriptors or memory are short, an `accept` that should block returns at
    /// once.
    EmptyWithoutWaiting,
    /// A signal came: call again.
    Interrupted,
    /// This client is lost; others may wait.
    Lost,
    /// A client may wait, but to call again at once would be in vain.
    Pause,
}

/// The failures of one caller of `accept`, over time.
#[derive(Debug, Default)]
pub(super) struct AcceptFailures {
    in_a_row: u32,
    /// Pauses since the last message in the log about them.
    pauses: u64,
    warned_ms: Option<u64>,
}

impl AcceptFailures {
    /// A client was accepted.
    #[inline]
    pub(super) fn reset(&mut self, listener: &Listener) {
        self.in_a_row = 0;
        if self.pauses > 0 {
            self.report_end(listener);
        }
    }

    #[cold]
    fn report_end(&mut self, listener: &Listener) {
        log::debug!("{}: accepting again after {} pauses", listener.local_addr(), self.pauses);
        self.pauses = 0;
    }

    /// What follows from this error of [`Listener::accept`]. Pauses are logged at `warn`, lost clients at
    /// `debug`.
    pub(super) fn after(&mut self, listener: &Listener, error: &io::Error, now_ms: u64) -> AfterFailure {
        match AcceptError::of(error) {
            AcceptError::WouldBlock => {
                self.in_a_row = 0;
                AfterFailure::Empty
            }
            AcceptError::Interrupted => AfterFailure::Interrupted,
            AcceptError::Client => {
                log::debug!("{}: a client was lost before it was accepted: {error}", listener.local_addr());
                self.pass_over(AfterFailure::Lost, listener, error, now_ms)
            }
            // Without a descriptor the call does not even look at the queue.
            AcceptError::Exhausted if !may_hold_client(listener) => AfterFailure::EmptyWithoutWaiting,
            AcceptError::Exhausted | AcceptError::Fatal => self.pause(listener, error, now_ms),
        }
    }

    fn pass_over(
        &mut self,
        after: AfterFailure,
        listener: &Listener,
        error: &io::Error,
        now_ms: u64,
    ) -> AfterFailure {
        self.in_a_row += 1;
        if self.in_a_row < FAILURES_IN_A_ROW_MAX { after } else { self.pause(listener, error, now_ms) }
    }

    fn pause(&mut self, listener: &Listener, error: &io::Error, now_ms: u64) -> AfterFailure {
        self.in_a_row = 0;
        self.pauses += 1;
        if self.warned_ms.is_none_or(|warned_ms| warned_ms + WARN_EVERY_MS <= now_ms) {
            self.warned_ms = Some(now_ms);
            log::warn!("{}: accepting pauses: {error}", listener.local_addr());
        }
        AfterFailure::Pause
    }
}

/// Whether a client may be in the queue of this listener.
fn may_hold_client(listener: &Listener) -> bool {
    wait::readable([listener.as_fd()], Some(Duration::ZERO)).map_or(true, |ready| ready.is(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::ListenOptions;

    #[test]
    fn a_call_that_is_denied_for_ever_pauses_after_a_thousand_failures_each_time() {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let mut failures = AcceptFailures::default();
        for pause in 1..=3 {
            for _ in 1..FAILURES_IN_A_ROW_MAX {
                assert_eq!(failures.after(&listener, &denied, 0), AfterFailure::Lost);
            }
            assert_eq!(failures.after(&listener, &denied, 0), AfterFailure::Pause);
            assert_eq!(failures.pauses, pause);
        }
    }

    #[test]
    fn the_log_warns_of_pauses_once_a_minute_however_many_there_are() {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
        let fatal = io::Error::from_raw_os_error(libc::EBADF);
        let mut failures = AcceptFailures::default();
        for now_ms in (0..=3 * WARN_EVERY_MS).step_by(100) {
            assert_eq!(failures.after(&listener, &fatal, now_ms), AfterFailure::Pause);
            assert_eq!(failures.warned_ms, Some(now_ms / WARN_EVERY_MS * WARN_EVERY_MS));
        }
    }
}
