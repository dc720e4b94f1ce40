use std::collections::BTreeSet;

use super::super::words::split;
use super::super::{mistake, parse};
use super::*;

const WRK: &str = "-c -d -t -s -H --connections --duration --threads --script --header --latency --timeout";
const WRK2: &str = "-U --u_latency -B --batch_latency -R --rate -L";
const HEY: &str = "-n -q -z -m -H -A -d -D -T -a -x -h2 -host -disable-compression -disable-keepalive \
                   -disable-redirects -cpus";
const AB: &str = "-n -s -b -B -p -T -w -i -x -y -z -C -A -P -k -S -l -g -e -m -I -Z -f -E";
const VEGETA: &str = "-body -cert -chunked -connect-to -dns-ttl -duration -format -h2c -header -http2 -insecure \
                      -keepalive -key -laddr -lazy -max-body -max-connections -max-workers -name -output \
                      -prometheus-addr -proxy-header -rate -redirects -resolvers -root-certs -targets -timeout \
                      -unix-socket -workers";
const OHA: &str = "-n -c -p -z -w --wait-ongoing-requests-after-deadline -q --burst-delay --burst-rate \
                   --rand-regex-url --urls-from-file --max-repeat --dump-urls --latency-correction --no-tui --fps -m \
                   --method -H --proxy-header -t --connect-timeout -A -d -D -Z -F --form -T -a --aws-session \
                   --aws-sigv4 -x --proxy-http-version --proxy-http2 --http-version --http2 --host \
                   --disable-compression -r --redirect --disable-keepalive --no-pre-lookup --ipv6 --ipv4 --cacert \
                   --cert --key --insecure --connect-to --no-color --unix-socket --stats-success-breakdown --db-url \
                   --debug -o --output --output-format -u --time-unit --worker-threads --body-path-lines --proxy \
                   --content-type --accept --basic-auth --query-per-second";
/// Of `curl --help all`, and of newer versions.
const CURL: &str = "--abstract-unix-socket --alt-svc --anyauth -a --append --aws-sigv4 --basic --cacert --capath \
    -E --cert --cert-status --cert-type --ciphers --compressed --compressed-ssh -K --config --connect-timeout \
    --connect-to -C --continue-at -b --cookie -c --cookie-jar --create-dirs --create-file-mode --crlf --crlfile \
    --curves -d --data --data-ascii --data-binary --data-raw --data-urlencode --delegation --digest -q --disable \
    --disable-eprt --disable-epsv --disallow-username-in-url --dns-interface --dns-ipv4-addr --dns-ipv6-addr \
    --dns-servers --doh-cert-status --doh-insecure --doh-url -D --dump-header --egd-file --engine --etag-compare \
    --etag-save --expect100-timeout -f --fail --fail-early --fail-with-body --false-start -F --form \
    --form-escape --form-string --ftp-account --ftp-alternative-to-user --ftp-create-dirs --ftp-method \
    --ftp-pasv -P --ftp-port --ftp-pret --ftp-skip-pasv-ip --ftp-ssl-ccc --ftp-ssl-ccc-mode --ftp-ssl-control -G \
    --get -g --globoff --happy-eyeballs-timeout-ms --haproxy-protocol --haproxy-clientip -I --head -H --header \
    --hostpubmd5 --hostpubsha256 --hsts --http0.9 -0 --http1.0 --http1.1 --http2 --http2-prior-knowledge --http3 \
    --http3-only --ignore-content-length -i --include -k --insecure --interface -4 --ipv4 -6 --ipv6 --json -j \
    --junk-session-cookies --keepalive-time --keepalive-cnt --key --key-type --krb --libcurl --limit-rate -l \
    --list-only --local-port -L --location --location-trusted --login-options --mail-auth --mail-from \
    --mail-rcpt --mail-rcpt-allowfails -M --manual --max-filesize --max-redirs -m --max-time --metalink --mptcp \
    --negotiate -n --netrc --netrc-file --netrc-optional -: --next --no-alpn -N --no-buffer --no-clobber \
    --no-keepalive --no-npn --no-progress-meter --no-sessionid --noproxy --ntlm --ntlm-wb --oauth2-bearer -o \
    --output --output-dir -Z --parallel --parallel-immediate --parallel-max --pass --path-as-is --pinnedpubkey \
    --post301 --post302 --post303 --preproxy -# --progress-bar --proto --proto-default --proto-redir -x --proxy \
    --proxy-anyauth --proxy-basic --proxy-cacert --proxy-capath --proxy-cert --proxy-cert-type --proxy-ciphers \
    --proxy-crlfile --proxy-digest --proxy-header --proxy-insecure --proxy-key --proxy-key-type \
    --proxy-negotiate --proxy-ntlm --proxy-pass --proxy-pinnedpubkey --proxy-service-name \
    --proxy-ssl-allow-beast --proxy-ssl-auto-client-cert --proxy-tls13-ciphers --proxy-tlsauthtype \
    --proxy-tlspassword --proxy-tlsuser --proxy-tlsv1 -U --proxy-user --proxy1.0 -p --proxytunnel --pubkey -Q \
    --quote --random-file -r --range --rate --raw -e --referer -J --remote-header-name -O --remote-name \
    --remote-name-all -R --remote-time --remove-on-error -X --request --request-target --resolve --retry \
    --retry-all-errors --retry-connrefused --retry-delay --retry-max-time --sasl-authzid --sasl-ir \
    --service-name -S --show-error -s --silent --socks4 --socks4a --socks5 --socks5-basic --socks5-gssapi \
    --socks5-gssapi-nec --socks5-gssapi-service --socks5-hostname -Y --speed-limit -y --speed-time --ssl \
    --ssl-allow-beast --ssl-auto-client-cert --ssl-no-revoke --ssl-reqd --ssl-revoke-best-effort -2 --sslv2 -3 \
    --sslv3 --stderr --styled-output --suppress-connect-headers --tcp-fastopen --tcp-nodelay -t --telnet-option \
    --tftp-blksize --tftp-no-options -z --time-cond --tls-max --tls13-ciphers --tlsauthtype --tlspassword \
    --tlsuser -1 --tlsv1 --tlsv1.0 --tlsv1.1 --tlsv1.2 --tlsv1.3 --tr-encoding --trace --trace-ascii \
    --trace-time --unix-socket -T --upload-file --url --url-query -B --use-ascii -u --user -A --user-agent -w \
    --write-out --xattr";

