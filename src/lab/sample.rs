//! CPU times over a run, sampled beside it, and what they were between two moments.

use std::time::{Duration, Instant};

use super::proc::{Nanos, machine_cpu, own_cpu, tree_cpu, tree_waited};

/// How often is sampled, at most.
pub const EVERY: Duration = Duration::from_millis(25);
/// Sampling takes at most one part in this many of a core: a tree of thousands of processes is asked less often.
pub const SHARE: u32 = 25;

/// CPU times at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Of the server's process tree.
    pub server: Option<Nanos>,
    /// Of the generator's.
    pub generator: Option<Nanos>,
    /// Of this process.
    pub own: Nanos,
    /// Of all processes of the machine.
    pub machine: Option<Nanos>,
    /// How long the server's threads had waited for a core.
    pub server_waited: Option<Nanos>,
    /// How long the generator's had.
    pub generator_waited: Option<Nanos>,
}

impl Sample {
    /// Samples now. `generator` is `None` while there is none.
    pub fn take(server: u32, generator: Option<u32>) -> Sample {
        Sample {
            at: Instant::now(),
            server: tree_cpu(server),
            generator: generator.and_then(tree_cpu),
            own: own_cpu(),
            machine: machine_cpu(),
            server_waited: tree_waited(server),
            generator_waited: generator.and_then(tree_waited),
        }
    }
}

/// CPU times between two moments, in cores: 1 is one core all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Busy {
    /// The server.
    pub server: Option<f64>,
    /// The generator.
    pub generator: Option<f64>,
    /// Everybody else but this process.
    pub others: Option<f64>,
    /// Threads of the server that were ready to run and had no core, on average.
    pub server_waited: Option<f64>,
    /// The generator's.
    pub generator_waited: Option<f64>,
}

/// What was busy between two moments: the times there are interpolated between the samples around them.
pub fn between(samples: &[Sample], from: Instant, to: Instant) -> Busy {
    let seconds = to.saturating_duration_since(from).as_secs_f64();
    if seconds <= 0.0 {
        return Busy::default();
    }
    let share = |of: &dyn Fn(&Sample) -> Option<Nanos>| {
        let spent = value_at(samples, to, of)? - value_at(samples, from, of)?;
        Some((spent / 1e9 / seconds).max(0.0))
    };
    let server = share(&|sample| sample.server);
    let generator = share(&|sample| sample.generator);
    let machine = share(&|sample| sample.machine);
    let own = share(&|sample| Some(sample.own));
    let ours = server.unwrap_or(0.0) + generator.unwrap_or(0.0) + own.unwrap_or(0.0);
    Busy {
        server,
        generator,
        others: machine.map(|machine| (machine - ours).max(0.0)),
        server_waited: share(&|sample| sample.server_waited),
        generator_waited: share(&|sample| sample.generator_waited),
    }
}

/// The value at a moment, in ns; before the first sample that one's, after the last that one's.
fn value_at(samples: &[Sample], at: Instant, of: &dyn Fn(&Sample) -> Option<Nanos>) -> Option<f64> {
    let known: Vec<(Instant, f64)> =
        samples.iter().filter_map(|sample| Some((sample.at, of(sample)? as f64))).collect();
    let next = known.iter().position(|(when, _)| *when >= at);
    match next {
        None => known.last().map(|(_, value)| *value),
        Some(0) => Some(known[0].1),
        Some(next) => {
            let ((before, low), (after, high)) = (known[next - 1], known[next]);
            let width = after.duration_since(before).as_secs_f64();
            let share = if width > 0.0 { at.duration_since(before).as_secs_f64() / width } else { 1.0 };
            Some(low + share * (high - low))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_interpolated_between_samples() {
        let start = Instant::now();
        let sample = |ms: u64, server: u64, machine: u64| Sample {
            at: start + Duration::from_millis(ms),
            server: Some(server * 1_000_000),
            generator: (ms > 0).then_some(0),
            own: 0,
            machine: Some(machine * 1_000_000),
            server_waited: Some(server * 500_000),
            generator_waited: None,
        };
        // The server is idle for 100 ms, then has a core for itself; others take half of a core throughout.
        let samples = [sample(0, 0, 0), sample(100, 0, 50), sample(300, 200, 350)];
        let busy = between(&samples, start + Duration::from_millis(150), start + Duration::from_millis(250));
        assert!((busy.server.unwrap() - 1.0).abs() < 1e-9);
        assert!((busy.others.unwrap() - 0.5).abs() < 1e-9);
        assert!((busy.server_waited.unwrap() - 0.5).abs() < 1e-9 && busy.generator_waited.is_none());
        let whole = between(&samples, start, start + Duration::from_millis(300));
        assert!((whole.server.unwrap() - 2.0 / 3.0).abs() < 1e-9);
    }
}
