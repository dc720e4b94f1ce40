//! What was seen, as rows: for each client spans of time and marks, for each gauge its values. Nothing here
//! reads a clock or a socket: a timeline is made again from all sightings whenever it is drawn.

use std::collections::BTreeMap;
use std::time::Duration;

use super::scene::{Gauge, Scene, Topic};
use super::sighting::{ClientEvent, ServedIn, ServerEvent, Sighting, SightingKind};

/// The end of a connection takes less, in µs, to reach the client.
const OPEN_FROM_US: u64 = 20_000;
/// At speed 1, a client that waited for less, in µs, may have waited for the processor alone.
const WAITED_FROM_US: u64 = 20_000;

/// A scene with one server up to a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeline {
    /// A row per client, in the order of the scene.
    pub(crate) tracks: Vec<Track>,
    /// The values of each gauge, with the times of their changes.
    pub(crate) gauges: BTreeMap<Gauge, Vec<(u64, u32)>>,
    /// The moment, in µs since the beginning.
    pub(crate) until_us: u64,
    /// A shorter wait, in µs, is neither drawn nor in the sentence.
    waited_from_us: u64,
    /// The states that are drawn: those in the legend of the scene.
    drawn: Vec<TrackState>,
}

/// The row of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Track {
    /// Name and manner.
    pub(crate) label: String,
    /// The name.
    pub(crate) name: String,
    /// What happened to it.
    pub(crate) course: Course,
}

/// When what happened to a client, in µs since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Course {
    /// It called connect(2).
    pub(crate) came_us: Option<u64>,
    /// connect(2) returned.
    pub(crate) connected_us: Option<u64>,
    /// What serves it, and since when.
    pub(crate) began: Option<(u64, ServedIn)>,
    /// The server read something.
    pub(crate) reads_us: Vec<u64>,
    /// The client has received all that it had sent.
    pub(crate) answered_us: Option<u64>,
    /// The server has done with it.
    pub(crate) ended_us: Option<u64>,
    /// It closed its side and waits for the end.
    pub(crate) closed_side_us: Option<u64>,
    /// It saw the end of the connection.
    pub(crate) saw_end_us: Option<u64>,
    /// It gave up waiting, for this.
    pub(crate) gave_up: Option<(u64, &'static str)>,
    /// A call failed.
    pub(crate) failed: Option<(u64, String)>,
    /// It has closed the connection.
    pub(crate) left_us: Option<u64>,
    /// How often its SYN was sent again before connect(2) returned, where the system shows it.
    pub(crate) sent_again: Option<u32>,
    /// The process that served it is a zombie.
    pub(crate) zombie_us: Option<u64>,
}

/// A span of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrackSpan {
    /// From, in µs.
    pub(crate) from_us: u64,
    /// To, in µs.
    pub(crate) to_us: u64,
    /// The state of the client.
    pub(crate) state: TrackState,
}

/// The state of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrackState {
    /// connect(2) has not returned.
    Connecting,
    /// The kernel keeps its connection in the backlog.
    Queued,
    /// It is served.
    Served,
    /// The server has done with it, and its connection is still open.
    Open,
    /// What served it is a zombie.
    Zombie,
}

/// A moment of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// The server read bytes of it.
    Read,
    /// It is connected, after its SYN was sent again.
    SentAgain,
    /// It left without its answer, or gave up.
    Left,
    /// It has its answer.
    Answered,
}

impl Timeline {
    /// The timeline of the sightings until `until_us`.
    pub(crate) fn of(scene: &Scene, sightings: &[Sighting], until_us: u64) -> Timeline {
        let plans = &scene.clients;
        let mut tracks: Vec<Track> = plans
            .iter()
            .map(|plan| Track { label: plan.label(), name: plan.name.clone(), course: Course::default() })
            .collect();
        // The server may have accepted a client before connect(2) returned to it.
        let ports: BTreeMap<u16, usize> = sightings
            .iter()
            .filter_map(|sighting| match sighting.seen {
                SightingKind::Client { client, event: ClientEvent::Comes { port } } => Some((port, client)),
                _ => None,
            })
            .collect();
        let mut received = vec![0; tracks.len()];
        let mut gauges = BTreeMap::<Gauge, Vec<(u64, u32)>>::new();
        for Sighting { at_us, seen } in sightings {
            let at_us = *at_us;
            match seen {
                SightingKind::Client { client, event } => {
                    if let ClientEvent::Received(bytes) = event {
                        received[*client] += bytes;
                        if received[*client] >= plans[*client].sends_bytes() {
                            tracks[*client].course.answered_us.get_or_insert(at_us);
                        }
                    }
                    tracks[*client].course.client_event(at_us, event);
                }
                SightingKind::Server { port, event } => {
                    if let Some(client) = ports.get(port) {
                        tracks[*client].course.server_event(at_us, *event);
                    }
                }
                SightingKind::Zombie { process } => {
                    let served = |track: &&mut Track| {
                        track.course.began.is_some_and(|(_, served_in)| served_in.process == *process)
                    };
                    if let Some(track) = tracks.iter_mut().find(served) {
                        track.course.zombie_us.get_or_insert(at_us);
                    }
                }
                SightingKind::Gauge { gauge, value } => {
                    gauges.entry(*gauge).or_default().push((at_us, *value));
                }
            }
        }
        let mut drawn = vec![TrackState::Queued, TrackState::Served];
        drawn.extend(scene.draws_connecting().then_some(TrackState::Connecting));
        drawn.extend((scene.topic == Topic::Leak).then_some(TrackState::Open));
        drawn.extend((scene.topic == Topic::Zombies).then_some(TrackState::Zombie));
        Timeline { tracks, gauges, until_us, waited_from_us: WAITED_FROM_US, drawn }
    }

