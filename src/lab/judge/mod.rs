//! From raw data to results: summaries, verdicts and rankings. The rules are those of [`crate::judge`].

mod attempts;
mod criteria;
pub(crate) mod decision;
pub(crate) mod results;
pub(crate) mod unsettled;

pub(crate) use criteria::is_lower_bound;
