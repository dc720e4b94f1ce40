//! A client with nothing between the test and the socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{Address, PATIENCE};

/// One connection. All calls block, with a bound.
pub struct Client {
    socket: Socket,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With the end of input: all that was sent has come.
    Closed,
    /// With a reset.
    Reset,
}

impl Client {
    pub fn connect(address: &Address) -> Client {
        match address {
            Address::Tcp(addr) => Client::tcp(*addr, None).expect("a connection"),
            Address::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
                socket.connect(&SockAddr::unix(path).unwrap()).expect("a connection");
                Client::over(socket)
            }
        }
    }

    /// Connects from a source address: all of 127.0.0.0/8 is this machine.
    pub fn connect_from(source: IpAddr, address: &Address) -> Client {
        Client::tcp(address.tcp(), Some(source)).expect("a connection")
    }

    /// Connects with a receive buffer so small that the kernel takes little that is not read.
    pub fn connect_narrow(address: &Address) -> Client {
        let addr = address.tcp();
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect_timeout(&addr.into(), PATIENCE).expect("a connection");
        Client::over(socket)
    }

    fn tcp(addr: SocketAddr, source: Option<IpAddr>) -> std::io::Result<Client> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect_timeout(&addr.into(), PATIENCE)?;
        socket.set_tcp_nodelay(true)?;
        Ok(Client::over(socket))
    }

    fn over(socket: Socket) -> Client {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { socket }
    }

    /// The same connection, for a thread that sends while this one receives.
    pub fn another_handle(&self) -> Client {
        Client { socket: self.socket.try_clone().unwrap() }
    }

    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the server takes what is sent");
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends one byte of urgent data (`MSG_OOB`).
    pub fn send_urgent(&mut self, byte: u8) {
        assert_eq!(self.socket.send_out_of_band(&[byte]).unwrap(), 1);
    }

    /// Reads as many bytes as `expected` has: they are these.
    #[track_caller]
    pub fn expect_exact(&mut self, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        self.read_exact(&mut got);
        assert!(got == expected, "got {:?}, expected {:?}", excerpt(&got), excerpt(expected));
    }

    /// Fills `into`.
    #[track_caller]
    pub fn read_exact(&mut self, into: &mut [u8]) {
        let mut filled = 0;
        while filled < into.len() {
            match self.socket.read(&mut into[filled..]) {
                Ok(0) => {
                    panic!("it ended after {filled} of {} bytes: {:?}", into.len(), excerpt(&into[..filled]))
                }
                Ok(len) => filled += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("after {filled} of {} bytes: {error}", into.len()),
            }
        }
    }

    /// Sends and has the same back.
    #[track_caller]
    pub fn expect_echo(&mut self, bytes: &[u8]) {
        self.send(bytes);
        self.expect_exact(bytes);
    }

    /// What comes until the connection ends, and how it ends.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, Ended) {
        let (mut got, mut piece) = (Vec::new(), [0; 16 << 10]);
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => return (got, Ended::Closed),
                Ok(len) => got.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (got, Ended::Reset),
                Err(error) => panic!("after {} bytes: {error}", got.len()),
            }
        }
    }

    /// Ends this side; what comes until the other side ends.
    #[track_caller]
    pub fn rest_after_half_close(&mut self) -> Vec<u8> {
        // A server that has refused it may have reset the connection.
        let _ = self.socket.shutdown(Shutdown::Write);
        self.rest().0
    }

    /// The server closes, without another byte and without a reset.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let (rest, ended) = self.rest();
        assert_eq!((excerpt(&rest).as_str(), ended), ("", Ended::Closed));
    }

    /// Nothing has come, and the connection is open: for a server of which a condition shows that it has done
    /// its work.
    #[track_caller]
    pub fn expect_nothing_yet(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        let got = self.socket.read(&mut [0; 64]);
        self.socket.set_nonblocking(false).unwrap();
        assert!(
            matches!(&got, Err(error) if error.kind() == ErrorKind::WouldBlock),
            "nothing was expected, not {got:?}"
        );
    }

    /// Nothing comes for `pause`, and the connection stays open.
    #[track_caller]
    pub fn expect_silence(&mut self, pause: Duration) {
        self.socket.set_read_timeout(Some(pause)).unwrap();
        let got = self.socket.read(&mut [0; 64]);
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        match got {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => panic!("silence was expected, not {other:?}"),
        }
    }

    /// Ends this side; the other goes on.
    pub fn half_close(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends both sides at once with a reset (`SO_LINGER` with no time).
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn excerpt(bytes: &[u8]) -> String {
    let more = if bytes.len() > 200 { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{more}", bytes[..bytes.len().min(200)].escape_ascii())
}
