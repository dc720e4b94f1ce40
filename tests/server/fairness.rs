//! A client that floods, or never reads, takes nothing from the others. How long they wait is measured in
//! `benches/fairness.rs`; that they are served at all is tested here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::{Client, Server, eventually};

#[test]
fn fifty_clients_are_answered_while_one_floods() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut flood = server.client("echo");
    let (stop, flooded) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut pinging: Vec<Client> = (0..50).map(|_| server.client("echo")).collect();
    thread::scope(|scope| {
        let mut back = flood.another_handle();
        scope.spawn(|| {
            let piece = vec![b'f'; 64 << 10];
            while !stop.load(Ordering::Relaxed) && flood.try_send(&piece).is_ok() {
                flooded.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            flood.half_close();
        });
        scope.spawn(move || back.rest());
        eventually("the flood has begun", || flooded.load(Ordering::Relaxed) > 1 << 20);
        for round in 0..20_u32 {
            let before = flooded.load(Ordering::Relaxed);
            for client in &mut pinging {
                client.expect_echo(&round.to_ne_bytes());
            }
            eventually("the flood goes on", || flooded.load(Ordering::Relaxed) > before);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn clients_that_do_not_read_do_not_slow_clients_that_do() {
    let mut server = Server::serve(&["chargen@127.0.0.1:0", "echo@127.0.0.1:0"]);
    let silent: Vec<Client> = (0..50).map(|_| server.client("chargen")).collect();
    let mut client = server.client("echo");
    for round in 0..1000_u32 {
        client.expect_echo(&round.to_ne_bytes());
    }
    drop(silent);
}
