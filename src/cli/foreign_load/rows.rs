//! The options of other load generators and of curl.

use std::net::IpAddr;

use super::super::units::Ms;
use super::super::words::is_url;

/// Options that users know from other programs.
pub(super) struct Row {
    /// The options, separated by spaces.
    pub(super) names: &'static str,
    /// Whether the value follows in the next word.
    pub(super) takes_value: bool,
    /// Whether the row is for an option before this word, where programs give one name several meanings;
    /// `None` if it is for all others.
    pub(super) is_meant: Option<fn(&str) -> bool>,
    /// What the correction is for.
    pub(super) hint: &'static str,
    pub(super) instead: Counterpart,
}

/// The equivalent of an option.
pub(super) enum Counterpart {
    /// The load does that already, or cannot do it.
    Nothing,
    /// These words with the value for `{}`, or with this one if the value is not valid in this program.
    Words(&'static [&'static str], &'static str),
    /// A change of several words, or of the URL.
    Change(WordChange),
}

/// What the value of an option changes.
#[derive(Clone, Copy)]
pub(super) enum WordChange {
    /// The URL or name of the server.
    Server,
    /// The server, or the field of a request to another one.
    Host,
    /// The port of the server.
    Port,
    /// HTTP over a Unix socket: the path of the URL is kept, and so is its host, as a field.
    UnixSocket,
    /// `HOST:PORT:ADDRESS`.
    Resolve,
    /// `HOST:PORT:TO-HOST:TO-PORT`; an empty part is the one of the URL.
    ConnectTo,
    /// The value, or else what would be the body, is the query.
    Query,
    /// The path of the URL.
    RequestTarget,
    /// A regular expression as URL: from the first class of characters on, a number.
    RandomUrl,
    /// A file with the report; its name or `csv` decides on the form.
    Output,
    /// The form of the report.
    OutputFormat,
    /// A body from a file; curl's `@` is not doubled.
    BodyFile,
    /// The same with the method PUT.
    Upload,
}

const fn flag(names: &'static str, hint: &'static str, instead: Counterpart) -> Row {
    Row { names, takes_value: false, is_meant: None, hint, instead }
}

const fn valued(names: &'static str, hint: &'static str, instead: Counterpart) -> Row {
    Row { takes_value: true, ..flag(names, hint, instead) }
}

impl Row {
    const fn when(self, is_meant: fn(&str) -> bool) -> Row {
        Row { is_meant: Some(is_meant), ..self }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.split(' ').any(|own| own == name)
    }
}

pub(super) fn is_number(text: &str) -> bool {
    text.trim_end_matches(['k', 'K', 'm', 'M']).parse::<f64>().is_ok_and(f64::is_finite)
}

/// A time, with or without its unit.
pub(super) fn is_span(text: &str) -> bool {
    text.parse::<Ms>().is_ok() || text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn is_url_or_nothing(text: &str) -> bool {
    text.is_empty() || is_url(text)
}

fn is_media_type(text: &str) -> bool {
    let types = ["*", "application", "audio", "font", "image", "multipart", "text", "video"];
    text.split_once('/').is_some_and(|(first, _)| types.contains(&first))
}

/// A name and a password, and not an address with its port.
fn is_login(text: &str) -> bool {
    text.split_once(':').is_some_and(|(name, password)| {
        let is_host = name.is_empty() || name == "localhost" || name.contains(['.', '[']);
        let is_port = password.bytes().all(|byte| byte.is_ascii_digit());
        !is_url(text) && !name.contains([' ', '/']) && (!is_host || !is_port)
    })
}

/// As in `id=7; theme=dark`.
fn is_cookie(text: &str) -> bool {
    let is_token =
        |name: &str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic() && !b"{&/@".contains(&c));
    text.split_once('=').is_some_and(|(name, value)| is_token(name) && !value.contains('&'))
}

fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

const NO_TLS: &str = "load has no TLS; put load on the server behind it";
const NO_PROXY: &str = "a proxy is not supported, because the load measures one server";
const NO_VERSION: &str = "HTTP/1.1 is the only version that load speaks";
const NO_PROTOCOL: &str = "not supported, because load speaks HTTP/1.1 and raw TCP only";
const NO_SCHEME: &str =
    "not supported, because load sends a name with a password (--user) or a token (--bearer) only";
