//! The search against servers in virtual time.

use std::time::Duration;

use super::*;
use crate::load::random::Random;

const SHORT: Duration = Duration::from_secs(1);
const WHOLE: Duration = Duration::from_secs(3);
const WARM_UP_S: f64 = 0.5;
/// Connecting, and the wait for an empty backlog.
const BESIDE_S: f64 = 0.3;
const CLIENTS: f64 = 64.0;
const AT_MOST: Duration = Duration::from_secs(90);

/// A server that answers `capacity` requests per second, after a burst, and stops now and then.
struct TokenBucket {
    capacity: f64,
    burst_s: f64,
    /// The mean time between two stops, and the longest stop.
    stalls_s: (f64, f64),
    random: Random,
    now_s: f64,
    /// When the next token is there, without the burst.
    token_s: f64,
    stall_s: (f64, f64),
}

impl TokenBucket {
    fn new(seed: u64, capacity: f64, burst_s: f64, stalls_s: (f64, f64)) -> TokenBucket {
        let random = Random::new(seed);
        let mut bucket = TokenBucket {
            capacity,
            burst_s,
            stalls_s,
            random,
            now_s: 0.0,
            token_s: 0.0,
            stall_s: (0.0, 0.0),
        };
        bucket.next_stall();
        bucket
    }

    fn next_stall(&mut self) {
        let begin_s = self.stall_s.1 - self.random.unit().ln() * self.stalls_s.0;
        self.stall_s = (begin_s, begin_s + self.random.unit() * self.stalls_s.1);
    }

    /// When a request is answered that arrives then, after all others.
    fn answer(&mut self, arrival_s: f64) -> f64 {
        let mut at_s = arrival_s.max(self.token_s - self.burst_s);
        while at_s >= self.stall_s.0 {
            at_s = at_s.max(self.stall_s.1);
            self.next_stall();
        }
        self.token_s = self.token_s.max(at_s) + 1.0 / self.capacity;
        at_s + 0.000_2 - self.random.unit().ln() * 0.000_05
    }

    /// A probe whose p99 is to be below 5 ms, as `find` makes it: it ends early if the backlog is hopeless.
    fn probe(&mut self, probe: Probe) -> (ProbeOutcome, Duration) {
        let began_s = self.now_s;
        let measured_s = if probe.length == ProbeLength::Short { SHORT } else { WHOLE }.as_secs_f64();
        let from_s = began_s + BESIDE_S + WARM_UP_S;
        let to_s = from_s + measured_s;
        let due = probe.rate_per_s * measured_s;
        let (mut latencies_s, mut answers_s) = (Vec::new(), Vec::<f64>::new());
        let (mut answered, mut number) = (0, 0.0);
        let mut end_s = to_s;
        loop {
            let arrival_s = began_s + BESIDE_S + number / probe.rate_per_s;
            if arrival_s >= to_s {
                break;
            }
            number += 1.0;
            let replied_s = self.answer(arrival_s);
            answers_s.push(replied_s);
            while answers_s.get(answered).is_some_and(|&at_s| at_s <= arrival_s) {
                answered += 1;
            }
            if arrival_s >= from_s {
                latencies_s.push(replied_s - arrival_s);
                if (answers_s.len() - answered) as f64 > 0.25 * due {
                    end_s = arrival_s;
                    break;
                }
            }
        }
        if end_s < to_s {
            // What waits in the generator is given up; what the server has is waited for.
            self.token_s = self.token_s.min(end_s + CLIENTS / self.capacity);
            self.now_s = self.token_s.max(end_s);
        } else {
            self.now_s = answers_s.last().map_or(to_s, |&at_s| at_s.max(to_s));
        }
        let in_time = answers_s.iter().filter(|&&at_s| (from_s..to_s).contains(&at_s)).count() as f64;
        latencies_s.sort_by(f64::total_cmp);
        let p99_s = latencies_s.get(latencies_s.len() * 99 / 100).copied().unwrap_or(0.0);
        let outcome = if end_s < to_s || in_time < 0.9 * due {
            ProbeOutcome::Overloaded
        } else if p99_s < 0.005 {
            ProbeOutcome::Met
        } else {
            ProbeOutcome::Failed
        };
        (outcome, Duration::from_secs_f64(self.now_s - began_s))
    }
}

