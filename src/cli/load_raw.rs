//! The options of `oneloop load` for raw TCP: what is sent, and where replies end.

use clap::Args;

use super::Failure;
use super::load_input::FileInput;
use super::load_values::without_column;
use super::units::number;
use crate::load::clients::{BytePattern, RawLoad, RawScript, RawStep, ReplyEnd, Rows, Template};

/// What to write for raw TCP.
pub(super) const EXAMPLE: &str = r"oneloop load tcp@127.0.0.1:6379 --send 'PING\r\n' --until '+PONG\r\n'";

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Raw TCP: tcp@ADDR")]
pub(super) struct RawArgs {
    /// What each request sends: text with \r, \n, \t, \0, \xHH and \\, or @FILE; may be repeated
    ///
    /// The requests of a connection are sent in this order, repeatedly; each counts. {counter}, {random} and
    /// {random:1-1000} are replaced by numbers. Without --send, the load only reads.
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    send: Vec<String>,
    /// What ends each reply: text as in --send, or a regular expression between slashes; once, or for each
    /// --send
    ///
    /// A reply ends as soon as it contains TEXT. In /REGEX/, ^ matches the start of the reply, and (?m:^) the
    /// start of a line.
    #[arg(long, value_name = "TEXT|/REGEX/", allow_hyphen_values = true)]
    until: Vec<String>,
    /// Each reply has N bytes; 0 means that there is no reply
    #[arg(long, value_name = "N", value_parser = reply_bytes, conflicts_with_all = ["until", "until_close"])]
    until_bytes: Option<u64>,
    /// Each reply ends when the server closes the connection
    #[arg(long, conflicts_with = "until")]
    until_close: bool,
    /// A reply that contains this is an error (wrong bytes), such as /^-/ for Redis
    #[arg(long, value_name = "TEXT|/REGEX/", allow_hyphen_values = true)]
    reject: Option<String>,
    /// What ends the greeting that the server sends first on each connection, as in SMTP
    #[arg(long, value_name = "TEXT|/REGEX/", allow_hyphen_values = true)]
    greeting: Option<String>,
    /// What each connection sends once, after the greeting, such as a login
    ///
    /// Greeting and setup are not counted as requests; the first request of a connection waits for them.
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true, requires = "setup_until")]
    setup: Option<String>,
    /// What ends the reply to --setup
    #[arg(long, value_name = "TEXT|/REGEX/", allow_hyphen_values = true, requires = "setup")]
    setup_until: Option<String>,
}