const NO_SOCKET_OPTION: &str = "not supported, because load sets the options of its sockets itself";
const NOT_PRINTED: &str = "replies are checked and counted, not printed";
const NO_PROGRESS: &str = "progress is shown on a terminal only";
const NO_RETRY: &str = "a failed request is counted, not repeated";
const ONE_ADDRESS: &str =
    "a name is resolved once, before the load; for one of its addresses, write that in the URL";
const NO_ENCODING: &str = "not supported, because a body is sent as it is, with its length";
const NO_SPEED: &str = "the speed of a transfer is not bounded; clients that are slow are added with --slow";
const DURATION: &str = "for the duration";
const REPLY_TIME: &str = "for the time that a reply may take";
const BODY: &str = "for the body of a request";
const FIELD: &str = "for a header field";
const USER: &str = "for a user and password";
const CLIENTS: &str = "for the number of connections";
const A_DURATION: &str = "a load has a duration, not a number of requests";
const SERVER: &str = "the server is named by its URL, or by service and address";
const REPORT_FILE: &str = "to write the report to a file";
const SOURCE: &str = "for the address that connections come from";
const BURSTS: &str = "bursts of a size are not supported; for arrivals at random, with bursts";
const COOKIES: &str = "to keep cookies";
const WAITS: &str = "the end of the load waits for replies already";
const REUSED: &str = "connections are reused already";

