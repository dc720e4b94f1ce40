//! What follows when `accept` fails, for every model: the next call, a wait for the next client, or a pause.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::{AcceptError, Listener, wait};

/// So many failures that are passed over, one after the other, are none of clients that were lost: far more than ever happens by
/// itself, and without a pause then a system that denies the call (a filter of system calls says EPERM) makes its caller spin.
const FAILURES_IN_A_ROW_MAX: u32 = 1_000;
/// How often at most it is told that accepting pauses, in ms: a starved server tries far more often.
const TELL_EVERY_MS: u64 = 1_000;

/// What follows from a failed `accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Nobody waits.
    Nobody,
    /// Nobody waits, and for want of descriptors or memory an `accept` that would wait comes back at once.
    NobodyCould,
    /// A signal came between: call again.
    Interrupted,
    /// That one client is lost: others may wait.
    Lost,
    /// Somebody may wait, but to call again at once would be in vain.
    Pause,
}

/// The failures of whoever accepts, over time.
#[derive(Debug, Default)]
pub struct AcceptFailures {
    /// That were passed over.
    in_a_row: u32,
    told_ms: Option<u64>,
}

impl AcceptFailures {
    /// A client was accepted.
    pub fn none(&mut self) {
        self.in_a_row = 0;
    }

    /// What follows from this error of [`Listener::accept`]; pauses are told at `warn`, lost clients at `debug`.
    pub fn after(&mut self, listener: &Listener, error: &io::Error, now_ms: u64) -> AfterFailure {
        match AcceptError::of(error) {
            AcceptError::WouldBlock => {
                self.in_a_row = 0;
                AfterFailure::Nobody
            }
            AcceptError::Interrupted => self.passed_over(AfterFailure::Interrupted, listener, error, now_ms),
            AcceptError::Client => {
                log::debug!("{}: a client was lost before it was accepted: {error}", listener.local_addr());
                self.passed_over(AfterFailure::Lost, listener, error, now_ms)
            }
            // Without a descriptor the call does not even look at the queue.
            AcceptError::Exhausted if !may_hold(listener) => AfterFailure::NobodyCould,
            AcceptError::Exhausted | AcceptError::Fatal => self.pause(listener, error, now_ms),
        }
    }

    fn passed_over(
        &mut self,
        as_what: AfterFailure,
        listener: &Listener,
        error: &io::Error,
        now_ms: u64,
    ) -> AfterFailure {
        self.in_a_row += 1;
        if self.in_a_row < FAILURES_IN_A_ROW_MAX { as_what } else { self.pause(listener, error, now_ms) }
    }

    fn pause(&mut self, listener: &Listener, error: &io::Error, now_ms: u64) -> AfterFailure {
        self.in_a_row = 0;
        if self.told_ms.is_none_or(|told_ms| told_ms + TELL_EVERY_MS <= now_ms) {
            self.told_ms = Some(now_ms);
            log::warn!("{}: accepting pauses: {error}", listener.local_addr());
        }
        AfterFailure::Pause
    }
}

/// Whether somebody may be in its queue.
fn may_hold(listener: &Listener) -> bool {
    wait::readable(&[listener.as_fd()], Some(Duration::ZERO)).map_or(true, |ready| ready[0])
}
