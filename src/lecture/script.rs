//! A scene as text: a line per client.
//!
//! ```text
//! # Two copies, and a client that stalls.
//! title Who waits for whom?
//! models prefork, reactor
//! workers 2
//! anna at 0ms: pause 1.5s, send hello, answer
//! ben at 200ms: send hello, answer, pause 150ms
//! cleo at 400ms: send he, pause 200ms, send llo, answer, end
//! ```

use std::fmt;

use super::scene::{
    Act, CLIENTS_MAX, ClientPlan, Gauge, LectureServer, SCENE_MS_MAX, Scene, Topic, WORKERS_DEFAULT,
};
use crate::models::Model;

/// The size of a script, at most, in bytes.
pub(crate) const SCRIPT_BYTES_MAX: u64 = 64 << 10;
/// Steps of a client, at most.
const STEPS_MAX: usize = 64;
/// The longest name, in characters: the width of its column.
const NAME_CHARS_MAX: usize = 12;
/// The longest text of a step, in bytes.
const SEND_BYTES_MAX: usize = 1000;
/// The longest title, in characters.
const TITLE_CHARS_MAX: usize = 100;
/// Workers, at most.
const WORKERS_MAX: u32 = 64;
/// The longest queue, at most.
const BACKLOG_MAX: u32 = 4096;
/// How a client is written.
const CLIENT_FORM: &str = "write a client as: NAME at TIME: STEP, STEP, ...";
/// The steps.
const STEPS_FORM: &str = "the steps are send TEXT, pause TIME, answer, end and leave";
/// How a time is written.
const TIME_FORM: &str = "write a time as 200ms or 1.5s";

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptError {
    /// The line, from 1 on; 0 for the script as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for ScriptError {}

/// A script, as far as it is read.
struct Script {
    title: Option<String>,
    models: Vec<Model>,
    workers: u32,
    backlog: Option<u32>,
    clients: Vec<ClientPlan>,
}

/// A scene, and what in its script may be a mistake.
#[derive(Debug)]
pub(crate) struct ParsedScript {
    pub(crate) scene: Scene,
    /// What is played as it is written, and probably meant otherwise: a line each.
    pub(crate) hints: Vec<String>,
}

/// Reads a script.
pub(crate) fn parse(text: &str) -> Result<ParsedScript, ScriptError> {
    let mut script = Script {
        title: None,
        models: Model::ALL.to_vec(),
        workers: WORKERS_DEFAULT,
        backlog: None,
        clients: Vec::new(),
    };
    let mut hints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let read = script.read(line).map_err(|what| ScriptError { line: at + 1, what })?;
            hints.extend(read.into_iter().map(|hint| format!("line {}: {hint}", at + 1)));
        }
    }
    let whole = |what: &str| Err(ScriptError { line: 0, what: what.to_owned() });
    if script.clients.is_empty() {
        return whole(&format!("no client comes; {CLIENT_FORM}"));
    }
    let Script { title, models, workers, backlog, clients } = script;
    let servers = models.into_iter().map(|model| LectureServer::Model(model, backlog)).collect();
    let scene = Scene {
        title: title.unwrap_or_else(|| "A scene of your own".to_owned()),
        servers,
        clients,
        workers,
        gauges: vec![Gauge::Queue],
        topic: Topic::Waiting,
    };
    if scene.serial_ms() > SCENE_MS_MAX {
        return whole(&format!("it takes longer than {} s; shorten its pauses", SCENE_MS_MAX / 1000));
    }
    Ok(ParsedScript { scene, hints })
}

