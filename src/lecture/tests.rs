//! The pictures, made from what was seen in a run that was recorded: times are in ms.

use std::collections::BTreeSet;

use super::page;
use super::plain;
use super::play::SceneRun;
use super::scene::{Act, ClientPlan, Gauge, LectureServer, Scene, SceneName};
use super::screen::{Display, LastLine, frame, legend};
use super::sentence;
use super::sighting::{ClientEvent, ServedIn, ServerEvent, Sighting, SightingKind};
use super::timeline::{Mark, Timeline, TrackState, time_text};
use crate::models::Model;

const PROCESS: ServedIn = ServedIn { process: 4513, thread: None, slot: None };

fn at(ms: u64, seen: SightingKind) -> Sighting {
    Sighting { at_us: ms * 1000, seen }
}

fn client(ms: u64, client: usize, event: ClientEvent) -> Sighting {
    at(ms, SightingKind::Client { client, event })
}

/// By the port of its client.
fn server(ms: u64, client: usize, event: ServerEvent) -> Sighting {
    at(ms, SightingKind::Server { port: 40_000 + client as u16, event })
}

fn comes(ms: u64, who: usize) -> [Sighting; 2] {
    [
        client(ms, who, ClientEvent::Comes { port: 40_000 + who as u16 }),
        client(ms, who, ClientEvent::Connected { sent_again: Some(0) }),
    ]
}

fn iterative() -> LectureServer {
    LectureServer::Model(Model::Iterative, None)
}

/// Five clients at the iterative server: the first is silent for 1500 ms, the fourth leaves in the backlog.
fn recorded() -> (Scene, Vec<Sighting>) {
    let mut seen = Vec::new();
    for (who, ms) in [(0, 0), (1, 200), (2, 400), (3, 600), (4, 800)] {
        seen.extend(comes(ms, who));
    }
    seen.extend(
        [1, 2, 3, 2]
            .into_iter()
            .zip([210, 410, 610, 1510])
            .map(|(value, ms)| at(ms, SightingKind::Gauge { gauge: Gauge::Queue, value })),
    );
    seen.push(client(800, 3, ClientEvent::Left));
    for (who, began, answered, ended) in [(0, 0, 1500, 1500), (1, 1501, 1502, 1652), (2, 1653, 1654, 1754)] {
        seen.push(server(began, who, ServerEvent::Began(PROCESS)));
        seen.push(server(answered, who, ServerEvent::Read(5)));
        seen.push(client(answered, who, ClientEvent::Received(5)));
        seen.push(client(ended, who, ClientEvent::Left));
        seen.push(server(ended, who, ServerEvent::Ended));
    }
    seen.extend([server(1755, 3, ServerEvent::Began(PROCESS)), server(1756, 3, ServerEvent::Ended)]);
    seen.push(server(1757, 4, ServerEvent::Began(PROCESS)));
    seen.push(client(1758, 4, ClientEvent::Received(5)));
    seen.extend([client(1908, 4, ClientEvent::Left), server(1908, 4, ServerEvent::Ended)]);
    (Scene::five_clients(&[Model::Iterative]), seen)
}

fn played() -> (Scene, SceneRun) {
    let (scene, seen) = recorded();
    let timeline = Timeline::of(&scene, &seen, 1_910_000);
    let sentence = sentence::of(&scene, iterative(), &timeline);
    (scene, SceneRun { server: iterative(), timeline, sentence })
}

const PLAIN: Display = Display { width: 80, has_colours: false, has_unicode: false };

#[test]
fn at_80_columns_without_colour_the_picture_reads() {
    let (scene, played) = played();
    let lines = frame(
        &scene,
        played.server,
        &played.timeline,
        2_000_000,
        PLAIN,
        LastLine::Sentence(&played.sentence),
    );
    let expected = "\
iterative: one client after the other
client   |0         |500 ms     |1 s       |1.5 s       served by        answer
1 stalls ==================================A            process 4513     1.50 s
2 asks       ..............................A===         process 4513     1.30 s
3 slow            .............................A==      process 4513     1.25 s
4 leaves              .....x.....................=      process 4513       none
5 asks                     ......................A===   process 4513     958 ms
backlog      1111122222333333333333333333333222222222
One process, 4513, served 5 clients, one after the other; clients 2, 3, 4 and 5
waited in the backlog, client 2 the longest (1.30 s, behind client 1); client 4
left before the server accepted.";
    assert_eq!(lines.join("\n"), expected);
    let meanings = legend(&scene, PLAIN).join("\n");
    assert_eq!(meanings, ". waits in the backlog  = served  r read  A answered  x left without an answer");
}

