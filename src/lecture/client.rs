//! A client that follows its plan, and notes when each of its calls was made and returned.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::scene::{Act, ClientPlan, END_PATIENCE_MS};
use super::sighting::ClientEvent;
use crate::sys::tcp_info::sent_again;

/// How long a client waits for its connection, or for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that it reads at once.
const BUFFER_BYTES: usize = 4096;

/// The time of a scene, as it is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScenePace {
    /// When the scene begins.
    pub(super) begins: Instant,
    /// How many times faster than it is written.
    pub(super) speed: f64,
}

impl ScenePace {
    /// A time of the scene, in ms.
    pub(super) fn time_of(self, ms: u32) -> Duration {
        Duration::from_millis(ms.into()).div_f64(self.speed)
    }
}

/// A client at work.
struct ClientRun<'a> {
    stream: TcpStream,
    pace: ScenePace,
    note: &'a dyn Fn(ClientEvent),
    sent_bytes: usize,
    received_bytes: usize,
    /// Whether the server has closed its side.
    saw_end: bool,
}

/// Follows the plan, and calls `note` with what the client does and notices. The last is that it left, gave
/// up the connection, or failed.
pub(super) fn follow(plan: &ClientPlan, addr: SocketAddr, pace: ScenePace, note: &dyn Fn(ClientEvent)) {
    sleep_until(pace.begins + pace.time_of(plan.comes_ms));
    let played = connect(addr, note).and_then(|stream| {
        note(ClientEvent::Connected { sent_again: sent_again(stream.as_fd()) });
        let mut client = ClientRun { stream, pace, note, sent_bytes: 0, received_bytes: 0, saw_end: false };
        plan.acts.iter().try_for_each(|act| client.act(act)).map(|()| client.leave())
    });
    match played {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::TimedOut => note(ClientEvent::GaveUp("the connection")),
        Err(error) => note(ClientEvent::Failed(error.to_string())),
    }
}

fn sleep_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// Connects from a port that is known before: it joins what the server reports with this client.
fn connect(addr: SocketAddr, note: &dyn Fn(ClientEvent)) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let port = socket.local_addr()?.as_socket().map_or(0, |own| own.port());
    note(ClientEvent::Comes { port });
    socket.connect_timeout(&addr.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

impl ClientRun<'_> {
    fn act(&mut self, act: &Act) -> io::Result<()> {
        match act {
            Act::Send(text) => {
                self.stream.write_all(text.as_bytes())?;
                self.sent_bytes += text.len();
                (self.note)(ClientEvent::Sent(text.len()));
            }
            Act::Pause(ms) => {
                let until = Instant::now() + self.pace.time_of(*ms);
                while self.read_until(until)? {}
                sleep_until(until);
            }
            Act::Answer => {
                let until = Instant::now() + PATIENCE;
                while self.received_bytes < self.sent_bytes {
                    if !self.read_until(until)? && self.saw_end {
                        return Err(io::Error::other("the server closed the connection before its answer"));
                    }
                    if until <= Instant::now() {
                        (self.note)(ClientEvent::GaveUp("its answer"));
                        break;
                    }
                }
            }
            Act::End => {
                self.stream.shutdown(Shutdown::Write)?;
                (self.note)(ClientEvent::ClosedItsSide);
                let until = Instant::now() + self.pace.time_of(END_PATIENCE_MS);
                while self.read_until(until)? {}
                if !self.saw_end {
                    (self.note)(ClientEvent::GaveUp("the end"));
                }
            }
        }
        Ok(())
    }

    /// Reads once, before this time. `false` if nothing came, or the end did.
    fn read_until(&mut self, until: Instant) -> io::Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.saw_end {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(&mut [0; BUFFER_BYTES]) {
            Ok(0) => {
                self.saw_end = true;
                (self.note)(ClientEvent::SawEnd);
                Ok(false)
            }
            Ok(bytes) => {
                self.received_bytes += bytes;
                (self.note)(ClientEvent::Received(bytes));
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock || error.kind() == ErrorKind::TimedOut => {
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn leave(self) {
        let ClientRun { stream, note, .. } = self;
        note(ClientEvent::Left); // before: the server may see the end before close(2) returns
        drop(stream);
    }
}
