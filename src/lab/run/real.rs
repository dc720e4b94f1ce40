//! Measures real servers: server and generator are processes of this program, each on its own cores.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::examine::examine;
use super::executor::{Examination, Executor};
use super::generator::{GeneratorRun, GeneratorTask};
use super::machine::{Machine, inspect};
use super::orphans::Orphans;
use super::outcome::{Measurement, RunOutcome};
use super::placement::Placement;
use super::server::{Server, ServerOptions};
use super::standing::{IdleClients, memory, settle};
use super::{stalls, standing};
use crate::judge::ErrorCounts;
use crate::judge::evidence::Evidence;
use crate::lab::plan::comparison::Cell;
use crate::lab::plan::experiment::{
    BULK_BYTES, CHURN_CLIENTS, Experiment, Extent, FEW_BACKLOG, FEW_COPIES, IDLE_ACTIVE_RATE, REQUEST_BYTES,
    STEADY_CLIENTS, ramp_ms, warmup_ms,
};
use crate::lab::plan::metric::Metric;
use crate::lab::plan::subject::{CoreClass, Subject};
use crate::lab::sample::cpu::{Sample, Span, between};
use crate::lab::sample::proc::{kernel_memory_settled, listen_overflows};
use crate::load::Report;
use crate::models::Model;
use crate::sys::control_group::ControlGroup;
use crate::sys::signals::SignalCounts;

/// How long a peer must keep running before anything is measured.
const PEER_WATCHED: Duration = Duration::from_secs(1);

/// Measures on real servers.
#[derive(Debug)]
pub(crate) struct RealExecutor {
    program: PathBuf,
    placement: Placement,
    orphans: Orphans,
    signals: SignalCounts,
    /// The counter covers one server after the other; only differences of two readings are used.
    group: Option<Arc<ControlGroup>>,
}

impl RealExecutor {
    /// With this program as server and generator. The calling thread moves to the generator's cores. A stop
    /// signal interrupts a run.
    pub(crate) fn new(placement: Placement, signals: SignalCounts) -> io::Result<RealExecutor> {
        let (program, orphans) = (std::env::current_exe()?, Orphans::adopt()?);
        let group = ControlGroup::create(&format!("oneloop-compare-{}", std::process::id()));
        if let Err(error) = &group {
            log::debug!("no control group: {error}; CPU times are those of /proc");
        }
        Ok(RealExecutor { program, placement, orphans, signals, group: group.ok().map(Arc::new) })
    }

