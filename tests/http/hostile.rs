//! Clients that mean harm: each costs a bounded amount, and the others are served.

use std::time::Duration;

use crate::common::http::{Site, get, receive};
use crate::common::{eventually, pace};

fn site() -> Site {
    let site = Site::new();
    site.file("index.html", "home");
    site
}

#[test]
fn a_head_that_comes_byte_by_byte_has_an_absolute_deadline() {
    let site = site();
    let mut server = site.serve(&["--request", "500ms", "--idle", "60s"]);
    let mut slow = server.client("http");
    let mut sent = 0;
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", "a".repeat(5_000));
    let mut other = server.client("http");
    for byte in head.bytes() {
        if slow.try_send(&[byte]).is_err() || server.stderr().contains("request-timeout") {
            break;
        }
        sent += 1;
        pace(Duration::from_millis(2));
        assert!(sent < 5_000, "a byte every now and then kept the connection open");
    }
    let answer = receive(&mut slow, "GET");
    assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
    server.expect_log("request-timeout", 1);
    assert_eq!(get(&mut other, "/", "").text(), "home");
}

#[test]
fn a_client_that_must_read_and_does_not_is_ended() {
    let site = site();
    site.file("big", vec![0; 50_000_000]);
    let mut server = site.serve(&["--rate-window", "300ms"]);
    let mut deaf = server.client("http");
    deaf.send(&b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20));
    server.expect_log("rate-too-low", 1);
    assert_eq!(get(&mut server.client("http"), "/", "").text(), "home");
}

#[test]
fn an_idle_client_is_closed_without_a_word() {
    let site = site();
    let mut server = site.serve(&["--idle", "200ms"]);
    let mut idle = server.client("http");
    assert_eq!(get(&mut idle, "/", "").status, 200);
    idle.expect_end();
    server.expect_log("idle-timeout", 1);
}

#[test]
fn a_flood_of_pipelined_requests_leaves_the_others_their_turns() {
    let site = site();
    let mut server = site.serve(&[]);
    let mut flood = server.client("http");
    let mut sender = flood.another_handle();
    let sending = std::thread::spawn(move || {
        let batch = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(200);
        (0..50).all(|_| sender.try_send(&batch).is_ok())
    });
    let mut other = server.client("http");
    for _ in 0..200 {
        assert_eq!(get(&mut other, "/", "").text(), "home");
    }
    for _ in 0..10_000 {
        assert_eq!(receive(&mut flood, "GET").text(), "home");
    }
    assert!(sending.join().unwrap());
}

/// Long heads cost the time of looking at each byte once: a hundred of the longest, byte by byte in one
/// segment each would be minutes otherwise.
#[test]
#[cfg(target_os = "linux")]
fn the_longest_head_costs_no_quadratic_time() {
    let site = site();
    let mut server = site.serve(&[]);
    let before = server.cpu_time();
    let field = format!("A: {}\r\n", "a".repeat(7_000));
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{field}{field}\r\n");
    let mut client = server.client("http");
    for byte in head.bytes() {
        client.send(&[byte]);
    }
    assert_eq!(receive(&mut client, "GET").status, 200);
    let cpu = server.cpu_time().saturating_sub(before);
    assert!(cpu < Duration::from_secs(2), "{cpu:?} for {} bytes", head.len());
}

#[test]
fn a_listing_of_a_huge_directory_comes_in_pieces_while_others_are_served() {
    let site = Site::new();
    std::fs::create_dir(site.root().join("huge")).unwrap();
    for n in 0..12_000 {
        std::fs::File::create(site.root().join(format!("huge/{n:05}"))).unwrap();
    }
    site.file("index.html", "home");
    let mut server = site.serve(&[]);
    let mut lister = server.client("http");
    lister.send(b"GET /huge/ HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(get(&mut server.client("http"), "/", "").text(), "home");
    let listing = receive(&mut lister, "GET").text();
    assert_eq!(listing.matches("<tr><td><a href=\"").count(), 12_000);
    assert_eq!(receive(&mut lister, "GET").text(), "home", "the chunks ended where they said");
    let mut old = server.client("http");
    old.send(b"GET /huge/ HTTP/1.0\r\n\r\n");
    assert_eq!(receive(&mut old, "GET").text(), listing, "the same without chunks");
    eventually("the descriptors of the listings are closed", || {
        !cfg!(target_os = "linux") || server.descriptors().len() < 30
    });
}

#[test]
fn unread_listings_keep_no_directory_open_and_delay_no_client() {
    const CLIENTS: usize = 10;
    const FILES: usize = 9_000;
    let site = Site::new();
    // A page of more bytes than the buffers of both sides take.
    let long = "a".repeat(240);
    for n in 0..FILES {
        std::fs::create_dir_all(site.root().join("huge")).unwrap();
        std::fs::File::create(site.root().join(format!("huge/{n:05}{long}"))).unwrap();
    }
    site.file("index.html", "home");
    let mut server = site.serve(&[]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.client("http")).collect();
    for client in &mut clients {
        client.send(b"GET /huge/ HTTP/1.0\r\n\r\n");
        let mut begun = [0; 2_000];
        client.read_exact(&mut begun);
    }
    if cfg!(target_os = "linux") {
        let listed = site.root().join("huge");
        let open = |fd: &u32| server.descriptor_leads_to(*fd).is_some_and(|path| path == listed);
        assert_eq!(server.descriptors().iter().filter(|fd| open(fd)).count(), 0, "the directory is open");
    }
    assert_eq!(get(&mut server.client("http"), "/", "").text(), "home");
    for mut client in clients {
        let page = String::from_utf8(client.rest().0).unwrap();
        let names = page.split("<tr><td><a href=\"").skip(1).map(|row| row[..5].parse::<usize>().unwrap());
        let names: Vec<usize> = names.collect();
        assert!(
            names.is_sorted() && names.len() > FILES - 10 && page.ends_with("</html>\n"),
            "{}",
            names.len()
        );
    }
}
