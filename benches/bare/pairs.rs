//! Interleaved pairs: what drifts on a machine (heat, neighbours) meets both sides of a pair alike.

use std::time::Duration;

use nix::unistd::Pid;

use super::process::{cores, pin};

/// A ratio over pairs: its median, and an interval in which the true median lies with about 95 %.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) pairs: usize,
}

impl Ratio {
    /// Of `ratios`, one a pair. The interval's ends are order statistics (of 15 pairs the 4th and the 12th:
    /// 96.5 %), which needs no assumption about how the ratios are spread.
    pub(crate) fn of(mut ratios: Vec<f64>) -> Ratio {
        ratios.sort_by(f64::total_cmp);
        let pairs = ratios.len();
        let rank = pairs as f64 / 2.0 - 0.98 * (pairs as f64).sqrt();
        let outside = (1..=(pairs - 1) / 2).take_while(|&outside| outside as f64 <= rank).count();
        Ratio { median: ratios[pairs / 2], low: ratios[outside], high: ratios[pairs - 1 - outside], pairs }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ratio { median, low, high, pairs } = self;
        write!(f, "{median:.3} [{low:.3}, {high:.3}] ({pairs} pairs)")
    }
}

/// One side of a pair, where requests are counted.
pub(crate) struct Cost {
    pub(crate) requests_per_second: f64,
    /// Of whose costs are compared, in µs.
    pub(crate) cpu_per_request: f64,
}

impl Cost {
    pub(crate) fn of(requests: u64, seconds: f64, cpu_seconds: f64) -> Cost {
        let requests = requests as f64;
        Cost { requests_per_second: requests / seconds, cpu_per_request: cpu_seconds * 1e6 / requests }
    }
}

/// What was measured: the sides of each pair.
pub(crate) struct Pairs<T>(Vec<(T, T)>);

impl<T> Pairs<T> {
    /// Of the first side to the second.
    pub(crate) fn ratio(&self, value: fn(&T) -> f64) -> Ratio {
        Ratio::of(self.0.iter().map(|(first, second)| value(first) / value(second)).collect())
    }

    /// Of the first sides, and of the second.
    pub(crate) fn medians(&self, value: fn(&T) -> f64) -> (f64, f64) {
        let median =
            |side: fn(&(T, T)) -> &T| Ratio::of(self.0.iter().map(|pair| value(side(pair))).collect()).median;
        (median(|pair| &pair.0), median(|pair| &pair.1))
    }
}

/// How a benchmark of pairs is run.
pub(crate) struct Bench {
    pub(crate) pairs: usize,
    /// How long each side of a pair is measured.
    pub(crate) span: Duration,
    pub(crate) server_core: usize,
    pub(crate) load_core: usize,
}

impl Bench {
    /// Pins this process, which is the load, to a core of its own; `ONELOOP_PAIRS` and `ONELOOP_SPAN_MS` may
    /// ask for more or less than 15 pairs of a second.
    pub(crate) fn begin(what: &str) -> Bench {
        let cores = cores();
        let (server_core, load_core) = (cores[0], cores[cores.len() - 1]);
        pin(Pid::from_raw(0), load_core);
        let pairs = setting("ONELOOP_PAIRS", 15) as usize;
        let span = Duration::from_millis(setting("ONELOOP_SPAN_MS", 1000));
        println!("server on core {server_core}, load on core {load_core}; {what}");
        Bench { pairs, span, server_core, load_core }
    }

    /// Runs both sides `pairs` times; which one is first alternates.
    pub(crate) fn interleaved<T>(
        &self,
        mut first: impl FnMut() -> T,
        mut second: impl FnMut() -> T,
    ) -> Pairs<T> {
        let pair = |index: usize| {
            if index.is_multiple_of(2) {
                let a = first();
                (a, second())
            } else {
                let b = second();
                (first(), b)
            }
        };
        Pairs((0..self.pairs).map(pair).collect())
    }

    /// Runs `pair`, which measures both sides by itself, `pairs` times.
    pub(crate) fn each<T>(&self, mut pair: impl FnMut() -> (T, T)) -> Pairs<T> {
        Pairs((0..self.pairs).map(|_| pair()).collect())
    }
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}