    fn options(&self, backlog: Option<u32>) -> ServerOptions<'_> {
        let (signals, group) = (self.signals, self.group.as_ref());
        ServerOptions { backlog, signals, group, inherited: self.orphans.inherited() }
    }

    fn measure(&self, cell: &Cell, extent: Extent) -> Result<Measurement, String> {
        let standing = matches!(cell.experiment, Experiment::Many | Experiment::Idle);
        let kernel_before = if standing { kernel_memory_settled() } else { None };
        let (subject, backlog) = as_asked(cell);
        let options = self.options(backlog);
        let cores = self.placement.server(cell.class);
        let mut server = Server::start(&self.program, &subject, options, &self.placement, cores)?;
        let measured = self.measure_server(cell, extent, &server, kernel_before);
        // If the server ended, its exit explains more than the clients' errors.
        server.lives().and(measured)
    }

    fn measure_server(
        &self,
        cell: &Cell,
        extent: Extent,
        server: &Server,
        kernel_before: Option<u64>,
    ) -> Result<Measurement, String> {
        let measured_ms = cell.experiment.measured_ms(extent);
        match cell.experiment {
            Experiment::Wait => self.beside_others(cell, server, || stalls::wait(server.addr())),
            Experiment::Few => {
                self.beside_others(cell, server, || Ok(stalls::few(server.addr(), cell.level)))
            }
            Experiment::Many => standing::many(server, kernel_before, measured_ms),
            Experiment::Idle => {
                let crowd = IdleClients::gather(server.addr(), cell.level)?;
                settle(server.processes());
                // Sampled before the active clients connect, whose memory must not count for the idle ones.
                let silent = memory(Measurement::default(), server, kernel_before);
                let mut measurement = self.traffic(cell, extent, server)?;
                drop(crowd);
                measurement.values.retain(|metric, _| cell.experiment.metrics().contains(metric));
                measurement.values.extend(silent.values);
                Ok(measurement)
            }
            Experiment::Churn | Experiment::Crowd | Experiment::Steady | Experiment::Bulk => {
                self.traffic(cell, extent, server)
            }
        }
    }

    /// Measures in this process, and adds the CPU time of other processes.
    fn beside_others(
        &self,
        cell: &Cell,
        server: &Server,
        measure: impl FnOnce() -> Result<Measurement, String>,
    ) -> Result<Measurement, String> {
        let sides = self.placement.sides(cell.class);
        // The clients are threads of this process, so there is no generator.
        let sample = || Sample { generator: Some(0), ..Sample::take(server.processes(), None, &sides) };
        let before = sample();
        let mut measurement = measure()?;
        let after = sample();
        let busy = between(&[before, after], Span { from_ns: before.at_ns, to_ns: after.at_ns });
        let evidence = &mut measurement.evidence;
        evidence.others_cpu = busy.others;
        evidence.others_beside_server = busy.others_beside_server;
        evidence.others_beside_generator = busy.others_beside_generator;
        Ok(measurement)
    }

    /// Runs the generator against the server, and combines its report with the samples.
    fn traffic(&self, cell: &Cell, extent: Extent, server: &Server) -> Result<Measurement, String> {
        let load = task_of(cell, extent);
        let overflows = listen_overflows();
        let sides = self.placement.sides(cell.class);
        let loaded = load.run(&self.program, server, &self.placement, &sides)?;
        let overflows = overflows.and_then(|before| Some(listen_overflows()? - before));
        let server_cores = self.placement.server(cell.class).len().max(1);
        Ok(measurement(cell, &load, &loaded, server_cores, overflows))
    }
}

impl Executor for RealExecutor {
    fn machine(&mut self) -> Machine {
        inspect(self.placement.cores().to_vec(), self.placement.describe())
    }

    fn check(&mut self, subject: &Subject) -> Result<Examination, String> {
        let cores = self.placement.server(CoreClass::OneCore);
        let started = Server::start(&self.program, subject, self.options(None), &self.placement, cores);
        let checked = started.and_then(|mut server| {
            if subject.as_model().is_some() {
                return server.lives().map(|()| Examination::default());
            }
            // A command that starts its server in the background ends soon after the server listens.
            thread::sleep(PEER_WATCHED);
            server.lives()?;
            examine(&mut server)
        });
        self.orphans.end();
        checked
    }

    fn run(&mut self, cell: &Cell, extent: Extent, _repeat: u32) -> RunOutcome {
        let measured = self.measure(cell, extent);
        self.orphans.end();
        match measured {
            Ok(measurement) => RunOutcome::Measured(Box::new(measurement)),
            Err(why) => RunOutcome::Failed(why),
        }
    }
}

/// The subject with the number of copies and the listen queue of the experiment.
fn as_asked(cell: &Cell) -> (Subject, Option<u32>) {
    let starts_ahead = cell.subject.as_model().is_some_and(Model::starts_ahead);
    match cell.experiment {
        Experiment::Few => {
            let copies = if starts_ahead { cell.subject.with_workers(FEW_COPIES) } else { None };
            (copies.unwrap_or_else(|| cell.subject.clone()), Some(FEW_BACKLOG))
        }
        Experiment::Many => {
            (cell.subject.with_workers(cell.level).unwrap_or_else(|| cell.subject.clone()), None)
        }
        _ => (cell.subject.clone(), None),
    }
}

