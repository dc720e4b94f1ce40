//! `oneloop serve` as a user, a script and a supervisor meet it: what it prints, its exit codes, what it is
//! given.

#[cfg(target_os = "linux")] // it looks into /proc
mod privileges;
#[cfg(target_os = "linux")] // it disables IPv6 in a namespace
mod without_ipv6;

use std::fmt::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};

use crate::common::server::Setup;
use crate::common::{Address, Client, PATIENCE, Server, eventually, has_program};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;

/// Runs the program to its end. Bounded by `timeout(1)`, should it serve instead of failing.
fn run(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_oneloop");
    let mut command = Command::new("timeout");
    command.args(["20", program]).args(args).env_remove("RUST_LOG").env_remove("LISTEN_PID");
    command.output().unwrap()
}

/// The message about a mistake: one line, on standard error only, with this exit code.
#[track_caller]
fn complaint(args: &[&str], code: i32) -> String {
    let output = run(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{args:?}: {said}");
    assert_eq!(said.matches('\n').count(), 1, "{args:?} is told in one line: {said}");
    said.trim_end().to_owned()
}

#[cfg(not(mio_unsupported_force_poll_poll))] // that selector makes neither call
#[test]
#[cfg(target_os = "linux")] // the calls are those of Linux
fn nothing_is_announced_before_the_loop_exists() {
    use crate::common::fault::Fault;
    for call in ["eventfd2", "epoll_create1"] {
        let fault = Fault { call, effect: "error=ENOSYS" };
        if !fault.can_be_injected() {
            return;
        }
        for workers in ["--workers=1", "--workers=2"] {
            let command = [env!("CARGO_BIN_EXE_oneloop"), "serve", "echo@0", workers];
            let mut server = fault.injected_into(command).start();
            assert_eq!(server.exit().code(), Some(1), "{call} {workers}: {}", server.stderr());
            assert_eq!(server.stdout(), "", "{call} {workers}");
            assert!(server.stderr().contains("cannot serve with --model reactor: "), "{}", server.stderr());
        }
    }
}

#[test]
fn every_listener_is_printed_with_its_real_port_and_answers_there() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("echo@unix:{}", folder.path().join("e").display());
    let mut server = Server::serve(&["echo@127.0.0.1:0", "echo@[::1]:0", &unix, "echo@*:0", "message@0"]);
    for (address, start) in server.addresses("echo", 4).iter().zip(["127.0.0.1:", "[::1]:", "", "[::]:"]) {
        match address {
            Address::Tcp(addr) => {
                assert!(addr.to_string().starts_with(start) && addr.port() != 0, "{addr}");
            }
            Address::Unix(path) => assert_eq!(path, &folder.path().join("e")),
        }
        Client::connect(address).expect_echo(b"is anybody there?");
    }
    let mut client = server.client("message");
    client.send(b"hello\n");
    client.expect_exact(b"I got your message");
    assert_eq!(server.stdout().lines().count(), 5, "nothing else is on standard output");
}

#[test]
fn without_a_service_the_current_directory_is_there_to_open() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "hello").unwrap();
    // Its port may be another program's on this machine: then that is what it complains about.
    let setup = Setup::oneloop(["serve"]).env("RUST_LOG", "warn").current_dir(folder.path());
    let mut server = setup.start();
    eventually("a listener or a complaint", || !(server.stdout() + &server.stderr()).is_empty());
    if server.stderr().contains("cannot listen on 127.0.0.1:8000: the port is in use") {
        crate::common::skipped("port 8000 is taken");
        assert_eq!(server.exit().code(), Some(1));
        return;
    }
    let mut client = server.client("http");
    let root = folder.path().canonicalize().unwrap().display().to_string();
    assert_eq!(
        server.stdout(),
        format!(
            "listening on http@127.0.0.1:8000\nsharing {root} (directories are listed)\nopen http://127.0.0.1:8000/\n"
        )
    );
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let page = String::from_utf8(client.rest().0).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("hello.txt"), "{page}");
}