fn bounds(start_per_s: f64) -> SearchBounds {
    let beside = Duration::from_secs_f64(BESIDE_S + WARM_UP_S);
    SearchBounds {
        start_per_s,
        lowest_per_s: 3.0,
        highest_per_s: 1e7,
        short: SHORT + beside,
        whole: WHOLE + beside,
        at_most: AT_MOST,
    }
}

/// Runs a search, and returns it with the number of its probes.
fn search(bounds: SearchBounds, mut probe: impl FnMut(Probe) -> (ProbeOutcome, Duration)) -> (Search, u32) {
    let (mut search, mut probes) = (Search::new(bounds), 0);
    while let Some(next) = search.next() {
        probes += 1;
        assert!(probes < 1_000, "{search:?}");
        let (outcome, took) = probe(next);
        search.record(outcome, took);
    }
    (search, probes)
}

/// Capacities from 100 to 20,000 per second, and a start that is up to 20 times off.
#[test]
fn the_capacity_of_a_server_that_stalls_is_found_within_5_percent_and_90_seconds() {
    for seed in 1..=20 {
        let mut random = Random::new(seed);
        let capacity = 100.0 * 200_f64.powf(random.unit());
        let start = capacity * 20_f64.powf(2.0 * random.unit() - 1.0);
        let mut server = TokenBucket::new(seed, capacity, 0.05, (8.0, 0.04));
        let (search, probes) = search(bounds(start), |probe| server.probe(probe));
        let found =
            search.found().unwrap_or_else(|| panic!("seed {seed}, {capacity} from {start}: {search:#?}"));
        let (error, took_s) = (found.rate_per_s / capacity - 1.0, server.now_s);
        println!(
            "seed {seed}: {capacity:.0}/s from {start:.0}/s: {error:+.3}, {probes} probes, {took_s:.0} s, {found:?}, {:?}",
            search.limit()
        );
        assert!(error.abs() <= 0.05, "seed {seed}: {found:?} of {capacity}");
        assert!(took_s <= 90.0 && found.votes.confidence() > 0.9, "seed {seed}: {took_s} s, {found:?}");
    }
}

/// Sharp: every rate up to the capacity is met, and none above.
fn exact(capacity: f64) -> impl FnMut(Probe) -> (ProbeOutcome, Duration) {
    move |probe| {
        let outcome = match probe.rate_per_s / capacity {
            share if share <= 1.0 => ProbeOutcome::Met,
            share if share <= 1.2 => ProbeOutcome::Failed,
            _ => ProbeOutcome::Overloaded,
        };
        (outcome, Duration::from_millis(if probe.length == ProbeLength::Short { 1_500 } else { 3_500 }))
    }
}

#[test]
fn the_rate_found_was_met_and_the_next_one_was_not() {
    for capacity in [10.0, 999.0, 123_456.0] {
        for start in [5.0, 700.0, 1e6] {
            let (search, probes) = search(bounds(start), exact(capacity));
            let (found, above) = (search.found().unwrap(), search.failed_from().unwrap());
            assert!(found.rate_per_s <= capacity && capacity < above, "{found:?} {above}");
            assert!(above / found.rate_per_s <= 1.05 && probes <= 26, "{found:?} {above} {probes}");
            assert_eq!((found.votes.failed, search.limit()), (0, Some(SearchLimit::Server)));
        }
    }
}

#[test]
fn the_bounds_are_kept_and_named() {
    let within = SearchBounds { lowest_per_s: 100.0, highest_per_s: 1_000.0, ..bounds(300.0) };
    let (high, _) = search(within, |probe| {
        assert!((100.0..=1_000.0).contains(&probe.rate_per_s));
        exact(5_000.0)(probe)
    });
    assert_eq!((high.found().unwrap().rate_per_s, high.limit()), (1_000.0, Some(SearchLimit::Highest)));
    let (low, _) = search(within, |probe| {
        assert!((100.0..=1_000.0).contains(&probe.rate_per_s));
        exact(50.0)(probe)
    });
    assert_eq!((low.found(), low.limit()), (None, Some(SearchLimit::Lowest)));
    assert_eq!(low.failed_from(), Some(100.0));
}

#[test]
fn a_generator_that_cannot_do_more_gives_a_lower_bound() {
    let (search, _) = search(bounds(1_000.0), |probe| {
        let outcome = if probe.rate_per_s > 20_000.0 { ProbeOutcome::Limited } else { ProbeOutcome::Met };
        (outcome, Duration::from_secs(3))
    });
    let found = search.found().unwrap();
    assert!((19_000.0..=20_000.0).contains(&found.rate_per_s), "{found:?}");
    assert_eq!(search.limit(), Some(SearchLimit::Generator));
}

