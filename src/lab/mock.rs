//! An executor with made-up samples: what the lab does with numbers is tested without measuring any.

use super::plan::comparison::Cell;
use super::plan::experiment::{Experiment, Extent, IDLE_ACTIVE_RATE, PATIENCE_MS, STEADY_CLIENTS};
use super::plan::metric::Metric;
use super::plan::subject::SubjectKind;
use super::run::executor::Executor;
use super::run::machine::Machine;
use super::run::outcome::{ClientTimes, Measurement, RunOutcome};
use crate::judge::evidence::Evidence;
use crate::models::Model;

/// Changes an outcome before it is returned, to make up trouble.
pub(crate) type Meddle = Box<dyn FnMut(&Cell, u32, RunOutcome) -> RunOutcome>;

/// Makes numbers up: plausible ones, the same on every run and machine.
pub(crate) struct MockExecutor {
    meddle: Meddle,
}

impl Default for MockExecutor {
    fn default() -> Self {
        MockExecutor { meddle: Box::new(|_, _, outcome| outcome) }
    }
}

impl MockExecutor {
    /// An executor whose outcomes `meddle` changes.
    pub(crate) fn meddling(meddle: impl FnMut(&Cell, u32, RunOutcome) -> RunOutcome + 'static) -> Self {
        MockExecutor { meddle: Box::new(meddle) }
    }
}

impl Executor for MockExecutor {
    fn machine(&mut self) -> Machine {
        Machine {
            kernel: "Mock 1.0".into(),
            processor: "Made-up processor".into(),
            cores: vec![0, 1],
            memory_bytes: Some(8 << 30),
            descriptors_max: (20_000, 20_000),
            processes_max: Some(15_000),
            settings: vec![("net.core.somaxconn".into(), "4096".into())],
            placement: "server on core 0, generator on core 1: disjoint".into(),
            not_sampled: vec![],
        }
    }

