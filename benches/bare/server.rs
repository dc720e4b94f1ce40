//! The leanest servers: one `epoll_wait` for all, then one read and one write per ready client.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

const BACKLOG: i32 = 16_384;
const EVENTS: usize = 1024;
/// More than the longest message of a benchmark.
const READ_BYTES: usize = 128 << 10;
const LISTENER: u64 = u64::MAX;

/// Sends back what it is sent.
pub(crate) fn echo() -> ! {
    run("echo", |client, asked| client.write(asked).is_ok_and(|written| written == asked.len()))
}

/// Answers each request for `/fN`, whatever its other fields are, with the file `fN` of `dir` from memory,
/// behind the shortest head that frames it. Requests come whole and one by one; a file fits into the socket's
/// buffer.
pub(crate) fn http(dir: &Path) -> ! {
    let answers = [128, 1 << 10, 16 << 10].map(|bytes: usize| {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
        answer.extend(std::fs::read(dir.join(format!("f{bytes}"))).unwrap());
        (format!("GET /f{bytes} ").into_bytes(), answer)
    });
    run("http", move |client, asked| {
        let answer = answers.iter().find(|(request, _)| asked.starts_with(request));
        answer.is_some_and(|(_, answer)| client.write(answer).is_ok_and(|written| written == answer.len()))
    })
}

/// Serves with `answer`, which returns whether to keep the connection, on a port of the kernel's choice,
/// which it prints as `oneloop serve` does, until it is killed.
fn run(service: &str, mut answer: impl FnMut(&mut TcpStream, &[u8]) -> bool) -> ! {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(BACKLOG).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from(socket);
    println!("listening on {service}@{}", listener.local_addr().unwrap());

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).unwrap();
    // A file descriptor is a small number, the lowest that is free: it is the index.
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut scratch = vec![0; READ_BYTES];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
        for event in &events[..ready] {
            if event.data() == LISTENER {
                accept(&listener, &epoll, &mut clients);
                continue;
            }
            let slot = &mut clients[event.data() as usize];
            let Some(client) = slot else { continue };
            if !serve(client, &mut scratch, &mut answer) {
                *slot = None;
            }
        }
    }
}

/// Edge-triggered, and a read shorter than asked has taken all there is: no second read is needed.
fn serve(
    client: &mut TcpStream,
    scratch: &mut [u8],
    answer: &mut impl FnMut(&mut TcpStream, &[u8]) -> bool,
) -> bool {
    match client.read(scratch) {
        Ok(0) => false,
        Ok(len) => answer(client, &scratch[..len]),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn accept(listener: &TcpListener, epoll: &Epoll, clients: &mut Vec<Option<TcpStream>>) {
    while let Ok((client, _)) = listener.accept() {
        client.set_nonblocking(true).unwrap();
        client.set_nodelay(true).unwrap();
        let index = client.as_raw_fd().cast_unsigned() as usize;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&client, EpollEvent::new(interest, index as u64)).unwrap();
        if clients.len() <= index {
            clients.resize_with(index + 1, || None);
        }
        clients[index] = Some(client);
    }
}
