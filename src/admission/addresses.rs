//! Clients per address, for `clients_per_address_max`.

use std::collections::HashMap;

use crate::session::Peer;

/// How many clients each address has. An IPv6 /64 counts as one address, and Unix sockets have none.
#[derive(Debug, Default)]
pub(super) struct ClientsPerAddress {
    clients: HashMap<[u8; 9], u32>,
}

impl ClientsPerAddress {
    pub(super) fn reserve(&mut self, clients: usize) {
        self.clients.reserve(clients);
    }

    pub(super) fn count(&self, peer: Peer) -> u32 {
        peer.network().and_then(|network| self.clients.get(&network).copied()).unwrap_or(0)
    }

    pub(super) fn enter(&mut self, peer: Peer) {
        if let Some(network) = peer.network() {
            *self.clients.entry(network).or_insert(0) += 1;
        }
    }

    pub(super) fn leave(&mut self, peer: Peer) {
        if let Some(network) = peer.network()
            && let Some(count) = self.clients.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&network);
            }
        }
    }
}
