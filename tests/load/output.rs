//! The report in each of its forms: on terminals of any width, as a page, as JSON and as a log of histograms.

use std::process::{Command, Stdio};

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use oneloop::load::Report;
use oneloop::load::report::Phase;

use crate::common::{Server, has_program};

const SHORT: [&str; 4] = ["--warmup=50ms", "--duration=200ms", "--clients=1", "--seed=5"];

fn echo() -> (Server, String) {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let target = format!("echo@{}", server.address("echo").tcp());
    (server, target)
}

/// The output of a load.
fn load(target: &str, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    let done = command.args(["load", target]).args(SHORT).args(args).env_remove("RUST_LOG").output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// Runs a program on a terminal with this many columns, and copies its output.
const TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
    os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
    os.execvp(sys.argv[2], sys.argv[2:])
while True:
    try:
        os.write(1, os.read(terminal, 4096).replace(b"\r", b""))
    except OSError:
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn no_line_is_wider_than_the_terminal_and_lines_of_a_pipe_are_whole() {
    let (_server, target) = echo();
    let args = ["--rate=200", "--idle=1", "--expect=requests>0"];
    let piped = load(&target, &args);
    for part in ["1 client, depth 1", "p75", "p95", "latency   service   connect", "≤", "█"] {
        assert!(piped.contains(part), "`{part}` in:\n{piped}");
    }
    assert!(piped.lines().any(|line| line.starts_with("send lag") && line.ends_with(')')), "{piped}");
    if !has_program("python3") {
        return;
    }
    for columns in [20, 30, 40, 80, 140] {
        let mut command = Command::new("python3");
        command.args(["-c", TERMINAL, &columns.to_string(), env!("CARGO_BIN_EXE_oneloop"), "load", &target]);
        let done =
            command.args(SHORT).args(args).env("TERM", "xterm").stderr(Stdio::null()).output().unwrap();
        let shown = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{shown}");
        let widest = shown.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= columns, "{columns} columns: `{widest}` in:\n{shown}");
        assert!(shown.contains("send lag") && shown.contains("p99.99"), "{shown}");
    }
}

