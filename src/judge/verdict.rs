//! The verdict on a measurement.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether to trust a measurement. From weakest to strongest: the strongest finding decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum Verdict {
    /// Trusted; only these are ranked.
    Valid,
    /// The measurement was disturbed, its numbers contradict each other, or its repeats differ too much.
    Noisy,
    /// The generator was the limit: a throughput is a lower bound.
    GeneratorBound,
    /// The generator ran out of local ports or descriptors.
    PortStarved,
    /// The server cannot do this by design.
    Unsupported,
    /// The server should have done this and did not.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Valid => "VALID",
            Verdict::Noisy => "NOISY",
            Verdict::GeneratorBound => "GENERATOR-BOUND",
            Verdict::PortStarved => "PORT-STARVED",
            Verdict::Unsupported => "UNSUPPORTED",
            Verdict::Failed => "FAILED",
        })
    }
}

/// The verdict of one finding, and the reason.
pub(super) type ReasonedVerdict = (Verdict, String);

/// The strongest finding decides; without one, the measurement is valid, and `support` gives the reasons.
pub(super) fn conclude(findings: Vec<ReasonedVerdict>, support: impl FnOnce() -> Vec<String>) -> Judgement {
    let Some(verdict) = findings.iter().map(|(verdict, _)| *verdict).max() else {
        return Judgement { verdict: Verdict::Valid, evidence: support() };
    };
    let (mut evidence, others): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.0 == verdict);
    evidence.extend(others);
    let mut evidence: Vec<String> = evidence.into_iter().map(|(_, why)| why).collect();
    evidence.dedup();
    Judgement { verdict, evidence }
}

/// A verdict and its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// Why, strongest reason first; for VALID, what supports it.
    pub(crate) evidence: Vec<String>,
}

impl Judgement {
    /// All reasons in one line. Tables and sentences show this line, so that no two of them give different
    /// reasons for one verdict.
    pub(crate) fn why(&self) -> String {
        self.evidence.join("; ")
    }
}
