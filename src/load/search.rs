//! The search for the highest rate that meets checks: climb, bisect, confirm. Pure: the results of probes in,
//! the next probe out.
//!
//! ```text
//! Climb ──> Bisect ──> Confirm ──> Above ──> Over
//!   ^          ^          │(refuted) │(refuted)
//!   └──────────┴──────────┴──────────┘
//! ```
//!
//! One probe is a sample: a pause of the server makes it fail at a rate that the server bears, and a burst
//! that the server allows makes it pass at a rate that it does not bear. So no step rests on one failed
//! probe, and the rate found is probed until chance is an unlikely explanation.

use std::time::Duration;

use super::report::SearchLimit;

/// By how much rates are apart when the search ends.
const WIDTH: f64 = 1.02;
/// The first step of the climb. Each step is the square of the one before, up to a bound: a start far from
/// the limit costs few probes, a start near it costs little precision.
const STEP_FIRST: f64 = 1.25;
const STEP_MAX: f64 = 8.0;
/// The first step if a rate that had failed turns out to be met.
const STEP_AGAIN: f64 = 1.05;
/// Of three probes at a rate, two decide.
const MAJORITY: u32 = 2;
/// The highest probability of confirming, by chance, a rate that passes half of its probes.
const CHANCE_MAX: f64 = 0.05;
/// The same for a rate that is refuted.
const CHANCE_REFUTED_MAX: f64 = 0.15;
/// Probes in a row that do not count because the generator was disturbed. The next one counts in any case.
const DISTURBED_MAX: u32 = 3;
/// Whole probes that the confirmation needs at least: the climb and the bisection leave time for them.
const CONFIRM_PROBES: u32 = 6;

/// What a search may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct SearchBounds {
    /// The first rate.
    pub(super) start_per_s: f64,
    /// The lowest and the highest rate that are tried.
    pub(super) lowest_per_s: f64,
    pub(super) highest_per_s: f64,
    /// How long a short and a whole probe take, with all that belongs to them.
    pub(super) short: Duration,
    pub(super) whole: Duration,
    /// How long the search may take.
    pub(super) at_most: Duration,
}

/// How long a probe is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeLength {
    /// Long enough to see that a rate is far off.
    Short,
    Whole,
}

/// The next probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Probe {
    pub(super) rate_per_s: f64,
    pub(super) length: ProbeLength,
}

/// What a probe showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeOutcome {
    /// All checks hold.
    Met,
    /// A check failed.
    Failed,
    /// The backlog grew too long to be explained by chance.
    Overloaded,
    /// The generator was disturbed: a check failed, and it may not be the server's fault.
    Disturbed,
    /// The generator could not send at this rate.
    Limited,
}

/// Probes at one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Votes {
    pub(super) met: u32,
    pub(super) failed: u32,
}

/// What the search does, at which rate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SearchStage {
    /// Looks for a rate that passes and a rate that fails.
    Climb {
        rate: f64,
        step: f64,
        votes: Votes,
    },
    /// Narrows the gap between them.
    Bisect {
        rate: f64,
        votes: Votes,
    },
    /// Repeats the highest rate that was met.
    Confirm {
        rate: f64,
        votes: Votes,
    },
    /// Repeats the lowest rate that failed, unless it failed beyond doubt.
    Above {
        rate: f64,
        votes: Votes,
    },
    Over {
        limit: SearchLimit,
    },
}

/// The rate found, and the whole probes that confirm it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FoundRate {
    pub(super) rate_per_s: f64,
    pub(super) votes: Votes,
}

/// The lowest rate that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ceiling {
    rate: f64,
    outcome: ProbeOutcome,
}

/// A search. Ask for the [`Search::next`] probe, [`Search::record`] its outcome, until there is none.
#[derive(Clone, Debug)]
pub(super) struct Search {
    bounds: SearchBounds,
    spent: Duration,
    stage: SearchStage,
    /// Rates that were met and not refuted since, ascending.
    met: Vec<f64>,
    ceiling: Option<Ceiling>,
    found: Option<FoundRate>,
    disturbed: u32,
}

impl Search {
    pub(super) fn new(bounds: SearchBounds) -> Search {
        let rate = rounded(bounds.start_per_s).clamp(bounds.lowest_per_s, bounds.highest_per_s);
        let stage = SearchStage::Climb { rate, step: STEP_FIRST, votes: Votes::default() };
        Search {
            bounds,
            spent: Duration::ZERO,
            stage,
            met: Vec::new(),
            ceiling: None,
            found: None,
            disturbed: 0,
        }
    }

