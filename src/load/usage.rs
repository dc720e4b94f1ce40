//! What the generator itself uses, and how it sleeps.

use std::io;
use std::path::Path;
use std::time::Duration;

use mio::{Events, Poll, Registry};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::recorder::Totals;
use super::report::Generator;
use crate::sys::process::run_delay_ns;

/// This thread, where the system has it.
const TASK: &str = "/proc/thread-self";

/// What was used when measuring began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    cpu_us: (i64, i64),
    run_delay_ns: Option<u64>,
    pub(super) totals: Totals,
}

/// Of this thread, where the system tells it apart from the process.
#[cfg(any(target_os = "linux", target_os = "android"))]
const WHO: UsageWho = UsageWho::RUSAGE_THREAD;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const WHO: UsageWho = UsageWho::RUSAGE_SELF;

/// getrusage(2) counts memory in KiB on Linux and in bytes on macOS.
const MEMORY_UNIT_BYTES: u64 = if cfg!(target_os = "macos") { 1 } else { 1 << 10 };

/// Processor time in the program and in the kernel, in µs; zero if the system does not tell.
fn cpu_us() -> (i64, i64) {
    getrusage(WHO).map_or((0, 0), |usage| {
        (usage.user_time().num_microseconds(), usage.system_time().num_microseconds())
    })
}

impl Usage {
    pub(super) fn begin(totals: Totals) -> Self {
        Usage { cpu_us: cpu_us(), run_delay_ns: run_delay_ns(Path::new(TASK)), totals }
    }

    pub(super) fn end(self, measured_ns: u64, requests: u64) -> Generator {
        let now = cpu_us();
        let (user_s, system_s) = ((now.0 - self.cpu_us.0) as f64 / 1e6, (now.1 - self.cpu_us.1) as f64 / 1e6);
        let run_delay_ns = run_delay_ns(Path::new(TASK)).zip(self.run_delay_ns);
        let memory = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
        Generator {
            cpu_user_s: user_s,
            cpu_system_s: system_s,
            utilisation: (user_s + system_s) * 1e9 / (measured_ns as f64).max(1.0),
            cpu_per_request_us: if requests == 0 { 0.0 } else { (user_s + system_s) * 1e6 / requests as f64 },
            run_delay_s: run_delay_ns.map(|(now_ns, then_ns)| now_ns.saturating_sub(then_ns) as f64 / 1e9),
            memory_max_bytes: u64::try_from(memory).unwrap_or(0) * MEMORY_UNIT_BYTES,
        }
    }
}

/// Waits for events, and wakes when it is time to the microsecond.
#[derive(Debug)]
pub(super) struct Sleeper {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    /// `None` where the system refuses it: the poll's own ms are all there is.
    alarm: Option<crate::sys::alarm::Alarm>,
}

/// No client has this name.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ALARM: mio::Token = mio::Token(usize::MAX);

/// Up to this an alarm is worth its system call; further away, the poll's own ms are near enough, since the last of them
/// is slept with the alarm.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ALARM_NS_MAX: u64 = 2_000_000;

impl Sleeper {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn new(registry: &Registry) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let alarm = match crate::sys::alarm::Alarm::new() {
            Ok(alarm) => alarm,
            Err(error) => {
                log::warn!("timerfd_create(2): {error}; requests may be sent up to 1 ms late");
                return Ok(Sleeper { alarm: None });
            }
        };
        registry.register(&mut mio::unix::SourceFd(&alarm.as_raw_fd()), ALARM, mio::Interest::READABLE)?;
        Ok(Sleeper { alarm: Some(alarm) })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[allow(clippy::unnecessary_wraps)] // It can fail on Linux.
    pub(super) fn new(_registry: &Registry) -> io::Result<Self> {
        Ok(Sleeper {})
    }

    /// Waits for events, at most so long. A signal ends the wait, without events.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(clippy::unused_self))]
    pub(super) fn sleep(&self, poll: &mut Poll, events: &mut Events, wait_ns: u64) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let wait = match (wait_ns, &self.alarm) {
            (0, _) => Duration::ZERO,
            (_, None) => Duration::from_nanos(wait_ns),
            (1..=ALARM_NS_MAX, Some(alarm)) => {
                alarm.set(Duration::from_nanos(wait_ns))?;
                if cfg!(mio_unsupported_force_poll_poll) {
                    // That selector forgets an interest with its event.
                    let fd = std::os::fd::AsRawFd::as_raw_fd(alarm);
                    poll.registry().reregister(
                        &mut mio::unix::SourceFd(&fd),
                        ALARM,
                        mio::Interest::READABLE,
                    )?;
                }
                // The alarm comes first; this is for the day it does not.
                Duration::from_millis(10)
            }
            _ => Duration::from_nanos(wait_ns - ALARM_NS_MAX / 2),
        };
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let wait = Duration::from_nanos(wait_ns);
        match poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            polled => polled,
        }
    }
}
