//! What a peer does with clients, before anything is measured: a mistake of a server is named, where it would
//! otherwise hide in numbers or in a failure after minutes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::executor::Examination;
use super::server::{Server, is_timeout};
use crate::lab::plan::experiment::REQUEST_BYTES;
use crate::lab::sample::server::Holdings;

/// Clients that come one after the other. If half of them leave something behind, the cause is the server,
/// not chance.
const CLIENTS: u32 = 32;
const LEFT_FROM: usize = CLIENTS as usize / 2;
/// Clients that stay, at most: no crowd of a quick comparison but the last is larger.
const AT_ONCE_MAX: u32 = 300;
/// How long a reply may take, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the server may take to release clients that have left.
const LET_GO_MAX: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Clients that close before their reply, and the bytes that each sends: so many that the server is still
/// writing when the client is gone.
const HASTY_CLIENTS: u32 = 32;
const HASTY_BYTES: usize = 48 << 10;

/// Examines a peer that has passed the check. The error is a message: it cannot be measured.
pub(super) fn examine(server: &mut Server) -> Result<Examination, String> {
    let mut findings = Vec::new();
    if server.processes().loses_children() {
        findings.push(
            "ignores SIGCHLD, so the system drops the CPU time of its children, and it is shown without any; as root, \
             `oneloop compare` counts it in a control group"
                .to_owned(),
        );
    }
    let before = server.processes().holdings();
    one_after_the_other(server)?;
    findings.extend(before.as_ref().and_then(|before| left_behind(server, before)));
    let settled = server.processes().holdings();
    findings.extend(unclosed(server.addr()));
    let at_once = at_once(server.addr());
    if let Err(why) = server.lives_on() {
        findings.push(format!("does not survive {at_once} clients at the same time: {why}"));
        return Ok(Examination { clients_at_once: None, findings });
    }
    let clients_at_once = (at_once < AT_ONCE_MAX).then_some(at_once.max(1));
    if let Some(count) = clients_at_once {
        let number = if count == 1 { "one client".to_owned() } else { format!("{count} clients") };
        let seconds = PATIENCE.as_secs();
        findings.push(format!("serves {number} at a time: the next one had no reply in {seconds} s"));
    }
    // What served the first client, the check, may not have ended before.
    let tasks = before.iter().chain(&settled).map(|holdings| holdings.tasks).min();
    findings.extend(hasty(server, tasks));
    Ok(Examination { clients_at_once, findings })
}

/// Clients that come, are served and leave.
fn one_after_the_other(server: &mut Server) -> Result<(), String> {
    for number in 1..=CLIENTS {
        let Err(error) = join(server.addr()) else { continue };
        // The check was its first client.
        let earlier = if number == 1 { "its first client".to_owned() } else { format!("{number} clients") };
        server.lives_on().map_err(|why| format!("after {earlier}, {why}"))?;
        let what = if is_timeout(&error) {
            format!("the next one got no reply in {} s", PATIENCE.as_secs())
        } else {
            format!("the next one had an error: {error}")
        };
        return Err(format!("serves no client after {earlier} had left: {what}"));
    }
    Ok(())
}

/// The processes, threads and descriptors that the server still has for clients that have left.
fn left_behind(server: &Server, before: &Holdings) -> Option<String> {
    let deadline = Instant::now() + LET_GO_MAX;
    let mut excess = ExcessHoldings::of(before, &server.processes().holdings()?);
    while excess != ExcessHoldings::default() && Instant::now() < deadline {
        thread::sleep(LOOK_EVERY);
        excess = ExcessHoldings::of(before, &server.processes().holdings()?);
    }
    let found = [
        (excess.zombies >= LEFT_FROM).then(|| {
            format!(
                "leaves zombies: {} of {CLIENTS} children that served a client ended and were not waited for; call waitpid(2) \
                 when SIGCHLD comes",
                excess.zombies
            )
        }),
        (excess.descriptors >= LEFT_FROM).then(|| {
            format!(
                "leaks newS: after {CLIENTS} clients had left, its processes held {} more descriptors; close newS when the \
                 client is done, and after fork in the parent as well",
                excess.descriptors
            )
        }),
        (excess.tasks >= LEFT_FROM).then(|| {
            format!(
                "keeps what served its clients: after {CLIENTS} clients had left, {} more processes or threads ran; end them \
                 when read returns 0",
                excess.tasks
            )
        }),
    ];
    let found: Vec<String> = found.into_iter().flatten().collect();
    (!found.is_empty()).then(|| found.join("; it "))
}

