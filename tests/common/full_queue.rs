//! A server that accepts no connection.

use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

/// A listener that accepts no connection, with its queue full: on Linux further SYNs are dropped.
pub struct FullQueue {
    pub addr: SocketAddr,
    _listener: Socket,
    _fill: TcpStream,
}

impl FullQueue {
    pub fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        FullQueue { addr, _fill: TcpStream::connect(addr).unwrap(), _listener: listener }
    }
}
