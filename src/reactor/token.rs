//! Names of what the poll watches: who an event is for.

use mio::Token;

/// One client, for good: a slot of the slab and its tenant's number. A slot's next tenant has another number, so no stale
/// event, deadline, place in the queue or waker meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConnId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Who an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Client(ConnId),
    Listener(usize),
    Signals,
    Waker,
}

/// Slots at and above this are no clients: the slab never grows so far.
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

impl Name {
    pub(super) fn token(self) -> Token {
        let special = |number: u32| Token((SPECIAL + number) as usize);
        match self {
            Name::Client(id) => Token(id.to_u64() as usize),
            Name::Signals => special(LISTENERS_MAX),
            Name::Waker => special(LISTENERS_MAX + 1),
            Name::Listener(index) => special(index as u32),
        }
    }

    pub(super) fn of(token: Token) -> Self {
        let id = ConnId::from_u64(token.0 as u64);
        match id.slot.checked_sub(SPECIAL) {
            None => Name::Client(id),
            Some(LISTENERS_MAX) => Name::Signals,
            Some(index) if index < LISTENERS_MAX => Name::Listener(index as usize),
            Some(_) => Name::Waker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_its_token() {
        let ids = [(0, 0), (1, u32::MAX), (CLIENTS_MAX, 7)];
        let clients = ids.map(|(slot, generation)| Name::Client(ConnId { slot, generation }));
        let others = [Name::Listener(0), Name::Listener(0x7fff), Name::Signals, Name::Waker];
        for name in clients.into_iter().chain(others) {
            assert_eq!(Name::of(name.token()), name);
        }
    }
}