    fn run(&mut self, cell: &Cell, _extent: Extent, repeat: u32) -> RunOutcome {
        // A wobble of up to 2 %, from the cell and the repeat alone.
        let mix =
            cell.subject.name.bytes().fold(u64::from(cell.level) + 31 * u64::from(repeat), |mix, byte| {
                (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let wobble = 1.0 + ((mix >> 16) % 1000) as f64 / 25_000.0 - 0.02;
        let outcome = RunOutcome::Measured(Box::new(made_up(cell, wobble)));
        (self.meddle)(cell, repeat, outcome)
    }
}

/// The µs of CPU that a request, and a client that comes and goes, costs a subject.
fn costs_us(kind: &SubjectKind) -> (f64, f64) {
    match kind {
        SubjectKind::Model { model: Model::Iterative, .. } => (9.0, 22.0),
        SubjectKind::Model { model: Model::Prefork, .. } => (10.0, 27.0),
        SubjectKind::Model { model: Model::Fork, .. } => (10.5, 190.0),
        SubjectKind::Model { model: Model::Thread, .. } => (10.2, 48.0),
        SubjectKind::Model { model: Model::Prethread, .. } => (10.1, 29.0),
        SubjectKind::Model { model: Model::Reactor, .. } => (7.0, 25.0),
        SubjectKind::Peer { .. } => (12.0, 60.0),
    }
}

fn made_up(cell: &Cell, wobble: f64) -> Measurement {
    let level = f64::from(cell.level);
    let (request_us, client_us) = costs_us(&cell.subject.kind);
    let one_at_once = cell.subject.as_model() == Some(Model::Iterative);
    let measurement = Measurement {
        evidence: Evidence {
            generator_cpu: Some(0.55),
            server_cpu: Some(0.98),
            others_cpu: Some(0.01),
            requests: 10_000,
            listen_overflows: Some(0),
            ..Evidence::default()
        },
        ..Measurement::default()
    };
    match cell.experiment {
        Experiment::Wait => wait(if one_at_once { 500.0 } else { 0.15 } * wobble, measurement),
        Experiment::Few => few(cell, measurement),
        Experiment::Many => measurement
            .with(Metric::MemoryBytes, (2.0e6 + 180_000.0 * level) * wobble)
            .with(Metric::KernelBytes, 60_000.0 * level * wobble)
            .with(Metric::CpuPerSecondUs, 20.0 * wobble),
        Experiment::Churn => measurement
            .with(Metric::ClientsPerS, 1e6 / client_us * wobble)
            .with(Metric::CpuPerClientUs, client_us * wobble)
            .with(Metric::LatencyP99Us, 30.0 * client_us * wobble),
        Experiment::Crowd => crowd(cell, measurement, request_us, wobble),
        Experiment::Steady => steady(measurement, level, request_us, wobble),
        Experiment::Idle => idle(cell, measurement, request_us, wobble),
        Experiment::Bulk => measurement
            .with(Metric::BytesPerS, 2.2e10 / request_us * wobble)
            .with(Metric::Fairness, 0.999)
            .with(Metric::CpuPerRequestUs, 3.0 * request_us * wobble),
    }
}

fn wait(waited_ms: f64, measurement: Measurement) -> Measurement {
    let stalled =
        ClientTimes { connected_ms: Some(0.1), left_ms: 500.0, stalls: true, ..ClientTimes::default() };
    let answered_ms = 0.2 + waited_ms;
    let second = ClientTimes {
        came_ms: 0.1,
        connected_ms: Some(0.2),
        answered_ms: Some(answered_ms),
        left_ms: answered_ms,
        stalls: false,
    };
    Measurement { clients: vec![stalled, second], ..measurement }.with(Metric::WaitMs, waited_ms)
}

/// A client of `few`: each place serves one after the other.
fn client_of_few(client: u32, at_once: u32) -> ClientTimes {
    let answered_ms = 0.5 + f64::from(client / at_once) * 300.0;
    let waits = answered_ms < PATIENCE_MS as f64;
    ClientTimes {
        came_ms: 0.01 * f64::from(client),
        connected_ms: Some(0.2),
        answered_ms: waits.then_some(answered_ms),
        left_ms: if waits { answered_ms + 300.0 } else { PATIENCE_MS as f64 },
        stalls: false,
    }
}

fn few(cell: &Cell, measurement: Measurement) -> Measurement {
    let at_once = match cell.subject.as_model() {
        Some(Model::Iterative) => 1,
        Some(model) if model.starts_ahead() => 4,
        _ => cell.level,
    };
    let at_once = at_once.min(cell.level);
    let waiting = (cell.level - at_once).min(17);
    let clients = (0..cell.level).map(|client| client_of_few(client, at_once)).collect();
    Measurement { clients, ..measurement }
        .with(Metric::ServedAtOnce, f64::from(at_once))
        .with(Metric::KeptWaiting, f64::from(waiting))
        .with(Metric::Dropped, f64::from(cell.level - at_once - waiting))
        .with(Metric::Refused, 0.0)
        .with(
            Metric::WaitMaxMs,
            (f64::from(waiting) / f64::from(at_once) * 300.0 + 1.0).min(PATIENCE_MS as f64),
        )
}

fn crowd(cell: &Cell, mut measurement: Measurement, request_us: f64, wobble: f64) -> Measurement {
    let level = f64::from(cell.level);
    // A thread or process per client gets dearer with their number; the loop gets cheaper, then dearer again.
    let growth = if cell.subject.as_model() == Some(Model::Reactor) { 0.03 } else { 0.11 };
    let first_us = if cell.subject.as_model() == Some(Model::Reactor) { 5.0 } else { 0.0 };
    let cost_us = request_us * (1.0 + growth * level.ln()) + first_us / level;
    let rate = (1e6 / cost_us).min(level * 28_000.0) * wobble;
    measurement.evidence.achieved_per_s = Some(rate);
    measurement.evidence.in_flight = Some(level);
    measurement.evidence.latency_mean_us = Some(level / rate * 1e6);
    measurement
        .with(Metric::RequestsPerS, rate)
        .with(Metric::LatencyP50Us, level / rate * 0.9e6)
        .with(Metric::LatencyP99Us, level / rate * (1.4e6 + 2e5 * growth * level.ln()))
        .with(Metric::CpuPerRequestUs, cost_us * wobble)
}

fn steady(mut measurement: Measurement, rate: f64, request_us: f64, wobble: f64) -> Measurement {
    measurement.evidence.target_per_s = Some(rate);
    measurement.evidence.achieved_per_s = Some(rate * 0.999);
    measurement.evidence.server_cpu = Some(rate * request_us / 1e6);
    measurement
        .with(Metric::CpuPerRequestUs, 1.6 * request_us * wobble)
        .with(Metric::LatencyP50Us, 4.0 * request_us * wobble)
        .with(Metric::LatencyP99Us, 12.0 * request_us * wobble)
        .with(Metric::LatencyP999Us, 30.0 * request_us * wobble)
}

fn idle(cell: &Cell, measurement: Measurement, request_us: f64, wobble: f64) -> Measurement {
    let (user_bytes, kernel_bytes) = match cell.subject.as_model() {
        Some(Model::Fork) => (140_000.0, 90_000.0),
        Some(Model::Thread) => (14_000.0, 26_000.0),
        _ => (200.0, 4_500.0),
    };
    let level = f64::from(cell.level);
    let mut measurement = steady(measurement, f64::from(IDLE_ACTIVE_RATE), request_us, wobble);
    measurement.values.retain(|metric, _| matches!(metric, Metric::CpuPerRequestUs | Metric::LatencyP99Us));
    measurement
        .with(Metric::MemoryBytes, (2.5e6 + user_bytes * (level + f64::from(STEADY_CLIENTS))) * wobble)
        .with(Metric::KernelBytes, (3e5 + kernel_bytes * level) * wobble)
}
