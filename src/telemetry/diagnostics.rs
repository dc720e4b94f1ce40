//! The diagnostics log: lines for an operator looking for a fault.

use super::{Begin, End};
use crate::sys::process::CallingThread;

/// Logs at `debug` that the calling process or thread serves a client; in a loop also the client's slot.
pub(super) fn began(begin: &Begin) {
    let Begin { peer, slot } = begin;
    match slot {
        Some(slot) => log::debug!("{peer} accepted: served in slot {slot} by {CallingThread}"),
        None => log::debug!("{peer} accepted: served by {CallingThread}"),
    }
}

/// Logs the end of a client at `debug`.
pub(super) fn ended(end: &End) {
    let End { reason, peer, bytes_in, bytes_out, lasted_ms } = end;
    log::debug!("{peer} ended: {reason} in={bytes_in} out={bytes_out} lasted={lasted_ms}ms");
}