    /// Of a scene that is played so many times as fast as it is written.
    pub(crate) fn at_speed(self, speed: f64) -> Timeline {
        let waited_from = Duration::from_micros(WAITED_FROM_US).div_f64(speed);
        Timeline { waited_from_us: waited_from.as_micros() as u64, ..self }
    }

    /// How long a client waited from connect(2) until it was served, or waits until now, in µs; `None` if it
    /// has not come, or waited for the processor alone.
    pub(crate) fn waited_us(&self, track: &Track) -> Option<u64> {
        let course = &track.course;
        let until_us = course.began.map_or(self.until_us, |(at, _)| at);
        Some(until_us.saturating_sub(course.came_us?)).filter(|waited_us| *waited_us >= self.waited_from_us)
    }

    /// The spans of a row, as they are drawn.
    pub(crate) fn spans(&self, track: &Track) -> Vec<TrackSpan> {
        let mut spans: Vec<TrackSpan> = Vec::new();
        for mut span in track.course.spans(self.until_us) {
            if span.state == TrackState::Connecting && !self.drawn.contains(&span.state) {
                // The kernel has the connection, unless the queue is full.
                span.state = TrackState::Queued;
            }
            let is_wait = matches!(span.state, TrackState::Connecting | TrackState::Queued);
            if !self.drawn.contains(&span.state) || is_wait && self.waited_us(track).is_none() {
                continue;
            }
            match spans.last_mut() {
                Some(last) if last.state == span.state => last.to_us = span.to_us,
                _ => spans.push(span),
            }
        }
        spans
    }

    /// The marks of a row, as they are drawn.
    pub(crate) fn marks(&self, track: &Track) -> Vec<(u64, Mark)> {
        let mut marks = track.course.marks();
        marks.retain(|(_, mark)| *mark != Mark::SentAgain || self.drawn.contains(&TrackState::Connecting));
        marks
    }

    /// The most clients that were served at the same time.
    pub(crate) fn at_once_max(&self) -> usize {
        let served = || self.tracks.iter().filter_map(|track| track.course.served(self.until_us));
        let at = |moment: u64| served().filter(|(from, to)| (*from..*to).contains(&moment)).count();
        served().map(|(from, _)| at(from)).max().unwrap_or(0)
    }

    /// The greatest value of a gauge; `None` if it was not seen.
    pub(crate) fn gauge_max(&self, gauge: Gauge) -> Option<u32> {
        self.gauges.get(&gauge)?.iter().map(|(_, value)| *value).max()
    }

    /// The first and the last value of a gauge.
    pub(crate) fn gauge_ends(&self, gauge: Gauge) -> Option<(u32, u32)> {
        let values = self.gauges.get(&gauge)?;
        Some((values.first()?.1, values.last()?.1))
    }

    /// The value of a gauge at a moment: the greatest in this span of time, or what it was before.
    pub(crate) fn gauge_in(&self, gauge: Gauge, from_us: u64, to_us: u64) -> Option<u32> {
        let values = self.gauges.get(&gauge)?;
        let before = values.iter().rev().find(|(at, _)| *at <= from_us).map(|(_, value)| *value);
        let within = values.iter().filter(|(at, _)| (from_us..to_us).contains(at)).map(|(_, value)| *value);
        within.chain(before).max()
    }
}

impl Course {
    fn client_event(&mut self, at_us: u64, event: &ClientEvent) {
        match event {
            ClientEvent::Comes { .. } => self.came_us = Some(at_us),
            ClientEvent::Connected { sent_again } => {
                self.connected_us = Some(at_us);
                self.sent_again = *sent_again;
            }
            ClientEvent::ClosedItsSide => self.closed_side_us = Some(at_us),
            ClientEvent::SawEnd => self.saw_end_us = Some(at_us),
            ClientEvent::GaveUp(what) => self.gave_up = Some((at_us, what)),
            ClientEvent::Failed(why) => self.failed = Some((at_us, why.clone())),
            ClientEvent::Left => self.left_us = Some(at_us),
            ClientEvent::Sent(_) | ClientEvent::Received(_) => {}
        }
    }

