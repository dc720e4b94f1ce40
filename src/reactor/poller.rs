//! The poll, the events of its last wait, and the registration of listeners, signals and wakers.

use std::io;
#[cfg(not(mio_unsupported_force_poll_poll))]
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry};

use super::token::Source;

/// One `mio::Poll` with the events of its last wait.
pub(super) struct Poller {
    poll: Poll,
    events: Events,
    seen: EventsSeen,
}

/// Whether the last wait returned all ready events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventsSeen {
    All,
    /// It was interrupted, or there was no room for more events.
    Part,
}

impl Poller {
    pub(super) fn new(events_max: u32) -> io::Result<Self> {
        let events = Events::with_capacity(events_max.max(1) as usize);
        Ok(Poller { poll: Poll::new()?, events, seen: EventsSeen::All })
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Whether the last wait returned all ready events, as far as they were looked at with
    /// [`Poller::for_each_event`].
    pub(super) fn has_seen_all(&self) -> bool {
        self.seen == EventsSeen::All
    }

    /// How many events one wait returns at most.
    pub(super) fn events_max(&self) -> usize {
        self.events.capacity()
    }

    /// Waits for events, at most `timeout`. An interruption is not an error.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.seen = EventsSeen::All; // until the events are found to be full
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                self.seen = EventsSeen::Part;
                Ok(())
            }
            polled => polled,
        }
    }

    /// Passes on the events of the last wait.
    #[inline]
    pub(super) fn for_each_event(&mut self, mut latch: impl FnMut(Source, &Event)) {
        let mut events = 0;
        for event in &self.events {
            events += 1;
            latch(Source::of(event.token()), event);
        }
        if events >= self.events.capacity() {
            self.seen = EventsSeen::Part;
        }
    }

    /// Watches a descriptor until nothing more can be read from it; then [`Poller::renew`] follows.
    pub(super) fn watch(&self, fd: RawFd, source: Source) -> io::Result<()> {
        self.registry().register(&mut SourceFd(&fd), source.token(), Interest::READABLE)
    }

    /// Nothing more can be read from this descriptor for now. mio's poll(2) selector forgets an interest with
    /// its event, and must be given it again.
    pub(super) fn renew(&self, fd: RawFd, source: Source) {
        if cfg!(mio_unsupported_force_poll_poll)
            && let Err(error) =
                self.registry().reregister(&mut SourceFd(&fd), source.token(), Interest::READABLE)
        {
            log::error!("{source:?} is no longer watched for events: {error}");
        }
    }

    pub(super) fn unwatch(&self, fd: RawFd) {
        // It is registered, or there would be no loop, so this cannot fail.
        let _ = self.registry().deregister(&mut SourceFd(&fd));
    }
}

/// The poll's own descriptor.
#[cfg(not(mio_unsupported_force_poll_poll))]
impl AsRawFd for Poller {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}