#[test]
fn a_mistake_is_one_line_and_exit_code_2() {
    for (args, part) in [
        (&["serve", "ecko"][..], "unknown service \"ecko\"; did you mean echo? Write: oneloop serve echo"),
        (
            &["serve", "echo@127.0.0.1:65536"],
            "a port is a number from 0 to 65535; for example: oneloop serve echo@127.0.0.1:7007",
        ),
        (
            &["serve", "echo@example.org:7"],
            "\"example.org\" is the name of a host, which is not resolved here",
        ),
        (&["serve", "echo@example:7"], "write it as 127.0.0.1:7007, '[::1]:7007', '*:7007'"),
        (
            &["serve", "http=/nowhere/at/all"],
            "cannot serve /nowhere/at/all: no such directory; name one that exists: oneloop serve http=DIR",
        ),
        (
            &["serve", "http=/etc/passwd"],
            "cannot serve /etc/passwd: not a directory; to share the directory that it is in: oneloop serve http=/etc",
        ),
        (
            &["serve", "http=/etc/passwd", "/etc"],
            "cannot serve /etc/passwd: not a directory; to share the directory that it is in: oneloop serve /etc",
        ),
        (
            &["serve", "http=src:8080", "-q"],
            "cannot serve src:8080: no such directory; to serve src there, write: oneloop serve http=src -q --port 8080",
        ),
        (
            &["serve", "/etc/passwd"],
            "\"/etc/passwd\" is a file; to share the directory that it is in: oneloop serve /etc",
        ),
        (&["serve", "--address=0.0.0.0:80", "--port=81"], "--address \"0.0.0.0:80\" has a port already"),
        (
            &["serve", "--port=70000"],
            "a port is a number from 0 to 65535; for example: oneloop serve --port 8080",
        ),
        (
            &["serve", "echo", "message", "-p8080"],
            "echo and message cannot both listen on 127.0.0.1:8080; give each its own address: oneloop serve echo message@8081 -p8080",
        ),
        (
            &["serve", "/etc,listing=off@7000", "message@7000"],
            "give each its own address: oneloop serve /etc,listing=off@7000 message@7001",
        ),
        (
            &["serve", "/etc", "http=/usr,listing=off", "--lan"],
            "or its own address: oneloop serve /etc http=/usr,listing=off@8001 --lan",
        ),
        (
            &["serve", "/etc,idle=3s"],
            "\"idle\" holds for all sites, not for one; write it as a flag: --idle 3s",
        ),
        (&["serve", "/etcc", "-v"], "did you mean /etc? Write: oneloop serve /etc -v"),
        (&["serve", "--header=X"], "\"Name: value\""),
        (&["serve", "echo=x"], "the service echo takes no argument"),
        (&["serve", "--idle=30"], "--idle \"30\": the unit is missing; write 30s or 30ms"),
        (&["serve", "--inbox=64XB"], "write it as 512, 64KiB or 1MiB"),
        (&["serve", "http", "--inbox=16383"], "use --inbox 16KiB or more"),
        (&["serve", "--clients=0"], "--clients \"0\": it must be at least 1"),
        (&["serve", "--overflow=drop"], "--overflow \"drop\": the values are refuse, wait, evict"),
        (&["serve", "echo@0", "--workers=3", "--clients=2"], "3 event loops need at least 3 clients, not 2"),
        (&["serve", "--unix-mode=999"], "permission bits in octal"),
        (&["serve", "--user=nobody-of-that-name"], "unknown user \"nobody-of-that-name\""),
        (&["serve", "--user=nobody", "--group=no-such-group"], "unknown group \"no-such-group\""),
        (&["serve", "--user=4294967295"], "4294967295 is not a valid user: "),
        (&["serve", "--user=4294967295", "--group=0"], "4294967295 is not a valid user: "),
        (&["serve", "--user=nobody", "--group=4294967295"], "4294967295 is not a valid group: "),
        (&["serve", "--group=0"], "name a user with --user"),
        (&["serve", "--user=root", "--group=0"], "--user cannot be root; name another user"),
        (&["serve", "--clients", "-1"], "--clients \"-1\": it must be at least 1"),
        (
            &["serve", "echo@7", "time@7"],
            "echo and time cannot both listen on 127.0.0.1:7; give each its own address: oneloop serve echo@7 time@8",
        ),
        (
            &["serve", "/etc", "/usr"],
            "/etc and /usr are both for / on 127.0.0.1:8000; give one a path (http=/docs:DIR), a host (http=//example.org:DIR), or its own address: oneloop serve /etc /usr@8001",
        ),
        (&["serve", "echo", "echo"], "echo and echo cannot both listen on 127.0.0.1:7007"),
        (
            &["serve", "echo", "message@*:7007"],
            "echo cannot listen on 127.0.0.1:7007 and message on [::]:7007: the addresses overlap",
        ),
        (
            &["serve", "echo@0.0.0.0:9", "time@9"],
            "echo cannot listen on 0.0.0.0:9 and time on 127.0.0.1:9: the addresses overlap",
        ),
        (
            &["serve", "echo@unix:./a", "time@unix:a"],
            "echo cannot listen on unix:./a and time on unix:a: the addresses overlap",
        ),
        (&["serve", "echo@unix:@abstract"], "for a file of that name write unix:./@name"),
        (&["serve", "http=/no\nsuch"], "/no\\nsuch"),
        (&["serve", "--idel=3s"], "--idel is not an option of serve; did you mean --idle?"),
        (&["swerve"], "unknown command \"swerve\"; did you mean serve?"),
        (&["man", "nothing"], "unknown command \"nothing\"; the commands are serve, load"),
    ] {
        let said = complaint(args, 2);
        assert!(said.starts_with("oneloop: ") && said.contains(part), "{args:?}: {said}");
    }
}

