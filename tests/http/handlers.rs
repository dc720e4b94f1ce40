//! User-defined handlers in a reactor: a failing handler ends its client only.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneloop::Address;
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::services::http::{
    Body, BodyPolicy, Handler, Http, Produced, Producer, Request, Response, Router, Status,
};

const WAIT_MAX: Duration = Duration::from_secs(60);

/// Never produces a piece.
#[derive(Debug)]
struct Nothing;

impl Producer for Nothing {
    fn produce(&mut self, _piece: &mut Vec<u8>) -> io::Result<Produced> {
        Ok(Produced::More)
    }
}

/// Announces more than it makes.
#[derive(Debug)]
struct Short;

impl Producer for Short {
    fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced> {
        piece.extend_from_slice(b"short");
        Ok(Produced::End)
    }

    fn len_bytes(&self) -> Option<u64> {
        Some(1000)
    }
}

fn length(request: &Request<'_>) -> Response {
    Response::text(Status::Ok, format!("{} bytes", request.body().len()))
}

fn router() -> Router {
    let produced = |producer: fn() -> Body| move |_: &Request<'_>| Response::text(Status::Ok, producer());
    Router::new()
        .route("/", length)
        .route("/panic", |_: &Request<'_>| -> Response { panic!("as the test wants it") })
        .route("/nothing", produced(|| Body::producer(Nothing)))
        .route("/short", produced(|| Body::producer(Short)))
}

/// What comes back for `request` until the connection ends; a reset is an end.
fn rest(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(WAIT_MAX)).unwrap();
    client.write_all(request).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match client.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => answer.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_handler_that_fails_ends_its_client_and_no_other() {
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    let Address::Tcp(address) = reactor.bind("127.0.0.1:0", Http::new(router())).unwrap() else {
        panic!("a TCP address")
    };
    let clients = std::thread::spawn(move || {
        let mut other = TcpStream::connect(address).unwrap();
        other.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let mut post = |bytes: usize| {
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {bytes}\r\n\r\n");
            other.write_all(&[head.as_bytes(), &vec![b'x'; bytes]].concat()).unwrap();
            let expected = format!("\r\n\r\n{bytes} bytes");
            let mut answer = Vec::new();
            while !answer.ends_with(expected.as_bytes()) {
                let mut byte = [0];
                other.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
            }
        };
        post(3);
        for path in ["/panic", "/nothing", "/short"] {
            // Behind it is one that would be answered.
            let requests = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
            let answer = rest(address, requests.as_bytes());
            assert!(!answer.contains(" bytes"), "{path}: {answer}");
            post(BodyPolicy::BYTES_MAX as usize);
        }
    });
    while !clients.is_finished() {
        reactor.turn(Some(Duration::from_millis(10))).unwrap();
    }
    clients.join().unwrap();
}

/// A disk that does not answer until the test lets it; then it gives one byte.
#[derive(Debug)]
struct Disk {
    asked: Sender<()>,
    answers: Arc<Mutex<Receiver<()>>>,
}

impl Producer for Disk {
    fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced> {
        self.asked.send(()).map_err(io::Error::other)?;
        self.answers.lock().unwrap().recv().map_err(io::Error::other)?;
        piece.push(b'x');
        Ok(Produced::End)
    }
}

/// Answers with what the disk gives.
struct Disks {
    asked: Mutex<Sender<()>>,
    answers: Arc<Mutex<Receiver<()>>>,
}

impl Handler for Disks {
    fn respond(&self, request: &Request<'_>) -> Response {
        assert!(request.peer().unwrap().socket_addr().unwrap().ip().is_loopback());
        let (asked, answers) = (self.asked.lock().unwrap().clone(), Arc::clone(&self.answers));
        Response::text(Status::Ok, Body::blocking(Disk { asked, answers }))
    }

    fn asks_for_client(&self) -> bool {
        true
    }
}

/// More disks than threads are stuck: clients of other resources do not notice, and those that wait can
/// leave.
#[test]
fn a_body_that_blocks_holds_up_its_own_client_and_no_other() {
    const STUCK: usize = 8;
    let (asked, asks) = mpsc::channel();
    let (release, answers) = mpsc::channel();
    let disks = Disks { asked: Mutex::new(asked), answers: Arc::new(Mutex::new(answers)) };
    let router = Router::new().route("/", length).route("/disk", disks);
    let mut reactor = Reactor::new(Limits::default()).unwrap();
    let Address::Tcp(address) = reactor.bind("127.0.0.1:0", Http::new(router)).unwrap() else {
        panic!("a TCP address")
    };
    let clients = std::thread::spawn(move || {
        let connect = |request: &[u8]| {
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(WAIT_MAX)).unwrap();
            client.write_all(request).unwrap();
            client
        };
        let mut stuck: Vec<_> =
            (0..STUCK).map(|_| connect(b"GET /disk HTTP/1.0\r\nHost: h\r\n\r\n")).collect();
        asks.recv_timeout(WAIT_MAX).unwrap();
        let quick = rest(address, b"GET / HTTP/1.0\r\nHost: h\r\n\r\n");
        assert!(quick.ends_with("\r\n\r\n0 bytes"), "{quick}");
        drop(stuck.drain(..STUCK / 2));
        for _ in 0..STUCK {
            release.send(()).unwrap();
        }
        for mut client in stuck {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
        }
    });
    while !clients.is_finished() {
        reactor.turn(Some(Duration::from_millis(10))).unwrap();
    }
    clients.join().unwrap();
}
