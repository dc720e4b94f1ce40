//! The load generator: `oneloop load` as a separate process, with CPU times sampled while it runs.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::placement::Placement;
use super::server::Server;
use crate::lab::sample::cpu::{EVERY, SHARE, Sample, Sides, Span};
use crate::load::report::{Phase, Report};
use crate::sys::process::end_with_parent;

/// What the generator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GeneratorTask {
    /// Number of clients.
    pub(crate) clients: u32,
    /// The request, in bytes.
    pub(crate) bytes: u32,
    /// Requests per second on an absolute schedule (open loop); `None` for the closed loop.
    pub(crate) rate: Option<u32>,
    /// A connection per request.
    pub(crate) churn: bool,
    /// The time over which clients start, in ms, so that a crowd does not begin with a storm of connections.
    pub(crate) ramp_ms: u64,
    /// How long the load runs before it is measured, in ms.
    pub(crate) warmup_ms: u64,
    /// How long it is measured, in ms.
    pub(crate) measured_ms: u64,
}

/// The result of the generator.
#[derive(Clone, Debug)]
pub(crate) struct GeneratorRun {
    /// The measured span.
    pub(crate) span: Span,
    /// CPU times before, during and after it.
    pub(crate) samples: Vec<Sample>,
    /// The generator's report.
    pub(crate) report: Report,
}

/// How long the generator may take beyond its times: connecting thousands of clients, and the drain.
const BEYOND_MAX: Duration = Duration::from_secs(30);

impl GeneratorTask {
    /// Runs the generator against a server.
    pub(crate) fn run(
        &self,
        program: &Path,
        server: &Server,
        placement: &Placement,
        sides: &Sides,
    ) -> Result<GeneratorRun, String> {
        let mut command = Command::new(program);
        command.args(self.arguments(&server.addr().to_string()));
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_with_parent(&mut command);
        // The first sample, before the generator starts.
        let mut samples = vec![Sample::take(server.processes(), None, sides)];
        let spawned = placement.on(placement.generator(), || command.spawn());
        let mut child = Running(spawned.map_err(|error| format!("generator not started: {error}"))?);
        let output = read_apart(child.0.stdout.take());
        let (phase_began, phases) = mpsc::channel();
        let complaints = read_lines(child.0.stderr.take(), phase_began);
        self.sample_until_reported(&mut samples, child.0.id(), (&output, &phases), (server, sides))?;
        let report = output.join().map_err(|_| "the generator's output was not read")?;
        let report: Report = serde_json::from_slice(&report).map_err(|error| {
            let last = complaints.join().unwrap_or_default();
            format!("the generator gave no report ({error}): {last}")
        })?;
        finished(report, samples)
    }

    fn arguments(&self, addr: &str) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["load", "--json", "-", "--show-phases", "--clients"].map(str::to_owned).to_vec();
        arguments.push(self.clients.to_string());
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        option("--bytes", self.bytes.to_string());
        option("--ramp", format!("{}ms", self.ramp_ms));
        option("--warmup", format!("{}ms", self.warmup_ms));
        option("--duration", format!("{}ms", self.measured_ms));
        if let Some(rate) = self.rate {
            option("--rate", rate.to_string());
            option("--arrivals", "poisson".to_owned());
        }
        arguments.push(if self.churn { "--churn" } else { "--connect-first" }.to_owned());
        arguments.push(format!("echo@{addr}"));
        arguments
    }

    /// Samples until the report is complete: regularly, whenever a part of the run begins, and once at the
    /// end. So the measured span lies between two samples, with one close to each of its ends. The generator
    /// is reaped after the last sample only, so that it still has a CPU time then.
    fn sample_until_reported(
        &self,
        samples: &mut Vec<Sample>,
        generator: u32,
        (output, phases): (&thread::JoinHandle<Vec<u8>>, &mpsc::Receiver<()>),
        (server, sides): (&Server, &Sides),
    ) -> Result<(), String> {
        let deadline = Instant::now()
            + Duration::from_millis(self.ramp_ms + self.warmup_ms + self.measured_ms)
            + BEYOND_MAX;
        let stops = server.stops();
        loop {
            let began = Instant::now();
            samples.push(Sample::take(server.processes(), Some(generator), sides));
            let pause = EVERY.max(began.elapsed() * SHARE);
            // The end is looked for often, because the next cell waits for it; samples are rare, because they
            // cost time.
            while began.elapsed() < pause && phases.try_recv().is_err() {
                if output.is_finished() {
                    samples.push(Sample::take(server.processes(), Some(generator), sides));
                    return Ok(());
                }
                if server.stops() != stops {
                    return Err("interrupted".to_owned());
                }
                if Instant::now() > deadline {
                    return Err("the generator did not end in time".to_owned());
                }
                thread::sleep(LOOK_EVERY);
            }
        }
    }
}

/// How often the end of the generator is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A generator process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Reads to the end in another thread, so that the pipe never fills up.
fn read_apart(output: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut read = Vec::new();
        if let Some(mut output) = output {
            // Without its end the report cannot be parsed, which is reported.
            let _ = output.read_to_end(&mut read);
        }
        read
    })
}

/// Reads lines to the end in another thread. Sends a notification for each line that names a phase of the
/// run, and returns the last other line: the error message.
fn read_lines(
    output: Option<impl Read + Send + 'static>,
    phase_began: mpsc::Sender<()>,
) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut last = String::new();
        for line in output.into_iter().flat_map(|output| BufReader::new(output).split(b'\n')) {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line);
            if PHASES.iter().any(|phase| phase.name() == line) {
                let _ = phase_began.send(()); // no receiver is left after the last sample
            } else if !line.trim().is_empty() {
                last = line.into_owned();
            }
        }
        last
    })
}

/// The parts of a run.
const PHASES: [Phase; 4] = [Phase::Connecting, Phase::WarmUp, Phase::Measuring, Phase::Draining];

/// Combines report and samples. The span is that of the report itself: the time at which this process reads
/// the report depends on the scheduler.
fn finished(report: Report, samples: Vec<Sample>) -> Result<GeneratorRun, String> {
    let measuring = || report.series.iter().filter(|interval| interval.phase == Phase::Measuring);
    let (Some(first), Some(last)) = (measuring().next(), measuring().next_back()) else {
        let before = report.errors_before.summary();
        return Err(format!(
            "the generator measured nothing{}{before}",
            if before.is_empty() { "" } else { ": " }
        ));
    };
    let span = Span {
        from_ns: report.began_monotonic_ns + first.start_ns,
        to_ns: report.began_monotonic_ns + last.end_ns,
    };
    Ok(GeneratorRun { span, samples, report })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_run_is_passed_on_when_it_begins_and_the_last_complaint_is_kept() {
        let said = "connecting\nwarm_up\noneloop: one\n\nmeasuring\noneloop: two, while draining\ndraining\n";
        let (phase_began, phases) = mpsc::channel();
        let last = read_lines(Some(said.as_bytes()), phase_began).join().unwrap();
        assert_eq!(last, "oneloop: two, while draining");
        assert_eq!(phases.iter().count(), 4);
    }
}