/// A user relies on each option: one without effect is a mistake.
#[test]
fn an_option_without_effect_is_a_mistake_and_the_message_shows_where_it_has_one() {
    for (args, told) in [
        (
            &["echo@0", "--no-listing"][..],
            "--no-listing has no effect without http; leave it out: oneloop serve echo@0",
        ),
        (
            &["echo@0", "--port=8080"],
            "--port has no effect because each service has its own address; write: oneloop serve echo --port=8080",
        ),
        (
            &[".@0", "--address=*"],
            "--address has no effect because each service has its own address; write: oneloop serve . '--address=*' --port 0",
        ),
        (&["/etc@8080", "--lan", "-q"], "write: oneloop serve /etc --lan -q --port 8080"),
        (&["/etc@8080", "-p", "9000"], "write: oneloop serve /etc -p 9000"),
        (&["/etc@0.0.0.0:80", "-p9000"], "write: oneloop serve /etc -p9000 --address 0.0.0.0"),
        (&["/etc@8080", "--address=[::1]:9000"], "write: oneloop serve /etc '--address=[::1]:9000'"),
        (
            &["/etc@8080", "echo@0", "--lan"],
            "each service has its own address; leave it out: oneloop serve /etc@8080 echo@0",
        ),
        (
            &["echo@0", "--access-log", "-"],
            "--access-log has no effect without http; leave it out: oneloop serve echo@0",
        ),
        (
            &["echo@0", "--header=X: *"],
            "--header has no effect without http; leave it out: oneloop serve echo@0",
        ),
        (&["message@0", "--request=1s"], "--request has no effect without http"),
        (
            &["http@0", "--access-format=common"],
            "--access-format has no effect without --access-log; use it like this: oneloop serve http@0 --access-format=common --access-log FILE",
        ),
        (&["daytime@0", "--idle=1s"], "--idle has no effect without one of message, echo, discard, http"),
        (&["discard@0", "--rate-window=1s"], "--rate-window has no effect without one of"),
        (
            &["echo@0", "--unix-mode=660"],
            "--unix-mode has no effect without a Unix socket; leave it out: oneloop serve echo@0",
        ),
        (
            &["echo@unix:./e", "--clients-per-address=1"],
            "--clients-per-address has no effect with Unix sockets only",
        ),
        (
            &["echo@0", "--model=thread", "--workers=2"],
            "--workers has no effect with --model thread; leave it out, or use the model reactor: oneloop serve echo@0 --model reactor --workers=2",
        ),
        (
            &["echo@0", "--model=iterative", "--clients=5"],
            "--clients has no effect with --model iterative; leave it out, or use the model reactor: oneloop serve echo@0 --model reactor --clients=5",
        ),
        (
            &["echo@0", "--model=prefork", "--clients-per-address=1"],
            "--clients-per-address has no effect with --model prefork",
        ),
        (
            &["echo@0", "--model=prethread", "--overflow=wait"],
            "--overflow has no effect with --model prethread",
        ),
        (
            &["echo@0", "--model=prefork", "--accept-pause=1s"],
            "--accept-pause has no effect with --model prefork",
        ),
        (
            &["echo@0", "--model=fork", "--events-per-turn=1"],
            "--events-per-turn has no effect with --model fork",
        ),
        (
            &["echo@0", "--model=thread", "--reads-per-turn=1"],
            "--reads-per-turn has no effect with --model thread",
        ),
    ] {
        let said = complaint(&[&["serve"], args].concat(), 2);
        assert!(said.contains(told), "{args:?}: {said}");
    }
}

