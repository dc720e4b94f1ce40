//! `oneloop lecture`: plays a scene, and draws it on the terminal, as text, and for a slide.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::documents::print;
use super::typed_command::TypedCommand;
use super::units::count;
use super::words::{did_you_mean, typed};
use super::{Failure, stderr};
use crate::lecture::play::{SceneRun, play};
use crate::lecture::scene::{LectureServer, Scene, SceneName};
use crate::lecture::screen::{Display, LastLine, frame, legend, wrapped};
use crate::lecture::script::{ParsedScript, SCRIPT_BYTES_MAX, parse};
use crate::lecture::serve::{self, ServerArgument};
use crate::lecture::timeline::Timeline;
use crate::lecture::{page, plain};
use crate::models::{Model, UnknownModel};
use crate::plot::text::in_one_line;
use crate::sys::signals::SignalCounts;
use crate::sys::terminal::UnechoedInput;
use crate::sys::{Signals, atomic_file};

/// Play the lecture: five clients come to each model in turn
///
/// One client stalls, one is slow, one leaves early. The terminal shows which clients wait in the backlog,
/// which process, thread or slot serves each, and which have their answer; then one sentence sums it up.
/// Everything is measured while it is drawn.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP, allow_negative_numbers = true)]
pub(super) struct LectureArgs {
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = model, help = models_help())]
    model: Vec<Model>,
    #[arg(long, value_name = "NAME", value_parser = scene_name, help = SCENE_HELP, long_help = scenes_help(),
          conflicts_with = "script")]
    scene: Option<SceneName>,
    /// Play the scene in this file: a line per client
    ///
    /// A line is a client, a setting, or a comment:
    ///
    ///   # Two copies, and a client that stalls
    ///   title Who waits for whom?
    ///   models prefork, reactor
    ///   workers 2
    ///   anna at 0ms: pause 1.5s, send hello, answer
    ///   ben at 200ms: send hello, answer, pause 150ms
    ///
    /// The steps:
    ///
    ///   send TEXT    send this
    ///   pause TIME   do nothing for this time, and read what comes
    ///   answer       wait until all that was sent has come back
    ///   end          close its side, and wait for the end of the connection
    ///   leave        close the connection, as every client does in the end
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    script: Option<PathBuf>,
    /// Print the scenes
    #[arg(long, conflicts_with_all = ["model", "scene", "script", "workers", "speed", "pause", "svg", "html", "plain"])]
    list: bool,
    /// Processes of prefork and threads of prethread [default: 2]
    #[arg(long, value_name = "N", value_parser = count::<1, 64>)]
    workers: Option<u32>,
    /// Play this many times as fast, from 0.1 to 10 [default: 1]
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    speed: Option<f64>,
    /// Wait for Enter, on a terminal, before each further model
    #[arg(long)]
    pause: bool,
    /// Keep the picture as SVG, for a slide; "-" is standard output, where nothing else is printed then
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Keep the picture as a page, with the sentences and a table; "-" is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print sentences in place of a drawing, for a screen reader; without a terminal this is the default
    #[arg(long)]
    plain: bool,
    /// Be the server of a scene: what this command starts for each model.
    #[arg(long, value_name = "SERVER", hide = true, exclusive = true)]
    server: Option<ServerArgument>,
}

const AFTER_HELP: &str = "\
Examples:
  oneloop lecture
      every model, in about 12 seconds
  oneloop lecture --model iterative,reactor --pause
      two models, the second when you press Enter
  oneloop lecture --scene zombies
      ended children; --list prints all scenes
  oneloop lecture --script class.txt --html class.html
      a scene of your own, kept as a page

NO_COLOR=1 leaves out colours. Without a UTF-8 locale the drawing is ASCII.

Exit codes: 0 success, 1 interrupted or a system error, 2 invalid arguments.";

const SCENE_HELP: &str = "The scene, of: clients, zombies, leak, backlog [default: clients]";

/// All scenes, each with its name.
fn scenes_list() -> String {
    SceneName::ALL.map(|scene| format!("  {:<8} {}", scene.name(), scene.title())).join("\n")
}

fn scenes_help() -> String {
    format!("The scene to play [default: clients]\n\n{}", scenes_list())
}

fn models_help() -> String {
    let names = Model::ALL.map(Model::name).join(", ");
    format!("Models to play, of: {names} [default: all]")
}

fn scene_name(name: &str) -> Result<SceneName, String> {
    let names = SceneName::ALL.map(SceneName::name);
    let unknown = || {
        let meant = did_you_mean(name, names);
        format!("unknown scene; the scenes are {}{meant}", names.join(", "))
    };
    SceneName::ALL.into_iter().find(|scene| scene.name() == name).ok_or_else(unknown)
}

