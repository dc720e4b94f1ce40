//! Out of file descriptors: no spin, no stall, and it recovers by itself (design, rule 6).
#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::client::Ended;
use crate::common::faulty::children;
use crate::common::http::{Site, get, receive};
use crate::common::server::Setup;
use crate::common::{Client, Server, eventually, eventually_some, pace};
use nix::sys::signal::Signal;

const LIMIT: usize = 64;
/// The CPU time per second that a starved server may use: a try every `accept_pause_ms` takes far less, a
/// spin all of it.
const STARVED_CPU_MAX: f64 = 0.1;

/// Lowers the limit of a program that runs: it has adapted to another one at its start.
fn starve(pid: i32, limit: usize) {
    let prlimit = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")])
        .status()
        .expect("prlimit, which every Debian has");
    assert!(prlimit.success());
}

/// Lowers it so that not one more can be had.
fn starve_completely(pid: i32) {
    let open = |fd: &usize| std::fs::symlink_metadata(format!("/proc/{pid}/fd/{fd}")).is_ok();
    starve(pid, (0..usize::MAX).find(|fd| !open(fd)).unwrap());
}

#[test]
fn without_descriptors_it_neither_spins_nor_stalls_and_recovers_when_clients_leave() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    starve(server.pid().as_raw(), LIMIT);
    let began = Instant::now();
    let mut clients: Vec<Client> = (0..2 * LIMIT).map(|_| server.client("echo")).collect();
    server.expect_log("accepting pauses", 1);

    let (span, before) = (Duration::from_secs(1), server.cpu_time());
    pace(span);
    let used = server.cpu_time().saturating_sub(before).as_secs_f64() / span.as_secs_f64();
    assert!(used < STARVED_CPU_MAX, "it used {used:.2} of its core while it was starved");
    // It tries ten times a second.
    let (warnings, minutes) =
        (server.stderr().matches("accepting pauses").count(), began.elapsed().as_secs() / 60);
    assert!(warnings as u64 <= minutes + 1, "{warnings} warnings in {minutes} min");

    clients[0].expect_echo(b"those inside are served meanwhile");
    // The first in the backlog are the first inside: each that leaves makes room for the next.
    for mut client in clients {
        client.expect_echo(b"my turn");
    }
}

#[test]
fn a_client_that_leaves_ends_the_pause_however_long_it_is() {
    let mut server = Server::serve(&["echo@127.0.0.1:0", "--accept-pause", "1h"]);
    starve(server.pid().as_raw(), LIMIT);
    let clients: Vec<Client> = (0..LIMIT + 8).map(|_| server.client("echo")).collect();
    server.expect_log("accepting pauses", 1);
    for mut client in clients {
        client.expect_echo(b"my turn");
    }
}

/// Descriptors are the kernel's, so that this and the others here need the real loop.
#[test]
fn it_recovers_without_a_client_that_leaves() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut inside = server.client("echo");
    inside.expect_echo(b"the loop has all that it needs itself");
    starve_completely(server.pid().as_raw());
    let mut client = server.client("echo");
    client.send(b"let me in");
    server.expect_log("accepting pauses", 1);
    client.expect_nothing_yet();
    starve(server.pid().as_raw(), LIMIT);
    client.expect_exact(b"let me in");
    inside.expect_echo(b"nobody left");
}

/// Models whose first process accepts, so that its limit counts; a thread that waits in accept(2) has its
/// descriptor already.
const MODELS: [&str; 4] = ["reactor", "iterative", "fork", "thread"];

/// It serves, and then not one more descriptor can be had.
fn starved_completely(model: &str) -> Server {
    let mut server = Server::serve(&["echo@127.0.0.1:0", "--model", model, "--drain=1h"]);
    let mut client = server.client("echo");
    client.expect_echo(b"it is past its start");
    client.half_close();
    client.expect_end();
    server.expect_log(" ended: ", 1);
    starve_completely(server.pid().as_raw());
    if model == "iterative" {
        // The wait in accept(2) that it is in has its descriptor already; the next has none.
        server.signal(Signal::SIGUSR1);
        server.expect_log("accepted=1 ", 1);
    }
    server
}