#[test]
fn what_was_meant_for_another_server_is_shown_as_it_is_typed_here() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for (args, works) in [
        (&[dir][..], format!("serve {dir}")),
        (&["serve", "--listing"], "serve".to_owned()),
        (&["serve", "8123", "--bind", "::1"], "serve --address ::1 --port 8123".to_owned()),
        (&[dir, "--lan"], format!("serve {dir} --lan")),
        (&["serve", dir, "--qr"], format!("serve {dir} --lan")),
        (
            &["serve", "echo", "--host", "::1", "--port", "8080"],
            "serve echo --address ::1 --port 8080".to_owned(),
        ),
        (&["serve", "8080"], "serve --port 8080".to_owned()),
        (&["load", "echo", "--connections=5"], "load echo --clients 5".to_owned()),
        (&["compare", "--replay", "nofile"], "compare --replay DIR/raw.jsonl".to_owned()),
    ] {
        let said = complaint(args, 2);
        assert!(said.ends_with(&format!(": oneloop {works}")), "{args:?}: {said}");
    }
}

#[test]
fn a_directory_that_a_service_hides_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("http")).unwrap();
    for (spec, is_named) in [("http@0", true), ("./http@0", false), ("http=.@0", false), ("echo@0", false)] {
        let mut server = Setup::oneloop(["serve", spec]).current_dir(folder.path()).start().listening();
        let warning = "there is also a directory ./http: write ./http to share it";
        if is_named {
            server.expect_log(warning, 1);
        }
        server.address(if spec == "echo@0" { "echo" } else { "http" });
        assert_eq!(server.stderr().contains(warning), is_named, "{spec}");
    }
}

#[test]
fn a_directory_with_an_at_sign_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node_modules/@scope/pkg");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("hello.txt"), "hello").unwrap();
    for spec in ["http=node_modules/@scope/pkg@127.0.0.1:0", "node_modules/@scope/pkg@0"] {
        let mut server = Setup::oneloop(["serve", spec]).current_dir(folder.path()).start().listening();
        let mut client = server.client("http");
        client.send(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert!(client.rest().0.ends_with(b"\r\n\r\nhello"), "{spec}");
    }
}

#[test]
fn a_directory_is_listed_at_the_port_and_address_given_unless_no_listing_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "hello").unwrap();
    let root = folder.path().canonicalize().unwrap().display().to_string();
    for (args, status, listed) in [
        (&["-p0"][..], "200 OK", "(directories are listed)"),
        (&["--port", "0", "--address", "::1"], "200 OK", "(directories are listed)"),
        (&["-a", "127.0.0.1:0"], "200 OK", "(directories are listed)"),
        (&["-p0", "--no-listing"], "403 Forbidden", "(directories are not listed)"),
        (&["-p0", "--fallback=x.html"], "404 Not Found", "(directories are not listed)"),
    ] {
        let mut server = Server::serve(&[&[root.as_str()], args].concat());
        assert_eq!(server.address("http").tcp().is_ipv6(), args.contains(&"::1"), "{args:?}");
        assert!(server.stdout().contains(&format!("\nsharing {root} {listed}\nopen http://")), "{args:?}");
        let mut client = server.client("http");
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let page = String::from_utf8(client.rest().0).unwrap();
        assert!(page.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{args:?}: {page}");
        assert_eq!(page.contains("hello.txt"), status == "200 OK", "{args:?}");
    }
}

