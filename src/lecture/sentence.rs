//! The result of a scene with one server, in one sentence; for a scene about a mistake, with the correction
//! in C.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::scene::{Gauge, LectureServer, Scene, Topic};
use super::sighting::ServedIn;
use super::timeline::{Course, Timeline, Track, time_text};
use crate::models::Model;

/// The sentence.
pub(super) fn of(scene: &Scene, server: LectureServer, timeline: &Timeline) -> String {
    match scene.topic {
        Topic::Waiting => waiting(places(scene, server), server, timeline),
        Topic::Zombies => zombies(timeline),
        Topic::Leak => leak(timeline),
        Topic::Backlog => backlog(server, timeline),
    }
}

/// How many clients the server can serve at the same time; `None` if there is no such limit.
fn places(scene: &Scene, server: LectureServer) -> Option<usize> {
    match server {
        LectureServer::Model(Model::Iterative, _) => Some(1),
        LectureServer::Model(Model::Prefork | Model::Prethread, _) => Some(scene.workers as usize),
        _ => None,
    }
}

fn waiting(places: Option<usize>, server: LectureServer, timeline: &Timeline) -> String {
    let mut parts = vec![served_by(server, timeline)];
    let (waited, late): (Vec<&Track>, Vec<&Track>) =
        tracks(timeline, |track| timeline.waited_us(track).is_some())
            .into_iter()
            .partition(|track| places.is_some_and(|places| is_behind_others(timeline, track, places)));
    let waited_us = |track: &&Track| timeline.waited_us(track).unwrap_or_default();
    if let Some(longest) = waited.iter().max_by_key(|track| waited_us(track)) {
        let longest_us = waited_us(longest);
        let behind = format!(", behind {}", clients(&behind(timeline, longest)));
        let how_long = if waited.len() == 1 {
            format!("{} waited {} in the backlog{behind}", clients(&waited), time_text(longest_us))
        } else {
            format!(
                "{} waited in the backlog, {} the longest ({}{behind})",
                clients(&waited),
                clients(&[longest]),
                time_text(longest_us)
            )
        };
        parts.push(how_long);
        if let Some(late_us) = late.iter().map(waited_us).max() {
            parts.push(format!(
                "{} waited up to {}, mostly for the processor",
                clients(&late),
                time_text(late_us)
            ));
        }
    } else if let Some(longest_us) = timeline.tracks.iter().filter_map(|track| track.course.waited_us()).max()
    {
        let longest = time_text(longest_us);
        let mut none = if timeline.tracks.len() == 1 {
            format!("it took {longest} from connect to accept")
        } else {
            format!("no client waited for another (at most {longest} from connect to accept)")
        };
        if let Some((track, held_us)) = longest_held(timeline) {
            let _ = write!(none, ", while {} was served for {}", clients(&[track]), time_text(held_us));
        }
        parts.push(none);
    }
    let early = tracks(timeline, |track| {
        let began_us = track.course.began.map_or(u64::MAX, |(at, _)| at);
        track.course.left_us.is_some_and(|left_us| left_us < began_us)
    });
    if !early.is_empty() {
        parts.push(format!("{} left before the server accepted", clients(&early)));
    }
    parts.extend(not_answered(timeline, &early));
    format!("{}.", parts.join("; "))
}

