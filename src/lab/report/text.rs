//! Sentences that several reports share.

use crate::lab::run::raw::Finding;
use crate::plot::text::in_one_line;

/// What is wrong with a server, in one line: `other: leaves zombies`.
pub(crate) fn found(finding: &Finding) -> String {
    in_one_line(&format!("{}: {}", finding.server, finding.what))
}