#[test]
fn what_the_system_refuses_is_one_line_and_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let said = complaint(&["serve", "-q", &format!("echo@{addr}")], 1);
    assert!(said.contains(&format!("cannot listen on {addr}: the port is in use; use another")), "{said}");
    // The command that works keeps what was typed.
    let (port, next) = (addr.port(), addr.port() + 1);
    for (args, works) in [
        (&["/etc", "-p", "PORT", "-q"][..], "serve /etc --port NEXT -q"),
        (&["/etc@PORT", "-q"], "serve /etc@NEXT -q"),
        (&["-q", "/etc@PORT", "echo@0"], "serve -q /etc@NEXT echo@0"),
        (&["-q", "/etc", "http=/usr:/usr", "-pPORT"], "serve -q /etc http=/usr:/usr --port NEXT"),
        (&["-q", "/etc", "-a127.0.0.1:PORT"], "serve -q /etc --address NEXT"),
    ] {
        let args: Vec<String> = args.iter().map(|word| word.replace("PORT", &port.to_string())).collect();
        let args: Vec<&str> = ["serve"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let works = works.replace("NEXT", &next.to_string());
        let said = complaint(&args, 1);
        assert!(said.ends_with(&format!("; for example: oneloop {works}")), "{args:?}: {said}");
    }
    // Its own port, where another program has it: the command that works is shown.
    if let (true, Ok(_taken)) = (cfg!(target_os = "linux"), std::net::TcpListener::bind("127.9.9.9:7007")) {
        let said = complaint(&["serve", "-q", "echo", "--address=127.9.9.9"], 1);
        let works = "; for example: oneloop serve -q echo --address=127.9.9.9 --port 7008";
        assert!(
            said.starts_with("oneloop: cannot listen on 127.9.9.9:7007: ") && said.ends_with(works),
            "{said}"
        );
    }
    let said = complaint(&["serve", "-q", "echo@192.0.2.1:0"], 1);
    assert!(said.contains("this machine does not have that address"), "{said}");
    let said = complaint(&["serve", "-q", "echo@[::ffff:127.0.0.1]:0"], 1);
    assert!(said.contains("a socket cannot have that address; write IPv4 as 127.0.0.1:7007"), "{said}");
    let said = complaint(&["serve", "-q", "echo@unix:/nowhere/at/all"], 1);
    assert!(said.contains("the directory does not exist"), "{said}");
    let said = complaint(&["serve", "-q", "http@0", "--access-log=/nowhere/access.log"], 1);
    assert!(said.contains("cannot open the access log /nowhere/access.log"), "{said}");
}