impl Script {
    /// Reads a line. Returns hints.
    fn read(&mut self, line: &str) -> Result<Vec<String>, String> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "title" if rest.is_empty() => Err("the title is missing; write title TEXT".to_owned()),
            "title" if rest.chars().count() > TITLE_CHARS_MAX => {
                Err(format!("the title has more than {TITLE_CHARS_MAX} characters"))
            }
            "title" => {
                self.title = Some(rest.to_owned());
                Ok(Vec::new())
            }
            "models" | "model" => {
                self.models.clear();
                for name in rest.split(',').map(str::trim) {
                    let model = name.parse::<Model>().map_err(|unknown| unknown.to_string())?;
                    if !self.models.contains(&model) {
                        self.models.push(model);
                    }
                }
                Ok(Vec::new())
            }
            "workers" => {
                self.workers = number(rest, WORKERS_MAX)?;
                Ok(Vec::new())
            }
            "backlog" => {
                self.backlog = Some(number(rest, BACKLOG_MAX)?);
                Ok(Vec::new())
            }
            _ => self.read_client(line),
        }
    }

    fn read_client(&mut self, line: &str) -> Result<Vec<String>, String> {
        let unknown = || {
            let word = line.split([' ', ':']).next().unwrap_or_default();
            format!(
                "\"{}\" is not a setting or a client; the settings are title, models, workers and backlog; {CLIENT_FORM}",
                word.escape_debug()
            )
        };
        let (head, steps) = line.split_once(':').ok_or_else(unknown)?;
        let words: Vec<&str> = head.split_whitespace().collect();
        let [name, "at", time] = words.as_slice() else { return Err(unknown()) };
        if name.chars().count() > NAME_CHARS_MAX {
            return Err(format!(
                "the name \"{}\" has more than {NAME_CHARS_MAX} characters",
                name.escape_debug()
            ));
        }
        if name.chars().any(|char| !char.is_alphanumeric() && !"-_.".contains(char)) {
            return Err(format!(
                "the name \"{}\" has other characters than letters, digits, - _ and .",
                name.escape_debug()
            ));
        }
        if self.clients.iter().any(|plan| plan.name == *name) {
            return Err(format!("a client with the name {name} comes already; choose another name"));
        }
        if self.clients.len() >= CLIENTS_MAX {
            return Err(format!("more than {CLIENTS_MAX} clients; leave this one out"));
        }
        let comes_ms = time_ms(time)?;
        let steps: Vec<&str> = steps.split(',').map(str::trim).filter(|step| !step.is_empty()).collect();
        if steps.is_empty() {
            return Err(format!("{name} does nothing; {STEPS_FORM}"));
        }
        if steps.len() > STEPS_MAX {
            return Err(format!("more than {STEPS_MAX} steps"));
        }
        let (mut acts, mut hints) = (Vec::new(), Vec::new());
        for (at, step) in steps.iter().enumerate() {
            let is_last = at + 1 == steps.len();
            let two = two_steps(step);
            match (act(step, is_last), two) {
                (Ok(act), two) => {
                    acts.extend(act);
                    hints.extend(two.map(|two| {
                        format!(
                            "\"{}\" is sent with these words; for two steps, write {two}",
                            step.escape_debug()
                        )
                    }));
                }
                (Err(_), Some(two)) => {
                    return Err(format!(
                        "\"{}\" is two steps without a comma; write {two}",
                        step.escape_debug()
                    ));
                }
                (Err(error), None) => return Err(error),
            }
            if matches!(acts.last(), Some(Act::End)) && steps[at + 1..].iter().any(|next| *next != "leave") {
                return Err(format!(
                    "nothing but leave can come after end, not \"{}\"",
                    steps[at + 1].escape_debug()
                ));
            }
        }
        self.clients.push(ClientPlan { name: (*name).to_owned(), manner: String::new(), comes_ms, acts });
        Ok(hints)
    }
}

/// A step; `None` for `leave`, which every client does at the end.
fn act(step: &str, is_last: bool) -> Result<Option<Act>, String> {
    let (word, rest) = step.split_once(char::is_whitespace).unwrap_or((step, ""));
    let rest = rest.trim();
    match (word, rest) {
        ("send", "") => Err("send what? Write send TEXT".to_owned()),
        ("send", text) if text.len() > SEND_BYTES_MAX => {
            Err(format!("the text has more than {SEND_BYTES_MAX} bytes"))
        }
        ("send", text) => Ok(Some(Act::Send(text.to_owned()))),
        ("pause", time) => time_ms(time).map(|ms| Some(Act::Pause(ms))),
        ("answer", "") => Ok(Some(Act::Answer)),
        ("end", "") => Ok(Some(Act::End)),
        ("leave", "") if is_last => Ok(None),
        ("leave", "") => Err("leave is the last step; nothing can come after it".to_owned()),
        ("answer" | "end" | "leave", more) => {
            Err(format!("\"{}\" is too much after {word}; write {word}", more.escape_debug()))
        }
        _ => Err(format!("\"{}\" is not a step; {STEPS_FORM}", step.escape_debug())),
    }
}

/// What was typed as one step, if it reads as two: with the comma that is missing.
fn two_steps(step: &str) -> Option<String> {
    let spaces = step.match_indices(char::is_whitespace);
    let halves = spaces.map(|(at, _)| (step[..at].trim_end(), step[at..].trim_start()));
    let is_step = |half: &str| act(half, true).is_ok();
    let found = halves.into_iter().find(|(first, second)| is_step(first) && is_step(second));
    found.map(|(first, second)| format!("{}, {}", first.escape_debug(), second.escape_debug()))
}

fn number(text: &str, max: u32) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=max).contains(count))
        .ok_or_else(|| format!("\"{}\" is not a number from 1 to {max}", text.escape_debug()))
}