/// What served the clients, and how many at the same time.
fn served_by(server: LectureServer, timeline: &Timeline) -> String {
    let all = tracks(timeline, |track| track.course.began.is_some());
    let all_served: Vec<ServedIn> = all.iter().filter_map(|track| track.course.served_in()).collect();
    let tasks: BTreeSet<(u32, Option<u32>)> =
        all_served.iter().map(|served_in| (served_in.process, served_in.thread)).collect();
    let at_once = timeline.at_once_max();
    let up_to = match at_once {
        0 | 1 => "one after the other".to_owned(),
        most => format!("up to {most} at the same time"),
    };
    let Some(first) = all_served.first() else { return "No client was served".to_owned() };
    if all_served.len() == 1 {
        let (client, process) = (&all[0].name, first.process);
        let within = first.slot.map(|_| format!("process {process}, in ")).unwrap_or_default();
        return format!("Client {client} was served by {within}{first}");
    }
    let slots: BTreeSet<u32> = all_served.iter().filter_map(|served_in| served_in.slot).collect();
    let kind = if first.thread.is_some() { "thread" } else { "process" };
    let kinds = if first.thread.is_some() { "threads" } else { "processes" };
    let all = clients_text(all_served.len());
    if !slots.is_empty() {
        let slots = if slots.len() == 1 { "one slot".to_owned() } else { format!("{} slots", slots.len()) };
        return format!("One process, {}, served {all}, {up_to}, in {slots}", first.process);
    }
    let per_client = matches!(server, LectureServer::Model(Model::Fork | Model::Thread, _));
    match tasks.len() {
        1 => {
            let task = ServedIn { slot: None, ..*first };
            format!("One {kind}, {}, served {all}, {up_to}", number(task))
        }
        count if count == all_served.len() && per_client => {
            format!("Each of {all} was served by a {kind} of its own, {up_to}")
        }
        count => format!("{count} {kinds} served {all}, {up_to}"),
    }
}

fn number(served_in: ServedIn) -> u32 {
    served_in.thread.unwrap_or(served_in.process)
}

/// Whether all places of the server were taken for at least half of the wait of this client.
fn is_behind_others(timeline: &Timeline, waits: &Track, places: usize) -> bool {
    let Some(came_us) = waits.course.came_us else { return false };
    let began_us = waits.course.began.map_or(timeline.until_us, |(at, _)| at);
    let served = timeline.tracks.iter().filter_map(|track| track.course.served(timeline.until_us));
    let served: Vec<(u64, u64)> = served
        .map(|(from, to)| (from.clamp(came_us, began_us), to.clamp(came_us, began_us)))
        .filter(|(from, to)| from < to)
        .collect();
    let mut moments: Vec<u64> = served.iter().flat_map(|(from, to)| [*from, *to]).collect();
    moments.sort_unstable();
    let is_full = |at: u64| served.iter().filter(|(from, to)| (*from..*to).contains(&at)).count() >= places;
    let full_us: u64 = moments.windows(2).filter(|pair| is_full(pair[0])).map(|pair| pair[1] - pair[0]).sum();
    full_us * 2 >= began_us - came_us
}

/// Clients that were served for at least half of the time that this one waited; all that were served
/// meanwhile, if none was for so long.
fn behind<'a>(timeline: &'a Timeline, waits: &Track) -> Vec<&'a Track> {
    let Some(came_us) = waits.course.came_us else { return Vec::new() };
    let began_us = waits.course.began.map_or(timeline.until_us, |(at, _)| at);
    let shared_us = |track: &Track| {
        let (from, to) = track.course.served(timeline.until_us).unwrap_or_default();
        to.min(began_us).saturating_sub(from.max(came_us))
    };
    let long = tracks(timeline, |track| shared_us(track) * 2 >= began_us.saturating_sub(came_us));
    if long.is_empty() { tracks(timeline, |track| shared_us(track) > 0) } else { long }
}

/// The client that was served for the longest time, if several were served.
fn longest_held(timeline: &Timeline) -> Option<(&Track, u64)> {
    let held = timeline.tracks.iter().filter_map(|track| {
        let (from, to) = track.course.served(timeline.until_us)?;
        Some((track, to - from))
    });
    held.max_by_key(|(_, held_us)| *held_us).filter(|_| timeline.tracks.len() > 1)
}

/// The clients without an answer, except those already named.
fn not_answered(timeline: &Timeline, named: &[&Track]) -> Option<String> {
    let without = tracks(timeline, |track| {
        track.course.left_without_answer() && !named.iter().any(|other| other.name == track.name)
    });
    (!without.is_empty()).then(|| format!("{} left without an answer", clients(&without)))
}

