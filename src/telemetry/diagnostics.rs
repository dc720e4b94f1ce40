//! The diagnostics log: lines for an operator looking for a fault.

use super::End;
use crate::session::Peer;
use crate::sys::process::CallingThread;

/// Logs at `debug` which thread, or process, serves a client: the calling one.
pub(crate) fn accepted(peer: Peer) {
    log::debug!("{peer} accepted: served by {CallingThread}");
}

/// Logs at `debug` which loop serves a client: that of the calling thread, in this slot.
pub(crate) fn accepted_in_slot(peer: Peer, slot: u32) {
    log::debug!("{peer} accepted: served in slot {slot} by {CallingThread}");
}

/// Logs the end of a client at `debug`.
pub(super) fn ended(end: &End) {
    let End { reason, peer, bytes_in, bytes_out, lasted_ms } = end;
    log::debug!("{peer} ended: {reason} in={bytes_in} out={bytes_out} lasted={lasted_ms}ms");
}