/// Processes, threads and descriptors in excess of those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ExcessHoldings {
    zombies: usize,
    tasks: usize,
    descriptors: usize,
}

impl ExcessHoldings {
    fn of(before: &Holdings, after: &Holdings) -> ExcessHoldings {
        // A new process counts once, whatever it has open.
        let descriptors = after.descriptors.iter().map(|(pid, count)| {
            let held = before.descriptors.iter().find(|(earlier, _)| earlier == pid);
            held.map_or(0, |(_, held)| count.saturating_sub(*held))
        });
        ExcessHoldings {
            zombies: after.zombies.saturating_sub(before.zombies),
            tasks: after.tasks.saturating_sub(before.tasks),
            descriptors: descriptors.sum(),
        }
    }
}

/// A client that ends its side waits for the server to end its own.
fn unclosed(addr: SocketAddr) -> Option<String> {
    let mut client = join(addr).ok()?;
    client.shutdown(Shutdown::Write).ok()?;
    let ended = client.read(&mut [0]);
    ended.is_err_and(|error| is_timeout(&error)).then(|| {
        format!(
            "does not close its side: a client that has ended its own saw no end of the connection in {} s",
            PATIENCE.as_secs()
        )
    })
}

/// How many clients that stay are served.
fn at_once(addr: SocketAddr) -> u32 {
    let mut clients = Vec::new();
    while (clients.len() as u32) < AT_ONCE_MAX {
        match join(addr) {
            Ok(client) => clients.push(client),
            Err(_) => break,
        }
    }
    clients.len() as u32
}

/// Clients that send and close at once: whether the server survives them.
fn hasty(server: &mut Server, tasks: Option<usize>) -> Option<String> {
    for _ in 0..HASTY_CLIENTS {
        // An error means that the server is gone already, which is found below.
        let _ = hurry(server.addr());
    }
    if let Err(why) = server.lives_on() {
        return Some(format!("dies of a client that does not wait for its reply: {why}"));
    }
    let (had, has) = (tasks?, server.processes().holdings()?.tasks);
    (has < had).then(|| {
        format!(
            "loses processes to clients that do not wait for their replies: {had} ran before {HASTY_CLIENTS} such clients, \
             and {has} after; ignore SIGPIPE"
        )
    })
}

/// Shuts its sending side down first: after that, a write of the server to this client fails at once, with
/// SIGPIPE.
fn hurry(addr: SocketAddr) -> io::Result<()> {
    let mut client = TcpStream::connect_timeout(&addr, PATIENCE)?;
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    client.set_write_timeout(Some(PATIENCE))?;
    client.write_all(&vec![b'h'; HASTY_BYTES])?;
    client.shutdown(Shutdown::Write)
}

/// Connects, sends a request, and takes the reply.
fn join(addr: SocketAddr) -> io::Result<TcpStream> {
    let mut client = TcpStream::connect_timeout(&addr, PATIENCE)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(&[b'e'; REQUEST_BYTES as usize])?;
    client.read_exact(&mut [0; REQUEST_BYTES as usize])?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_descriptors_count_only_in_processes_from_before() {
        let before = Holdings { zombies: 1, tasks: 2, descriptors: vec![(7, 5), (8, 5)] };
        let after = Holdings { zombies: 34, tasks: 2, descriptors: vec![(7, 37), (8, 4), (9, 100)] };
        let excess = ExcessHoldings::of(&before, &after);
        assert_eq!(excess, ExcessHoldings { zombies: 33, tasks: 0, descriptors: 32 });
        assert_eq!(ExcessHoldings::of(&before, &before), ExcessHoldings::default());
    }
}