#[test]
fn a_drain_without_descriptors_ends_at_once_when_no_client_waits() {
    for model in MODELS {
        let mut server = starved_completely(model);
        assert_eq!(server.stop().code(), Some(0), "{model}");
        let said = server.stderr();
        assert!(!said.contains("accepting pauses"), "{model}: nobody was there to be accepted:\n{said}");
    }
}

#[test]
fn a_drain_answers_a_client_that_waits_once_a_descriptor_is_free() {
    for model in MODELS {
        let mut server = starved_completely(model);
        let mut client = server.client("echo");
        // What it uses of a span is measured, before the signal and after it: only this needs the time to
        // pass.
        let (began, before) = (Instant::now(), server.cpu_time());
        client.send(b"asked in time");
        server.expect_log("accepting pauses", 1);
        client.expect_silence(Duration::from_millis(300));
        server.signal(Signal::SIGTERM);
        client.expect_silence(Duration::from_millis(300));
        let used = server.cpu_time().saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
        assert!(used < STARVED_CPU_MAX, "{model} used {used:.2} of its core while it was starved");
        starve(server.pid().as_raw(), LIMIT);
        assert_eq!(client.rest(), (b"asked in time".to_vec(), Ended::Closed), "{model}");
        drop(client); // it lingers
        assert_eq!(server.exit().code(), Some(0), "{model}");
    }
}

/// Samples in a row at which an idle process is asleep: a spinning process never is.
const CALM_LOOKS: u32 = 10;

#[test]
fn copies_without_descriptors_do_not_spin_when_accept_returns_at_once() {
    let mut server = Server::serve(&["echo@127.0.0.1:0", "--model=prefork", "--workers=2"]);
    let copies = eventually_some("two copies", || {
        let copies = children(server.pid());
        (copies.len() == 2).then_some(copies)
    });
    server.client("echo").expect_echo(b"they are past their start");
    for &(pid, _) in &copies {
        starve_completely(pid);
    }
    // For up to a second more they wait in accept(2), with the descriptor that they had before.
    pace(Duration::from_millis(1_500));
    let mut calm = 0;
    eventually("the copies rest", || {
        let rest = children(server.pid()).iter().all(|&(_, state)| state == 'S');
        calm = if rest { calm + 1 } else { 0 };
        calm == CALM_LOOKS
    });
    assert_eq!(server.stop().code(), Some(0));
}

/// A parent that replaces its workers needs no descriptor for that, and goes on where the worker needs one.
#[test]
fn a_parent_without_descriptors_goes_on_and_replaces_its_workers() {
    let folder = tempfile::tempdir().unwrap();
    let (log, site) = (folder.path().join("log"), crate::common::http::spec(folder.path()));
    for model in ["prefork", "reactor"] {
        let log = ["--access-log", log.to_str().unwrap()];
        let args = ["echo@127.0.0.1:0", &site, "--model", model, "--workers=2"];
        let mut server = Server::serve(&[&args[..], &log].concat());
        server.expect_log(" is process ", 2);
        starve_completely(server.pid().as_raw());
        let kill_all = || {
            for (pid, _) in children(server.pid()) {
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
        };
        kill_all();
        server.expect_log("died: killed by signal 9", 2);
        server.expect_log(" is process ", 4);
        starve(server.pid().as_raw(), LIMIT);
        kill_all();
        server.client("echo").expect_echo(b"served");
        assert_eq!(server.stop().code(), Some(0), "{model}");
    }
}

#[test]
fn a_child_is_made_for_a_client_that_has_its_parents_last_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let (log, site) = (folder.path().join("log"), crate::common::http::spec(folder.path()));
    let args = ["echo@127.0.0.1:0", &site, "--model=fork", "--access-log", log.to_str().unwrap()];
    let mut server = Server::serve(&args);
    let open = server.descriptors();
    starve(server.pid().as_raw(), (0..).filter(|fd| !open.contains(fd)).nth(1).unwrap() as usize);
    for _ in 0..3 {
        server.client("echo").expect_echo(b"served");
    }
    assert_eq!(server.stop().code(), Some(0));
    assert!(!server.stderr().contains("ERROR"), "{}", server.stderr());
}