#[test]
fn during_the_play_the_last_line_names_waiting_and_served_clients() {
    let (scene, seen) = recorded();
    let until = |ms: u64| {
        let seen: Vec<Sighting> = seen.iter().filter(|one| one.at_us <= ms * 1000).cloned().collect();
        let timeline = Timeline::of(&scene, &seen, ms * 1000);
        let lines = frame(&scene, iterative(), &timeline, 2_000_000, PLAIN, LastLine::Now);
        lines.last().unwrap().clone()
    };
    assert_eq!(until(100), "backlog: - | served: 1 | answered: -");
    assert_eq!(until(700), "backlog: 2 3 4 | served: 1 | answered: -");
    assert_eq!(until(1600), "backlog: 3 4 5 | served: 2 | answered: 1 2");
    assert_eq!(until(1910), "backlog: - | served: - | answered: 1 2 3 5");
}

#[test]
fn no_line_is_wider_than_the_terminal_and_colours_change_no_character() {
    let (scene, played) = played();
    let below = LastLine::Sentence(&played.sentence);
    for width in (20..=150).chain([300]) {
        for has_unicode in [false, true] {
            let draw = |has_colours| {
                let display = Display { width, has_colours, has_unicode };
                let mut lines = legend(&scene, display);
                lines.extend(frame(&scene, played.server, &played.timeline, 2_000_000, display, below));
                lines
            };
            let plain = draw(false);
            for line in &plain {
                assert!(line.chars().count() < width, "{width}: {line}");
            }
            let coloured: Vec<String> = draw(true).iter().map(|line| without_colours(line)).collect();
            assert_eq!(plain, coloured);
        }
    }
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn a_screen_reader_gets_a_line_per_client() {
    let (scene, played) = played();
    let text = plain::text(&scene, played.server, &played.timeline, &played.sentence);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "iterative: one client after the other");
    assert_eq!(
        lines[2],
        "  client 2 asks: comes at 200 ms, is connected at 200 ms, is served by process 4513 at 1.50 s, is read at 1.50 s, has \
         its answer at 1.50 s, is ended by the server at 1.65 s, leaves at 1.65 s."
    );
    assert!(
        lines[4].starts_with("  client 4 leaves: comes at 600 ms, is connected at 600 ms, leaves at 800 ms,")
    );
    assert_eq!(lines[6], "  backlog: 1 at first, 3 at most, 2 at last.");
    assert!(lines[7].starts_with("One process, 4513, served 5 clients"));
    assert!(!text.contains('|') && text.is_ascii());
}

#[test]
fn a_slide_and_a_page_have_every_client_and_the_sentence_and_nothing_from_elsewhere() {
    let (mut scene, mut played) = played();
    scene.title = "<script>alert(1)</script>".to_owned();
    played.timeline.tracks[0].label = "1 <b>\x1b".to_owned();
    let svg = page::svg_file(&scene, std::slice::from_ref(&played), "oneloop lecture --svg '<a>'");
    let html = page::html(&scene, std::slice::from_ref(&played), "oneloop lecture --html '<a>'");
    for text in [&svg, &html] {
        for part in [
            "2 asks",
            "4 leaves",
            "process 4513",
            "answer 1.30 s",
            "no answer",
            "&lt;script&gt;",
            "&lt;b&gt;",
        ] {
            assert!(text.contains(part), "{part}");
        }
        let elsewhere = ["<script", "<a>", "\x1b", "src=", "@import"];
        for part in elsewhere {
            assert!(!text.contains(part), "{part}");
        }
        assert!(text.matches("http").count() <= 1, "the name of a namespace alone");
        assert!(text.contains("prefers-color-scheme: dark") && text.contains("@media print"));
        assert_eq!(text.matches("<title>client ").count(), 5);
    }
    assert!(html.contains("left before the server accepted.") && html.contains("<td>1.30 s</td>"));
    assert!(html.contains("width=device-width"));
}

