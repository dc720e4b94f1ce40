//! CPU times sampled during a run, and the CPU used between two moments.

use std::time::Duration;

use super::proc::{Nanos, Processes, cores_cpu, own_cpu};
use super::server::ServerProcesses;
use crate::sys::clock::monotonic_ns;

/// The shortest time between two samples.
pub(crate) const EVERY: Duration = Duration::from_millis(25);
/// Sampling uses at most one part in this many of a core: a tree of thousands of processes is sampled less
/// often.
pub(crate) const SHARE: u32 = 25;

/// The cores that belong to server and generator, with those that share a physical core with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sides {
    /// The server's.
    pub(crate) server: Vec<usize>,
    /// The generator's, on which this process runs, too.
    pub(crate) generator: Vec<usize>,
}

/// CPU times at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// When, on the clock that all processes share.
    pub(crate) at_ns: u64,
    /// Of the server's processes.
    pub(crate) server: Option<Nanos>,
    /// Of the generator's.
    pub(crate) generator: Option<Nanos>,
    /// Of this process.
    pub(crate) own: Nanos,
    /// Of all processes of the machine.
    pub(crate) machine: Option<Nanos>,
    /// Of all processes on the server's cores.
    pub(crate) server_side: Option<Nanos>,
    /// Of all processes on the generator's cores.
    pub(crate) generator_side: Option<Nanos>,
    /// How long the server's threads have waited for a core.
    pub(crate) server_waited: Option<Nanos>,
}

impl Sample {
    /// Samples now. `generator` is `None` before it is started. Reading thousands of processes takes tens of
    /// ms; the sample counts for the middle of this interval.
    pub(crate) fn take(server: &ServerProcesses, generator: Option<u32>, sides: &Sides) -> Sample {
        let processes = Processes::now();
        let began_ns = monotonic_ns();
        let (server_cpu, server_waited) =
            processes.as_ref().map_or((None, None), |processes| server.times(processes, generator));
        let generator_cpu = generator.and_then(|generator| processes.as_ref()?.cpu(generator));
        let (own, cores) = (own_cpu(), cores_cpu());
        let at_ns = began_ns.midpoint(monotonic_ns());
        let used_on = |side: &[usize]| {
            let mine = cores.iter().flatten().filter(|(core, _)| side.contains(core)).map(|(_, ns)| ns);
            (!side.is_empty() && cores.is_some()).then(|| mine.sum())
        };
        Sample {
            at_ns,
            server: server_cpu,
            generator: generator_cpu,
            own,
            machine: cores.as_ref().map(|cores| cores.iter().map(|(_, ns)| ns).sum()),
            server_side: used_on(&sides.server),
            generator_side: used_on(&sides.generator),
            server_waited,
        }
    }
}

/// A span of time on the clock that all processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its beginning.
    pub(crate) from_ns: u64,
    /// Its end.
    pub(crate) to_ns: u64,
}

impl Span {
    /// The part of the span before the first and after the last sample.
    pub(crate) fn beyond_ns(self, samples: &[Sample]) -> u64 {
        let (first, last) = (samples.first(), samples.last());
        let known = |sample: Option<&Sample>| sample.map_or(self.to_ns, |sample| sample.at_ns);
        let before = known(first).clamp(self.from_ns, self.to_ns) - self.from_ns;
        let after = self.to_ns - last.map_or(self.to_ns, |last| last.at_ns.clamp(self.from_ns, self.to_ns));
        before + after
    }
}

/// CPU times between two moments, in cores: 1 is one core all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CoresUsed {
    /// The server.
    pub(crate) server: Option<f64>,
    /// The generator.
    pub(crate) generator: Option<f64>,
    /// All other processes except this one.
    pub(crate) others: Option<f64>,
    /// All other processes on the server's cores.
    pub(crate) others_beside_server: Option<f64>,
    /// All other processes except this one on the generator's cores.
    pub(crate) others_beside_generator: Option<f64>,
    /// Threads of the server that were runnable without a core, on average.
    pub(crate) server_waited: Option<f64>,
}