#[test]
fn started_with_few_descriptors_it_serves_as_many_clients_as_it_can() {
    let mut server = Setup::oneloop(["serve", "echo@127.0.0.1:0"]).nofile(LIMIT as u32).start().listening();
    for round in 1..=3 {
        let mut crowd: Vec<Client> = (0..2 * LIMIT).map(|_| server.client("echo")).collect();
        crowd[0].expect_echo(b"inside");
        drop(crowd);
        // All clients, including those that left while still in the backlog: they take places, too.
        server.expect_log(" ended: ", round * 2 * LIMIT);
    }
    server.client("echo").expect_echo(b"still serving");
    assert!(server.stop().success());
}

/// Bigger than what is kept in memory: each stays open for a while.
const FILE_BYTES: usize = 40_000;

#[test]
fn files_without_a_descriptor_are_answered_with_503_until_there_is_one() {
    let site = Site::new();
    site.file("index.html", "home");
    site.file("big", vec![b'b'; FILE_BYTES]);
    let mut server = site.serve(&[]);
    let mut client = server.client("http");
    assert_eq!(get(&mut client, "/none", "").status, 404, "it is inside");
    let mut leaving = server.client("http");
    assert_eq!(get(&mut leaving, "/none", "").status, 404, "it is inside, too");
    starve_completely(server.pid().as_raw());
    for target in ["/", "/big"] {
        let answer = get(&mut client, target, "");
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{target}");
    }
    // It recovers by itself: the descriptor of a client that has left will do for a file at a time.
    drop(leaving);
    for target in ["/", "/big"] {
        eventually("a file is served again", || get(&mut client, target, "").status == 200);
    }
}

#[test]
fn files_that_are_kept_open_give_way_to_others_and_to_clients() {
    let site = Site::new();
    for n in 0..2 * LIMIT {
        site.file(&format!("{n}"), vec![b'b'; FILE_BYTES]);
    }
    let spec = crate::common::http::spec(&site.root());
    let mut server = Setup::oneloop(["serve", &spec]).nofile(LIMIT as u32).start().listening();
    let mut client = server.client("http");
    for n in 0..2 * LIMIT {
        assert_eq!(get(&mut client, &format!("/{n}"), "").status, 200, "file {n}");
        let open = server.descriptors().len();
        assert!(open < LIMIT / 2, "{open} descriptors, most of them of files that nobody reads");
    }
    assert_eq!(get(&mut server.client("http"), "/0", "").status, 200, "another client comes in");
    // The same when all other descriptors are taken.
    starve_completely(server.pid().as_raw());
    for n in 0..2 * LIMIT {
        assert_eq!(get(&mut client, &format!("/{n}"), "").status, 200, "file {n}");
    }
}

/// More than the buffers of both sides hold, and nothing on the disk.
const ENDLESS_BYTES: u64 = 30_000_000;

fn site_of_big_files(count: usize) -> Site {
    let site = Site::new();
    for n in 0..count {
        std::fs::File::create(site.root().join(format!("{n}"))).unwrap().set_len(ENDLESS_BYTES).unwrap();
    }
    site
}