impl RawArgs {
    /// The first of these options that was given.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        [
            (!self.send.is_empty(), "--send"),
            (!self.until.is_empty(), "--until"),
            (self.until_bytes.is_some(), "--until-bytes"),
            (self.until_close, "--until-close"),
            (self.reject.is_some(), "--reject"),
            (self.greeting.is_some(), "--greeting"),
            (self.setup.is_some(), "--setup"),
        ]
        .into_iter()
        .find_map(|(is_given, option)| is_given.then_some(option))
    }

    /// Whether it is known where a reply ends.
    pub(super) fn has_end(&self) -> bool {
        !self.until.is_empty() || self.until_bytes.is_some() || self.until_close
    }

    /// The load that these options ask for.
    pub(super) fn load(&self, rows: Rows, seed: u64, input: FileInput) -> Result<RawLoad, Failure> {
        let wrong = self.reject.as_deref().map(|typed| pattern("--reject", typed)).transpose()?;
        let script = RawScript { opening: self.opening(input)?, steps: self.steps(&rows, input)?, wrong };
        if !rows.columns().is_empty() && !script.steps.iter().any(|step| step.send.has_column()) {
            return Err(without_column(&rows, "--send"));
        }
        RawLoad::new(script, rows, seed)
            .map_err(|error| Failure::Usage(format!("tcp: {error}; for example: {EXAMPLE}")))
    }

    fn opening(&self, input: FileInput) -> Result<Vec<RawStep>, Failure> {
        let mut opening = Vec::new();
        if let Some(greeting) = &self.greeting {
            let end = ReplyEnd::Pattern(pattern("--greeting", greeting)?);
            opening.push(RawStep { send: Template::default(), end });
        }
        if let (Some(setup), Some(until)) = (&self.setup, &self.setup_until) {
            let end = ReplyEnd::Pattern(pattern("--setup-until", until)?);
            opening.push(RawStep { send: Template::fixed(&bytes("--setup", setup, input)?), end });
        }
        Ok(opening)
    }

    fn steps(&self, rows: &Rows, input: FileInput) -> Result<Vec<RawStep>, Failure> {
        let sends = self.send.iter().map(|send| {
            Template::parse(&bytes("--send", send, input)?, rows)
                .map_err(|error| Failure::Usage(format!("--send: {error}")))
        });
        let mut sends: Vec<Template> = sends.collect::<Result<_, _>>()?;
        let ends: Vec<ReplyEnd> = match (self.until_bytes, self.until_close) {
            (Some(len), _) => vec![ReplyEnd::Bytes(len)],
            (None, true) => vec![ReplyEnd::Close],
            (None, false) => {
                let ends = self.until.iter().map(|typed| pattern("--until", typed).map(ReplyEnd::Pattern));
                ends.collect::<Result<_, _>>()?
            }
        };
        if sends.is_empty() {
            sends.resize(ends.len(), Template::default());
        }
        let wrong = |what: String| Err(Failure::Usage(format!("{what}; for example: {EXAMPLE}")));
        match (sends.len(), &ends[..]) {
            (_, []) => {
                wrong("tcp needs --until, --until-bytes or --until-close: where a reply ends".to_owned())
            }
            (_, [end]) => Ok(sends.into_iter().map(|send| RawStep { send, end: end.clone() }).collect()),
            (sent, _) if sent == ends.len() => {
                let steps = sends.into_iter().zip(ends).map(|(send, end)| RawStep { send, end });
                Ok(steps.collect())
            }
            (sent, _) => wrong(format!(
                "{} of --until for {sent} of --send: give one --until for all, or one for each",
                ends.len()
            )),
        }
    }
}

/// A pattern as it is typed.
fn pattern(option: &str, typed: &str) -> Result<BytePattern, Failure> {
    let pattern = match typed.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(regex) => BytePattern::Regex(regex.to_owned()),
        None => unescaped(option, typed).map(BytePattern::Text)?,
    };
    let wrong = |error| Failure::Usage(format!("{option} \"{}\": {error}", typed.escape_debug()));
    pattern.check().map_err(wrong)?;
    Ok(pattern)
}

/// Up to here a number has no rounded digits.
const REPLY_BYTES_MAX: u64 = 1 << 53;

fn reply_bytes(text: &str) -> Result<u64, String> {
    number(text, 0, REPLY_BYTES_MAX)
}

/// Bytes as they are typed, or those of a file.
fn bytes(option: &str, typed: &str, input: FileInput) -> Result<Vec<u8>, Failure> {
    match typed.strip_prefix('@') {
        Some(file) => input.file(option, file),
        None => unescaped(option, typed),
    }
}