fn model(name: &str) -> Result<Model, String> {
    name.parse().map_err(|unknown: UnknownModel| {
        format!("{unknown}{}", did_you_mean(name, Model::ALL.map(Model::name)))
    })
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| (0.1..=10.0).contains(speed));
    speed.ok_or_else(|| "write a number from 0.1 to 10, such as 2".to_owned())
}

/// Plays a scene.
pub(super) fn run(args: &LectureArgs, typed: &TypedCommand) -> Result<(), Failure> {
    if let Some(argument) = args.server {
        return serve::run(argument).map_err(Failure::system);
    }
    if args.list {
        return print((scenes_list() + "\n").as_bytes());
    }
    let ParsedScript { scene, hints } = check(args, typed)?;
    if args.pause && !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "--pause has no effect when standard input is not a terminal: Enter is pressed there; leave it out: {}",
            typed.clone().without("pause")
        )));
    }
    for hint in hints {
        stderr::say(format_args!("{}", in_one_line(&format!("hint: {hint}"))));
    }
    for (_, file) in args.files().filter(|(_, file)| !is_standard_output(file)) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Failure::Usage(format!("cannot write {}: no such directory", file.display())));
        }
    }
    let signals = Signals::install().map_err(Failure::system)?;
    let counts = signals.counts();
    let mut stage = Stage::of(args, counts);
    let played = stage.play_all(args, &scene);
    let was_stopped = stage.is_stopped();
    drop(stage);
    let played = played?;
    if was_stopped {
        return Err(Failure::System("interrupted".to_owned()));
    }
    keep(args, &scene, &played)
}

impl LectureArgs {
    /// The pictures to keep, with their options.
    fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [("svg", &self.svg), ("html", &self.html)]
            .into_iter()
            .filter_map(|(option, file)| Some((option, file.as_deref()?)))
    }
}

fn is_standard_output(path: &Path) -> bool {
    path == Path::new("-")
}

/// The scene that the arguments ask for; an error if an option has no effect.
pub(super) fn check(args: &LectureArgs, typed: &TypedCommand) -> Result<ParsedScript, Failure> {
    let parsed = scene(args, typed)?;
    let without_effect = |option: &str, why: &str| {
        let left = typed.clone().without(option);
        Err(Failure::Usage(format!("--{option} has no effect {why}; leave it out: {left}")))
    };
    if args.svg.is_some() && args.svg == args.html {
        return Err(Failure::Usage("--svg and --html have the same path; give each its own".to_owned()));
    }
    if let Some((option, _)) = args.files().find(|(_, file)| is_standard_output(file)) {
        let shown = [(args.plain, "plain"), (args.pause, "pause")];
        if let Some((_, other)) = shown.into_iter().find(|(is_given, _)| *is_given) {
            return without_effect(
                other,
                &format!("with --{option} -, because nothing is shown while it is played"),
            );
        }
    }
    if args.pause && parsed.scene.servers.len() == 1 {
        return without_effect("pause", "with one model: there is no further one to wait for");
    }
    Ok(parsed)
}

/// The scene that the arguments ask for.
fn scene(args: &LectureArgs, typed: &TypedCommand) -> Result<ParsedScript, Failure> {
    let mut hints = Vec::new();
    let mut scene = match (&args.script, args.scene) {
        (Some(file), _) => {
            let parsed = script(file)?;
            hints = parsed.hints.iter().map(|hint| format!("--script {}: {hint}", file.display())).collect();
            parsed.scene
        }
        (None, name) => {
            let name = name.unwrap_or(SceneName::Clients);
            if name != SceneName::Clients {
                let given = [(!args.model.is_empty(), "--model"), (args.workers.is_some(), "--workers")];
                if let Some((_, flag)) = given.into_iter().find(|(is_given, _)| *is_given) {
                    return Err(Failure::Usage(format!(
                        "{flag} has no effect with --scene {}, which has its own servers; leave it out: {}",
                        name.name(),
                        typed.clone().without("model").without("workers")
                    )));
                }
            }
            name.scene()
        }
    };
    if !args.model.is_empty() {
        let backlog = scene.servers.iter().find_map(|server| match server {
            LectureServer::Model(_, backlog) => *backlog,
            LectureServer::WithoutWait | LectureServer::WithoutClose => None,
        });
        let chosen = Model::ALL.into_iter().filter(|model| args.model.contains(model));
        scene.servers = chosen.map(|model| LectureServer::Model(model, backlog)).collect();
    }
    if let Some(workers) = args.workers {
        let ahead =
            |server: &LectureServer| matches!(server, LectureServer::Model(model, _) if model.starts_ahead());
        if !scene.servers.iter().any(ahead) {
            return Err(Failure::Usage(format!(
                "--workers has no effect without prefork or prethread; leave it out, or use it like this: {}",
                typed.clone().with("model", "prefork").without("pause")
            )));
        }
        scene.workers = workers;
    }
    Ok(ParsedScript { scene, hints })
}

