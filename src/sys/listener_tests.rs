use super::*;

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn bind(text: &str) -> Result<Listener, BindError> {
    Listener::bind(&text.parse().unwrap(), &ListenOptions::default())
}

fn accept(listener: &Listener) -> (OwnedFd, Option<SocketAddr>) {
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok(accepted) => return accepted,
            Err(error) if AcceptError::of(&error) == AcceptError::WouldBlock => {
                assert!(start.elapsed() < Duration::from_secs(10), "nobody came");
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn an_accepted_client_is_nonblocking_without_delay_and_closed_by_exec() {
    let listener = bind("127.0.0.1:0").unwrap();
    let addr = listener.local_socket_addr().unwrap();
    assert_ne!(addr.port(), 0);
    let client = TcpStream::connect(addr).unwrap();
    let (accepted, peer) = accept(&listener);
    assert_eq!(peer, Some(client.local_addr().unwrap()));
    let accepted = Socket::from(accepted);
    assert!(accepted.nonblocking().unwrap());
    assert!(accepted.tcp_nodelay().unwrap());
    let flags = nix::fcntl::fcntl(&accepted, nix::fcntl::FcntlArg::F_GETFD).unwrap();
    assert_ne!(flags & libc::FD_CLOEXEC, 0);
}

#[test]
fn every_address_means_ipv4_too_and_one_ipv6_address_does_not() {
    let Ok(listener) = bind("*:0") else { panic!("the machine listens nowhere") };
    let port = listener.local_socket_addr().unwrap().port();
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(accept(&listener).1.is_some());
    if let Ok(listener) = bind("[::1]:0") {
        assert!(listener.socket.only_v6().unwrap());
    }
}

#[test]
fn a_port_in_use_and_a_foreign_address_are_different_errors() {
    let first = bind("127.0.0.1:0").unwrap();
    let error = bind(&first.local_addr().to_string()).unwrap_err();
    assert_eq!(error.kind, BindErrorKind::InUse);
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on {}: the port is in use", first.local_addr()))
    );
    assert_eq!(bind("192.0.2.1:0").unwrap_err().kind, BindErrorKind::NotAvailable);
}

#[test]
fn a_group_shares_a_port_that_strangers_do_not_get() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let group = Listener::bind_group(any, &ListenOptions::default(), 3).unwrap();
    let addr = group[0].local_socket_addr().unwrap();
    assert!(group.iter().all(|one| one.local_socket_addr() == Some(addr)));
    let taken = Listener::bind_group(addr, &ListenOptions::default(), 2).unwrap_err();
    assert_eq!(taken.kind, BindErrorKind::InUse);
    let clients: Vec<_> = (0..60).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let (mut accepted, start) = ([0; 3], Instant::now());
    while accepted.iter().sum::<usize>() < clients.len() {
        assert!(start.elapsed() < Duration::from_secs(10), "clients are missing: {accepted:?}");
        for (listener, count) in group.iter().zip(&mut accepted) {
            *count += usize::from(listener.accept().is_ok());
        }
    }
    assert!(accepted.iter().all(|&count| count > 0), "one socket got all: {accepted:?}");
}

#[test]
fn a_stale_path_is_replaced_a_live_one_and_a_file_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let text = format!("unix:{}", path.display());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std leaves the path behind");
    let options = ListenOptions { unix_mode: Some(0o620), ..ListenOptions::default() };
    let live = Listener::bind(&text.parse().unwrap(), &options).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o620);
    assert_eq!(bind(&text).unwrap_err().kind, BindErrorKind::InUse);
    let _client = UnixStream::connect(&path).unwrap();
    assert_eq!(accept(&live).1, None);
    drop(live);
    assert!(!path.exists(), "the owner removes its path");
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(bind(&text).unwrap_err().kind, BindErrorKind::NotASocket);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(bind(&format!("{text}/x/y")).unwrap_err().kind, BindErrorKind::NoDirectory);
    assert_eq!(bind(&format!("{text}{}", "x".repeat(200))).unwrap_err().kind, BindErrorKind::PathTooLong);
}

/// If the queue is full, a nonblocking connect(2) fails with `EAGAIN`; on macOS with the error of a dead
/// server.
#[cfg(target_os = "linux")]
#[test]
fn a_live_server_whose_queue_is_full_keeps_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let text = format!("unix:{}", path.display());
    let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
    let _live = Listener::bind(&text.parse().unwrap(), &options).unwrap();
    let connected = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(&SockAddr::unix(&path).unwrap()).map(|()| socket)
    };
    let queue: Vec<Socket> = (0..10).map_while(|_| connected().ok()).collect();
    assert_eq!(connected().unwrap_err().kind(), io::ErrorKind::WouldBlock, "{} fit", queue.len());
    assert_eq!(bind(&text).unwrap_err().kind, BindErrorKind::InUse);
    assert!(path.exists());
}