/// The CPU used in a span: times at its ends are interpolated between the samples around them. Without a
/// sample on both sides of each end there is no value.
pub(crate) fn between(samples: &[Sample], span: Span) -> CoresUsed {
    let seconds = span.to_ns.saturating_sub(span.from_ns) as f64 / 1e9;
    if seconds <= 0.0 {
        return CoresUsed::default();
    }
    let share = |of: &dyn Fn(&Sample) -> Option<Nanos>| {
        let spent = value_at(samples, span.to_ns, of)? - value_at(samples, span.from_ns, of)?;
        Some((spent / 1e9 / seconds).max(0.0))
    };
    let server = share(&|sample| sample.server);
    let generator = share(&|sample| sample.generator);
    let machine = share(&|sample| sample.machine);
    let own = share(&|sample| Some(sample.own));
    let server_side = share(&|sample| sample.server_side);
    let generator_side = share(&|sample| sample.generator_side);
    // If a CPU time of server or generator is unknown, it would count as that of others.
    let ours = || Some(server? + generator? + own?);
    CoresUsed {
        server,
        generator,
        others: machine.and_then(|machine| Some((machine - ours()?).max(0.0))),
        others_beside_server: server_side.and_then(|used| Some((used - server?).max(0.0))),
        others_beside_generator: generator_side.and_then(|used| Some((used - generator? - own?).max(0.0))),
        server_waited: share(&|sample| sample.server_waited),
    }
}

/// The value at a moment, in ns; `None` before the first and after the last sample that has one.
fn value_at(samples: &[Sample], at_ns: u64, of: &dyn Fn(&Sample) -> Option<Nanos>) -> Option<f64> {
    let mut known = samples.iter().filter_map(|sample| Some((sample.at_ns, of(sample)? as f64)));
    let (mut before_ns, mut low) = known.next().filter(|(first_ns, _)| *first_ns <= at_ns)?;
    if before_ns == at_ns {
        return Some(low);
    }
    for (after_ns, high) in known {
        if after_ns >= at_ns {
            let share = (at_ns - before_ns) as f64 / (after_ns - before_ns) as f64;
            return Some(low + share * (high - low));
        }
        (before_ns, low) = (after_ns, high);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// The server is idle for 100 ms, then uses a whole core; others use half a core throughout.
    fn samples() -> [Sample; 3] {
        let sample = |ms: u64, server: u64, machine: u64| Sample {
            at_ns: 7 + ms * MS,
            server: Some(server * MS),
            generator: (ms > 0).then_some(0),
            own: 0,
            machine: Some(machine * MS),
            server_side: Some(server * MS),
            generator_side: Some((machine - server) * MS),
            server_waited: Some(server * MS / 2),
        };
        [sample(0, 0, 0), sample(100, 0, 50), sample(300, 200, 350)]
    }

    fn span(from_ms: u64, to_ms: u64) -> Span {
        Span { from_ns: 7 + from_ms * MS, to_ns: 7 + to_ms * MS }
    }

    #[test]
    fn times_are_interpolated_between_samples() {
        let busy = between(&samples(), span(150, 250));
        assert!((busy.server.unwrap() - 1.0).abs() < 1e-9);
        assert!((busy.others.unwrap() - 0.5).abs() < 1e-9);
        assert!((busy.server_waited.unwrap() - 0.5).abs() < 1e-9);
        // All CPU time of others is on the generator's core.
        assert!(busy.others_beside_server.unwrap() < 1e-9);
        assert!((busy.others_beside_generator.unwrap() - 0.5).abs() < 1e-9);
        let whole = between(&samples(), span(0, 300));
        assert!((whole.server.unwrap() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(span(0, 300).beyond_ns(&samples()), 0);
    }

    #[test]
    fn there_are_no_values_beyond_the_samples() {
        for (beyond, ms) in [(span(200, 301), 1), (span(400, 900), 500)] {
            let busy = between(&samples(), beyond);
            assert_eq!((busy.server, busy.server_waited, busy.others), (None, None, None), "{beyond:?}");
            assert_eq!(beyond.beyond_ns(&samples()), ms * MS);
        }
        // The generator's first sample is the second.
        assert_eq!(between(&samples(), span(50, 200)).generator, None);
        let before = Span { from_ns: 0, to_ns: 7 + 100 * MS };
        assert_eq!((between(&samples(), before).server, before.beyond_ns(&samples())), (None, 7));
        assert_eq!((between(&[], span(0, 5)).server, span(0, 5).beyond_ns(&[])), (None, 5 * MS));
    }
}