/// The bytes of a text with escapes.
fn unescaped(option: &str, typed: &str) -> Result<Vec<u8>, Failure> {
    let (mut bytes, mut chars) = (Vec::with_capacity(typed.len()), typed.chars());
    while let Some(char) = chars.next() {
        if char != '\\' {
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next();
        let byte = match escape {
            Some('r') => Some(b'\r'),
            Some('n') => Some(b'\n'),
            Some('t') => Some(b'\t'),
            Some('0') => Some(0),
            Some('\\') => Some(b'\\'),
            Some('x') => {
                let digits: String = chars.by_ref().take(2).collect();
                let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                u8::from_str_radix(&digits, 16).ok().filter(|_| is_hex)
            }
            _ => None,
        };
        bytes.push(byte.ok_or_else(|| {
            let escape = escape.map_or_else(String::new, |char| char.escape_debug().to_string());
            Failure::Usage(format!(
                "{option}: \\{escape} is not an escape; write \\r, \\n, \\t, \\0, \\xHH or \\\\"
            ))
        })?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &[&str]) -> Result<Vec<RawStep>, String> {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            raw: RawArgs,
        }
        let alone = <Alone as clap::Parser>::try_parse_from([&["x"], args].concat());
        let raw = alone.map_err(|error| error.to_string())?.raw;
        raw.load(Rows::default(), 1, FileInput::Read).map_err(|failure| format!("{failure:?}"))?;
        raw.steps(&Rows::default(), FileInput::Read).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn escapes_are_bytes() {
        assert_eq!(unescaped("--send", r"a\r\n\t\0\\\x00\xFfü").unwrap(), b"a\r\n\t\0\\\x00\xff\xc3\xbc");
        for wrong in [r"\q", r"\", r"\x1", r"\xg0", r"\x+1"] {
            assert!(format!("{:?}", unescaped("--send", wrong)).contains("is not an escape"), "{wrong}");
        }
    }

    #[test]
    fn an_end_is_for_all_requests_or_for_each() {
        let text = |text: &str| ReplyEnd::Pattern(BytePattern::Text(text.as_bytes().to_vec()));
        let ends = |typed: &[&str]| args(typed).unwrap().into_iter().map(|step| step.end).collect::<Vec<_>>();
        assert_eq!(ends(&["--send=a", "--send=b", "--until=x"]), [text("x"), text("x")]);
        assert_eq!(ends(&["--send=a", "--send=b", "--until=x", "--until=-y"]), [text("x"), text("-y")]);
        assert_eq!(ends(&["--send=a", "--until-bytes=5"]), [ReplyEnd::Bytes(5)]);
        assert_eq!(ends(&["--until-close"]), [ReplyEnd::Close]);
        assert_eq!(
            ends(&["--send", "-a", "--until=/^[+-]/"]),
            [ReplyEnd::Pattern(BytePattern::Regex("^[+-]".to_owned()))]
        );
        assert_eq!(ends(&["--send=a", "--until=/"]), [text("/")], "one slash is text");
    }

    #[test]
    fn what_cannot_be_sent_is_reported() {
        for (typed, part) in [
            (&["--send=a"][..], "tcp needs --until"),
            (&["--send=a", "--until=x", "--until=y"], "2 of --until for 1 of --send"),
            (&["--send=a", "--until=x", "--until-bytes=1"], "cannot be used with"),
            (&["--send=a", "--until=/(/"], r#"--until \"/(/\": unclosed group"#),
            (&["--send=a", "--until=x", "--reject=/(/"], r#"--reject \"/(/\": unclosed group"#),
            (&["--send=a", "--until=x", "--greeting=/a$/"], r#"--greeting \"/a$/\": "#),
            (&["--send=a", "--until-bytes=x"], "not a whole number"),
            (&["--send=a", "--until=x", "--setup=x"], "--setup-until"),
            (&["--send=@/no/such", "--until=x"], "/no/such"),
            (&["--send=a", "--until="], "is found in a reply without bytes"),
            (&["--send={random:x}", "--until=x"], "write a range as {random:1-1000}"),
            (&["--until-bytes=0"], "needs a reply"),
        ] {
            let error = args(typed).unwrap_err();
            assert!(error.contains(part), "{typed:?}: {error}");
        }
        let raw = RawArgs { send: vec!["{a}".to_owned()], until: vec!["x".to_owned()], ..RawArgs::default() };
        for (column, is_used) in [("a", true), ("b", false)] {
            let mut rows = Rows::new(vec![column.to_owned()]);
            rows.push([&b"1"[..]].into_iter()).unwrap();
            let error = raw.load(rows, 1, FileInput::Read).map_err(|failure| format!("{failure:?}")).err();
            let has_part =
                |error: String| error.contains("--values has no effect, because no request has {b}");
            assert_eq!(error.map(has_part), (!is_used).then_some(true));
        }
    }
}
