//! `examples/lines.rs`: a line protocol of one's own.

#[path = "../../examples/lines.rs"]
#[allow(unreachable_pub, reason = "an example shows what a crate of its own would")]
mod lines;

use std::time::{Duration, Instant};

use crate::common::inside::Inside;
use crate::common::{Random, pace};
use lines::{LINE_BYTES_MAX, Lines};
use oneloop::limits::Limits;
use oneloop::session::rehearsal::answer;
use oneloop::telemetry::Reason;

#[test]
fn clients_share_the_dictionary_and_take_their_leave() {
    let server = Inside::serve(Limits::default(), Lines::default());
    let (mut writer, mut reader) = (server.client(), server.client());
    writer.send(b"SET colour light blue\n");
    writer.expect_exact(b"OK\n");
    reader.send(b"GET colour\nGET size\nHELP\nQUIT\nGET colour\n");
    reader.expect_exact(b"light blue\nERROR no such word\nERROR say SET word meaning, GET word or QUIT\n");
    reader.expect_end();
    drop((reader, writer));
    let summary = server.drain();
    assert_eq!(summary.counters.of(Reason::Finished), 1);
    assert_eq!(summary.counters.total(), 2);
}

#[test]
fn answers_do_not_depend_on_how_lines_are_split() {
    // Bytes that are no UTF-8 make the longest answers, three bytes for each; asked for in one burst, they
    // fill the outbox.
    let (long, many) = ([0xff; 500], 100);
    let text = [
        b"SET a b\nSET c d e f\nGET a\nGET c\nnonsense\nGET nothing\nGET a\nSET l ",
        &long[..],
        b"\n",
        &b"GET l\n".repeat(many),
        b"QUIT\n",
    ]
    .concat();
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let whole = answer(&Lines::default(), &lines, true, 64 << 10);
    let longest = format!("{}\n", String::from_utf8_lossy(&long)).repeat(many);
    assert!(whole.ends_with(format!("OK\n{longest}").as_bytes()), "{}", String::from_utf8_lossy(&whole));
    let mut random = Random::new();
    for _ in 0..200 {
        let mut cuts: Vec<usize> = (0..random.below(10)).map(|_| random.below(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        // How full the outbox is when a long answer comes depends on its size, too.
        let out_bytes_max = (4 << 10) + random.below(4 << 10);
        let split = answer(&Lines::default(), &chunks, true, out_bytes_max);
        // Not `assert_eq!`, which would print both: they are long.
        assert!(split == whole, "cut at {cuts:?}, with an outbox of {out_bytes_max}");
    }
}

#[test]
fn a_line_without_end_is_not_a_line() {
    let server = Inside::serve(Limits::default(), Lines::default());
    let mut client = server.client();
    client.send(&[b'x'; LINE_BYTES_MAX]);
    client.rest();
    drop(client);
    assert_eq!(server.drain().counters.of(Reason::Protocol), 1);
}

#[test]
fn a_byte_now_and_then_does_not_extend_a_line() {
    let server = Inside::serve(Limits { request_ms: 300, ..Limits::default() }, Lines::default());
    let mut client = server.client();
    let began = Instant::now();
    while client.try_send(b"x").is_ok() {
        assert!(began.elapsed() < Duration::from_secs(10), "the deadline was 300 ms");
        pace(Duration::from_millis(30));
    }
    drop(client);
    assert_eq!(server.drain().counters.of(Reason::RequestTimeout), 1);
}

#[test]
fn a_pipelined_crowd_of_lines_is_answered_whole() {
    let server = Inside::serve(Limits::default(), Lines::default());
    let mut client = server.client();
    let mut sender = client.another_handle();
    let sending = std::thread::spawn(move || sender.send(&b"SET k v\nGET k\n".repeat(50_000)));
    client.expect_exact(&b"OK\nv\n".repeat(50_000));
    sending.join().unwrap();
}