/// A time in ms: `200ms`, `1.5s`.
fn time_ms(text: &str) -> Result<u32, String> {
    let unreadable = || format!("\"{}\" is not a time; {TIME_FORM}", text.escape_debug());
    let compact: String = text.split_whitespace().collect();
    let (digits, factor) = match (compact.strip_suffix("ms"), compact.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1.0),
        (None, Some(digits)) => (digits, 1000.0),
        (None, None) if compact == "0" => ("0", 1.0),
        (None, None) => return Err(unreadable()),
    };
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let ms = digits.parse::<f64>().ok().filter(|_| is_plain).ok_or_else(unreadable)? * factor;
    if ms > f64::from(SCENE_MS_MAX) {
        return Err(format!("\"{}\" is longer than {} s", text.escape_debug(), SCENE_MS_MAX / 1000));
    }
    #[allow(clippy::cast_sign_loss)] // digits have no sign
    Ok(ms.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
# A comment.
title Who waits for whom?
models prefork, reactor
workers 3
backlog 7

anna at 0ms: pause 1.5s, send hello, answer
ben at 200ms: send he, pause 150 ms, send l l o, answer, end, leave
";

    #[test]
    fn a_script_is_a_scene() {
        let ParsedScript { scene, hints } = parse(SCRIPT).unwrap();
        assert_eq!(hints, [""; 0]);
        assert_eq!(scene.title, "Who waits for whom?");
        let servers = [Model::Prefork, Model::Reactor].map(|model| LectureServer::Model(model, Some(7)));
        assert_eq!((scene.servers.as_slice(), scene.workers), (&servers[..], 3));
        let [anna, ben] = scene.clients.as_slice() else { panic!("{:?}", scene.clients) };
        assert_eq!(anna.acts, [Act::Pause(1500), Act::Send("hello".into()), Act::Answer]);
        assert_eq!((ben.name.as_str(), ben.comes_ms), ("ben", 200));
        let acts =
            [Act::Send("he".into()), Act::Pause(150), Act::Send("l l o".into()), Act::Answer, Act::End];
        assert_eq!(ben.acts, acts);
        assert_eq!(parse("a at 0: leave").unwrap().scene.servers.len(), Model::ALL.len());
    }

    /// It may be what is to be sent, so it is played.
    #[test]
    fn a_text_that_ends_in_a_step_is_sent_with_a_hint() {
        for (steps, hint) in [
            (
                "send x answer",
                Some("\"send x answer\" is sent with these words; for two steps, write send x, answer"),
            ),
            ("send x y end", Some("write send x y, end")),
            ("send he pause 200 ms, send llo", Some("write send he, pause 200 ms")),
            ("send he send llo, answer", Some("write send he, send llo")),
            ("send the answer is 7, answer", None),
            ("send answer, answer", None),
            ("send pause, answer", None),
        ] {
            let ParsedScript { scene, hints } = parse(&format!("# x\na at 0: {steps}")).unwrap();
            let first = steps.split(", ").next().unwrap();
            assert_eq!(scene.clients[0].acts[0], Act::Send(first["send ".len()..].to_owned()));
            assert_eq!(hints.len(), usize::from(hint.is_some()), "{steps}: {hints:?}");
            let begins = hints.iter().all(|line| line.starts_with("line 2: "));
            assert!(begins && hints.concat().ends_with(hint.unwrap_or_default()), "{hints:?}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_to_write() {
        for (text, line, part) in [
            ("", 0, "no client comes; write a client as: NAME at TIME: STEP"),
            ("\n\nanna comes 0ms: answer", 3, "\"anna\" is not a setting or a client"),
            ("anna at 0ms", 1, "write a client as"),
            ("anna at soon: answer", 1, "\"soon\" is not a time; write a time as 200ms or 1.5s"),
            ("anna at 5: answer", 1, "write a time as"),
            ("anna at -5ms: answer", 1, "is not a time"),
            ("anna at 99h: answer", 1, "is not a time"),
            ("anna at 99s: answer", 1, "longer than 60 s"),
            ("anna at 0ms: ask", 1, "\"ask\" is not a step; the steps are send TEXT"),
            ("anna at 0ms: send", 1, "Write send TEXT"),
            ("anna at 0ms: leave, answer", 1, "leave is the last step"),
            ("anna at 0ms: end, answer", 1, "nothing but leave can come after end"),
            ("anna at 0ms: answer now", 1, "\"now\" is too much after answer"),
            (
                "anna at 0ms: send x, answer end",
                1,
                "\"answer end\" is two steps without a comma; write answer, end",
            ),
            ("anna at 0ms: pause 1s send x, answer", 1, "write pause 1s, send x"),
            ("anna at 0ms:", 1, "anna does nothing"),
            ("anna at 0ms: answer\nanna at 1ms: answer", 2, "comes already"),
            ("models forks", 1, "unknown model \"forks\"; the models are iterative"),
            ("workers 0", 1, "from 1 to 64"),
            ("an\u{1b}na at 0ms: answer", 1, "\\u{1b}"),
            ("a at 30s: pause 20s, answer, pause 20s", 0, "longer than 60 s"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
        let many: Vec<String> = (0..=CLIENTS_MAX).map(|at| format!("c{at} at 0ms: answer")).collect();
        assert!(
            parse(&many.join("\n")).unwrap_err().to_string().starts_with("line 13: more than 12 clients")
        );
    }
}