    fn server_event(&mut self, at_us: u64, event: ServerEvent) {
        match event {
            ServerEvent::Began(served_in) => self.began = Some((at_us, served_in)),
            ServerEvent::Read(_) => self.reads_us.push(at_us),
            ServerEvent::Ended => self.ended_us = Some(at_us),
            ServerEvent::Answered(_) => {}
        }
    }

    /// When it had no further part in the scene, in µs.
    pub(crate) fn done_us(&self) -> Option<u64> {
        let ends = [
            self.left_us,
            self.saw_end_us,
            self.gave_up.as_ref().map(|(at, _)| *at),
            self.failed.as_ref().map(|(at, _)| *at),
        ];
        ends.into_iter().flatten().min()
    }

    /// From when to when it was served.
    pub(crate) fn served(&self, until_us: u64) -> Option<(u64, u64)> {
        let (from, _) = self.began?;
        Some((from, self.ended_us.unwrap_or(until_us).max(from + 1)))
    }

    /// What serves it, or served it.
    pub(crate) fn served_in(&self) -> Option<ServedIn> {
        self.began.map(|(_, served_in)| served_in)
    }

    /// How long it waited from connect(2) until it was served, in µs.
    pub(crate) fn waited_us(&self) -> Option<u64> {
        Some(self.began?.0.saturating_sub(self.came_us?))
    }

    /// How long its answer took from connect(2) on, in µs.
    pub(crate) fn answer_took_us(&self) -> Option<u64> {
        Some(self.answered_us?.saturating_sub(self.came_us?))
    }

    /// How long connect(2) took, in µs.
    pub(crate) fn connect_took_us(&self) -> Option<u64> {
        Some(self.connected_us?.saturating_sub(self.came_us?))
    }

    /// Whether it left or gave up without its answer.
    pub(crate) fn left_without_answer(&self) -> bool {
        self.answered_us.is_none() && self.done_us().is_some()
    }

    /// The state at the moment `until_us`; `None` before it comes and after it has gone.
    pub(crate) fn state(&self, until_us: u64) -> Option<TrackState> {
        self.spans(until_us).last().filter(|span| span.to_us >= until_us).map(|span| span.state)
    }

    /// Its spans until a moment, in their order.
    pub(crate) fn spans(&self, until_us: u64) -> Vec<TrackSpan> {
        let mut spans = Vec::new();
        let mut add = |from_us: u64, to_us: u64, state| {
            if from_us < to_us {
                spans.push(TrackSpan { from_us, to_us, state });
            }
        };
        let Some(came_us) = self.came_us else { return spans };
        let done_us = self.done_us().unwrap_or(until_us);
        let began_us = self.began.map(|(at, _)| at);
        let connected_us = self.connected_us.or(began_us).unwrap_or(done_us);
        add(came_us, connected_us.min(began_us.unwrap_or(connected_us)), TrackState::Connecting);
        if self.connected_us.is_some() || began_us.is_some() {
            // A client that leaves stays in the backlog: the kernel keeps its connection for the server.
            add(connected_us, began_us.unwrap_or(until_us), TrackState::Queued);
        }
        if let Some((from_us, to_us)) = self.served(until_us) {
            add(from_us, to_us, TrackState::Served);
        }
        if let (Some(ended_us), Some(_)) = (self.ended_us, self.closed_side_us)
            && done_us.saturating_sub(ended_us) >= OPEN_FROM_US
        {
            add(ended_us, done_us, TrackState::Open);
        }
        if let Some(zombie_us) = self.zombie_us {
            add(zombie_us.max(done_us.min(until_us)), until_us, TrackState::Zombie);
        }
        spans
    }

    /// Its marks, in their order.
    pub(crate) fn marks(&self) -> Vec<(u64, Mark)> {
        let mut marks: Vec<(u64, Mark)> = self.reads_us.iter().map(|at| (*at, Mark::Read)).collect();
        marks.extend(self.connected_us.filter(|_| self.sent_again > Some(0)).map(|at| (at, Mark::SentAgain)));
        marks.extend(self.answered_us.map(|at| (at, Mark::Answered)));
        let gave_up = self.gave_up.as_ref().map(|(at, _)| *at);
        let failed = self.failed.as_ref().map(|(at, _)| *at);
        let left = self.left_us.filter(|_| self.answered_us.is_none());
        marks.extend(gave_up.or(failed).or(left).map(|at| (at, Mark::Left)));
        marks.sort();
        marks
    }
}

/// A time as people read it: `0.4 ms`, `150 ms`, `1.52 s`.
pub(crate) fn time_text(us: u64) -> String {
    let ms = us as f64 / 1e3;
    match us {
        0..10_000 => format!("{ms:.1} ms"),
        10_000..999_500 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1e3),
    }
}
