//! Each command that a message suggests is accepted when it is typed.

use super::mend::{Suggestion, first_mistake, with_accepted_command};
use super::words::split;

/// What `oneloop` reports about these words; `None` if it accepts them.
fn report_of(words: &[String]) -> Option<String> {
    first_mistake(words).map(|message| with_accepted_command(&message, words))
}

/// The command at the end of a message, as a shell splits it.
fn suggested(message: &str) -> Option<Vec<String>> {
    Suggestion::of(message).map(|suggestion| suggestion.words)
}

/// Mistakes of users; the paths are those of this repository, `FILE` is a script.
const MISTAKES: &[&str] = &[
    // A directory, a file, a URL or an address in the wrong form.
    "serve src --directory=/",
    "serve src --root src",
    "serve src --dir examples --lan",
    "serve src --dir nowhere",
    "serve --dir nowhere",
    "serve --directory",
    "serve echo --root src",
    "serve echo src --root /",
    "serve src http=/docs:docs --root /",
    "serve src/lib.rs src",
    "serve src/lib.rs ./src",
    "serve src/lib.rs /",
    "serve src/lib.rs --lan",
    "serve src sorc",
    "serve sorc",
    "serve nginx --lan",
    "serve src:8080",
    "serve src:8080 echo@9",
    "serve src:8080 --lan",
    "serve src:8080 -p 9000",
    "serve src:99999",
    "serve src:*:80",
    "serve src:*:80 --lan",
    "serve /etc:8080",
    "serve http://src",
    "serve http://src:8080/x",
    "serve http://src src",
    "serve http://src examples",
    "serve http://example.org",
    "serve http://127.0.0.1:81/x",
    "serve src http://0.0.0.0:81/",
    "serve file:///etc",
    "serve 8080",
    "serve src 8080",
    "serve src 8080 -p 9000",
    "serve src@9000 8080",
    "serve src *:80 --lan",
    "serve /docs:src@81",
    "serve echo@x",
    "serve src echo@99999",
    "serve ecko",
    "serve echo=x",
    "serve https@443",
    "serve http=",
    "serve http=//example.org",
    "serve http:src",
    // Options of other servers.
    "serve src --lan --host 0.0.0.0",
    "serve src --lan --host 0.0.0.0:8080",
    "serve src --lan --host ::1",
    "serve src --lan --host example.org",
    "serve src --lan --bind 127.0.0.1:81 -p 80",
    "serve src --host 0.0.0.0:81 -p 80",
    "serve src --host ::1 --bind 127.0.0.1",
    "serve src -P 8080 -p 80",
    "serve src@8080 --host 0.0.0.0",
    "serve src@8080 -P 80",
    "serve src@*:8080 --host ::1",
    "serve src@8080 echo@0 --host ::1",
    "serve --listen :8080",
    "serve src --cors",
    "serve echo --cors",
    "serve echo --spa",
    "serve echo -s",
    "serve echo --zip",
    "serve discard --timeout 20",
    "serve daytime --timeout 20",
    "serve echo --log x.log",
    "serve src --model iterative -c 5",
    "serve src --public --lan",
    "serve src --path-prefix /x",
    "serve src --password x --username joe",
    "serve src --upload",
    // Values.
    "serve src --idle 30",
    "serve daytime --idle 30",
    "serve echo --type .foo=bad",
    "serve src -a joe:123",
    "serve src -a 80 --lan",
    "serve src --model forks",
    "serve src -p 99999",
    // What does not go together.
    "serve echo@0 --no-listing",
    "serve echo@0 --no-listing --readme",
    "serve echo@0 --no-listing --unix-mode 660 --lan",
    "serve echo@0 --access-format common",
    "serve src@0 --access-format common",
    "serve echo@0 --model thread --workers 2",
    "serve echo@0 --model iterative --clients 5 --no-listing",
    "serve src@8080 --lan -q",
    "serve src@8080 --lan --archive --unix-mode 660",
    "serve src examples",
    "serve src examples docs",
    "serve src examples docs -p 8001",
    "serve src src src",
    "serve src http=/x:src examples http=/x:docs",
    "serve echo@7 time@7 daytime@8",
    "serve echo@7 time@*:7 daytime@7",
    "serve echo message discard -p 80",
    // Two mistakes.
    "serve 8000 --bind 0.0.0.0 --directory src",
    "serve 8000 --bind 0.0.0.0 --directory nowhere",
    "serve 8000 --bind 127.0.0.1",
    "serve --directory src 8123",
    "serve --root src --listen :8080",
    "serve -p 8123 -b 0.0.0.0 -d src",
    "serve src --bind 0.0.0.0 --cors --timeout 20 --upload",
    "serve src --idle 30 --drain 5",
    "serve src --idel 3s --bind ::1",
    "serve src 8080 --idle 30",
    "serve --charset '' --idle ''",
    "8123 --bind 127.0.0.1",
    "8123 --directory src",
    "-m http.server",
    "-m http.server 8123",
    "-m http.server 8123 --bind 127.0.0.1 --directory src",
    "load http://127.0.0.1/ --rps 10 --idle x",
    "load htp://127.0.0.1/ --rps 10",
    // Ports.
    "serve 99999",
    "serve 127.0.0.1:99999",
    "serve '*:99999' --bind 0.0.0.0",
    "serve '*:99999'",
    "serve :99999",
    "99999",
    // The lecture.
    "lecture fork",
    "lecture fork reactor",
    "lecture fork,reactor",
    "lecture --model fork reactor",
    "lecture zombies",
    "lecture zombis",
    "lecture zombies fork",
    "lecture --scene zombies fork",
    "lecture FILE",
    "lecture fork FILE",
    "lecture no-such-class.txt",
    "lecture -m fork",
    "lecture --scene zombies -m fork",
    "lecture -o x.svg",
    "lecture -o x.html --model fork",
    "lecture --output x.png",
    "lecture -o",
    "lecture --pdf x.pdf --svg y.svg",
    "lecture -f FILE",
    "lecture -f",
    "lecture -f nowhere.txt",
    "lecture -w 3",
    "lecture -w 3 --model fork",
    "lecture --workers 0",
    "lecture --workers 0 --model prethread",
    "lecture --workers 0 --model fork",
    "lecture --workers 3 --model fork",
    "lecture --workers 3 --model fork,thread --pause",
    "lecture --workers 3 --scene leak --model fork",
    "lecture --model fork --pause",
    "lecture --model fork --step",
    "lecture --svg - --pause",
    "lecture --html - --plain",
    "lecture --list-scenes",
    // The others.
    "load message --depth 0",
    "load message --rps 10",
    "load --url http://127.0.0.1/ -v",
    "load http://127.0.0.1/ --host x -p 80",
    "load eco@127.0.0.1:7",
    "load localhost:8000",
    "load https://127.0.0.1/",
    "load echo -z 5s",
    "load echo --cookie a=b",
    "load",
    "compare -n 3",
    "compare -o x",
    "compare --repeats 0",
    "src --lan",
    "echo@8",
    "sreve",
    // What is foreign, or belongs to another option.
    "load --threads 0 echo",
    "load --duration -5s",
    "load echo --interval 0",
    "load echo --rate 0",
    "load echo --rate lots",
    "load tcp",
    "load daytime@127.0.0.1:1",
    "load -X http://127.0.0.1/",
    "load http://127.0.0.1/ --verify exakt",
    "load http://127.0.0.1/ http://127.0.0.1/x",
    "load echo 64",
    "load compare",
    "load compare a.json",
    "lecture --list x",
    "lecture --scene zombie",
    "lecture --speed 100",
    "compare --seed abc",
    "compare --models threads",
    "compare --experiments crwd",
    "compare reactor,thread",
    "compare crowd reactor --quick",
    "serve --idle 5 minutes",
    "serve --model epoll",
    "serve -P x",
    "serve -g 'daemon off;'",
    "serve -c nginx.conf",
    "serve file-server --browse",
    "serve ./echo",
    "serve src@nosuch.invalid:80",
    "serve --address nosuch.invalid",
    "serve --lan --address ::1",
    "serve --port 1 --port 2",
    "serve -v -q",
    "serve --cgi",
    "serve --protocol HTTP/1.1",
    "serve --gzip",
    "serve --daemon",
    "serve --config x.conf",
    "serve --proxy x",
    "serve --silent",
    "serve --domain example.org",
    "serve src --domain example.org",
    // What goes together is checked after parsing.
    "load echo --arrivals poisson --clients 3",
    "load echo --slow-pause 1s",
    "load echo --interval 1s",
    "load echo --method POST --header a:b",
    "load echo --until x",
    "load echo --values FILE",
    "load tcp@127.0.0.1:1",
    "load tcp@127.0.0.1:1 --send x",
    "serve --overflow evict --model fork",
    "serve --workers 4 --clients 2",
    "serve --auth joe:123",
    "serve src --bind ::1 --auth joe:123",
    "serve --address ::1 --address 127.0.0.1:80 -p 8",
    "serve --address 127.0.0.1:80 -p 8",
    "serve http=src,listing=maybe",
    "serve http=src,listng=off --lan",
    "serve http=src,nonsense,archive",
    "serve http=src,auth-failures=x",
    "serve http=src,charset=a/b",
    // Values that the parser alone would accept.
    "compare --repeats 1 --seed 64 --attempts 64",
    "compare --repeats --seed --attempts",
    "compare --verbose --workers 4,16,64 --quick --models fork,reactor",
    "compare --models none",
    "compare --models none --workers 4 --repeats 2",
    "load http://127.0.0.1:80/ --header 10k",
    "load http://127.0.0.1:80/ --header 10k --rps 5",
    "load http://127.0.0.1:80/ --header 'Content-Length: 3' --header 'X: 1' --rps 5",
    "load --method 'a b' --arrival http://127.0.0.1:8000/",
    "load --method 'a b' http://127.0.0.1:8000/",
    "load '--form=p99<5ms' http://127.0.0.1:8000/ --rps 4",
    "load --form a=@no-such-file;x=1 http://127.0.0.1:8000/ --rps 4",
    "load echo --churn --connect-first",
    "load echo@127.0.0.1:7 --source ::1 --rps 3",
    "load chargen --rate 10",
    "load tcp@127.0.0.1:1 --until x --rate 10",
    "load tcp@127.0.0.1:1 --send a --until /(/ --rps 10",
    "load tcp@127.0.0.1:1 --send '\\q' --until x --rps 10",
    "load message --bytes 256 --rps 10",
    "load http://127.0.0.1/ --bytes 9",
    "load http://127.0.0.1/ --find p99<1s --rate 5k:100",
    "serve --charset 'a b'",
    "serve --charset 'a b' --idle 30",
    "serve --user 'a b'",
    "serve --user 'a b' --idle 30",
    "serve --group 'a b'",
    "serve --not-found=http://x/",
    "serve --fallback /x --index ../a",
    "serve --follow echo",
    "serve --follow echo --no-links --idle 30",
    "serve --header 'a b: c'",
    "serve --header 'ETag: c' --idle 30",
    "serve --cache-control \u{1}",
    "serve --auth-password FILE",
];