fn zombies(timeline: &Timeline) -> String {
    let gone = tracks(timeline, |track| track.course.ended_us.is_some()).len();
    let after = format!("After {} had left", clients_text(gone));
    match timeline.gauge_ends(Gauge::Zombies).map(|(_, last)| last) {
        Some(0) => format!(
            "{after}, no zombie was left: the parent waits for each child, as the lecture's C does (its handler of SIGCHLD \
             calls waitpid(-1, NULL, WNOHANG) until no ended child is left)."
        ),
        Some(count) => {
            let children = if count == 1 { "1 child was a zombie" } else { "children were zombies" };
            let count = if count == 1 { String::new() } else { format!("{count} ") };
            format!(
                "{after}, {count}{children} (state Z): the kernel keeps the exit code of each until its parent asks for it, and \
                 this parent never does. The lecture's C calls waitpid(-1, NULL, WNOHANG) when SIGCHLD comes."
            )
        }
        None => format!("{after}: this system does not show zombies (it has no /proc)."),
    }
}

fn leak(timeline: &Timeline) -> String {
    let closed = tracks(timeline, |track| track.course.closed_side_us.is_some());
    let saw = tracks(timeline, |track| track.course.saw_end_us.is_some());
    let files = timeline.gauge_ends(Gauge::Descriptors).map(|(first, last)| {
        if first == last {
            format!("the parent's open files stayed {first}")
        } else {
            format!("the parent's open files went from {first} to {last}")
        }
    });
    let files = files.map_or_else(String::new, |files| format!("; {files}"));
    let took =
        saw.iter().filter_map(|track| Some(track.course.saw_end_us? - track.course.closed_side_us?)).max();
    match took {
        Some(took_us) if saw.len() == closed.len() => format!(
            "All of {} saw the end of the connection at most {} after they had closed their side{files}: the parent closes newS \
             after fork, as the lecture's C does.",
            clients_text(closed.len()),
            time_text(took_us)
        ),
        _ => format!(
            "{} of {} saw the end of the connection, although each child had exited: a connection is closed with its last \
             descriptor, and the parent still has newS{files}. The lecture's C calls close(newS) in the parent after fork.",
            if saw.is_empty() { "None".to_owned() } else { saw.len().to_string() },
            clients_text(closed.len())
        ),
    }
}

fn backlog(server: LectureServer, timeline: &Timeline) -> String {
    let length = match server {
        LectureServer::Model(_, Some(backlog)) => format!("listen(S, {backlog})"),
        _ => "the backlog".to_owned(),
    };
    let held = timeline.gauge_max(Gauge::Queue);
    let held = held
        .map_or_else(String::new, |most| format!(" held up to {} at a time", clients_text(most as usize)));
    let dropped = tracks(timeline, |track| track.course.sent_again > Some(0));
    let took = |track: &&Track| track.course.connect_took_us();
    let longest = dropped.iter().filter_map(took).max();
    if let Some(longest_us) = longest {
        return format!(
            "The queue of {length}{held}; {} found it full: the kernel dropped the SYN, which was sent again after a second, and \
             connect() took up to {}. The lecture's C asks for listen(S, SOMAXCONN).",
            clients(&dropped),
            time_text(longest_us)
        );
    }
    let longest = |of: fn(&Course) -> Option<u64>| {
        let longest = timeline.tracks.iter().filter_map(|track| of(&track.course)).max();
        longest.map_or_else(|| "-".to_owned(), time_text)
    };
    let is_shown = timeline.tracks.iter().any(|track| track.course.sent_again.is_some());
    let dropped =
        if is_shown { "and no SYN was dropped" } else { "which SYN was dropped, this system does not show" };
    format!(
        "The queue of {length}{held}, {dropped}; connect() took at most {}, and the longest wait for the server was \
         {}.",
        longest(Course::connect_took_us),
        longest(Course::waited_us)
    )
}

fn tracks(timeline: &Timeline, wanted: impl Fn(&Track) -> bool) -> Vec<&Track> {
    timeline.tracks.iter().filter(|track| wanted(track)).collect()
}

/// `client 2`, `clients 2, 3 and 5`.
fn clients(tracks: &[&Track]) -> String {
    let names: Vec<&str> = tracks.iter().map(|track| track.name.as_str()).collect();
    match names.as_slice() {
        [] => "no client".to_owned(),
        [name] => format!("client {name}"),
        [first @ .., last] => format!("clients {} and {last}", first.join(", ")),
    }
}

fn clients_text(count: usize) -> String {
    if count == 1 { "1 client".to_owned() } else { format!("{count} clients") }
}