#[test]
fn clients_are_joined_by_their_port_also_when_the_server_was_faster() {
    let (scene, mut seen) = recorded();
    // What two processes have written comes in any order.
    seen.reverse();
    let (first, _) = recorded();
    assert_eq!(first, scene);
    let timeline = Timeline::of(&scene, &seen, 1_910_000);
    assert_eq!(timeline.tracks[1].course.waited_us(), Some(1_301_000));
    assert_eq!(timeline.tracks[3].course.served_in(), Some(PROCESS));
    assert_eq!(timeline.at_once_max(), 1);
    // A server that accepts before connect(2) has returned there.
    let early = [
        server(1, 0, ServerEvent::Began(PROCESS)),
        client(0, 0, ClientEvent::Comes { port: 40_000 }),
        client(2, 0, ClientEvent::Connected { sent_again: Some(0) }),
    ];
    let spans = Timeline::of(&scene, &early, 5_000).tracks[0].course.spans(5_000);
    let states: Vec<TrackState> = spans.iter().map(|span| span.state).collect();
    assert_eq!(states, [TrackState::Connecting, TrackState::Served]);
}

#[test]
fn a_client_that_leaves_stays_in_the_backlog_until_the_server_accepts() {
    let (_, played) = played();
    let course = &played.timeline.tracks[3].course;
    let spans = course.spans(1_910_000);
    assert_eq!((spans[0].state, spans[0].to_us), (TrackState::Queued, 1_755_000));
    assert_eq!(course.marks(), [(800_000, Mark::Left)]);
}

#[test]
fn each_model_has_its_sentence() {
    let scene = Scene::five_clients(&Model::ALL);
    let served = |served_in: fn(u32) -> ServedIn| {
        let mut seen = Vec::new();
        for who in 0..5 {
            seen.extend(comes(who as u64 * 10, who));
            seen.push(server(who as u64 * 10, who, ServerEvent::Began(served_in(who as u32))));
            seen.push(client(who as u64 * 10 + 25, who, ClientEvent::Received(5)));
            seen.push(client(who as u64 * 10 + 25, who, ClientEvent::Left));
            seen.push(server(who as u64 * 10 + 25, who, ServerEvent::Ended));
        }
        Timeline::of(&scene, &seen, 100_000)
    };
    let end = "no client waited for another (at most 0.0 ms from connect to accept), while client 5 was served for 25 ms.";
    for (model, timeline, begin) in [
        (
            Model::Fork,
            served(|who| ServedIn { process: 7 + who, thread: None, slot: None }),
            "Each of 5 clients was served by a process of its own, up to 3 at the same time; ",
        ),
        (
            Model::Thread,
            served(|who| ServedIn { process: 7, thread: Some(8 + who), slot: None }),
            "Each of 5 clients was served by a thread of its own, up to 3 at the same time; ",
        ),
        (
            Model::Prefork,
            served(|who| ServedIn { process: 7 + who % 2, thread: None, slot: None }),
            "2 processes served 5 clients, up to 3 at the same time; ",
        ),
        (
            Model::Reactor,
            served(|who| ServedIn { process: 7, thread: None, slot: Some(who % 3) }),
            "One process, 7, served 5 clients, up to 3 at the same time, in 3 slots; ",
        ),
    ] {
        assert_eq!(
            sentence::of(&scene, LectureServer::Model(model, None), &timeline),
            format!("{begin}{end}")
        );
    }
    let none = Timeline::of(&scene, &[], 100_000);
    assert_eq!(sentence::of(&scene, iterative(), &none), "No client was served.");
}

