//! The diagnostics log: lines for an operator looking for a fault.

use super::End;

/// Logs the end of a client at `debug`.
pub(super) fn ended(end: &End) {
    let End { reason, peer, bytes_in, bytes_out, lasted_ms } = end;
    log::debug!("{peer} ended: {reason} in={bytes_in} out={bytes_out} lasted={lasted_ms}ms");
}