/// The message about a command, and the command that it suggests, if it does.
fn reported(words: &[&str]) -> (String, Option<Vec<String>>) {
    let typed: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let Err(error) = parse(&typed.iter().map(Into::into).collect::<Vec<_>>()) else {
        panic!("{words:?} is valid");
    };
    let line = mistake::line(&error, &typed, &Cli::command());
    let suggested = line.rsplit_once(": oneloop ").map(|(_, command)| split(command));
    (line, suggested)
}

fn is_own(option: &str) -> bool {
    own(option).is_some()
}

#[test]
fn no_option_of_another_program_is_an_option_here() {
    for name in ROWS.iter().flat_map(|row| row.names.split(' ')) {
        assert!(!is_own(name) && name.starts_with('-'), "\"{name}\"");
        let mut rows = ROWS.iter().filter(|row| row.has(name)).rev();
        assert!(
            rows.next().is_some_and(|last| last.is_meant.is_none()),
            "{name} has a meaning for every value"
        );
        assert!(rows.all(|before| before.is_meant.is_some()), "{name} has two meanings");
    }
}

/// Whatever its value is, and without one.
#[test]
fn each_option_of_another_program_leads_to_a_command_that_is_valid() {
    let values =
        ["", "7", "7s", "x", "a=b", "me:pw", "text/html", "127.0.0.1", "127.0.0.1:80:127.0.0.1:81", "x.lua"];
    let of_programs = [WRK, WRK2, HEY, AB, VEGETA, OHA, CURL];
    let of_programs = of_programs.iter().flat_map(|program| program.split_whitespace());
    let names = ROWS.iter().flat_map(|row| row.names.split(' '));
    for name in of_programs.chain(names).filter(|name| !is_own(name)).collect::<BTreeSet<_>>() {
        let has_meanings = ROWS.iter().filter(|row| row.has(name)).count() > 1;
        for value in &values[..if has_meanings { values.len() } else { 2 }] {
            let words = ["load", "http://127.0.0.1:1/", name, value];
            let words = if value.is_empty() { &words[..3] } else { &words };
            let (line, suggested) = reported(words);
            // The value of an option that takes none is an argument too many.
            let is_flag = LoadWords::spelled_out(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
                .unwrap()
                .found(2)
                .is_some_and(|found| found.len == 1);
            if is_flag && !value.is_empty() {
                continue;
            }
            if line.ends_with(&format!(" a long name has two dashes: -{name}")) && is_own(&format!("-{name}"))
            {
                continue; // with a wrong value
            }
            let suggested = suggested.unwrap_or_else(|| panic!("{words:?}: {line}"));
            let parsed = parse(&suggested.iter().map(Into::into).collect::<Vec<_>>());
            assert!(parsed.is_ok(), "{words:?}: {line}: {}", parsed.unwrap_err());
            assert!(!suggested.iter().any(|word| word == name), "{words:?}: {line}");
        }
    }
}

#[test]
fn a_correction_keeps_the_values() {
    let url = "http://127.0.0.1:1/a?b";
    for (options, works) in [
        (&["--user-agent", "me"][..], &[url, "--header", "User-Agent: me"][..]),
        (&["-A", "Mozilla/5.0 (X11)"], &[url, "--header", "User-Agent: Mozilla/5.0 (X11)"]),
        (&["-A", "Mozilla/5.0 (a:b)"], &[url, "--header", "User-Agent: Mozilla/5.0 (a:b)"]),
        (&["-A", "text/html"], &[url, "--header", "Accept: text/html"]),
        (&["-A", "me:pw"], &[url, "--user", "me:pw"]),
        (&["--accept", "text/html"], &[url, "--header", "Accept: text/html"]),
        (&["--cookie", "a=b"], &[url, "--header", "Cookie: a=b"]),
        (&["--cookie=a=b"], &[url, "--header", "Cookie: a=b"]),
        (&["--cookie", "jar.txt"], &[url, "--cookies"]),
        (&["-b", "a=b; c=d"], &[url, "--header", "Cookie: a=b; c=d"]),
        (&["-b", "{\"a\": 1}"], &[url, "--data", "{\"a\": 1}"]),
        (&["-e", "http://x/"], &[url, "--header", "Referer: http://x/"]),
        (&["-e", "out"], &[url, "--csv", "out"]),
        (&["--range", "0-9"], &[url, "--header", "Range: bytes=0-9"]),
        (&["-a", "user:pw"], &[url, "--user", "user:pw"]),
        (&["-T", "application/json"], &[url, "--header", "Content-Type: application/json"]),
        (&["-T", "5"], &[url, "--reply-timeout", "5s"]),
        (&["-T", "body.bin"], &[url, "--method", "PUT", "--data", "@body.bin"]),
        (&["-m", "2.5"], &[url, "--reply-timeout", "2.5s"]),
        (&["-m", "PUT"], &[url, "--method", "PUT"]),
        (&["--max-time=5"], &[url, "--reply-timeout", "5s"]),
        (&["-D", "f"], &[url, "--data", "@f"]),
        (&["--data-binary", "@f"], &[url, "--data", "@f"]),
        (&["-p", "post.txt"], &[url, "--data", "@post.txt"]),
        (&["-p", "81"], &["http://127.0.0.1:81/a?b"]),
        (&["--host", "x"], &[url, "--header", "Host: x"]),
        (&["--unix-socket", "/run/s"], &["http://unix:/run/s:/a?b", "--header", "Host: 127.0.0.1:1"]),
        (&["--resolve", "x:80:127.0.0.2"], &["http://127.0.0.2:80/a?b", "--header", "Host: 127.0.0.1:1"]),
        (&["--resolve", "x:80:::1"], &["http://[::1]:80/a?b", "--header", "Host: 127.0.0.1:1"]),
        (&["--connect-to", "::127.0.0.2:"], &["http://127.0.0.2:1/a?b", "--header", "Host: 127.0.0.1:1"]),
        (&["--connect-to", "::[::1]:81"], &["http://[::1]:81/a?b", "--header", "Host: 127.0.0.1:1"]),
        (&["-G", "-d", "c=d", "-d", "e=f g"], &["http://127.0.0.1:1/a?b&c=d&e=f%20g"]),
        (&["--url-query", "c=d"], &["http://127.0.0.1:1/a?b&c=d"]),
        (&["--request-target", "/x"], &["http://127.0.0.1:1/x"]),
        (&["--max-redirs", "3"], &[url, "--follow=3"]),
        (&["--redirect", "0"], &[url]),
        (&["-o", "/dev/null"], &[url]),
        (&["-o", "csv"], &[url, "--csv", "-"]),
        (&["-o", "r.html"], &[url, "--html", "r.html"]),
        (&["--output-format", "csv"], &[url, "--csv", "-"]),
        (&["-s", "run.lua"], &[url, "--urls", "FILE"]),
        (&["-s", "requests"], &[url, "--urls", "requests"]),
        (&["-s", "5"], &[url, "--reply-timeout", "5s"]),
        (&["-sSL"], &[url, "-L"]),
        (&["-fsSo", "/dev/null"], &[url, "--verify", "status"]),
        (&["-k"], &[url]),
        (&["-keepalive=false"], &[url, "--churn"]),
        (&["-B", "127.0.0.2"], &[url, "--source", "127.0.0.2"]),
        (&["-I"], &[url, "--method", "HEAD"]),
        // All at once, and no example in place of a value.
        (
            &["-n", "1000", "-z", "30s", "--no-tui", "--latency-correction", "--query-per-second", "7"],
            &[url, "--duration", "30s", "--rate", "7"],
        ),
        (&["-z", "30s", "--run-time", "5s"], &[url, "--duration", "30s"]),
        // With one dash.
        (&["-duration=30s", "-rate", "7"], &[url, "--duration=30s", "--rate", "7"]),
        (&["-rate=50/1s"], &[url, "--rate=50"]),
        (&["-redirects", "3"], &[url, "--follow=3"]),
        (&["-cpus", "4"], &[url, "--threads", "4"]),
        (&["-c", "4", "-disable-keepalive"], &[url, "-c", "4", "--churn"]),
        // A time is no body.
        (&["-d30s", "-c10"], &[url, "--duration", "30s", "-c10"]),
        (&["-d", "30", "-s", "x.lua"], &[url, "--duration", "30s", "--urls", "FILE"]),
        (&["-d=2m"], &[url, "--duration", "2m"]),
        (&["-4"], &[url]),
        (&["-L", "3"], &[url, "--follow=3"]),
        (&["-q", "50"], &[url, "--rate", "50"]),
        (&["--churn", "5"], &[url, "--churn"]),
        (&["--compressed=br"], &[url, "--compressed=decode"]),
        (&["--follow=x"], &[url, "--follow=10"]),
        (&["-t", "5s"], &[url, "--reply-timeout", "5s"]),
        (
            &["--json", "{\"a\":1}", "-c", "4"],
            &[url, "-c", "4", "--data", "{\"a\":1}", "--header", "Content-Type: application/json"],
        ),
    ] {
        for (before, behind) in [(options, &[][..]), (&[], options)] {
            let words: Vec<&str> =
                ["load"].iter().chain(before).chain(&[url]).chain(behind).copied().collect();
            let (line, suggested) = reported(&words);
            let suggested = suggested.unwrap_or_else(|| panic!("{words:?}: {line}"));
            assert!(
                parse(&suggested.iter().map(Into::into).collect::<Vec<_>>()).is_ok(),
                "{words:?}: {line}"
            );
            let mut sorted = [&["load"], works].concat();
            let mut suggested: Vec<&str> = suggested.iter().map(String::as_str).collect();
            sorted.sort_unstable();
            suggested.sort_unstable();
            assert_eq!(suggested, sorted, "{words:?}: {line}");
        }
    }
    let (_, suggested) = reported(&["load", "http://127.0.0.1:1/[a-z][0-9]", "--rand-regex-url"]);
    assert_eq!(suggested.unwrap(), ["load", "http://127.0.0.1:1/{random:1-1000}"]);
    let (_, suggested) = reported(&["load", "http://[::1]/", "--connect-to", ":::81"]);
    assert_eq!(suggested.unwrap(), ["load", "http://[::1]:81/", "--header", "Host: [::1]"]);
    let (_, suggested) = reported(&["load", "--port", "81"]);
    assert_eq!(suggested.unwrap(), ["load", "http://127.0.0.1:81/"]);
}

#[test]
fn what_is_meant_as_a_body_or_a_value_is_one() {
    for words in [
        &["load", "http://127.0.0.1:1/", "-d30s", "-X", "POST"][..],
        &["load", "http://127.0.0.1:1/", "-d30s", "-H", "a: b"],
        &["load", "http://127.0.0.1:1/", "-d30s", "-da=b"],
        &["load", "http://127.0.0.1:1/", "--data", "30s"],
        &["load", "http://127.0.0.1:1/", "-dname=30s"],
        &["load", "http://127.0.0.1:1/", "-dhello"],
        &["load", "tcp@127.0.0.1:1", "--send", "-rate", "--until", "-4"],
        &["load", "compare", "-q", "a", "b"],
        &["serve", "-d30s"][..1],
    ] {
        let typed: Vec<_> = words.iter().map(Into::into).collect();
        assert!(parse(&typed).is_ok(), "{words:?}: {}", parse(&typed).unwrap_err());
    }
}

#[test]
fn no_value_is_refused_with_the_words_of_a_library() {
    let program = Cli::command();
    let load = program.find_subcommand("load").unwrap();
    for (command, words) in [
        (load, &["load", "echo"][..]),
        (load.find_subcommand("merge").unwrap(), &["load", "merge", "a", "b"]),
        (load.find_subcommand("compare").unwrap(), &["load", "compare", "a", "b"]),
    ] {
        for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
            let typed = words.iter().map(|word| (*word).to_owned()).chain([format!("--{option}=\u{1}x")]);
            let typed: Vec<String> = typed.collect();
            if let Err(error) = parse(&typed.iter().map(Into::into).collect::<Vec<_>>()) {
                let line = mistake::line(&error, &typed, &program);
                assert!(!line.contains("found in string") && !line.contains("invalid float"), "{line}");
            }
        }
    }
}