/// The setting of Linux above which ports need no privileges.
fn first_free_port() -> u16 {
    let setting = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    setting.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

#[test]
fn a_port_that_needs_privileges_is_reported_as_such() {
    if first_free_port() <= 1 || !has_program("setpriv") {
        crate::common::skipped("on this machine every port is for everybody");
        return;
    }
    // Root keeps its rights to the program's file and loses those to the port.
    let program = env!("CARGO_BIN_EXE_oneloop");
    let caps = ["--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"];
    let output =
        Command::new("setpriv").args(caps).args([program, "serve", "-q", "echo@127.0.0.1:1"]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("setpriv: ") {
        crate::common::skipped(&format!("setpriv cannot take the privilege away: {said}"));
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen on 127.0.0.1:1: the port needs privileges"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_unix_socket_replaces_a_dead_one_and_not_a_live_one_and_goes_with_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let spec = format!("echo@unix:{}", path.display());
    let mut server = Server::serve(&[&spec, "--unix-mode=620"]);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o620);
    let said = complaint(&["serve", "-q", &spec], 1);
    assert!(said.contains("a server is listening there"), "{said}");
    server.client("echo").expect_echo(b"not disturbed");
    assert_eq!(server.stop().code(), Some(0));
    assert!(!path.exists(), "the owner removes its path");
    std::fs::write(&path, "precious").unwrap();
    let said = complaint(&["serve", "-q", &spec], 1);
    assert!(said.contains("is not a socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

/// Starts the program as a supervisor does, with `sockets` as descriptors 3 and on.
fn supervised(sockets: &[&dyn AsFd], names: &str, args: &[&str]) -> Server {
    let mut script = String::from("LISTEN_PID=$$ exec \"$@\"");
    // Copies that survive exec, far from the numbers they are to get.
    let copy = |socket: &&dyn AsFd| fcntl(socket.as_fd(), FcntlArg::F_DUPFD(100)).unwrap();
    let copies: Vec<_> = sockets.iter().map(copy).collect();
    for (nth, copy) in copies.iter().enumerate() {
        write!(script, " {}<&{copy} {copy}<&-", 3 + nth).unwrap();
    }
    let words = ["-c", &script, "bash", env!("CARGO_BIN_EXE_oneloop"), "serve"];
    let setup = Setup::program("bash", words.iter().chain(args));
    let setup = setup.env("LISTEN_FDS", &sockets.len().to_string()).env("LISTEN_FDNAMES", names);
    let server = setup.start();
    for copy in copies {
        nix::unistd::close(copy).unwrap();
    }
    server
}

#[test]
fn sockets_of_a_supervisor_go_to_services_by_name_then_in_order() {
    let sockets: Vec<_> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addr = |nth: usize| Address::Tcp(sockets[nth].local_addr().unwrap());
    let given: [&dyn AsFd; 3] = [&sockets[0], &sockets[1], &sockets[2]];
    let args = ["echo", "discard", "time", "daytime@127.0.0.1:0"];
    let mut server = supervised(&given, "a:time:b", &args).listening();
    assert_eq!(server.address("echo"), addr(0));
    assert_eq!(server.address("time"), addr(1));
    assert_eq!(server.address("discard"), addr(2));
    assert!((0..3).all(|nth| server.address("daytime") != addr(nth)), "it has an address of its own");
    server.client("echo").expect_echo(b"through an inherited socket");
    assert_eq!(server.client("time").rest().0.len(), 4);
}

#[test]
fn an_unused_socket_of_a_supervisor_is_a_mistake() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = supervised(&[&socket], "echo", &["discard@127.0.0.1:0"]);
    assert_eq!(server.exit().code(), Some(2));
    assert!(server.stderr().contains("has no service"), "{}", server.stderr());
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut server = supervised(&[&udp], "", &["echo"]);
    assert_eq!(server.exit().code(), Some(2));
    assert!(server.stderr().contains("is not a listening stream socket"), "{}", server.stderr());
}

#[test]
fn sockets_named_for_services_need_no_argument_and_those_of_another_process_are_none() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = supervised(&[&socket], "echo", &[]).listening();
    assert_eq!(server.address("echo"), Address::Tcp(socket.local_addr().unwrap()));
    let setup = Setup::oneloop(["serve", "echo@127.0.0.1:0"]).env("LISTEN_PID", "1").env("LISTEN_FDS", "7");
    setup.start().listening().client("echo").expect_echo(b"not for us");
}

/// The next message from the server to its supervisor.
#[track_caller]
fn heard(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = [0; 64];
    let len = socket.recv(&mut text).expect("a notice");
    String::from_utf8_lossy(&text[..len]).into_owned()
}

#[test]
fn a_supervisor_is_notified_when_the_server_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify").display().to_string();
    let sockets = vec![(UnixDatagram::bind(&path).unwrap(), path)];
    #[cfg(target_os = "linux")]
    let sockets = {
        use std::os::linux::net::SocketAddrExt;
        let mut sockets = sockets;
        let name = format!("oneloop-test-{}", std::process::id());
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        sockets.push((UnixDatagram::bind_addr(&addr).unwrap(), format!("@{name}")));
        sockets
    };
    for (socket, name) in sockets {
        let mut server = Setup::oneloop(["serve", "echo@0"]).env("NOTIFY_SOCKET", &name).start();
        assert_eq!(heard(&socket), "READY=1");
        server.client("echo").expect_echo(b"ready");
        assert_eq!(server.stop().code(), Some(0));
        assert_eq!(heard(&socket), "STOPPING=1");
    }
}

#[test]
fn every_model_notifies_the_supervisor_when_the_stop_begins() {
    for model in ["reactor", "iterative", "fork", "thread", "prefork", "prethread"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let args = ["serve", "http@127.0.0.1:0", "--model", model, "--drain=1h", "--request=1h"];
        let setup = Setup::oneloop(args).env("NOTIFY_SOCKET", path.to_str().unwrap());
        let mut server = setup.current_dir(folder.path()).start().listening();
        assert_eq!(heard(&socket), "READY=1");
        let mut client = server.client("http");
        client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD / HTTP/1.1\r\n");
        client.expect_exact(b"HTTP/1.1 ");
        server.signal(Signal::SIGTERM);
        assert_eq!(heard(&socket), "STOPPING=1", "{model}");
        client.send(b"Host: h\r\n\r\n");
        let answers = String::from_utf8(client.rest().0).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{model}: {answers}");
        drop(client);
        assert_eq!(server.exit().code(), Some(0), "{model}");
    }
}

#[test]
fn a_supervisor_that_does_not_listen_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let _deaf = UnixDatagram::bind(&path).unwrap();
    // A new socket for each message: the receiver's queue is to be full, not a sender's buffer.
    let another = || {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        sender.send_to(b"one more", &path).is_ok()
    };
    while another() {}
    let setup = Setup::oneloop(["serve", "echo@0"]).env("NOTIFY_SOCKET", path.to_str().unwrap());
    let mut server = setup.start().listening();
    server.client("echo").expect_echo(b"unheard");
    server.expect_log("cannot notify the supervisor at NOTIFY_SOCKET=", 1);
    assert_eq!(server.stop().code(), Some(0));
    server.expect_log("cannot notify the supervisor at NOTIFY_SOCKET=", 2);
}

#[test]
fn counters_are_reported_on_request_and_at_the_end() {
    let mut server = Server::serve(&["echo@0"]);
    let mut client = server.client("echo");
    client.expect_echo(b"counted");
    server.signal(Signal::SIGUSR1);
    server.expect_log("accepted=1 open=1", 1);
    client.half_close();
    client.expect_end();
    server.expect_log("ended: peer-closed in=7 out=7", 1);
    assert_eq!(server.stop().code(), Some(0));
    server.expect_log("ended: accepted=1 open=0 accept-errors=0 cut=0 ended: peer-closed=1; requests=0 bytes-in=7 bytes-out=7; lag p99<=", 1);
}

/// Reads one head.
fn head(client: &mut Client) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte);
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// In each model, whichever process counts: requests, statuses and bytes, with those of open connections.
#[test]
fn requests_statuses_and_bytes_are_counted_in_every_model() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "hello").unwrap();
    let http = format!("http={}@127.0.0.1:0", folder.path().display());
    let workers = |model: &'static str| vec!["--model", model, "--workers=2"];
    let alone = |model: &'static str| vec!["--model", model];
    let models = ["reactor", "iterative", "fork", "thread"].map(alone);
    let models = models.into_iter().chain(["reactor", "prefork", "prethread"].map(workers));
    for model in models {
        let mut server = Server::serve(&[&[http.as_str(), "message@127.0.0.1:0"], &model[..]].concat());
        let mut client = server.client("http");
        let (mut sent, mut got) = (0, 0);
        for (path, status) in [("hello.txt", "200 OK"), ("none", "404 Not Found"), ("void", "404 Not Found")]
        {
            let request = format!("HEAD /{path} HTTP/1.1\r\nHost: h\r\n\r\n");
            client.send(request.as_bytes());
            let head = head(&mut client);
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
            (sent, got) = (sent + request.len(), got + head.len());
        }
        let counted = |server: &Server, told: &str| {
            eventually(&format!("{model:?}: {told}"), || {
                server.signal(Signal::SIGUSR1);
                server.stderr().contains(told)
            });
        };
        counted(&server, &format!("; requests=3 2xx=1 4xx=2 bytes-in={sent} bytes-out={got}"));
        client.half_close();
        client.expect_end();
        let mut client = server.client("message");
        client.send(b"hi\n");
        got += client.rest().0.len();
        let told = format!("; requests=4 2xx=1 4xx=2 bytes-in={} bytes-out={got}", sent + 3);
        counted(&server, &told);
        assert_eq!(server.stop().code(), Some(0));
        server.expect_log(&format!("peer-closed=1{told}"), 1);
    }
}

