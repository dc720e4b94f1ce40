//! The service of a listener, for its clients.

use std::panic::{self, AssertUnwindSafe};

use crate::connection::{Connection, ListenerLayers, Transport, WaitTimeouts};
use crate::limits::Limits;
use crate::session::{ClientInfo, OffloadSource, Peer, Service, Waker};
use crate::sys::Listener;

/// The service of a listener, and what else its clients get.
#[derive(Clone)]
pub(crate) struct ListenerService<S> {
    pub(crate) service: S,
    pub(crate) layers: ListenerLayers,
    pub(crate) timeouts: WaitTimeouts,
    /// Whether accepted sockets have what blocking models set, without a call for each
    /// ([`Listener::set_for_clients`]).
    pub(crate) are_sockets_set: bool,
    /// The listener's address.
    local: Peer,
}

impl<S: Service> ListenerService<S> {
    pub(crate) fn new(listener: &Listener, service: S, layers: ListenerLayers, limits: &Limits) -> Self {
        ListenerService {
            timeouts: WaitTimeouts::new(&service, limits),
            are_sockets_set: false,
            local: listener.local_socket_addr().map_or(Peer::UNIX, Peer::from),
            service,
            layers,
        }
    }

    /// Opens the session of a client whose layers have finished their handshakes. Returns `false` if the
    /// service panicked, which ends this client only.
    pub(crate) fn open<T: Transport>(
        &self,
        connection: &mut Connection<S::Session, T>,
        waker: Option<&Waker>,
        offload: Option<OffloadSource<'_>>,
    ) -> bool {
        let client = ClientInfo { offload, ..connection.client(self.local, waker) };
        let Ok(session) = panic::catch_unwind(AssertUnwindSafe(|| self.service.open(&client))) else {
            log::error!("{}: the service panicked in open; the client ends", connection.peer());
            return false;
        };
        connection.open(session);
        true
    }
}
