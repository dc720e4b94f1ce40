//! Options that other servers and load generators have, and what does the same here.

/// An option of another program, and what does the same here.
pub(super) struct Foreign {
    /// The command that it was given to.
    pub(super) command: &'static str,
    pub(super) names: &'static [&'static str],
    /// What to know.
    pub(super) why: &'static str,
    /// What to type behind the command.
    pub(super) instead: &'static [&'static str],
}

/// Options that are typed out of habit.
pub(super) const FOREIGN: &[Foreign] = &[
    Foreign {
        command: "serve",
        names: &["-d", "--directory", "--dir", "--root", "--path", "--docroot", "--document-root"],
        why: "the directory is written behind http=",
        instead: &["http=DIR"],
    },
    Foreign {
        command: "serve",
        names: &["-t", "-j", "-w", "--threads", "--processes", "--jobs"],
        why: "more than one core is used by",
        instead: &["http", "--workers", "4"],
    },
    Foreign {
        command: "serve",
        names: &["--timeout", "--keepalive", "--keep-alive", "--keepalive-timeout", "--idle-timeout"],
        why: "the time between requests is",
        instead: &["http", "--idle", "30s"],
    },
    Foreign {
        command: "serve",
        names: &["-c", "--connections", "--max-connections", "--max-clients", "--limit"],
        why: "the number of clients at once is",
        instead: &["http", "--clients", "1000"],
    },
    Foreign {
        command: "serve",
        names: &["--cors"],
        why: "header fields are added by",
        instead: &["http", "--header", "Access-Control-Allow-Origin: *"],
    },
    Foreign {
        command: "serve",
        names: &["--log", "--log-file", "--log-path"],
        why: "answered requests are logged by",
        instead: &["http", "--access-log", "FILE"],
    },
    Foreign {
        command: "serve",
        names: &["--tls", "--ssl", "--https", "--cert", "--key", "-S"],
        why: "there is no TLS: let a proxy with TLS pass requests on to",
        instead: &["http@127.0.0.1:8000"],
    },
    Foreign {
        command: "load",
        names: &["-c", "--connections", "--concurrency", "--users", "-u"],
        why: "the number of connections is",
        instead: &["echo", "--clients", "64"],
    },
    Foreign {
        command: "load",
        names: &["-d", "-z", "--time", "--seconds"],
        why: "how long is measured is",
        instead: &["echo", "--duration", "10s"],
    },
    Foreign {
        command: "load",
        names: &["-r", "-R", "--rps", "--qps"],
        why: "requests per second are",
        instead: &["echo", "--rate", "1k"],
    },
    Foreign {
        command: "load",
        names: &["-n", "--requests", "-N", "--number"],
        why: "a load lasts for a time, not for a number of requests",
        instead: &["echo", "--duration", "10s"],
    },
    Foreign {
        command: "load",
        names: &["-t", "--threads", "--cpus"],
        why: "one thread makes the whole load; more connections are",
        instead: &["echo", "--clients", "1k"],
    },
    Foreign {
        command: "load",
        names: &["-k", "--keepalive", "--keep-alive", "--disable-keepalive", "--no-keepalive"],
        why: "connections are kept; a connection for each request is",
        instead: &["echo", "--churn"],
    },
    Foreign {
        command: "load",
        names: &["-T", "--timeout"],
        why: "how long a reply may take is",
        instead: &["echo", "--reply-timeout", "10s"],
    },
    Foreign {
        command: "load",
        names: &["-o", "--output", "--out"],
        why: "the report is written to a file by",
        instead: &["echo", "--json", "FILE"],
    },
    Foreign {
        command: "load",
        names: &["-p", "--port", "--host", "--url", "--target", "-a", "--address", "--addr"],
        why: "the server is named by its service and address",
        instead: &["echo@127.0.0.1:7007"],
    },
    Foreign {
        command: "compare",
        names: &["-n", "--runs", "--rounds", "--repetitions"],
        why: "how often each cell is measured is",
        instead: &["--repeats", "5"],
    },
    Foreign {
        command: "compare",
        names: &["-o", "--out", "--dir", "--directory"],
        why: "the directory of the report is",
        instead: &["--output", "DIR"],
    },
];

/// Options of other servers for where to listen: here the address is written behind the service.
pub(super) const HOSTS: &[&str] = &[
    "--host",
    "--hostname",
    "--bind",
    "-b",
    "--address",
    "--addr",
    "-a",
    "--listen",
    "-l",
    "--interface",
    "-i",
    "--ip",
];
/// And the options for its port.
pub(super) const PORTS: &[&str] = &["-p", "--port", "-P"];
