//! Urgent data (`MSG_OOB`): the byte itself is not part of the stream, and what is around it is answered
//! whole. After it a short read does not mean that nothing is left, and no further edge comes (design, rule
//! 1).

use crate::common::{Random, Server, pace};
use std::time::Duration;

#[test]
fn data_around_an_urgent_byte_is_answered_whole() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    for _ in 0..50 {
        let mut client = server.client("echo");
        client.send(b"before");
        client.send_urgent(b'!');
        client.send(b"after");
        client.expect_exact(b"beforeafter");
        client.expect_echo(b"and on");
    }
}

#[test]
fn urgent_bytes_at_any_moment_lose_nothing() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut random = Random::new();
    let mut client = server.client("echo");
    for _ in 0..200 {
        // One at a time: an urgent byte that comes while another is unread makes that one plain data
        // (tcp(7)).
        let pieces: Vec<Vec<u8>> = (0..2)
            .map(|_| {
                let len = 1 + random.below(4000);
                random.bytes(len)
            })
            .collect();
        client.send(&pieces[0]);
        if random.below(2) == 0 {
            pace(Duration::from_micros(200));
        }
        client.send_urgent(b'!');
        if random.below(2) == 0 {
            pace(Duration::from_micros(200));
        }
        client.send(&pieces[1]);
        let sent = pieces.concat();
        client.expect_exact(&sent);
    }
}

#[test]
fn an_urgent_byte_before_the_end_does_not_hide_the_end() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut client = server.client("echo");
    client.send(b"last");
    client.send_urgent(b'!');
    client.half_close();
    client.expect_exact(b"last");
    client.expect_end();
}
