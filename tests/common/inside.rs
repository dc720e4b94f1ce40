//! A reactor in a thread of the test, for services and limits of the test's own.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use oneloop::connection::ListenerLayers;
use oneloop::limits::Limits;
use oneloop::reactor::{Handle, Reactor, Summary};
use oneloop::session::Service;
use oneloop::{ListenOptions, Listener};

use super::{Address, Client, eventually};

/// A reactor that runs until this is stopped or dropped.
pub struct Inside {
    addr: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<Summary>>,
}

impl Inside {
    /// Serves `service` on a port of the kernel's choice.
    pub fn serve<S: Service + Send>(limits: Limits, service: S) -> Inside {
        Inside::serve_behind(ListenerLayers::none(), limits, service)
    }

    /// The same behind byte layers.
    pub fn serve_behind<S: Service + Send>(layers: ListenerLayers, limits: Limits, service: S) -> Inside {
        let (told, learned) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut reactor = Reactor::new(limits).unwrap();
            let address = "127.0.0.1:0".parse().unwrap();
            let listener = Listener::bind(&address, &ListenOptions::default()).unwrap();
            let address = listener.local_addr().clone();
            reactor.listen_with(listener, service, layers).unwrap();
            told.send((address.to_string(), reactor.handle())).unwrap();
            reactor.run().unwrap()
        });
        let (address, handle) = learned.recv().unwrap();
        Inside { addr: address.parse().unwrap(), handle, thread: Some(thread) }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn client(&self) -> Client {
        Client::connect(&Address::Tcp(self.addr))
    }

    /// Drains it and gives what it did.
    pub fn drain(mut self) -> Summary {
        self.handle.drain();
        let thread = self.thread.take().unwrap();
        eventually("the loop has drained", || thread.is_finished());
        thread.join().unwrap()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().unwrap();
        }
    }
}