/// Asks for one file and waits until the answer has ended.
fn fetch(server: &mut Server, path: &str) {
    let mut client = server.client("http");
    client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(client.rest().0.starts_with(b"HTTP/1.1 200 OK"));
}

#[test]
fn an_access_log_has_a_line_for_each_answer_and_moves_with_rotation() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "hello").unwrap();
    let (log, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let site = format!("http={}@0", folder.path().display());
    let flag = format!("--access-log={}", log.display());
    let mut server = Server::serve(&[&site, &flag, "--access-format=common"]);
    fetch(&mut server, "/hello.txt?first");
    std::fs::rename(&log, &rotated).unwrap();
    server.signal(Signal::SIGHUP);
    eventually("the log is opened again", || log.exists());
    fetch(&mut server, "/hello.txt?second");
    assert_eq!(server.stop().code(), Some(0));
    for (path, target) in [(&rotated, "first"), (&log, "second")] {
        let lines = std::fs::read_to_string(path).unwrap();
        let end = format!("] \"GET /hello.txt?{target} HTTP/1.1\" 200 5\n");
        assert!(lines.starts_with("127.0.0.1 - - [") && lines.ends_with(&end), "{lines}");
        assert_eq!(lines.lines().count(), 1, "{lines}");
    }
    let mut server = Server::serve(&[&site, "--access-log=-"]);
    fetch(&mut server, "/hello.txt");
    server.stop();
    assert!(
        server.stdout().lines().last().unwrap().ends_with("\"GET /hello.txt HTTP/1.1\" 200 5 \"-\" \"-\"")
    );
}