/// Reads the scene in a file.
fn script(file: &Path) -> Result<ParsedScript, Failure> {
    let shown = file.display();
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(SCRIPT_BYTES_MAX + 1).read_to_end(&mut text));
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Failure::Usage(format!("--script {shown}: no such file; oneloop lecture --help shows one"))
        }
        ErrorKind::IsADirectory => Failure::Usage(format!("--script {shown}: is a directory; name a file")),
        _ => Failure::System(format!("--script {shown}: cannot read it: {error}")),
    })?;
    if text.len() as u64 > SCRIPT_BYTES_MAX {
        let kib = SCRIPT_BYTES_MAX >> 10;
        return Err(Failure::Usage(format!(
            "--script {shown}: is longer than {kib} KiB; a scene has 12 clients at most"
        )));
    }
    let text = String::from_utf8(text).map_err(|_| {
        Failure::Usage(format!("--script {shown}: is not text in UTF-8; write it with a text editor"))
    })?;
    parse(&text).map_err(|error| Failure::Usage(format!("--script {shown}: {error}")))
}

/// Where a scene is shown.
struct Stage {
    form: ShownAs,
    speed: f64,
    counts: SignalCounts,
    stops_before: u32,
}

/// How a scene is shown.
enum ShownAs {
    /// Sentences.
    Plain,
    /// A drawing that is repainted in place.
    Drawing(Canvas),
    /// Not at all: the picture goes to standard output in the end.
    Nothing,
}

impl Stage {
    fn of(args: &LectureArgs, counts: SignalCounts) -> Stage {
        let is_taken = args.files().any(|(_, file)| is_standard_output(file));
        let form = match Canvas::of_terminal() {
            _ if is_taken => ShownAs::Nothing,
            Some(canvas) if !args.plain => ShownAs::Drawing(canvas),
            _ => ShownAs::Plain,
        };
        Stage { form, speed: args.speed.unwrap_or(1.0), counts, stops_before: counts.stops() }
    }

    fn is_stopped(&self) -> bool {
        self.counts.stops() != self.stops_before
    }

    /// Plays the scene with each of its servers.
    fn play_all(&mut self, args: &LectureArgs, scene: &Scene) -> Result<Vec<SceneRun>, Failure> {
        let title = in_one_line(&scene.title);
        match &mut self.form {
            ShownAs::Plain => print(format!("{title}\n").as_bytes())?,
            ShownAs::Drawing(canvas) => canvas.head(scene, &title)?,
            ShownAs::Nothing => {}
        }
        let planned = Duration::from_millis(scene.serial_ms().max(1).into()).div_f64(self.speed);
        let mut horizon_us = planned.as_micros() as u64 * 21 / 20;
        let (counts, stops_before, speed) = (self.counts, self.stops_before, self.speed);
        let stop = || counts.stops() != stops_before;
        let mut all = Vec::new();
        for (at, server) in scene.servers.iter().enumerate() {
            if at > 0 && args.pause && !self.wait_for_enter(*server)? {
                break;
            }
            let mut shown = Ok(());
            let mut show = |timeline: &Timeline| {
                if let ShownAs::Drawing(canvas) = &mut self.form {
                    horizon_us = horizon_us.max(timeline.until_us * 21 / 20);
                    let drawn = canvas.draw(scene, *server, timeline, horizon_us, LastLine::Now);
                    shown = std::mem::replace(&mut shown, Ok(())).and(drawn);
                }
            };
            let played = play(scene, *server, speed, &stop, &mut show).map_err(Failure::System)?;
            shown?;
            let Some(played) = played else { break };
            match &mut self.form {
                ShownAs::Plain => {
                    let text = plain::text(scene, played.server, &played.timeline, &played.sentence);
                    print(format!("\n{text}").as_bytes())?;
                }
                ShownAs::Drawing(canvas) => canvas.finish(scene, &played, horizon_us)?,
                ShownAs::Nothing => {}
            }
            all.push(played);
        }
        Ok(all)
    }