    /// The next probe; `None` when the search is over.
    pub(super) fn next(&mut self) -> Option<Probe> {
        let (rate_per_s, length) = match self.stage {
            SearchStage::Climb { rate, .. } => (rate, ProbeLength::Short),
            SearchStage::Bisect { rate, .. }
            | SearchStage::Confirm { rate, .. }
            | SearchStage::Above { rate, .. } => (rate, ProbeLength::Whole),
            SearchStage::Over { .. } => return None,
        };
        let takes = if length == ProbeLength::Short { self.bounds.short } else { self.bounds.whole };
        if self.spent + takes > self.bounds.at_most {
            self.end(SearchLimit::Time);
            return None;
        }
        Some(Probe { rate_per_s, length })
    }

    /// What the last probe showed, and how long it took with all that belongs to it.
    pub(super) fn record(&mut self, outcome: ProbeOutcome, took: Duration) {
        self.spent += took;
        let outcome = match outcome {
            ProbeOutcome::Disturbed if self.disturbed < DISTURBED_MAX => {
                self.disturbed += 1;
                return; // once more
            }
            ProbeOutcome::Disturbed => ProbeOutcome::Failed,
            outcome => outcome,
        };
        self.disturbed = 0;
        match self.stage {
            SearchStage::Climb { rate, step, votes } => match votes.and(outcome).decided(outcome) {
                None => self.stage = SearchStage::Climb { rate, step, votes: votes.and(outcome) },
                Some(true) => self.climbed(rate, step),
                Some(false) => self.failed(rate, step, outcome),
            },
            SearchStage::Bisect { rate, votes } => match votes.and(outcome).decided(outcome) {
                None => self.stage = SearchStage::Bisect { rate, votes: votes.and(outcome) },
                Some(true) => {
                    self.is_met(rate);
                    self.narrow();
                }
                Some(false) => self.failed(rate, STEP_FIRST, outcome),
            },
            SearchStage::Confirm { rate, votes } => self.confirm(rate, votes.and(outcome), outcome),
            SearchStage::Above { rate, votes } => self.above(rate, votes.and(outcome), outcome),
            SearchStage::Over { .. } => {}
        }
    }

    /// The search ends early.
    pub(super) fn interrupt(&mut self) {
        self.end(SearchLimit::Interrupted);
    }

    /// The rate found: the one that was confirmed, else the highest that was met.
    pub(super) fn found(&self) -> Option<FoundRate> {
        let unconfirmed =
            || self.met.last().map(|&rate_per_s| FoundRate { rate_per_s, votes: Votes::default() });
        self.found.or_else(unconfirmed)
    }

    /// The lowest rate that failed.
    pub(super) fn failed_from(&self) -> Option<f64> {
        self.ceiling.map(|ceiling| ceiling.rate)
    }

    /// Why the search is over; `None` while it is not.
    pub(super) fn limit(&self) -> Option<SearchLimit> {
        match self.stage {
            SearchStage::Over { limit } => Some(limit),
            _ => None,
        }
    }

    fn end(&mut self, limit: SearchLimit) {
        if let SearchStage::Confirm { rate, votes } = self.stage
            && votes.met > votes.failed
        {
            self.found.get_or_insert(FoundRate { rate_per_s: rate, votes });
        }
        self.stage = SearchStage::Over { limit };
    }

    fn is_met(&mut self, rate: f64) {
        let at = self.met.partition_point(|&met| met < rate);
        self.met.insert(at, rate);
    }

    /// A rate was met in the climb.
    fn climbed(&mut self, rate: f64, step: f64) {
        self.is_met(rate);
        if rate >= self.bounds.highest_per_s {
            self.stage = SearchStage::Confirm { rate, votes: Votes::default() };
            return;
        }
        let higher = rounded(rate * step).min(self.bounds.highest_per_s);
        match self.ceiling {
            Some(ceiling) if higher >= ceiling.rate => self.narrow(),
            _ => {
                let step = (step * step).min(STEP_MAX);
                self.stage = SearchStage::Climb { rate: higher, step, votes: Votes::default() };
            }
        }
    }

    /// A rate failed: no rate from there on is a candidate.
    fn failed(&mut self, rate: f64, step: f64, outcome: ProbeOutcome) {
        self.ceiling = Some(Ceiling { rate, outcome });
        self.met.retain(|&met| met < rate);
        if !self.met.is_empty() {
            self.narrow();
        } else if rate <= self.bounds.lowest_per_s {
            self.end(SearchLimit::Lowest);
        } else {
            let lower = rounded(rate / step).max(self.bounds.lowest_per_s);
            let step = (step * step).min(STEP_MAX);
            self.stage = SearchStage::Climb { rate: lower, step, votes: Votes::default() };
        }
    }

    /// Between the highest rate that was met and the lowest that failed.
    fn narrow(&mut self) {
        let (Some(&low), Some(high)) = (self.met.last(), self.failed_from()) else { return };
        let left = self.bounds.at_most.saturating_sub(self.spent);
        let is_narrow = high <= low * WIDTH || left < self.bounds.whole * (CONFIRM_PROBES + 1);
        let votes = Votes::default();
        self.stage = if is_narrow {
            SearchStage::Confirm { rate: low, votes }
        } else {
            SearchStage::Bisect { rate: rounded((low * high).sqrt()), votes }
        };
    }

