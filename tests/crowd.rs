//! Ten thousand clients at once, in a process of their own: all connected before the first byte, all
//! answered.
//!
//! Where a new test goes: here if it needs more clients than other tests can run beside. Cargo runs one test
//! crate after another, so nothing else waits for the processor meanwhile.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oneloop_tests::server::Setup;
use oneloop_tests::{PATIENCE, eventually, skipped};
use socket2::{Domain, Socket, Type};

const CLIENTS: usize = 10_000;
/// What the process of the clients, and the server, need besides.
const SPARE_DESCRIPTORS: u64 = 200;
/// Well under the range of local ports that one source address has.
const CLIENTS_PER_SOURCE: usize = 5_000;
/// The environment variable that makes this program the process of the clients.
const ADDRESS: &str = "ONELOOP_CROWD_ADDRESS";

#[test]
fn ten_thousand_clients_connected_before_the_first_byte_are_all_answered() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < CLIENTS as u64 + SPARE_DESCRIPTORS {
        skipped(&format!("at most {hard} file descriptors are allowed here"));
        return;
    }
    let mut server =
        Setup::oneloop(["serve", "echo@127.0.0.1:0"]).env("RUST_LOG", "info").start().listening();
    let without_clients = server.descriptors().len();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["the_process_of_the_clients", "--exact", "--nocapture"])
        .env(ADDRESS, server.address("echo").tcp().to_string())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    // A drain may rightly come first for a client whose end the loop has not yet read.
    eventually("all clients are gone", || server.descriptors().len() <= without_clients);
    assert!(server.stop().success());
    let ends = format!("peer-closed={CLIENTS}");
    assert!(server.stderr().contains(&ends), "{}", server.stderr());
}

/// The other process of the test above; nothing by itself.
#[test]
fn the_process_of_the_clients() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let addr: SocketAddr = address.parse().unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|index| connect(addr, index)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.write_all(&index.to_ne_bytes()).unwrap();
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let mut answer = [0; size_of::<usize>()];
        client.read_exact(&mut answer).unwrap_or_else(|error| panic!("client {index}: {error}"));
        assert_eq!(usize::from_ne_bytes(answer), index);
    }
    for client in &mut clients {
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }
}

fn connect(addr: SocketAddr, index: usize) -> TcpStream {
    // Addresses of this run's own: the ports of the run before may still be in TIME_WAIT.
    let [_, _, run, of] = std::process::id().to_be_bytes();
    let source = Ipv4Addr::new(127, 1 + run % 250, of, 1 + (index / CLIENTS_PER_SOURCE) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect_timeout(&addr.into(), PATIENCE).unwrap_or_else(|error| panic!("client {index}: {error}"));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    TcpStream::from(socket)
}
