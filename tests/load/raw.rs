//! Raw TCP: what is sent and where a reply ends are options. Against Redis and memcached themselves, and a
//! mail server that minds its protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use oneloop::load::Report;

use crate::common::{KilledOnDrop, eventually_some, has_program, pace};

fn load(target: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(["load", target, "--warmup=0", "--seed=7"]).args(args);
    for (option, default) in [("-c", "-c4"), ("--duration", "--duration=200ms")] {
        command.args(Some(default).filter(|_| !args.iter().any(|arg| arg.starts_with(option))));
    }
    command.env_remove("RUST_LOG").output().unwrap()
}

/// The report of a load whose checks hold.
#[track_caller]
pub(crate) fn report(target: &str, args: &[&str]) -> Report {
    let done = load(target, &[args, &["--json=-"]].concat());
    assert!(done.status.success(), "{args:?}: {done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Requests of the whole run, with those after the measured span.
pub(crate) fn answered(report: &Report) -> u64 {
    report.series.iter().map(|interval| interval.requests).sum()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A server that is given its port. It is ended with this.
pub(crate) struct Program {
    child: KilledOnDrop,
    pub(crate) target: String,
}

impl Program {
    /// Starts it on a port that was free a moment ago: the kernel gives it to others rarely, then another is
    /// tried. `None` if it is not installed.
    pub(crate) fn start(name: &str, args: impl Fn(u16) -> Vec<String>) -> Option<Program> {
        if !has_program(name) {
            return None;
        }
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new(name);
            command.args(args(port)).stdin(Stdio::null()).stdout(Stdio::null());
            let child = KilledOnDrop::spawn(command);
            let mut program = Program { child, target: format!("tcp@127.0.0.1:{port}") };
            let is_up = eventually_some("the server listens or ends", || {
                let has_ended = program.child.try_wait().unwrap().is_some();
                let accepts = TcpStream::connect(("127.0.0.1", port)).is_ok();
                (has_ended || accepts).then_some(accepts && !has_ended)
            });
            if is_up {
                return Some(program);
            }
        }
        panic!("{name} does not start");
    }

    fn redis(more: &[&str]) -> Option<Program> {
        Program::start("redis-server", |port| {
            let port = port.to_string();
            let args = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"];
            args.iter().chain(more).map(ToString::to_string).collect()
        })
    }

    /// The answer to a command of Redis, without its type and its end.
    fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.target.strip_prefix("tcp@").unwrap()).unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let (mut reader, mut line) = (BufReader::new(stream), String::new());
        reader.read_line(&mut line).unwrap();
        if line.starts_with('$') {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        line.trim_end().trim_start_matches(':').to_owned()
    }
}

#[test]
fn redis_answers_as_many_requests_as_the_report_has() {
    let Some(redis) = Program::redis(&[]) else { return };
    let ping = report(&redis.target, &["--send", r"PING\r\n", "--until", r"+PONG\r\n", "--reject", "/^-/"]);
    assert_eq!((&*ping.configuration.service, &*ping.configuration.resource), ("tcp", r"PING\r\n"));
    assert!(answered(&ping) > 0 && ping.errors.total() == 0, "{ping:?}");
    for depth in ["--depth=1", "--depth=16"] {
        redis.ask("SET count 0");
        let counted = report(&redis.target, &[depth, "--send", r"INCR count\r\n", "--until", r"/^:\d+\r\n/"]);
        assert_eq!(redis.ask("GET count"), answered(&counted).to_string(), "{depth}");
    }
}

#[test]
fn variables_make_each_request_of_redis_another() {
    let Some(redis) = Program::redis(&[]) else { return };
    let args = [
        "--send",
        r"SET key:{random:1-50} {counter}\r\n",
        "--until",
        r"+OK\r\n",
        "--send",
        r"SADD all {counter}\r\n",
        "--until",
        r":1\r\n", // another reply to a value that is there already
    ];
    let report = report(&redis.target, &args);
    let (keys, all) = (redis.ask("DBSIZE").parse::<u64>().unwrap(), redis.ask("SCARD all").parse::<u64>());
    assert!((2..=51).contains(&keys), "{keys}");
    let all = all.unwrap();
    let half = answered(&report) / 2;
    assert!(half.abs_diff(all) <= 4, "every other request of each client: {all} of {half}");
}

#[test]
fn what_redis_rejects_is_an_error_at_once() {
    let Some(redis) = Program::redis(&["--requirepass", "secret"]) else { return };
    let ping = ["--send", r"PING\r\n", "--until", r"\r\n", "--reject", "/^-/"];
    let done = load(&redis.target, &ping);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    assert!(text(&done.stdout).contains("the reply has in it what --reject names"), "{done:?}");
    let login = ["--setup", r"AUTH secret\r\n", "--setup-until", r"+OK\r\n"];
    assert!(answered(&report(&redis.target, &[&ping[..], &login].concat())) > 0);
}

#[test]
fn memcached_gets_what_was_set() {
    let start =
        |port: u16| ["-u", "nobody", "-l", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned).to_vec();
    let Some(memcached) = Program::start("memcached", start) else { return };
    let args = [
        "--send",
        r"set k 0 0 5\r\nhello\r\n",
        "--until",
        r"STORED\r\n",
        "--send",
        r"get k\r\n",
        "--until",
        r"hello\r\nEND\r\n",
        "--reject",
        "ERROR",
    ];
    for more in [&[][..], &["--churn"], &["--rate=500"]] {
        assert!(answered(&report(&memcached.target, &[&args[..], more].concat())) > 0, "{more:?}");
    }
}

/// A server of raw TCP that handles each client in a thread.
fn serve(handle: impl Fn(TcpStream) -> std::io::Result<()> + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp@{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || handle(stream.unwrap()));
        }
    });
    target
}

