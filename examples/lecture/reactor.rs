//! One loop for all clients. Each is a state in a slab, and does a step of its work when its socket is ready.

mod shared;

use std::io::{self, ErrorKind};
use std::{collections::BTreeSet, mem::take, time::Duration, time::Instant};

use mio::{Events, Interest, Poll, Registry, Token, net::TcpListener, net::TcpStream};
use shared::{Client, SILENCE_MAX, concerns_one_client, listen};
use slab::Slab;

const LISTENER: usize = usize::MAX - 1; // beyond the slots of all clients
const SWEEP_EVERY: Duration = Duration::from_secs(1);

fn main() -> io::Result<()> {
    let s = listen()?;
    s.set_nonblocking(true)?;
    let (mut s, mut poll, mut events) = (TcpListener::from_std(s), Poll::new()?, Events::with_capacity(256));
    poll.registry().register(&mut s, Token(LISTENER), Interest::READABLE)?;
    let (mut clients, mut ready, mut swept) = (Slab::new(), BTreeSet::new(), Instant::now());
    loop {
        let wait = if ready.is_empty() { SWEEP_EVERY } else { Duration::ZERO };
        match poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => ready.extend(events.iter().map(|event| event.token().0)),
        }
        if swept.elapsed() >= SWEEP_EVERY {
            swept = Instant::now();
            clients.retain(|_, client: &mut Client<_>| client.seen.elapsed() < SILENCE_MAX);
            ready.insert(LISTENER); // an accept may have failed for want of descriptors
        }
        for slot in take(&mut ready) {
            let stepped = match clients.get_mut(slot) {
                Some(client) => client.step(),
                None if slot == LISTENER => accept(&s, &mut clients, poll.registry()),
                None => continue,
            };
            match stepped {
                Ok(true) => drop(ready.insert(slot)), // not before all others had their turn
                Err(error) if slot == LISTENER && concerns_one_client(&error) => drop(ready.insert(slot)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                stepped => {
                    stepped.map_or_else(|error| eprintln!("lost: {error}"), drop);
                    drop(clients.try_remove(slot));
                }
            }
        }
    }
}

fn accept(s: &TcpListener, clients: &mut Slab<Client<TcpStream>>, registry: &Registry) -> io::Result<bool> {
    let (mut new_s, _) = s.accept()?;
    new_s.set_nodelay(true)?;
    let slot = clients.vacant_entry();
    registry.register(&mut new_s, Token(slot.key()), Interest::READABLE | Interest::WRITABLE)?;
    slot.insert(Client::new(new_s));
    Ok(true)
}
