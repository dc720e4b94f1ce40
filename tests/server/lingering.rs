//! The last answer is not lost to a reset: close is flush, shut down, discard within bounds (design, rule 4).

use crate::common::client::Ended;
use crate::common::{Server, eventually};

const ANSWER: &[u8] = b"I got your message";

#[test]
fn a_client_that_sent_more_than_was_read_gets_the_whole_answer_and_no_reset() {
    let mut server = Server::serve(&["message@127.0.0.1:0"]);
    for _ in 0..50 {
        let mut client = server.client("message");
        // One message is at most 255 bytes: the rest lies unread in the server's socket when it closes.
        client.send(&vec![b'm'; 100 << 10]);
        assert_eq!(client.rest(), (ANSWER.to_vec(), Ended::Closed));
    }
}

#[test]
fn a_client_that_goes_on_sending_after_the_answer_gets_it_first() {
    let mut server = Server::serve(&["message@127.0.0.1:0"]);
    let mut client = server.client("message");
    client.send(b"a message\n");
    client.expect_exact(ANSWER);
    for _ in 0..100 {
        client.send(b"and more, which nobody reads");
    }
    client.expect_end();
}

#[test]
fn a_client_that_never_closes_is_ended_by_the_deadline() {
    let mut server = Server::serve(&["--linger=100ms", "message@127.0.0.1:0"]);
    let mut client = server.client("message");
    client.send(b"a message\n");
    client.expect_exact(ANSWER);
    client.expect_end();
    server.expect_log("ended: finished", 1);
}

#[test]
fn a_client_that_sends_without_end_after_the_answer_is_cut_by_bytes() {
    let mut server = Server::serve(&["--linger=1h", "--linger-bytes=64KiB", "message@127.0.0.1:0"]);
    let mut client = server.client("message");
    client.send(b"a message\n");
    client.expect_exact(ANSWER);
    let piece = [b'x'; 16 << 10];
    eventually("a client that sends without end is reset", || client.try_send(&piece).is_err());
    server.expect_log("ended: finished", 1);
}