#[test]
fn zombies_and_a_leak_and_a_full_backlog_are_named_with_their_numbers() {
    let gauge = |ms, gauge, value| at(ms, SightingKind::Gauge { gauge, value });
    let scene = Scene::zombies();
    let mut seen = Vec::from(comes(0, 0));
    seen.push(server(1, 0, ServerEvent::Began(PROCESS)));
    seen.extend([server(5, 0, ServerEvent::Ended), client(5, 0, ClientEvent::Left)]);
    seen.extend([gauge(0, Gauge::Zombies, 0), gauge(9, Gauge::Zombies, 1)]);
    seen.push(at(6, SightingKind::Zombie { process: 4513 }));
    let timeline = Timeline::of(&scene, &seen, 100_000);
    let last = *timeline.tracks[0].course.spans(100_000).last().unwrap();
    assert_eq!((last.state, last.from_us, last.to_us), (TrackState::Zombie, 6_000, 100_000));
    let text = sentence::of(&scene, LectureServer::WithoutWait, &timeline);
    assert!(text.starts_with("After 1 client had left, 1 child was a zombie (state Z)"), "{text}");
    assert!(text.contains("waitpid(-1, NULL, WNOHANG)"), "{text}");

    let scene = Scene::leak();
    let mut seen = Vec::from(comes(0, 0));
    seen.push(server(1, 0, ServerEvent::Began(PROCESS)));
    seen.extend([client(2, 0, ClientEvent::Received(5)), client(2, 0, ClientEvent::ClosedItsSide)]);
    seen.extend([server(3, 0, ServerEvent::Ended), client(502, 0, ClientEvent::GaveUp("the end"))]);
    seen.extend([gauge(0, Gauge::Descriptors, 6), gauge(1, Gauge::Descriptors, 7)]);
    let timeline = Timeline::of(&scene, &seen, 510_000);
    let states: Vec<TrackState> =
        timeline.tracks[0].course.spans(510_000).iter().map(|span| span.state).collect();
    assert_eq!(states, [TrackState::Queued, TrackState::Served, TrackState::Open]);
    let text = sentence::of(&scene, LectureServer::WithoutClose, &timeline);
    assert!(text.starts_with("None of 1 client saw the end"), "{text}");
    assert!(text.contains("open files went from 6 to 7") && text.contains("close(newS)"), "{text}");
    seen.push(client(4, 0, ClientEvent::SawEnd));
    let timeline = Timeline::of(&scene, &seen, 510_000);
    let text = sentence::of(&scene, LectureServer::Model(Model::Fork, None), &timeline);
    assert!(text.contains("saw the end of the connection at most 2.0 ms after"), "{text}");

    let scene = Scene::backlog();
    let mut seen = Vec::from(comes(0, 0));
    seen.push(client(100, 1, ClientEvent::Comes { port: 40_001 }));
    seen.extend([
        client(1120, 1, ClientEvent::Connected { sent_again: Some(1) }),
        gauge(50, Gauge::Queue, 2),
    ]);
    let timeline = Timeline::of(&scene, &seen, 1_200_000);
    let text = sentence::of(&scene, LectureServer::Model(Model::Iterative, Some(1)), &timeline);
    assert!(
        text.starts_with("The queue of listen(S, 1) held up to 2 clients at a time; client 2 found it full"),
        "{text}"
    );
    assert!(text.contains("connect() took up to 1.02 s"), "{text}");
}

#[test]
fn the_axis_is_as_long_as_a_server_needs_that_serves_one_after_the_other() {
    assert_eq!(Scene::five_clients(&[]).serial_ms(), 1900);
    let plan = |comes_ms, acts: &[Act]| ClientPlan {
        name: String::new(),
        manner: String::new(),
        comes_ms,
        acts: acts.to_vec(),
    };
    let clients = vec![plan(50, &[Act::Pause(10), Act::Answer, Act::Pause(20)]), plan(0, &[Act::Pause(90)])];
    let scene = Scene { clients, ..Scene::leak() };
    assert_eq!(scene.serial_ms(), 110);
}

#[test]
fn times_are_read_at_a_glance() {
    for (us, text) in [
        (0, "0.0 ms"),
        (420, "0.4 ms"),
        (9_999, "10.0 ms"),
        (150_400, "150 ms"),
        (999_600, "1.00 s"),
        (1_520_000, "1.52 s"),
    ] {
        assert_eq!(time_text(us), text);
    }
}

/// Clients at a server with two places: the first two keep them until `free` ms, the third comes at `comes`.
fn at_two_places(comes: u64, free: u64) -> Timeline {
    let mut seen = Vec::new();
    for (who, ms, began) in [(0, 0, 0), (1, 0, 0), (2, comes, free)] {
        seen.extend(self::comes(ms, who));
        seen.push(server(began, who, ServerEvent::Began(ServedIn { process: who as u32, ..PROCESS })));
        let ended = if who == 2 { free + 100 } else { free };
        seen.extend([client(ended, who, ClientEvent::Received(5)), client(ended, who, ClientEvent::Left)]);
        seen.push(server(ended, who, ServerEvent::Ended));
    }
    Timeline::of(&Scene::five_clients(&[Model::Prefork]), &seen, 2_000_000)
}

