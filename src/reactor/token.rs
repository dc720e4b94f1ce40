//! Tokens: which source an event belongs to.

use mio::Token;

/// Identifies a client: a slot of the slab and a generation. The next client of the slot has another
/// generation, so no stale event, deadline, queue entry or waker reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConnId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// What an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Client(ConnId),
    Listener(usize),
    Signals,
    Waker,
}

/// Tokens from here on are not slots: the slab never grows this far.
const SPECIAL: u32 = 0xffff_0000;
pub(super) const CLIENTS_MAX: u32 = SPECIAL - 1;
pub(super) const LISTENERS_MAX: u32 = 0x8000;

impl ConnId {
    pub(super) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    pub(super) fn from_u64(bits: u64) -> Self {
        ConnId { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

impl Source {
    pub(super) fn token(self) -> Token {
        let special = |number: u32| Token((SPECIAL + number) as usize);
        match self {
            Source::Client(id) => Token(id.to_u64() as usize),
            Source::Signals => special(LISTENERS_MAX),
            Source::Waker => special(LISTENERS_MAX + 1),
            Source::Listener(index) => special(index as u32),
        }
    }

    pub(super) fn of(token: Token) -> Self {
        let id = ConnId::from_u64(token.0 as u64);
        match id.slot.checked_sub(SPECIAL) {
            None => Source::Client(id),
            Some(LISTENERS_MAX) => Source::Signals,
            Some(index) if index < LISTENERS_MAX => Source::Listener(index as usize),
            Some(_) => Source::Waker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_its_token() {
        let ids = [(0, 0), (1, u32::MAX), (CLIENTS_MAX, 7)];
        let clients = ids.map(|(slot, generation)| Source::Client(ConnId { slot, generation }));
        let others = [Source::Listener(0), Source::Listener(0x7fff), Source::Signals, Source::Waker];
        for source in clients.into_iter().chain(others) {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