#[test]
fn a_path_that_another_server_made_anew_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let first = bind(&format!("unix:{}", path.display())).unwrap();
    std::fs::rename(&path, dir.path().join("aside")).unwrap();
    let second = bind(&format!("unix:{}", path.display())).unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[test]
fn an_inherited_socket_is_taken_if_it_listens() {
    let std_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = std_listener.local_addr().unwrap();
    let listener = Listener::from_fd(std_listener.into()).unwrap();
    assert_eq!(listener.local_addr(), &Address::Tcp(addr));
    assert!(listener.socket.nonblocking().unwrap());
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(Listener::from_fd(udp.into()).unwrap_err().kind, BindErrorKind::NotListening);
    let (one, _other) = UnixStream::pair().unwrap();
    #[cfg(target_os = "linux")]
    assert_eq!(Listener::from_fd(one.into()).unwrap_err().kind, BindErrorKind::NotListening);
    #[cfg(not(target_os = "linux"))]
    drop(one);
}

#[test]
fn accept_errors_are_states() {
    let meaning = |code| AcceptError::of(&io::Error::from_raw_os_error(code));
    assert_eq!(meaning(libc::EAGAIN), AcceptError::WouldBlock);
    assert_eq!(meaning(libc::ECONNABORTED), AcceptError::Client);
    assert_eq!(meaning(libc::EMFILE), AcceptError::Exhausted);
    assert_eq!(meaning(libc::ENFILE), AcceptError::Exhausted);
    assert_eq!(meaning(libc::EBADF), AcceptError::Fatal);
}

#[cfg(target_os = "linux")]
#[test]
fn a_deferred_client_comes_with_its_first_bytes_and_a_silent_one_all_the_same() {
    use std::io::Write;
    let listener = bind("127.0.0.1:0").unwrap();
    listener.clients_speak_first();
    let mut client = TcpStream::connect(listener.local_socket_addr().unwrap()).unwrap();
    let early = listener.accept().expect_err("it has said nothing yet");
    assert_eq!(AcceptError::of(&early), AcceptError::WouldBlock);
    client.write_all(b"x").unwrap();
    assert_eq!(accept(&listener).1, client.local_addr().ok());
    let silent = TcpStream::connect(listener.local_socket_addr().unwrap()).unwrap();
    assert_eq!(accept(&listener).1, silent.local_addr().ok());
}

#[cfg(target_os = "linux")]
#[test]
fn the_acknowledgement_of_a_first_request_waits_for_its_answer_where_that_is_asked() {
    use std::io::Write;
    let accepted_of = |listener: &Listener| {
        let mut client = TcpStream::connect(listener.local_socket_addr().unwrap()).unwrap();
        client.write_all(b"x").unwrap();
        (Socket::from(accept(listener).0), client)
    };
    let listener = bind("127.0.0.1:0").unwrap();
    assert!(accepted_of(&listener).0.tcp_quickack().unwrap(), "the kernel's default has changed");
    listener.clients_speak_first();
    assert!(!accepted_of(&listener).0.tcp_quickack().unwrap());
}

/// Servers that start at the same moment at the path of a dead one: each may check the path while another is
/// about to listen.
#[test]
fn of_servers_that_start_at_once_one_has_the_path_and_hears_its_clients() {
    const SERVERS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let text = format!("unix:{}", path.display());
    for _ in 0..100 {
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let at_once = std::sync::Barrier::new(SERVERS);
        let mut results: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                at_once.wait();
                bind(&text)
            };
            let servers: Vec<_> = (0..SERVERS).map(|_| scope.spawn(start)).collect();
            servers.into_iter().map(|server| server.join().unwrap()).collect()
        });
        results.sort_by_key(Result::is_err);
        let [Ok(server), losers @ ..] = &results[..] else { panic!("{results:?}") };
        assert!(
            losers.iter().all(|it| matches!(it, Err(error) if error.kind == BindErrorKind::InUse)),
            "{losers:?}"
        );
        let _client = UnixStream::connect(&path).unwrap();
        accept(server);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_inherited_abstract_name_is_shown() {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let name = format!("oneloop-test-{}", std::process::id());
    socket.bind(&SockAddr::unix(format!("\0{name}")).unwrap()).unwrap();
    socket.listen(1).unwrap();
    let listener = Listener::from_fd(socket.into()).unwrap();
    assert_eq!(listener.local_addr().to_string(), format!("unix:@{name}"));
}