fn prefork() -> LectureServer {
    LectureServer::Model(Model::Prefork, None)
}

#[test]
fn the_sentence_names_exactly_the_clients_that_are_drawn_waiting() {
    let scene = Scene::five_clients(&[Model::Prefork]);
    // At speed 10, 3 ms are 30 ms of the scene.
    for (wait_ms, speed, waits) in
        [(3, 1.0, false), (19, 1.0, false), (20, 1.0, true), (3, 10.0, true), (1, 10.0, false)]
    {
        let timeline = at_two_places(800 - wait_ms, 800).at_speed(speed);
        let states: Vec<TrackState> =
            timeline.spans(&timeline.tracks[2]).iter().map(|span| span.state).collect();
        let text = sentence::of(&scene, prefork(), &timeline);
        let lines = frame(&scene, prefork(), &timeline, 2_000_000, PLAIN, LastLine::Sentence(&text));
        assert_eq!(states.contains(&TrackState::Queued), waits, "{wait_ms} {speed}: {states:?}");
        assert_eq!(text.contains("client 3 waited"), waits, "{wait_ms} {speed}: {text}");
        assert_eq!(text.contains("no client waited for another"), !waits, "{wait_ms} {speed}: {text}");
        // A wait that is shorter than a column is behind what follows it.
        assert!(waits || !lines[4].contains('.'), "{wait_ms} {speed}: {lines:?}");
    }
    // While it lasts, too.
    let mut seen = Vec::from(comes(0, 0));
    for (ms, waits) in [(10, false), (30, true)] {
        let timeline = Timeline::of(&scene, &seen, ms * 1000);
        assert_eq!(timeline.spans(&timeline.tracks[0]).len(), usize::from(waits), "{ms}");
    }
    // Behind several in turn, none of which was served for half of the wait.
    seen.clear();
    for (who, began, ended) in [(0, 0, 100), (1, 101, 200), (2, 201, 300), (3, 301, 400)] {
        seen.extend(comes(0, who));
        seen.extend([
            server(began, who, ServerEvent::Began(PROCESS)),
            server(ended, who, ServerEvent::Ended),
        ]);
    }
    let text = sentence::of(&scene, iterative(), &Timeline::of(&scene, &seen, 400_000));
    assert!(text.contains("; clients 2, 3 and 4 waited in the backlog, client 4 the longest"), "{text}");
    assert!(text.contains("behind clients 1, 2 and 3)"), "{text}");
}

#[test]
fn the_last_client_of_the_scene_waits_well_beyond_the_bound_at_two_copies() {
    // Client 3, the second at its copy, is served from its own time on, with all its pauses.
    let scene = Scene::five_clients(&[Model::Prefork]);
    let [.., slow, leaves, last] = scene.clients.as_slice() else { panic!() };
    let pauses = slow.acts.iter().map(|act| if let Act::Pause(ms) = act { *ms } else { 0 });
    let free_ms = slow.comes_ms + pauses.sum::<u32>();
    assert!(leaves.comes_ms + 100 <= free_ms && last.comes_ms + 100 <= free_ms, "{scene:?}");
}

#[test]
fn a_wait_for_the_processor_beside_one_for_other_clients_is_named_as_such() {
    let mut seen = Vec::new();
    for (who, came, began, ended) in [(0, 0, 0, 500), (1, 100, 501, 600), (2, 700, 740, 800)] {
        seen.extend(comes(came, who));
        seen.extend([
            server(began, who, ServerEvent::Began(PROCESS)),
            server(ended, who, ServerEvent::Ended),
        ]);
    }
    let scene = Scene::five_clients(&[Model::Iterative]);
    let text = sentence::of(&scene, iterative(), &Timeline::of(&scene, &seen, 900_000));
    let part = "; client 2 waited 401 ms in the backlog, behind client 1; client 3 waited up to 40 ms, mostly for the processor";
    assert!(text.contains(part), "{text}");
}

