//! The timeline as sentences: for a screen reader, and for a pipe.

use std::fmt::Write as _;

use super::scene::{LectureServer, Scene};
use super::timeline::{Timeline, Track, time_text};

/// What was seen of each client, a line each, below the server's title.
pub(crate) fn text(scene: &Scene, server: LectureServer, timeline: &Timeline, sentence: &str) -> String {
    let mut text = format!("{}\n", server.title());
    for track in &timeline.tracks {
        let _ = writeln!(text, "  {}.", client(track));
    }
    for gauge in &scene.gauges {
        if let (Some((first, last)), Some(most)) = (timeline.gauge_ends(*gauge), timeline.gauge_max(*gauge)) {
            let _ = writeln!(text, "  {}: {first} at first, {most} at most, {last} at last.", gauge.name());
        }
    }
    text + sentence + "\n"
}

/// What happened to a client, in its order. Times are those since the first client could come.
fn client(track: &Track) -> String {
    let course = &track.course;
    let mut events: Vec<(u64, String)> = Vec::new();
    let mut add = |at: Option<u64>, text: String| {
        if let Some(at_us) = at {
            events.push((at_us, text));
        }
    };
    add(course.came_us, "comes".to_owned());
    let again = match course.sent_again {
        None | Some(0) => String::new(),
        Some(1) => " (SYN sent again)".to_owned(),
        Some(times) => format!(" (SYN sent again {times} times)"),
    };
    add(course.connected_us, format!("is connected{again}"));
    if let Some((at_us, served_in)) = course.began {
        add(Some(at_us), format!("is served by {served_in}"));
    }
    if let [first, .., last] = course.reads_us.as_slice() {
        let times = course.reads_us.len();
        add(Some(*first), format!("is read {times} times until {}, first", time_text(*last)));
    } else {
        add(course.reads_us.first().copied(), "is read".to_owned());
    }
    add(course.answered_us, "has its answer".to_owned());
    add(course.ended_us, "is ended by the server".to_owned());
    add(course.closed_side_us, "closes its side".to_owned());
    add(course.saw_end_us, "sees the end".to_owned());
    if let Some((at_us, what)) = &course.gave_up {
        add(Some(*at_us), format!("gives up waiting for {what}"));
    }
    if let Some((at_us, why)) = &course.failed {
        add(Some(*at_us), format!("fails ({why})"));
    }
    add(course.left_us, "leaves".to_owned());
    add(course.zombie_us, "has left a zombie".to_owned());
    events.sort_by_key(|(at_us, _)| *at_us);
    let events: Vec<String> =
        events.into_iter().map(|(at_us, text)| format!("{text} at {}", time_text(at_us))).collect();
    let events = if events.is_empty() { "does not come".to_owned() } else { events.join(", ") };
    format!("client {}: {events}", track.label)
}