pub(super) const ROWS: &[Row] = &[
    valued(
        "--connections --concurrency --users --vus --max-workers --max-connections --parallel-max --parallel-max-host",
        CLIENTS,
        Counterpart::Words(&["--clients", "{}"], "64"),
    ),
    flag("-Z", CLIENTS, Counterpart::Words(&["--clients", "64"], "")).when(is_url_or_nothing),
    flag("--parallel --parallel-immediate", CLIENTS, Counterpart::Words(&["--clients", "64"], "")),
    valued(
        "--cpus --workers --worker-threads",
        "for the number of threads",
        Counterpart::Words(&["--threads", "{}"], "2"),
    ),
    valued("-z", DURATION, Counterpart::Words(&["--duration", "{}"], "10s"))
        .when(|value| value.is_empty() || is_span(value)),
    valued(
        "-z --time-cond",
        FIELD,
        Counterpart::Words(&["--header", "If-Modified-Since: {}"], "Sat, 31 Jan 2026 18:30:00 GMT"),
    ),
    valued(
        "--time --seconds --run-time --max-duration",
        DURATION,
        Counterpart::Words(&["--duration", "{}"], "10s"),
    ),
    valued(
        "--warm-up --warm-up-time --warmup-time",
        "for the time before measuring",
        Counterpart::Words(&["--warmup", "{}"], "1s"),
    ),
    valued(
        "--ramp-up --rampup --ramp-up-period",
        "to start clients one after the other",
        Counterpart::Words(&["--ramp", "{}"], "2s"),
    ),
    valued("-n -N", A_DURATION, Counterpart::Words(&["--duration", "10s"], ""))
        .when(|value| value.is_empty() || is_number(value)),
    valued("--requests --number", A_DURATION, Counterpart::Words(&["--duration", "10s"], "")),
    valued("-T -s -m", REPLY_TIME, Counterpart::Words(&["--reply-timeout", "{}"], "10s")).when(is_span),
    valued(
        "--timeout --max-time --request-timeout",
        REPLY_TIME,
        Counterpart::Words(&["--reply-timeout", "{}"], "10s"),
    ),
    valued("-m --request", "for the method of a request", Counterpart::Words(&["--method", "{}"], "POST")),
    flag("-I --head", "for the method HEAD", Counterpart::Words(&["--method", "HEAD"], "")),
    valued("-b -C", FIELD, Counterpart::Words(&["--header", "Cookie: {}"], "id=7")).when(is_cookie),
    valued("-b", NO_SOCKET_OPTION, Counterpart::Nothing).when(is_number),
    valued(
        "-b --body --data-raw --data-binary --data-ascii --post",
        BODY,
        Counterpart::Words(&["--data", "{}"], "@FILE"),
    ),
    valued("-D", NOT_PRINTED, Counterpart::Nothing).when(|value| value == "-"),
    valued("-D --body-file", BODY, Counterpart::Change(WordChange::BodyFile)),
    valued("-T", FIELD, Counterpart::Words(&["--header", "Content-Type: {}"], "application/json"))
        .when(is_media_type),
    valued("-T --upload-file", "for a file as the body of a PUT", Counterpart::Change(WordChange::Upload)),
    valued(
        "-Z --body-path-lines",
        "for a body from each line of a file, whose first line is then the name of the column",
        Counterpart::Words(&["--values", "{}", "--data", "{body}"], "FILE"),
    ),
    flag("-G --get", "for data in the query of the URL", Counterpart::Change(WordChange::Query)),
    valued("--url-query", "for data in the query of the URL", Counterpart::Change(WordChange::Query)),
    valued("--request-target", "for the path", Counterpart::Change(WordChange::RequestTarget)),
    valued("--headers", FIELD, Counterpart::Words(&["--header", "{}"], "Accept: text/html")),
    valued("-A", FIELD, Counterpart::Words(&["--header", "Accept: {}"], "text/html")).when(is_media_type),
    valued("-A -a", USER, Counterpart::Words(&["--user", "{}"], "NAME")).when(is_login),
    valued("-A --user-agent", FIELD, Counterpart::Words(&["--header", "User-Agent: {}"], "test")),
    valued("--accept", FIELD, Counterpart::Words(&["--header", "Accept: {}"], "text/html")),
    valued("-e", FIELD, Counterpart::Words(&["--header", "Referer: {}"], "http://example.org/")).when(is_url),
    valued("--referer", FIELD, Counterpart::Words(&["--header", "Referer: {}"], "http://example.org/")),
    valued("-e", REPORT_FILE, Counterpart::Words(&["--csv", "{}"], "FILE")),
    valued("--host-header", FIELD, Counterpart::Words(&["--header", "Host: {}"], "example.org")),
    valued(
        "--content-type",
        FIELD,
        Counterpart::Words(&["--header", "Content-Type: {}"], "application/json"),
    ),
    valued("--range", FIELD, Counterpart::Words(&["--header", "Range: bytes={}"], "0-99")),
    valued("--cookie", FIELD, Counterpart::Words(&["--header", "Cookie: {}"], "id=7"))
        .when(|value| value.is_empty() || value.contains('=')),
    valued("--cookie --cookie-jar", COOKIES, Counterpart::Words(&["--cookies"], "")),
    flag("-j --junk-session-cookies", COOKIES, Counterpart::Words(&["--cookies"], "")),
    valued("--form-string --form-file", "for a form", Counterpart::Words(&["--form", "{}"], "name=@FILE")),
    flag("--form-escape", "names with quotes are escaped already", Counterpart::Nothing),
    valued("--accept-encoding", "for bodies with gzip", Counterpart::Words(&["--compressed"], ""))
        .when(|value| value.is_empty() || value.contains("gzip")),
    valued("--accept-encoding", FIELD, Counterpart::Words(&["--header", "Accept-Encoding: {}"], "br")),
    flag("--gzip --compression", "for bodies with gzip", Counterpart::Words(&["--compressed"], "")),
    flag(
        "--disable-compression",
        "compressed bodies are asked for only with --compressed",
        Counterpart::Nothing,
    ),
    flag("--tr-encoding --chunked --crlf --use-ascii", NO_ENCODING, Counterpart::Nothing),
    valued("-B", SOURCE, Counterpart::Words(&["--source", "{}"], "127.0.0.2")).when(is_ip),
    valued("-R", "for requests per second", Counterpart::Words(&["--rate", "{}"], "1k"))
        .when(|value| value.is_empty() || value.starts_with(|c: char| c.is_ascii_digit())),
    flag("-R --remote-time", NOT_PRINTED, Counterpart::Nothing),
    valued(
        "--rps --qps --query-per-second --max-rate --target-rate",
        "for requests per second",
        Counterpart::Words(&["--rate", "{}"], "1k"),
    ),
    valued(
        "--burst-rate --burst-delay",
        BURSTS,
        Counterpart::Words(&["--rate", "1k", "--arrivals", "poisson"], ""),
    ),
    valued(
        "--pipeline --pipelining",
        "for several requests in flight on a connection",
        Counterpart::Words(&["--depth", "{}"], "16"),
    ),
    flag("--latency --latencies", "every report has the distribution of latencies", Counterpart::Nothing),
    flag(
        "--latency-correction",
        "with --rate, latency counts from the scheduled time already",
        Counterpart::Nothing,
    ),
    valued("-U", NO_PROXY, Counterpart::Nothing).when(is_login),
    flag("-U --u_latency", "with --rate, every report has the time from the send, too", Counterpart::Nothing),
    flag("-B --batch_latency", "each request of a pipeline is measured by itself", Counterpart::Nothing),
    flag(
        "--histogram --hist",
        "every report has the distribution of latencies; to write it to a file",
        Counterpart::Words(&["--hgrm", "FILE"], ""),
    ),
    flag("-s", NO_PROGRESS, Counterpart::Nothing).when(is_url_or_nothing),
    valued(
        "-s --script",
        "scripts in Lua are not supported; for several requests, a file with a line each",
        Counterpart::Words(&["--urls", "FILE"], ""),
    )
    .when(|value| value.rsplit('.').next() == Some("lua")),
    valued(
        "-s --script --targets --urls-from-file --input --input-file",
        "for several requests",
        Counterpart::Words(&["--urls", "{}"], "FILE"),
    ),
    flag(
        "-: --next",
        "for several requests, a file with a line each",
        Counterpart::Words(&["--urls", "FILE"], ""),
    ),
    flag("--rand-regex-url", "for URLs that differ", Counterpart::Change(WordChange::RandomUrl)),
    valued(
        "--max-repeat --dump-urls",
        "regular expressions in URLs are not supported; {random:1-1000} and --values make URLs differ",
        Counterpart::Nothing,
    ),
    valued(
        "--redirect --redirects --max-redirs",
        "redirects are followed only with --follow",
        Counterpart::Nothing,
    )
    .when(|value| ["0", "-1"].contains(&value)),
    valued(
        "--redirect --redirects --max-redirs",
        "to follow redirects",
        Counterpart::Words(&["--follow={}"], "10"),
    )
    .when(is_number),
    flag(
        "--location --location-trusted --redirect --redirects --max-redirs --follow-redirects --allow-redirects",
        "to follow redirects",
        Counterpart::Words(&["--follow"], ""),
    ),
    flag(
        "--disable-redirect --disable-redirects --no-redirect",
        "redirects are followed only with --follow",
        Counterpart::Nothing,
    ),
    flag("--post301 --post302 --post303", "a redirect is followed as browsers do it", Counterpart::Nothing),
    valued("--basic-auth --auth --authentication", USER, Counterpart::Words(&["--user", "{}"], "NAME")),
    flag("--basic", "--user sends HTTP Basic already", Counterpart::Nothing),
    valued("--oauth2-bearer --token", "for a token", Counterpart::Words(&["--bearer", "{}"], "@FILE")),
    flag(
        "-n --netrc --netrc-optional",
        "for a password from a file",
        Counterpart::Words(&["--user", "NAME", "--user-password", "FILE"], ""),
    ),
    valued(
        "--netrc-file",
        "for a password from a file",
        Counterpart::Words(&["--user", "NAME", "--user-password", "FILE"], ""),
    ),
    flag("--anyauth --digest --negotiate --ntlm --ntlm-wb --sasl-ir", NO_SCHEME, Counterpart::Nothing),
    valued(
        "--aws-sigv4 --aws-session --delegation --service-name --krb --login-options --sasl-authzid",
        NO_SCHEME,
        Counterpart::Nothing,
    ),
    flag("--disallow-username-in-url", "a URL has no user name here", Counterpart::Nothing),
    valued(
        "--unix-socket --socket",
        "for HTTP over a Unix socket",
        Counterpart::Change(WordChange::UnixSocket),
    ),
    valued(
        "--abstract-unix-socket",
        "not supported, because a Unix socket is named by its path",
        Counterpart::Nothing,
    ),
    flag(
        "-0 --http0.9 --http1.0 --http1.1 --http1 --http2 --http2-prior-knowledge --h2 --h2c --http3 --http3-only",
        NO_VERSION,
        Counterpart::Nothing,
    ),
    valued("--http-version", NO_VERSION, Counterpart::Nothing),
    flag("-k", "connections are reused already, and load has no TLS", Counterpart::Nothing),
    flag(
        "--insecure --tls --ssl -1 --tlsv1 --tlsv1.0 --tlsv1.1 --tlsv1.2 --tlsv1.3 -2 --sslv2 -3 --sslv3 --ssl-reqd \
         --ssl-allow-beast --ssl-auto-client-cert --ssl-no-revoke --ssl-revoke-best-effort --ssl-sessions \
         --cert-status --false-start --no-alpn --no-npn --no-sessionid --ca-native --tls-earlydata",
        NO_TLS,
        Counterpart::Nothing,
    ),
    valued("-f", NO_TLS, Counterpart::Nothing)
        .when(|value| value.starts_with("TLS") || value.starts_with("SSL")),
    valued(
        "--cacert --capath --cert -E --key --cert-type --key-type --ciphers --curves --crlfile --pass --pinnedpubkey \
         --tls-max --tls13-ciphers --tlsauthtype --tlspassword --tlsuser --egd-file --random-file --engine --hsts \
         --ech --sigalgs --root-certs",
        NO_TLS,
        Counterpart::Nothing,
    ),
    valued(
        "--replay --access-log --har",
        "to send the requests of a log again",
        Counterpart::Words(&["--replay-log", "{}"], "FILE"),
    ),
    flag("--keepalive --keep-alive", "for one connection per request", Counterpart::Words(&["--churn"], ""))
        .when(|value| value == "false"),
    flag("--keepalive --keep-alive", REUSED, Counterpart::Nothing),
    flag(
        "--disable-keepalive --no-keepalive",
        "connections are reused; for one connection per request",
        Counterpart::Words(&["--churn"], ""),
    ),
    valued("-o --output --out", NOT_PRINTED, Counterpart::Nothing).when(|value| value.starts_with("/dev/")),
    valued("-o --output --out", REPORT_FILE, Counterpart::Change(WordChange::Output)),
    valued(
        "--output-format --format",
        "for the form of the report",
        Counterpart::Change(WordChange::OutputFormat),
    )
    .when(|value| ["csv", "json"].contains(&value)),
    valued(
        "--output-format --format --time-unit",
        "the report is a table with units, or --json, --csv and --html",
        Counterpart::Nothing,
    ),
    valued("-g", REPORT_FILE, Counterpart::Words(&["--csv", "{}"], "FILE"))
        .when(|value| !is_url_or_nothing(value)),
    flag("-g --globoff", "brackets in a URL are sent as they are", Counterpart::Nothing),
    flag("--path-as-is", "a path is sent as it is", Counterpart::Nothing),
    valued(
        "--db-url",
        "not supported; for the report in a file",
        Counterpart::Words(&["--json", "FILE"], ""),
    ),
    valued("-p", BODY, Counterpart::Change(WordChange::BodyFile))
        .when(|value| !value.is_empty() && value.parse::<u16>().is_err()),
    valued("-p --port", SERVER, Counterpart::Change(WordChange::Port)),
    valued("--host", "for the host that a request names", Counterpart::Change(WordChange::Host)),
    flag("-a", NO_PROTOCOL, Counterpart::Nothing).when(is_url_or_nothing),
    valued("-a --url --target --address --addr", SERVER, Counterpart::Change(WordChange::Server)),
    valued("--interface --laddr", SOURCE, Counterpart::Words(&["--source", "{}"], "127.0.0.2")).when(is_ip),
    valued(
        "--interface --laddr",
        "an interface is not chosen; --source chooses an address of it",
        Counterpart::Nothing,
    ),
    valued(
        "--local-port",
        "the system chooses local ports; --source chooses addresses",
        Counterpart::Nothing,
    ),
    valued("--resolve", "for the address of a host", Counterpart::Change(WordChange::Resolve)),
    valued("--connect-to", "for the address of a host", Counterpart::Change(WordChange::ConnectTo)),
    flag(
        "-4 --ipv4 -6 --ipv6 --no-pre-lookup --doh-cert-status --doh-insecure",
        ONE_ADDRESS,
        Counterpart::Nothing,
    ),
    valued(
        "--happy-eyeballs-timeout-ms --dns-interface --dns-ipv4-addr --dns-ipv6-addr --dns-servers --doh-url \
         --dns-ttl --resolvers",
        ONE_ADDRESS,
        Counterpart::Nothing,
    ),
    flag(
        "--proxytunnel --proxy-anyauth --proxy-basic --proxy-digest --proxy-insecure --proxy-negotiate --proxy-ntlm \
         --proxy-ssl-allow-beast --proxy-ssl-auto-client-cert --proxy-tlsv1 --proxy-ca-native --proxy-http2 \
         --socks5-basic --socks5-gssapi --socks5-gssapi-nec --suppress-connect-headers --haproxy-protocol",
        NO_PROXY,
        Counterpart::Nothing,
    ),
    valued(
        "-x --proxy --preproxy --proxy-header --proxy-http-version --proxy-user --proxy-cacert --proxy-capath \
         --proxy-cert --proxy-cert-type --proxy-ciphers --proxy-crlfile --proxy-key --proxy-key-type --proxy-pass \
         --proxy-pinnedpubkey --proxy-service-name --proxy-tls13-ciphers --proxy-tlsauthtype --proxy-tlspassword \
         --proxy-tlsuser --proxy1.0 --noproxy --socks4 --socks4a --socks5 --socks5-hostname --socks5-gssapi-service \
         --haproxy-clientip -P",
        NO_PROXY,
        Counterpart::Nothing,
    ),
    flag(
        "-f --fail --fail-with-body",
        "for errors of all replies but 2xx",
        Counterpart::Words(&["--verify", "status"], ""),
    ),
    flag("-l", "for bodies that differ in length", Counterpart::Words(&["--verify", "whole"], "")),
    flag("-w", WAITS, Counterpart::Nothing).when(|value| !value.contains('%')),
    flag("--wait-ongoing-requests-after-deadline", WAITS, Counterpart::Nothing),
    flag("--stats-success-breakdown", "every report counts replies by their status", Counterpart::Nothing),
    flag(
        "-S --silent --show-error --no-progress-meter -# --progress-bar --no-tui",
        NO_PROGRESS,
        Counterpart::Nothing,
    ),
    valued("--fps", NO_PROGRESS, Counterpart::Nothing),
    flag("--no-color --styled-output", "a report has no colours", Counterpart::Nothing),
    flag(
        "-i --include --show-headers --debug -N --no-buffer -O --remote-name --remote-name-all -J \
         --remote-header-name --create-dirs --no-clobber --remove-on-error --skip-existing --xattr --raw --out-null \
         --trace-time --trace-ids --dump-ca-embed --lazy",
        NOT_PRINTED,
        Counterpart::Nothing,
    ),
    valued(
        "-w --write-out --dump-header --output-dir --create-file-mode --stderr --trace --trace-ascii --trace-config \
         --libcurl --etag-save --max-filesize --max-body -C --continue-at --name --prometheus-addr",
        NOT_PRINTED,
        Counterpart::Nothing,
    ),
    valued("--etag-compare", FIELD, Counterpart::Words(&["--header", "If-None-Match: \"x\""], "")),
    flag("--retry-all-errors --retry-connrefused --fail-early", NO_RETRY, Counterpart::Nothing),
    valued("--retry --retry-delay --retry-max-time", NO_RETRY, Counterpart::Nothing),
    valued("--limit-rate -Y --speed-limit -y --speed-time", NO_SPEED, Counterpart::Nothing),
    flag("--tcp-nodelay", "TCP_NODELAY is set already", Counterpart::Nothing),
    flag("--tcp-fastopen --mptcp", NO_SOCKET_OPTION, Counterpart::Nothing),
    valued(
        "--keepalive-time --keepalive-cnt --ip-tos --vlan-priority",
        NO_SOCKET_OPTION,
        Counterpart::Nothing,
    ),
    flag("-M --manual", "oneloop man prints the manual page", Counterpart::Nothing),
    flag("--disable", "options are not read from a file", Counterpart::Nothing),
    valued("-K --config --variable", "options are not read from a file", Counterpart::Nothing),
    valued("--expect100-timeout", "a body is sent without waiting for 100", Counterpart::Nothing),
    flag(
        "--ignore-content-length",
        "not supported, because replies are checked for their length",
        Counterpart::Nothing,
    ),
    flag(
        "--append --list-only --ftp-create-dirs --ftp-pasv --ftp-pret --ftp-skip-pasv-ip --ftp-ssl-ccc \
         --ftp-ssl-control --disable-eprt --disable-epsv --mail-rcpt-allowfails --tftp-no-options --compressed-ssh \
         --metalink",
        NO_PROTOCOL,
        Counterpart::Nothing,
    ),
    valued(
        "--alt-svc --proto --proto-default --proto-redir --ipfs-gateway --ftp-account --ftp-alternative-to-user \
         --ftp-method --ftp-port --ftp-ssl-ccc-mode -Q --quote --mail-auth --mail-from --mail-rcpt --hostpubmd5 \
         --hostpubsha256 --pubkey --telnet-option --tftp-blksize",
        NO_PROTOCOL,
        Counterpart::Nothing,
    ),
];
