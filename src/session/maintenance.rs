//! Calls the maintenance of services when it is due, for every model.

use std::time::Duration;

use super::{Now, Service};

/// The least time between two calls, in ms. Without it a service that is always due would keep the server
/// from waiting.
const PAUSE_MS: u64 = 10;

/// The schedule of [`Service::maintain`] for the services of a process or thread.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    /// Not before this.
    next_ms: u64,
}

impl Maintenance {
    /// When a service is due, in ms of the server's clock.
    pub(crate) fn due_ms<'a, S: Service>(&self, services: impl IntoIterator<Item = &'a S>) -> Option<u64> {
        let due_ms = services.into_iter().filter_map(S::maintenance_due_ms).min()?;
        Some(due_ms.max(self.next_ms))
    }

    /// The time until a service is due.
    pub(crate) fn due_in<'a, S: Service>(
        &self,
        services: impl IntoIterator<Item = &'a S>,
        now: Now,
    ) -> Option<Duration> {
        let due_ms = self.due_ms(services)?;
        Some(Duration::from_millis(due_ms.saturating_sub(now.monotonic_ms)))
    }

    /// Calls the services that are due. Returns when a service is due next.
    #[inline]
    pub(crate) fn run<'a, S: Service>(
        &mut self,
        services: impl IntoIterator<Item = &'a S> + Clone,
        now: Now,
    ) -> Option<u64> {
        let due_ms = self.due_ms(services.clone())?;
        if due_ms > now.monotonic_ms {
            return Some(due_ms);
        }
        self.run_due(services.clone(), now);
        self.due_ms(services)
    }

    /// Calls those that are due.
    pub(crate) fn run_due<'a, S: Service>(&mut self, services: impl IntoIterator<Item = &'a S>, now: Now) {
        let now_ms = now.monotonic_ms;
        if now_ms < self.next_ms {
            return;
        }
        for service in services {
            if service.maintenance_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
                service.maintain(now);
                self.next_ms = now_ms + PAUSE_MS;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::session::{ClientInfo, Input, Outbox, Progress, Session, Wait};

    /// A service that is always due.
    #[derive(Clone, Default)]
    struct Due(Arc<AtomicU32>);

    impl Service for Due {
        type Session = Silent;

        fn open(&self, _client: &ClientInfo<'_>) -> Silent {
            Silent
        }

        fn maintenance_due_ms(&self) -> Option<u64> {
            Some(0)
        }

        fn maintain(&self, _now: Now) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Silent;

    impl Session for Silent {
        fn advance(&mut self, input: Input<'_>, _out: &mut Outbox) -> Progress {
            Progress::need_input(input.bytes.len(), Wait::NextRequest)
        }
    }

    #[test]
    fn a_service_that_is_always_due_is_called_after_a_pause_only() {
        let (service, mut maintenance) = (Due::default(), Maintenance::default());
        for monotonic_ms in 0..10 * PAUSE_MS {
            maintenance.run_due([&service], Now { monotonic_ms, wall: UNIX_EPOCH });
        }
        assert_eq!(service.0.load(Ordering::Relaxed), 10);
        assert_eq!(maintenance.due_ms([&service]), Some(10 * PAUSE_MS));
    }
}