fn task_of(cell: &Cell, extent: Extent) -> GeneratorTask {
    let (clients, bytes, rate, churn) = match cell.experiment {
        Experiment::Churn => (CHURN_CLIENTS, REQUEST_BYTES, None, true),
        Experiment::Steady => (STEADY_CLIENTS, REQUEST_BYTES, Some(cell.level), false),
        Experiment::Idle => (STEADY_CLIENTS, REQUEST_BYTES, Some(IDLE_ACTIVE_RATE), false),
        Experiment::Bulk => (cell.level, BULK_BYTES, None, false),
        _ => (cell.level, REQUEST_BYTES, None, false),
    };
    let measured_ms = cell.experiment.measured_ms(extent);
    let ramp_ms = if cell.experiment == Experiment::Crowd { ramp_ms(cell.level) } else { 0 };
    GeneratorTask { clients, bytes, rate, churn, ramp_ms, warmup_ms: warmup_ms(extent), measured_ms }
}

fn measurement(
    cell: &Cell,
    task: &GeneratorTask,
    loaded: &GeneratorRun,
    server_cores: usize,
    overflows: Option<u64>,
) -> Measurement {
    let GeneratorRun { span, samples, report } = loaded;
    let busy = between(samples, *span);
    let (seconds, per_s) = (report.measured_ns as f64 / 1e9, report.requests_per_second);
    let evidence = Evidence {
        generator_cpu: Some(report.generator.utilisation),
        server_cpu: busy.server.map(|cores| cores / server_cores as f64),
        others_cpu: busy.others,
        others_beside_server: busy.others_beside_server,
        others_beside_generator: busy.others_beside_generator,
        server_waited: busy.server_waited,
        generator_waited: report.generator.run_delay_s.map(|run_delay_s| run_delay_s / seconds),
        // The number of random arrivals is not exactly the rate times the seconds: 400 vary by about 20.
        target_per_s: task.rate.map(|_| report.requests_due as f64 / seconds),
        achieved_per_s: Some(per_s),
        // In the open loop too few requests are in flight for Little's law to be a check.
        in_flight: task.rate.is_none().then_some(report.outstanding_mean),
        latency_mean_us: Some(report.latency.mean_ns / 1e3),
        requests: report.requests,
        missed: report.missed_sends,
        listen_overflows: overflows,
        not_sampled_ms: Some(span.beyond_ns(samples) as f64 / 1e6).filter(|ms| *ms > 0.0),
        errors: errors_of(report),
    };
    let measurement = Measurement { evidence, ..Measurement::default() };
    if report.requests == 0 {
        // There are no latencies; the verdict gives the reason.
        return measurement;
    }
    let us = |ns: u64| ns as f64 / 1e3;
    let mut measurement = measurement.with(Metric::LatencyP50Us, us(report.latency.p50_ns));
    // With fewer requests this percentile would be the maximum.
    if report.requests >= 100 {
        measurement = measurement.with(Metric::LatencyP99Us, us(report.latency.p99_ns));
    }
    if report.requests >= 1000 {
        measurement = measurement.with(Metric::LatencyP999Us, us(report.latency.p99_9_ns));
    }
    let (rate, cost) = match cell.experiment {
        Experiment::Churn => (Metric::ClientsPerS, Metric::CpuPerClientUs),
        _ => (Metric::RequestsPerS, Metric::CpuPerRequestUs),
    };
    measurement = measurement.with(rate, per_s);
    if let Some(cores) = busy.server {
        measurement = measurement.with(cost, cores * 1e6 / per_s);
    }
    if cell.experiment == Experiment::Bulk {
        measurement = measurement.with(Metric::BytesPerS, per_s * f64::from(task.bytes));
        if report.fairness.clients > 0 {
            measurement = measurement.with(Metric::Fairness, report.fairness.jain_bytes);
        }
    }
    measurement
}

/// The errors of the run. In the comparison, a reply without the page counts as wrong.
fn errors_of(report: &Report) -> ErrorCounts {
    let mut errors = report.errors.and(report.errors_before);
    errors.wrong_bytes += report.replies_with(0..=u16::MAX) - report.replies_with(200..=299);
    errors
}
