//! The event loop of the load, with one poll per thread.
//!
//! ```text
//! wait    until an event, the next request due, the nearest timer; not at all if work is left over
//! step    the part of the run: crowd, ramp, warm-up, measuring, draining
//! send    requests of the open loop that have fallen due
//! events  read, check, write the next request
//! resume  clients with unfinished work
//! connect a batch
//! expire  connections and replies that are late; slow clients transfer a byte
//! ```

use std::io;
use std::ops::ControlFlow;

use mio::{Events, Poll};

use super::RunProgress;
use super::common_start::CommonStart;
use super::control::RunControl;
use super::error::RunError;
use super::plan::Plan;
use super::portion::Portion;
use super::report::Report;
use super::sleeper::Sleeper;
use super::workload::Workload;
use crate::sys::clock::thread_cpu_ns;

/// Events of one wait: due requests wait at most as long as these take.
const EVENTS_MAX: usize = 256;
/// The longest wait: at its end the loop detects whether the generator was stopped. It costs a thousandth of
/// a core.
const WAIT_NS_MAX: u64 = 6_000_000;
/// How often the progress is reported.
const PROGRESS_NS: u64 = 100_000_000;

/// One run.
pub(super) struct Engine<'a, W: Workload> {
    poll: Poll,
    sleeper: Sleeper,
    control: RunControl<'a, W>,
    /// When the progress is reported next.
    progress_ns: u64,
}

impl<'a, W: Workload> Engine<'a, W> {
    pub(super) fn new(
        plan: &'a Plan,
        workload: &'a W,
        portion: Portion,
        start: &'a CommonStart,
    ) -> Result<Self, RunError> {
        let poll = Poll::new().map_err(RunError::System)?;
        let sleeper = Sleeper::new(poll.registry()).map_err(RunError::System)?;
        Ok(Engine {
            poll,
            sleeper,
            control: RunControl::new(plan, workload, portion, start)?,
            progress_ns: 0,
        })
    }

    /// Runs to the end, or until `watch` breaks.
    pub(super) fn run(
        mut self,
        mut watch: impl FnMut(&RunProgress) -> ControlFlow<()>,
    ) -> Result<Report, RunError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut last_phase = None;
        while !self.control.is_done() {
            self.turn(&mut events).map_err(RunError::System)?;
            let (now_ns, phase) = (self.control.ledger.clock.now_ns(), Some(self.control.phase()));
            if now_ns >= self.progress_ns || phase != last_phase {
                last_phase = phase;
                self.progress_ns = now_ns + PROGRESS_NS;
                if watch(&self.control.progress()).is_break() {
                    self.control.interrupt();
                }
            }
        }
        Ok(self.control.finish())
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let control = &mut self.control;
        let next_ns = control.next_ns().min(self.progress_ns);
        let ready_ns = control.ledger.clock.peek();
        let wait_ns = next_ns.saturating_sub(ready_ns).min(WAIT_NS_MAX);
        control.standstills.sleep(ready_ns, wait_ns, thread_cpu_ns);
        self.sleeper.sleep(&mut self.poll, events, wait_ns)?;
        let now_ns = control.ledger.clock.read();
        control.standstills.wake(now_ns, events.iter().count(), thread_cpu_ns);
        control.look_at_waits(now_ns);
        control.ledger.recorder.turn(now_ns, control.pool.open().active);
        control.step();
        if control.is_done() {
            return Ok(()); // events after this are not part of the report
        }
        control.send_due();
        for event in &*events {
            control.pool.on_event(event, &mut control.ledger);
        }
        control.pool.resume_unfinished(&mut control.ledger);
        control.pool.connect_some(self.poll.registry(), &mut control.ledger);
        control.pool.expire(&mut control.ledger);
        Ok(())
    }
}
