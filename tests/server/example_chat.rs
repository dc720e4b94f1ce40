//! `examples/chat.rs`: sessions that wake each other, stalled readers, and wakers that outlive their client.

#[path = "../../examples/chat.rs"]
#[allow(unreachable_pub, reason = "an example shows what a crate of its own would")]
mod chat;
use std::time::{Duration, Instant};

use crate::common::inside::Inside;
use crate::common::{Client, eventually};
use chat::{Chat, MAILBOX_BYTES};
use oneloop::limits::Limits;
use oneloop::telemetry::Reason;

/// Clients that are surely in the room: each has heard the one that came after all of them.
fn room(server: &Inside, count: usize) -> Vec<Client> {
    let mut members: Vec<Client> = (0..count).map(|_| server.client()).collect();
    let mut last = server.client();
    last.send(b"hello\n");
    for member in &mut members {
        member.expect_exact(b"hello\n");
    }
    members.push(last);
    members
}

#[test]
fn a_line_reaches_all_the_others_at_once_and_not_its_sender() {
    let server = Inside::serve(Limits::default(), Chat::default());
    let mut members = room(&server, 99);
    let began = Instant::now();
    for sender in 0..members.len() {
        let line = format!("from {sender}\n");
        members[sender].send(line.as_bytes());
        for (number, member) in members.iter_mut().enumerate() {
            if number != sender {
                member.expect_exact(line.as_bytes());
            }
        }
    }
    // No session waited for a timer: in a hundred rounds the shortest timer would have taken longer.
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    members[0].send(b"the last\n");
    members[1].expect_exact(b"the last\n");
    // Its own line would have come before this one.
    members[1].send(b"the answer\n");
    members[0].expect_exact(b"the answer\n");
}

#[test]
fn a_reader_that_stops_is_bounded_then_dropped_and_others_miss_nothing() {
    let limits = Limits { rate_window_ms: 300, ..Limits::default() };
    let chat = Chat::default();
    let server = Inside::serve(limits, chat.clone());
    let mut members = room(&server, 2);
    let mut stopped = members.remove(0);
    let (mut speaker, mut listener) = (members.remove(0), members.remove(0));
    let line = [&[b'l'; 500][..], b"\n"].concat();
    // Far more than the kernel's buffers, the outbox and the mailbox hold.
    let lines = 40_000;
    for _ in 0..lines {
        speaker.send(&line);
        listener.expect_exact(&line);
    }
    eventually("who does not read is dropped", || chat.len() == 2);
    let (got, _) = stopped.rest();
    assert!(got.len() < lines * line.len(), "not all was kept for it");
    drop((stopped, speaker, listener));
    let counters = server.drain().counters;
    let dropped = counters.of(Reason::RateTooLow) + counters.of(Reason::MailboxOverflow);
    assert_eq!(dropped, 1, "{counters}");
}

#[test]
fn many_lines_at_once_reach_every_client_that_reads() {
    let server = Inside::serve(Limits::default(), Chat::default());
    let mut members = room(&server, 2);
    let text: Vec<u8> = (0..20_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    members[0].send(&text);
    members[1].expect_exact(&text);
    members[2].expect_exact(&text);
}

/// In one turn of the loop all members together send more than a mailbox holds.
#[test]
fn a_steady_reader_misses_no_line_though_all_other_members_send_at_once() {
    const LINES: usize = 100;
    const TALKERS: usize = 80;
    let chat = Chat::default();
    let server = Inside::serve(Limits::default(), chat.clone());
    let members = room(&server, TALKERS - 1);
    let text = |number: usize| format!("from {number}\n").repeat(LINES);
    let bytes: usize = (0..TALKERS).map(|number| text(number).len()).sum();
    assert!(bytes + TALKERS * LINES * size_of::<std::sync::Arc<[u8]>>() > 2 * MAILBOX_BYTES);
    std::thread::scope(|scope| {
        for (number, mut member) in members.into_iter().enumerate() {
            scope.spawn(move || {
                let own = text(number);
                member.send(own.as_bytes());
                let mut heard = vec![0; bytes - own.len()];
                member.read_exact(&mut heard);
                let heard = String::from_utf8(heard).unwrap();
                assert_eq!(heard.lines().count(), (TALKERS - 1) * LINES);
            });
        }
    });
    eventually("the room is empty", || chat.len() == 0);
    let counters = server.drain().counters;
    assert_eq!(counters.of(Reason::MailboxOverflow), 0, "{counters}");
}

#[test]
fn a_client_that_left_is_not_in_the_room() {
    let chat = Chat::default();
    let server = Inside::serve(Limits::default(), chat.clone());
    let members = room(&server, 20);
    assert_eq!(chat.len(), 21);
    drop(members);
    eventually("the room is empty", || chat.len() == 0);
}
