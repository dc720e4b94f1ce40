//! How the loop waits.

use std::io;
use std::time::Duration;

use mio::{Events, Poll, Registry};

/// Waits for events, to the microsecond where the system can.
#[derive(Debug)]
pub(super) struct Sleeper {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    /// `None` if the system refuses it: then waits have the resolution of the poll, 1 ms.
    alarm: Option<crate::sys::alarm::Alarm>,
}

/// No client has this token.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ALARM: mio::Token = mio::Token(usize::MAX);

/// Longer waits need no alarm: the poll ends them a ms early, and the alarm covers the rest.
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

    /// Waits for events, at most this long. A signal ends the wait, without events.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(clippy::unused_self))]
    pub(super) fn sleep(&self, poll: &mut Poll, events: &mut Events, wait_ns: u64) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let wait = match (wait_ns, &self.alarm) {
            (0, _) => Duration::ZERO,
            (_, None) => Duration::from_nanos(wait_ns),
            (1..=ALARM_NS_MAX, Some(alarm)) => {
                alarm.set(Duration::from_nanos(wait_ns))?;
                if cfg!(mio_unsupported_force_poll_poll) {
                    // That selector drops an interest with its event.
                    let fd = std::os::fd::AsRawFd::as_raw_fd(alarm);
                    poll.registry().reregister(
                        &mut mio::unix::SourceFd(&fd),
                        ALARM,
                        mio::Interest::READABLE,
                    )?;
                }
                // The alarm comes first; this bounds the wait if it does not.
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