    fn confirm(&mut self, rate: f64, votes: Votes, outcome: ProbeOutcome) {
        if votes.are_confirming() {
            self.found = Some(FoundRate { rate_per_s: rate, votes });
            self.stage = match self.ceiling {
                Some(Ceiling { rate, outcome: ProbeOutcome::Failed }) => {
                    SearchStage::Above { rate, votes: Votes::default() }
                }
                ceiling => {
                    let is_limited = ceiling.is_some_and(|at| at.outcome == ProbeOutcome::Limited);
                    let limit = match ceiling {
                        None => SearchLimit::Highest,
                        Some(_) if is_limited => SearchLimit::Generator,
                        Some(_) => SearchLimit::Server,
                    };
                    SearchStage::Over { limit }
                }
            };
        } else if votes.are_refuting() {
            self.failed(rate, STEP_AGAIN, outcome);
        } else {
            self.stage = SearchStage::Confirm { rate, votes };
        }
    }

    fn above(&mut self, rate: f64, votes: Votes, outcome: ProbeOutcome) {
        match outcome {
            ProbeOutcome::Met if votes.met >= MAJORITY => {
                self.ceiling = None;
                self.climbed(rate, STEP_AGAIN);
            }
            ProbeOutcome::Met => self.stage = SearchStage::Above { rate, votes },
            outcome => {
                self.ceiling = Some(Ceiling { rate, outcome });
                let is_limited = outcome == ProbeOutcome::Limited;
                let limit = if is_limited { SearchLimit::Generator } else { SearchLimit::Server };
                self.stage = SearchStage::Over { limit };
            }
        }
    }
}

impl Votes {
    fn and(mut self, outcome: ProbeOutcome) -> Votes {
        match outcome {
            ProbeOutcome::Met => self.met += 1,
            _ => self.failed += 1,
        }
        self
    }

    /// Whether the rate is met, once that is decided: at once if the first probe met the checks or showed an
    /// overload, else by two of three.
    fn decided(self, last: ProbeOutcome) -> Option<bool> {
        match last {
            ProbeOutcome::Overloaded | ProbeOutcome::Limited => Some(false),
            ProbeOutcome::Met if self.failed == 0 || self.met >= MAJORITY => Some(true),
            _ if self.failed >= MAJORITY => Some(false),
            _ => None,
        }
    }

    /// Whether this many passes is unlikely for a rate that passes half of its probes.
    fn are_confirming(self) -> bool {
        chance_of_at_least(self.met, self.met + self.failed) <= CHANCE_MAX
    }

    /// Whether this few passes is unlikely for a rate that passes half of its probes.
    fn are_refuting(self) -> bool {
        chance_of_at_least(self.failed, self.met + self.failed) <= CHANCE_REFUTED_MAX
    }

    /// The probability that a rate that passes half of its probes would not have been confirmed, neither by
    /// this number of probes nor earlier by fewer. 0 without a probe.
    pub(super) fn confidence(self) -> f64 {
        if self.met == 0 {
            return 0.0;
        }
        let probes = self.met + self.failed;
        // The probability of each number of met probes, without those that were confirmed or refuted before.
        let mut open = vec![1.0];
        let mut confirmed = 0.0;
        for count in 1..=probes {
            let mut next = vec![0.0; count as usize + 1];
            for (met, chance) in open.iter().enumerate() {
                next[met] += chance / 2.0;
                next[met + 1] += chance / 2.0;
            }
            for (met, chance) in next.iter_mut().enumerate() {
                let votes = Votes { met: met as u32, failed: count - met as u32 };
                let is_as_good = count == probes && votes.met >= self.met;
                if votes.are_confirming() || is_as_good {
                    confirmed += std::mem::take(chance);
                } else if votes.are_refuting() {
                    *chance = 0.0;
                }
            }
            open = next;
        }
        1.0 - confirmed
    }
}

/// Four digits: finer differences are never found, and people read these rates.
fn rounded(rate: f64) -> f64 {
    let unit = 10_f64.powf(rate.max(f64::MIN_POSITIVE).log10().floor() - 3.0);
    (rate / unit).round() * unit
}

/// The probability of at least `heads` heads in `tosses` tosses of a fair coin.
fn chance_of_at_least(heads: u32, tosses: u32) -> f64 {
    let mut term = 0.5_f64.powi(tosses.min(1_000).cast_signed());
    let mut chance = 0.0;
    for more in 0..=tosses {
        // `term` is the probability of `more` tails.
        if tosses - more < heads {
            break;
        }
        chance += term;
        term *= f64::from(tosses - more) / f64::from(more + 1);
    }
    chance
}

#[cfg(test)]
mod tests;