#[test]
fn limits_of_the_system_are_raised_and_respected() {
    let program = env!("CARGO_BIN_EXE_oneloop");
    let setup = Setup::program("sh", ["-c", "ulimit -S -n 100 && exec \"$0\" serve echo@0", program]);
    let mut server = setup.start().listening();
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    server.expect_log(&format!("file descriptors: {hard}"), 1);
    server.client("echo").expect_echo(b"raised");
    let mut server = Setup::oneloop(["serve", "echo@0"]).nofile(64).start().listening();
    server.expect_log("64 file descriptors allow 39 clients at once, not 16384", 1);
    server.client("echo").expect_echo(b"few");
}

#[test]
#[cfg(target_os = "linux")] // the only system with /dev/full
fn a_server_with_unread_output_still_serves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let spec = format!("echo@unix:{}", path.display());
    let script = "exec \"$0\" serve \"$1\" >/dev/full 2>/dev/full";
    let mut server = Setup::program("sh", ["-c", script, env!("CARGO_BIN_EXE_oneloop"), &spec]).start();
    eventually("it listens", || std::os::unix::net::UnixStream::connect(&path).is_ok());
    Client::connect(&Address::Unix(path)).expect_echo(b"unheard");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn an_explanation_that_cannot_be_written_is_a_failure() {
    for args in [&["--help"][..], &["help", "serve"], &["--version"], &["man"], &["completions", "bash"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_oneloop")).args(args).stdout(full).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{args:?}: {told}");
        assert!(told.starts_with("oneloop: cannot write to standard output: "), "{args:?}: {told}");
    }
}

#[test]
fn the_program_explains_itself() {
    let text = |args: &[&str]| {
        let output = run(args);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let help = text(&["serve", "--help"]);
    for part in ["oneloop serve echo", "7007", "--idle <TIME>", "RFC 862", "NOTIFY_SOCKET", "Exit codes"] {
        assert!(help.contains(part), "{part} is missing in:\n{help}");
    }
    assert!(text(&["--version"]).starts_with("oneloop "));
    assert!(text(&["help", "serve"]).contains("--drain"));
    for shell in ["elvish", "powershell"] {
        assert!(text(&["completions", shell]).contains("clients-per-address"), "{shell}");
    }
    for (page, title) in [(&["man"][..], ".TH oneloop"), (&["man", "serve"], ".TH oneloop-serve")] {
        let text = text(page);
        assert!(
            text.contains(title) && text.contains(concat!("\"oneloop ", env!("CARGO_PKG_VERSION"))),
            "{page:?}"
        );
        assert!(text.contains("\n.nf\n  oneloop serve"), "{page:?}: examples are kept as they are");
        assert_eq!(text.matches(".nf\n").count(), text.matches(".fi\n").count(), "{page:?}");
    }
    let bare = run(&[]);
    assert_eq!(bare.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bare.stderr).contains("Usage: oneloop"));
}