    /// Waits for Enter, or the end of input. `false` if a signal came first.
    fn wait_for_enter(&mut self, next: LectureServer) -> Result<bool, Failure> {
        let mut asks = format!("Enter plays {} ... ", next.title());
        if let ShownAs::Drawing(canvas) = &self.form {
            canvas.discard_typed();
            // A second line would stay.
            asks = asks.chars().take(canvas.size.0.saturating_sub(1)).collect();
        }
        print(asks.as_bytes())?;
        let stdin = io::stdin();
        let mut byte = [0];
        loop {
            let ready = crate::sys::wait::readable(
                [std::os::fd::AsFd::as_fd(&stdin)],
                Some(Duration::from_millis(100)),
            );
            if self.is_stopped() {
                return Ok(false);
            }
            if ready.is_ok_and(|ready| ready.any()) {
                match nix::unistd::read(&stdin, &mut byte) {
                    Ok(1..) if byte != *b"\n" => {}
                    _ => break,
                }
            }
        }
        match &self.form {
            ShownAs::Drawing(_) => print(b"\r\x1b[K")?,
            ShownAs::Plain | ShownAs::Nothing => print(b"\n")?,
        }
        Ok(true)
    }
}

/// A terminal on which a drawing is repainted in place.
struct Canvas {
    /// The drawing is not moved by what is typed.
    input: Option<UnechoedInput>,
    size: (usize, usize),
    has_colours: bool,
    has_unicode: bool,
    /// Lines of the drawing that is repainted.
    lines: usize,
}

impl Canvas {
    /// The terminal of standard output, if it can repaint.
    fn of_terminal() -> Option<Canvas> {
        let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if is_dumb || !io::stdout().is_terminal() {
            return None;
        }
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let has_unicode = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        let input = UnechoedInput::begin().ok();
        Some(Canvas { input, size: size()?, has_colours: !no_color, has_unicode, lines: 0 })
    }

    fn display(&self) -> Display {
        Display { width: self.size.0, has_colours: self.has_colours, has_unicode: self.has_unicode }
    }

    fn discard_typed(&self) {
        if let Some(input) = &self.input {
            input.discard_typed();
        }
    }

    fn head(&mut self, scene: &Scene, title: &str) -> Result<(), Failure> {
        let mut lines = wrapped(title, self.size.0.saturating_sub(1).max(1));
        lines.extend(legend(scene, self.display()));
        print(format!("{}\n\n", lines.join("\n")).as_bytes())
    }

    /// Repaints the drawing. A drawing that is higher than the terminal is shown only when it is finished.
    fn draw(
        &mut self,
        scene: &Scene,
        server: LectureServer,
        timeline: &Timeline,
        horizon_us: u64,
        below: LastLine<'_>,
    ) -> Result<(), Failure> {
        let size = size().unwrap_or(self.size);
        let mut text = String::new();
        if size != self.size {
            // The terminal has wrapped the lines again: their positions are unknown.
            self.size = size;
            self.lines = 0;
            text += "\x1b[H\x1b[2J";
        }
        let lines = frame(scene, server, timeline, horizon_us, self.display(), below);
        let is_last = below != LastLine::Now;
        if lines.len() >= self.size.1 && !is_last {
            return Ok(());
        }
        if self.lines > 0 {
            let _ = write!(text, "\x1b[{}A\r", self.lines);
        }
        for line in &lines {
            text += line;
            text += "\x1b[K\n";
        }
        text += "\x1b[J";
        self.lines = lines.len();
        print(text.as_bytes())
    }

    /// The drawing as it stays, with its sentence.
    fn finish(&mut self, scene: &Scene, played: &SceneRun, horizon_us: u64) -> Result<(), Failure> {
        let below = LastLine::Sentence(&played.sentence);
        self.draw(scene, played.server, &played.timeline, horizon_us, below)?;
        self.lines = 0;
        print(b"\n")
    }
}

/// Columns and rows of the terminal.
fn size() -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size_of(io::stdout())?;
    Some((width.0.into(), height.0.into()))
}

/// Keeps the pictures that were asked for.
fn keep(args: &LectureArgs, scene: &Scene, played: &[SceneRun]) -> Result<(), Failure> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let origin = format!("{}, {now}, version {}", typed(), env!("CARGO_PKG_VERSION"));
    let files = [
        (&args.svg, page::svg_file as fn(&Scene, &[SceneRun], &str) -> String),
        (&args.html, page::html as fn(&Scene, &[SceneRun], &str) -> String),
    ];
    for (file, render) in files {
        let Some(file) = file else { continue };
        if is_standard_output(file) {
            print(render(scene, played, &origin).as_bytes())?;
            continue;
        }
        atomic_file::write(file, render(scene, played, &origin).as_bytes())
            .map_err(|error| Failure::System(format!("cannot write {}: {error}", file.display())))?;
        let line = in_one_line(&format!("picture: {}", file.display()));
        // On standard error: standard output may be a pipe for the text.
        stderr::say(format_args!("{line}"));
    }
    Ok(())
}
