//! The smallest promise: what many clients send comes back to each, from one thread.

use std::io::{Read, Write};
use std::net::TcpStream;

use oneloop::Address;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::services::Echo;

#[test]
fn clients_get_back_what_they_send_and_a_half_close_is_answered_whole() {
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    let Address::Tcp(addr) = reactor.bind("127.0.0.1:0", Echo).unwrap() else { panic!("a TCP address") };
    let handle = reactor.handle();
    let server = std::thread::spawn(move || reactor.run().unwrap());
    let mut clients: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i * 7 % 251) as u8).collect();
    for client in &mut clients {
        client.write_all(&bytes).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
    }
    for client in &mut clients {
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert!(back == bytes);
    }
    let _idle = TcpStream::connect(addr).unwrap();
    handle.drain();
    let summary = server.join().unwrap();
    assert_eq!((summary.accepted, summary.cut, summary.counters.total()), (51, 0, 51), "{summary}");
}