fn request(target: impl std::fmt::Display) -> Vec<u8> {
    format!("GET /{target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

#[test]
fn with_all_clients_inside_there_are_descriptors_left_for_files() {
    // So many that the share of the files is far more than what else is to spare.
    let limit = 256;
    let files = limit as usize / 8;
    let site = site_of_big_files(files);
    let spec = crate::common::http::spec(&site.root());
    let setup = Setup::oneloop(["serve", &spec, "--refusal-linger", "1h"]).nofile(limit);
    let mut server = setup.start().listening();
    server.expect_log("clients at once: ", 1);
    let told = server.stderr();
    let count = told.split("clients at once: ").nth(1).unwrap().split(',').next().unwrap();
    let mut clients: Vec<Client> = (0..count.parse().unwrap()).map(|_| server.client("http")).collect();
    for client in &mut clients {
        assert_eq!(get(client, "/none", "").status, 404, "it is inside");
    }
    let mut refused: Vec<Client> = (0..limit / 8).map(|_| server.client("http")).collect();
    for client in &mut refused {
        assert_eq!(get(client, "/none", "").status, 503, "it is one too many");
    }
    for (n, client) in clients.iter_mut().take(files).enumerate() {
        client.send(&request(n));
        client.expect_exact(b"HTTP/1.1 200");
    }
}

/// More than there are descriptors for files, whatever the model.
const HOLDERS: usize = 140;

/// The longest file that needs no descriptor while it is sent, when there is none to spare.
const PAGE_BYTES: usize = 64 << 10;

/// The site with so few descriptors: many clients each hold the file that `target` names, and one more client
/// asks.
fn small_file_beside_holders(site: &Site, models: &[&str], target: impl Fn(usize) -> String) {
    site.file("small", "small");
    site.file("page", "p".repeat(PAGE_BYTES));
    let spec = crate::common::http::spec(&site.root());
    for model in models {
        let setup = Setup::oneloop(["serve", &spec, "--model", model]).nofile(256);
        let mut server = setup.start().listening();
        let tag = get(&mut server.client("http"), "/page", "").field("etag").map(str::to_owned);
        let mut answered_200 = 0;
        let holders = (0..HOLDERS).map(|n| {
            let mut client = server.client("http");
            client.send(&request(target(n)));
            let mut status = *b"HTTP/1.1 ...";
            client.read_exact(&mut status);
            assert!([b"HTTP/1.1 200", b"HTTP/1.1 503"].contains(&&status), "{}", status.escape_ascii());
            answered_200 += usize::from(status.ends_with(b"200"));
            client
        });
        let holders: Vec<Client> = holders.collect();
        assert!(answered_200 >= 256 / 8, "{model}: {answered_200} of {HOLDERS} are served");
        let mut other = server.client("http");
        assert_eq!(get(&mut other, "/small", "").text(), "small", "{model}");
        let page = get(&mut other, "/page", "");
        assert_eq!((page.status, page.body.len()), (200, PAGE_BYTES), "{model}");
        assert_eq!(page.field("etag"), tag.as_deref(), "{model}: it has one tag, wherever it is read from");
        let said = server.stderr();
        assert!(!said.contains("accepting pauses"), "{model}: {said}");
        // The first, the tenth and the hundredth of them.
        let told = said.matches("no file descriptor is free").count();
        assert!(told <= 3 && (told > 0 || answered_200 == HOLDERS), "{model}: {said}");
        drop(holders);
        // What they held is free again.
        eventually("the first is served again", || {
            other.send(format!("HEAD /{} HTTP/1.1\r\nHost: h\r\n\r\n", target(0)).as_bytes());
            receive(&mut other, "HEAD").status == 200
        });
    }
}

#[test]
fn clients_that_do_not_read_big_files_do_not_block_small_files() {
    small_file_beside_holders(&site_of_big_files(HOLDERS), &["reactor", "thread", "fork"], |n| n.to_string());
}

/// Directories too large to be sorted, which stay open while their page is written.
#[test]
fn clients_that_do_not_read_listings_do_not_block_small_files() {
    let site = Site::new();
    let folder = site.root().join("large");
    std::fs::create_dir(&folder).unwrap();
    // Each character is longer in a page, so that buffers hold little of it.
    let name = "&".repeat(200);
    for n in 0..10_500 {
        std::fs::File::create(folder.join(format!("{name}{n}"))).unwrap();
    }
    small_file_beside_holders(&site, &["reactor", "thread"], |_| "large/".to_owned());
}

#[test]
fn a_client_holds_one_file_at_a_time_however_many_it_asks_for() {
    let site = site_of_big_files(LIMIT);
    let spec = crate::common::http::spec(&site.root());
    let mut server = Setup::oneloop(["serve", &spec]).nofile(LIMIT as u32).start().listening();
    let mut client = server.client("http");
    client.send(&(0..LIMIT).flat_map(request).collect::<Vec<u8>>());
    client.expect_exact(b"HTTP/1.1 200");
    server.quiet();
    let open = server.descriptors().len();
    assert!(open < LIMIT / 3, "{open} descriptors, most of them of files that nobody reads yet");
}