/// As RFC 5321 wants it: a client that talks before the greeting, or before the answer to EHLO, is refused.
fn mail_server(mut stream: TcpStream) -> std::io::Result<()> {
    pace(Duration::from_millis(5));
    let is_early = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let is_early = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        is_early
    };
    if is_early(&stream) {
        return stream.write_all(b"554 you talk too soon\r\n");
    }
    stream.write_all(b"220-mail.example.org\r\n220 ES")?;
    pace(Duration::from_millis(1));
    stream.write_all(b"MTP\r\n")?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    if lines.next().transpose()?.as_deref() != Some("EHLO load") {
        return stream.write_all(b"500 EHLO first\r\n");
    }
    pace(Duration::from_millis(1));
    if is_early(&stream) {
        return stream.write_all(b"554 you talk too soon\r\n");
    }
    stream.write_all(b"250-mail.example.org\r\n250-SIZE 1000\r\n250 HELP\r\n")?;
    for line in lines {
        let answer: &[u8] = if line? == "NOOP" { b"250 OK\r\n" } else { b"500 what?\r\n" };
        stream.write_all(answer)?;
    }
    Ok(())
}

#[test]
fn a_greeting_and_a_login_are_awaited_before_the_first_request() {
    let target = serve(mail_server);
    let args = [
        "--greeting",
        r"/(?m:^)220 [^\n]*\n/",
        "--setup",
        r"EHLO load\r\n",
        "--setup-until",
        r"/(?m:^)250 [^\n]*\n/",
        "--send",
        r"NOOP\r\n",
        "--until",
        r"250 OK\r\n",
        "--reject",
        "/(?m:^)5/",
    ];
    for more in [&["--depth=8"][..], &["--connect-first"], &["--rate=500"], &["--churn"]] {
        let report = report(&target, &[&args[..], more].concat());
        assert!(answered(&report) > 0, "{more:?}");
        if more == ["--churn"] {
            assert!(
                report.latency.count == 0 || report.latency.min_ns > 5_000_000,
                "a new connection has its greeting in the latency"
            );
        }
    }
    let without = load(&target, &args[6..]);
    assert_eq!(without.status.code(), Some(3), "{without:?}");
}

#[test]
fn a_reply_ends_after_its_bytes_or_with_its_connection() {
    let echo = serve(|mut stream| {
        let mut buf = [0; 64];
        while let Ok(len @ 1..) = stream.read(&mut buf) {
            stream.write_all(&buf[..len])?;
        }
        Ok(())
    });
    assert!(answered(&report(&echo, &["--send", r"\x00\xffab", "--until-bytes=4"])) > 0);
    let sink = report(&echo, &["--send", "x", "--until-bytes=1", "--churn"]);
    assert_eq!(sink.errors.total(), 0, "{sink:?}");
    let finger = serve(|mut stream| {
        let mut line = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut line)?;
        stream.write_all(format!("no plan of {line}").as_bytes())
    });
    let closes = report(&finger, &["--send", r"root\r\n", "--until-close"]);
    assert!(closes.configuration.churn && answered(&closes) > 0 && closes.errors.total() == 0, "{closes:?}");
    let clock = serve(|mut stream| {
        loop {
            stream.write_all(b"tick\n")?;
        }
    });
    assert!(answered(&report(&clock, &["--until", r"tick\n"])) > 0, "it only reads");
}

#[test]
fn what_raw_tcp_needs_is_reported_with_what_to_write() {
    for (target, args, shown) in [
        ("tcp@127.0.0.1:1", &[][..], "tcp needs --until"),
        ("tcp@127.0.0.1:1", &["--send=a", "--until=/a$/"], "depends on what follows it"),
        ("tcp@127.0.0.1:1", &["--send=a", "--until=b", "-X", "PUT"], "--method has no effect with tcp"),
        ("tcp@127.0.0.1:1", &["--send=a", "--until=b", "--bytes=5"], "--bytes has no effect with tcp"),
        ("echo", &["--send=a"], "--send has no effect with echo; for raw TCP: oneloop load tcp@"),
    ] {
        let done = load(target, args);
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        assert!(text(&done.stderr).contains(shown), "{shown} in {done:?}");
    }
}