#[test]
fn every_character_of_a_drawing_has_its_meaning_in_the_legend() {
    let mut scenes = SceneName::ALL.map(SceneName::scene).to_vec();
    for line in ["a at 0s: send x, answer, end", "backlog 1\na at 0s: send x, answer, end"] {
        scenes.push(super::script::parse(line).unwrap().scene);
    }
    for scene in scenes {
        // Whatever may happen to a client: a slow connection, a late end, a zombie.
        let seen = [
            client(0, 0, ClientEvent::Comes { port: 40_000 }),
            client(400, 0, ClientEvent::Connected { sent_again: Some(1) }),
            server(600, 0, ServerEvent::Began(PROCESS)),
            server(700, 0, ServerEvent::Read(5)),
            client(800, 0, ClientEvent::Received(5)),
            client(900, 0, ClientEvent::ClosedItsSide),
            server(1000, 0, ServerEvent::Ended),
            client(1400, 0, ClientEvent::SawEnd),
            at(1500, SightingKind::Zombie { process: PROCESS.process }),
        ];
        let timeline = Timeline::of(&scene, &seen, 1_900_000);
        for has_unicode in [false, true] {
            let display = Display { has_unicode, ..PLAIN };
            let lines = frame(&scene, scene.servers[0], &timeline, 2_000_000, display, LastLine::Now);
            let head: Vec<char> = lines[1].chars().collect();
            let from = head.iter().position(|char| *char == '|').unwrap();
            let to = lines[1].split("served by").next().unwrap().chars().count();
            let drawn: BTreeSet<char> =
                lines[2].chars().skip(from).take(to - from).filter(|char| *char != ' ').collect();
            let legend = legend(&scene, display).join("  ");
            assert!(drawn.len() > 3, "{lines:?}");
            for char in drawn {
                assert!(
                    legend.split("  ").any(|entry| entry.starts_with(&format!("{char} "))),
                    "{char}: {legend}"
                );
            }
        }
    }
}

#[test]
fn a_single_client_is_named_with_what_served_it() {
    let scene = super::script::parse("anna at 0s: send hello, answer").unwrap().scene;
    for (model, served_in, text) in [
        (
            Model::Fork,
            PROCESS,
            "Client anna was served by process 4513; it took 5.0 ms from connect to accept.",
        ),
        (Model::Prefork, PROCESS, "Client anna was served by process 4513; "),
        (Model::Thread, ServedIn { thread: Some(8), ..PROCESS }, "Client anna was served by thread 8; "),
        (
            Model::Reactor,
            ServedIn { slot: Some(0), ..PROCESS },
            "Client anna was served by process 4513, in slot 0; ",
        ),
    ] {
        let mut seen = Vec::from(comes(0, 0));
        seen.extend([server(5, 0, ServerEvent::Began(served_in)), client(6, 0, ClientEvent::Received(5))]);
        seen.extend([client(6, 0, ClientEvent::Left), server(7, 0, ServerEvent::Ended)]);
        let found =
            sentence::of(&scene, LectureServer::Model(model, None), &Timeline::of(&scene, &seen, 9_000));
        assert!(found.starts_with(text), "{found}");
    }
}

#[test]
fn on_a_slide_several_pictures_are_side_by_side_and_each_is_as_large_as_fits() {
    let (scene, played) = played();
    // Models, the width in units, and what the text has on a slide of 1080 lines, at least.
    for (models, columns, pixels) in [(1, 1, 20.0), (2, 2, 20.0), (3, 2, 18.0), (4, 2, 18.0), (6, 3, 15.0)] {
        let played = vec![played.clone(); models];
        let svg = page::svg_file(&scene, &played, "oneloop lecture --svg models.svg");
        let view: Vec<f64> =
            svg.split('"').nth(5).unwrap().split(' ').map(|word| word.parse().unwrap()).collect();
        let [_, _, width, height] = view[..] else { panic!("{view:?}") };
        assert!((width - f64::from(columns * 508 - 4)).abs() < 1.0, "{models}: {width}");
        let scale = f64::min(1920.0 / width, 1080.0 / height);
        assert!(13.0 * scale >= pixels, "{models}: {width} x {height}, {}", 13.0 * scale);
        assert_eq!(svg.matches(">4 leaves<").count(), models);
    }
}