#[test]
fn a_disturbed_probe_is_repeated_and_at_last_counts() {
    let mut count = 0;
    let (calm, _) = search(bounds(500.0), |probe| {
        count += 1;
        match count % 3 {
            0 => (ProbeOutcome::Disturbed, Duration::from_millis(500)),
            _ => exact(1_000.0)(probe),
        }
    });
    let found = calm.found().unwrap();
    assert!((960.0..=1_000.0).contains(&found.rate_per_s), "{found:?}");
    let (never, probes) = search(bounds(500.0), |_| (ProbeOutcome::Disturbed, Duration::from_millis(500)));
    assert!(never.found().is_none() && probes < 200, "{probes}");
}

#[test]
fn a_wrong_first_impression_is_corrected() {
    // The first probe at each rate fails, as if the server stopped just then.
    let mut seen: Vec<f64> = Vec::new();
    let (slow, _) = search(bounds(500.0), |probe| {
        let is_first = !seen.contains(&probe.rate_per_s);
        seen.push(probe.rate_per_s);
        if is_first { (ProbeOutcome::Failed, Duration::from_secs(1)) } else { exact(1_000.0)(probe) }
    });
    assert!((960.0..=1_000.0).contains(&slow.found().unwrap().rate_per_s), "{slow:?}");
    // The first probe at each rate is met, as if the server had saved up a burst.
    let mut seen: Vec<f64> = Vec::new();
    let (fast, _) = search(bounds(500.0), |probe| {
        let is_first = !seen.contains(&probe.rate_per_s) && probe.rate_per_s < 1_200.0;
        seen.push(probe.rate_per_s);
        if is_first { (ProbeOutcome::Met, Duration::from_secs(1)) } else { exact(1_000.0)(probe) }
    });
    assert!((940.0..=1_000.0).contains(&fast.found().unwrap().rate_per_s), "{fast:?}");
}

#[test]
fn the_time_is_kept_and_what_was_seen_is_reported() {
    let brief = SearchBounds { at_most: Duration::from_secs(12), ..bounds(500.0) };
    let mut spent = Duration::ZERO;
    let (search, _) = search(brief, |probe| {
        let (outcome, took) = exact(1_000.0)(probe);
        spent += took;
        (outcome, took)
    });
    assert!(spent <= Duration::from_secs(14), "{spent:?}");
    let found = search.found().unwrap();
    assert!(found.rate_per_s >= 500.0 && search.limit() == Some(SearchLimit::Time), "{search:?}");
    assert!(found.votes.confidence() < 0.9);
}

#[test]
fn an_interrupted_search_keeps_the_highest_rate_that_was_met() {
    let mut search = Search::new(bounds(500.0));
    for outcome in [ProbeOutcome::Met, ProbeOutcome::Met, ProbeOutcome::Overloaded] {
        search.next().unwrap();
        search.record(outcome, Duration::from_secs(1));
    }
    search.interrupt();
    assert_eq!((search.next(), search.limit()), (None, Some(SearchLimit::Interrupted)));
    let found = search.found().unwrap();
    assert!((found.rate_per_s - 625.0).abs() < 1e-9 && found.votes == Votes::default());
}

/// The stated confidence is what the rule does: a rate that is met by a coin is confirmed as rarely.
#[test]
fn the_confidence_is_that_of_the_rule() {
    assert!((Votes { met: 5, failed: 0 }.confidence() - 31.0 / 32.0).abs() < 1e-12);
    assert!(Votes::default().confidence() < 1e-12);
    let mut random = Random::new(7);
    let (trials, mut confirmed) = (20_000, 0);
    for _ in 0..trials {
        let mut votes = Votes::default();
        while votes.met + votes.failed < 8 && !votes.are_confirming() && !votes.are_refuting() {
            votes = votes.and(if random.unit() < 0.5 { ProbeOutcome::Met } else { ProbeOutcome::Failed });
        }
        confirmed += u32::from(votes.are_confirming());
    }
    let seen = 1.0 - f64::from(confirmed) / f64::from(trials);
    let stated = Votes { met: 7, failed: 1 }.confidence();
    assert!((seen - stated).abs() < 0.005, "{seen} of {stated}");
}