#[test]
fn json_has_the_origin_the_checks_with_their_results_and_the_notes() {
    let (_server, target) = echo();
    let json = load(&target, &["--json=-", "--expect=p99<10s", "--expect=requests>0"]);
    let report: Report = serde_json::from_str(&json).unwrap();
    let checks = report.checks.iter().map(|check| (check.asked.as_str(), check.held));
    assert_eq!(
        checks.collect::<Vec<_>>(),
        [("p99<10s", true), ("requests>0", true), ("errors=0", true), ("missed=0", true)]
    );
    assert!(report.checks[0].seen.starts_with("it was "), "{:?}", report.checks);
    assert!(
        report.origin.program.starts_with("oneloop ") && !report.origin.host.is_empty(),
        "{:?}",
        report.origin
    );
    let began_s = report.origin.began_unix_ns / 1_000_000_000;
    let date =
        Command::new("date").args(["-u", "-d", &format!("@{began_s}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
    assert_eq!(
        date.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).unwrap(),
        report.origin.date
    );
    // A short run has a note about its tail.
    assert!(report.notes.iter().any(|note| note.contains("p99.99 of only")), "{:?}", report.notes);
}

#[test]
fn the_method_and_what_is_sent_are_in_the_report_and_secrets_are_not() {
    let mut server = Server::serve(&[&format!("http={}@127.0.0.1:0", env!("CARGO_MANIFEST_DIR"))]);
    let url = format!("http://{}/", server.address("http").tcp());
    let checks = ["--expect=2xx>=0", "--expect=errors>=0"];
    let table = load(&url, &[&["-d", "a=1"][..], &checks].concat());
    assert!(table.starts_with("POST http@127.0.0.1:"), "{table}");
    let settings = |args: &[&str]| {
        let json = load(&url, &[&["--json=-"], args, &checks].concat());
        assert!(!json.contains("hunter2"), "{json}");
        let report: Report = serde_json::from_str(&json).unwrap();
        report.configuration.request.unwrap()
    };
    let get = settings(&[]);
    assert_eq!((get.method.as_str(), get.verify.as_str(), get.redirects_max), ("GET", "exact", 0));
    let post = settings(&["-d", "a=1", "-u", "me:hunter2", "--verify=length", "-L", "--cookies"]);
    assert_eq!((post.method.as_str(), post.authorization.as_str()), ("POST", "Basic"));
    assert_eq!((post.verify.as_str(), post.redirects_max, post.keeps_cookies), ("length", 10, true));
    assert_eq!(post.fields, ["Authorization", "Content-Type"]);
    let other = settings(&["-d", "a=2", "-u", "me:other", "--verify=length", "-L", "--cookies"]);
    assert_ne!(post.digest, other.digest);
    let form = || settings(&["-F", "a=1"]).digest;
    assert_eq!(form(), form(), "the boundary is another one each time");
}

/// The page in a window of a phone: nothing is cut off at its side.
#[test]
fn the_page_of_a_long_url_fits_a_phone() {
    if !has_program("chromium") {
        return;
    }
    let mut server = Server::serve(&[&format!("http={}@127.0.0.1:0", env!("CARGO_MANIFEST_DIR"))]);
    let url = format!("http://{}/{}", server.address("http").tcp(), "long".repeat(40));
    let page = load(&url, &["--html=-", "--verify=none"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    // A window has 500 pixels at least, which the page also takes for a phone.
    let measure = "<style>body { width: 390px }</style>\
                   <script>document.title = `width ${document.body.scrollWidth}`</script></body>";
    std::fs::write(&file, page.replace("</body>", measure)).unwrap();
    let done = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        .args(["--no-first-run", "--hide-scrollbars", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&done.stdout).into_owned();
    let (_, rest) = shown.split_once("<title>width ").unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(rest.split('<').next(), Some("390"), "nothing is wider than the page");
}

/// What a reader of `HdrHistogram` makes of the log.
#[test]
fn the_log_of_histograms_has_every_request() {
    let (_server, target) = echo();
    let folder = tempfile::tempdir().unwrap();
    let (log, json) = (folder.path().join("log"), folder.path().join("json"));
    load(&target, &["--rate=1k", "--hdr-log", log.to_str().unwrap(), "--json", json.to_str().unwrap()]);
    let report: Report = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let log = std::fs::read(log).unwrap();
    let mut all = Histogram::<u64>::new_with_bounds(1, 2 * 86_400_000_000_000, 3).unwrap();
    let mut until_s = 0.0;
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.unwrap() else { continue };
        let bytes = base64::engine::general_purpose::STANDARD.decode(interval.encoded_histogram()).unwrap();
        let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert!((interval.max() - histogram.max() as f64 / 1e6).abs() < 0.01, "the maximum is in ms");
        // An interval without a reply has no line.
        assert!(interval.start_timestamp().as_secs_f64() >= until_s - 0.002, "ascending");
        until_s = interval.start_timestamp().as_secs_f64() + interval.duration().as_secs_f64();
        all.add(&histogram).unwrap();
    }
    // Also those that the warm-up left to answer.
    let answered = report.series.iter().filter(|it| matches!(it.phase, Phase::Measuring | Phase::Draining));
    assert_eq!(all.len(), answered.map(|interval| interval.requests).sum::<u64>());
    assert!(all.len() >= report.latency.count && all.max() >= report.latency.max_ns, "{}", all.len());
}

#[test]
fn the_page_has_plots_and_needs_nothing_else() {
    let (_server, target) = echo();
    let page = load(&target, &["--rate=1k", "--interval=20ms", "--html=-"]);
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{page}");
    for part in [
        "Latency by share of requests",
        "Requests by latency",
        "Requests per second",
        "Latency over time",
        "all 2 checks hold",
    ] {
        assert!(page.contains(part), "`{part}`");
    }
    assert_eq!(page.matches("<svg class=\"plot\"").count(), 4);
    assert!(
        !page.contains("NaN")
            && !page.contains("http://")
            && !page.contains("https://")
            && !page.contains("<script")
    );
}