#[test]
fn each_command_that_a_message_suggests_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("class.txt").display().to_string();
    std::fs::write(&script, "models fork, prefork\nanna at 0s: send x, answer\n").unwrap();
    let mut failed = Vec::new();
    for line in MISTAKES {
        let words: Vec<String> = split(line).iter().map(|word| word.replace("FILE", &script)).collect();
        let Some(message) = report_of(&words) else {
            failed.push(format!("{line} is accepted"));
            continue;
        };
        let Some(command) = suggested(&message) else {
            failed.push(format!("{line} suggests nothing: {message}"));
            continue;
        };
        // Placeholders stand for what there is.
        let placed: Vec<String> =
            command.iter().map(|word| word.replace("DIR", "docs").replace("FILE", &script)).collect();
        if let Some(refused) = report_of(&placed) {
            failed.push(format!("{line}\n    {message}\n    {refused}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A directory that is left out would be replaced by the current one, which is then shared.
#[test]
fn no_suggestion_loses_the_directory() {
    for line in MISTAKES.iter().filter(|line| line.starts_with("serve ")) {
        let words = split(line);
        let has_directory = |words: &[String]| words.iter().skip(1).any(|word| !word.starts_with('-'));
        let names_one = ["src", "dir", "root", "example", "file:"].iter().any(|part| line.contains(part));
        let command = report_of(&words).and_then(|message| suggested(&message)).unwrap_or_default();
        assert!(!names_one || has_directory(&command), "{line}: {command:?}");
    }
}

#[test]
fn every_mistake_of_a_command_is_mended_and_the_rest_is_kept() {
    for (line, works) in [
        ("serve 8000 --bind 0.0.0.0 --directory src", "serve --address 0.0.0.0 src --port 8000"),
        ("serve 8000 --bind 127.0.0.1", "serve --address 127.0.0.1 --port 8000"),
        ("serve --directory src 8123", "serve src --port 8123"),
        ("serve --root src --listen :8080", "serve src --address '*:8080'"),
        ("serve -p 8123 -b 0.0.0.0 -d src", "serve -p 8123 --address 0.0.0.0 src"),
        ("serve src --idel 3s --bind ::1", "serve src --idle 3s --address ::1"),
        ("8123 --bind 127.0.0.1", "serve --address 127.0.0.1 --port 8123"),
        ("-m http.server", "serve"),
        ("-m http.server 81 -b ::1 -d src", "serve --address ::1 src --port 81"),
        ("serve --root nowhere 8123 --idle 5", "serve DIR --idle 5s --port 8123"),
        ("serve 8123 --path-prefix /x", "serve http=/x:. --port 8123"),
        ("serve --qr src --lan --address ::1", "serve src --address ::1"),
        ("serve --lan src --lan", "serve --lan src"),
        ("serve --charset '' --idle ''", "serve --charset '' --idle 30s"),
        ("serve --idle 5 minutes -v", "serve --idle 5min -v"),
        ("serve --idle 30 --drain 5", "serve --idle 30s --drain 5s"),
        ("serve --model epoll", "serve --model reactor"),
        ("serve file-server --browse", "serve ."),
        ("serve http=src,listng=off@81 -v", "serve http=src,listing=off@81 -v"),
        ("serve http=src,archive=maybe,readme", "serve http=src,archive=off,readme"),
        ("serve http=src,nonsense,readme", "serve http=src,readme"),
        ("serve src --auth joe:123", "serve src --auth joe"),
        ("serve src --overflow evict --model fork", "serve src --overflow evict --model reactor"),
        ("load echo --arrivals poisson -c 3", "load echo --arrivals poisson -c 3 --rate 1k"),
        ("load tcp@127.0.0.1:1 --send x", r"load tcp@127.0.0.1:1 --send x --until '+PONG\r\n'"),
        ("load echo@127.0.0.1:7 --until x", "load tcp@127.0.0.1:7 --until x"),
        ("load echo -t 8 -c 4", "load echo --threads 4 -c 4"),
        ("load echo --churn --depth 2 -c 4", "load echo --churn -c 4"),
        ("load merge", "load merge FILE FILE"),
        ("completions", "completions bash"),
        ("serve --inbox 1k -v", "serve --inbox 16KiB -v"),
        ("serve --auth-failures 3 -v", "serve -v"),
        ("lecture --list x", "lecture --list"),
        ("compare reactor,thread --quick", "compare --quick --models reactor,thread"),
        ("compare --models reactor,threads", "compare --models reactor,thread"),
        ("load htp://127.0.0.1/ --rps 10 -v", "load http://127.0.0.1/ --rate 10 -v"),
        ("load redis@127.0.0.1:1 -c 3", r"load tcp@127.0.0.1:1 -c 3 --send 'PING\r\n' --until '+PONG\r\n'"),
        ("compare --repeats 1 --seed 64", "compare --repeats 5 --seed 64"),
        ("compare --quick --repeats 1", "compare --quick --repeats 3"),
        ("compare --workers 4,16 --quick --models fork", "compare --quick --models fork"),
        ("compare --models none --quick", "compare --models fork,reactor --quick"),
        ("load http://127.0.0.1/ --header 10k -c 3", "load http://127.0.0.1/ --header 'X-Key: 7' -c 3"),
        (
            "load --method 'a b' --arrival poisson http://127.0.0.1/",
            "load --method POST --arrivals poisson http://127.0.0.1/ --rate 1k",
        ),
        ("load '--form=p99<5ms' http://127.0.0.1/", "load --form name=text http://127.0.0.1/"),
        (
            "load http://127.0.0.1/ --find p99<1s --rate 5k:100",
            "load http://127.0.0.1/ --find 'p99<1s' --rate 100:5k",
        ),
        ("serve --charset 'a b' --idle 30", "serve --charset utf-8 --idle 30s"),
        ("serve http=src,charset=a/b,readme", "serve http=src,charset=utf-8,readme"),
        ("serve --follow echo -v", "serve --follow DIR -v"),
        ("serve --not-found=http://x/ -v", "serve --not-found 404.html -v"),
        ("load http://127.0.0.1/ --verify exakt", "load http://127.0.0.1/ --verify exact"),
    ] {
        let message = report_of(&split(line)).unwrap_or_default();
        assert!(message.ends_with(&format!(": oneloop {works}")), "{line}: {message}");
    }
}

/// Only a directory is listed.
#[test]
fn an_option_for_listings_is_left_out_and_the_reason_is_that_of_the_service() {
    for (line, message) in [
        (
            "serve echo --listing",
            "--listing is not an option of serve; only directories are listed, so leave it out: oneloop serve echo",
        ),
        (
            "serve --listing",
            "--listing is not an option of serve; directories are listed without it: oneloop serve",
        ),
        (
            "serve echo@7 src --browse",
            "--browse is not an option of serve; directories are listed without it: oneloop serve echo@7 src",
        ),
    ] {
        assert_eq!(report_of(&split(line)).as_deref(), Some(message), "{line}");
    }
}

/// A suggested command that fails leaves its user with two errors.
#[test]
fn what_cannot_be_mended_is_reported_without_a_command_that_fails() {
    for (line, message) in [
        ("serve --bind ::1 --nonsense", "--bind is not an option of serve; see: oneloop serve --help"),
        (
            "serve -s reload",
            "-s is not an option of serve; signals do that: kill -HUP PID reopens the access log, and kill PID drains and stops the server",
        ),
    ] {
        assert_eq!(report_of(&split(line)).as_deref(), Some(message), "{line}");
    }
}
