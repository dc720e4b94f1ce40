//! A scene with one server, from the first client to the last.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{self, ScenePace};
use super::kernel;
use super::scene::{Gauge, LectureServer, Scene, Topic};
use super::sentence;
use super::server::StartedServer;
use super::sighting::{ClientEvent, ServerEvent, Sighting, SightingKind};
use super::timeline::Timeline;
use crate::sys::clock::monotonic_ns;

/// From the start of the server to the beginning of the scene: copies are started meanwhile.
const HEAD_START: Duration = Duration::from_millis(100);
/// How often the kernel's tables are read.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often the timeline is shown.
const FRAME_EVERY: Duration = Duration::from_millis(40);
/// A process that ended this long ago and was not waited for is shown as a zombie; before, its parent may be
/// about to wait.
const ZOMBIE_AFTER: Duration = Duration::from_millis(50);
/// How long the server may take to end the last clients, and the kernel to show that they have ended.
const SETTLE_MAX: Duration = Duration::from_millis(500);
/// How much longer than planned a scene may take.
const OVERTIME_MAX: Duration = Duration::from_secs(30);
/// Sightings of a scene that are kept, at most: a script of the greatest size gives fewer.
const SIGHTINGS_MAX: usize = 1 << 16;

/// A scene that was played with one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SceneRun {
    /// The server.
    pub(crate) server: LectureServer,
    /// The sightings, as rows over time.
    pub(crate) timeline: Timeline,
    /// The result in one sentence.
    pub(crate) sentence: String,
}

/// Plays a scene with one server, `speed` times as fast as it is written. `show` is called with the timeline
/// so far several times per second. If `stop` returns true, the scene ends early and there is no result
/// (`None`). The error is a message.
pub(crate) fn play(
    scene: &Scene,
    server: LectureServer,
    speed: f64,
    stop: &dyn Fn() -> bool,
    show: &mut dyn FnMut(&Timeline),
) -> Result<Option<SceneRun>, String> {
    let (sender, receiver) = mpsc::channel();
    let lines = sender.clone();
    let started = StartedServer::start(server, scene.workers, move |line| {
        // The receiver is gone when the scene is over.
        let _ = lines.send((line.at_ns, SightingKind::Server { port: line.port, event: line.event }));
    })?;
    let pace = ScenePace { begins: Instant::now() + HEAD_START, speed };
    let begins_ns = monotonic_ns() + HEAD_START.as_nanos() as u64;
    for (at, plan) in scene.clients.iter().enumerate() {
        let (plan, addr, sender) = (plan.clone(), started.addr(), sender.clone());
        let note = move |event| {
            let _ = sender.send((monotonic_ns(), SightingKind::Client { client: at, event }));
        };
        let begun = thread::Builder::new().spawn(move || client::follow(&plan, addr, pace, &note));
        begun.map_err(|error| format!("cannot start a thread for client {}: {error}", at + 1))?;
    }
    drop(sender);
    let planned = pace.time_of(scene.serial_ms());
    let mut stage = Watch {
        scene,
        started,
        begins_ns,
        speed,
        sightings: Vec::new(),
        readings: KernelReadings::default(),
    };
    let ends_max = pace.begins + planned + OVERTIME_MAX;
    if !stage.watch(&receiver, ends_max, stop, show) {
        return Ok(None);
    }
    let timeline = stage.timeline();
    let sentence = sentence::of(scene, server, &timeline);
    Ok(Some(SceneRun { server, timeline, sentence }))
}

/// What watches a scene.
struct Watch<'a> {
    scene: &'a Scene,
    started: StartedServer,
    begins_ns: u64,
    speed: f64,
    sightings: Vec<Sighting>,
    readings: KernelReadings,
}

/// The last values of the kernel's tables, to note changes only.
#[derive(Default)]
struct KernelReadings {
    queue: Option<u32>,
    descriptors: Option<u32>,
    zombies: Option<u32>,
    /// Processes that serve or served a client, and since when each is a zombie, in ns.
    children: Vec<(u32, Option<u64>)>,
}

impl Watch<'_> {
    /// Watches until all clients have gone. `false` if it was stopped before.
    fn watch(
        &mut self,
        receiver: &Receiver<(u64, SightingKind)>,
        ends_max: Instant,
        stop: &dyn Fn() -> bool,
        show: &mut dyn FnMut(&Timeline),
    ) -> bool {
        // Not while the server starts.
        let (mut next_look, mut next_frame) = (Instant::now() + HEAD_START / 2, Instant::now());
        let mut settles_until = None;
        loop {
            let now = Instant::now();
            if stop() {
                return false;
            }
            if next_look <= now {
                self.look();
                next_look = now + LOOK_EVERY;
            }
            if next_frame <= now {
                show(&self.timeline());
                next_frame = now + FRAME_EVERY;
            }
            if settles_until.is_none() && self.are_clients_over() {
                settles_until = Some(now + SETTLE_MAX);
            }
            if settles_until.is_some_and(|until| until <= now || self.is_settled()) || ends_max <= now {
                self.look();
                show(&self.timeline());
                return true;
            }
            match receiver.recv_timeout(next_look.min(next_frame).saturating_duration_since(now)) {
                Ok(seen) => self.keep(seen),
                Err(RecvTimeoutError::Timeout) => {}
                // The server has ended, and the clients soon will.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
            }
            for _ in 0..SIGHTINGS_MAX {
                let Ok(seen) = receiver.try_recv() else { break };
                self.keep(seen);
            }
        }
    }

    fn keep(&mut self, (time_ns, seen): (u64, SightingKind)) {
        if let SightingKind::Server { event: ServerEvent::Began(served_in), .. } = seen
            && served_in.process != self.started.process()
        {
            self.readings.children.push((served_in.process, None));
        }
        if self.sightings.len() < SIGHTINGS_MAX {
            let at_us = time_ns.saturating_sub(self.begins_ns) / 1000;
            self.sightings.push(Sighting { at_us, seen });
        }
    }

    fn timeline(&self) -> Timeline {
        let until_us = monotonic_ns().saturating_sub(self.begins_ns) / 1000;
        Timeline::of(self.scene, &self.sightings, until_us).at_speed(self.speed)
    }

    fn are_clients_over(&self) -> bool {
        let over = |sighting: &&Sighting| {
            let SightingKind::Client { event, .. } = &sighting.seen else { return false };
            matches!(
                event,
                ClientEvent::Left | ClientEvent::Failed(_) | ClientEvent::GaveUp("the connection")
            )
        };
        self.sightings.iter().filter(over).count() >= self.scene.clients.len()
    }

    /// Whether the server has ended all clients, and their zombies, if the scene is about them, were seen.
    fn is_settled(&self) -> bool {
        let timeline = self.timeline();
        let has_ended =
            |course: &super::timeline::Course| course.connected_us.is_none() || course.ended_us.is_some();
        let is_left = |course: &super::timeline::Course| course.zombie_us.is_some();
        let without_wait =
            self.scene.topic == Topic::Zombies && self.readings.zombies.is_some_and(|count| count > 0);
        let mut courses = timeline.tracks.iter().map(|track| &track.course);
        courses.all(|course| has_ended(course) && (!without_wait || is_left(course)))
    }

    /// Reads the kernel's tables.
    fn look(&mut self) {
        let now_ns = monotonic_ns();
        if self.scene.gauges.contains(&Gauge::Queue)
            && let Some(queue) = kernel::queue(self.started.addr().port())
            && self.readings.queue.replace(queue) != Some(queue)
        {
            self.keep((now_ns, SightingKind::Gauge { gauge: Gauge::Queue, value: queue }));
        }
        if self.scene.gauges.contains(&Gauge::Descriptors)
            && let Some(descriptors) = kernel::descriptors(self.started.process())
            && self.readings.descriptors.replace(descriptors) != Some(descriptors)
        {
            self.keep((now_ns, SightingKind::Gauge { gauge: Gauge::Descriptors, value: descriptors }));
        }
        if self.scene.gauges.contains(&Gauge::Zombies) {
            self.look_for_zombies(now_ns);
        }
    }

    fn look_for_zombies(&mut self, now_ns: u64) {
        let mut found = Vec::new();
        for (process, since_ns) in &mut self.readings.children {
            if kernel::is_zombie(*process) {
                let since_ns = *since_ns.get_or_insert(now_ns);
                if u128::from(now_ns - since_ns) >= ZOMBIE_AFTER.as_nanos() {
                    found.push((since_ns, *process));
                }
            } else {
                *since_ns = None;
            }
        }
        let count = found.len() as u32;
        if self.readings.zombies.replace(count) != Some(count) {
            self.keep((now_ns, SightingKind::Gauge { gauge: Gauge::Zombies, value: count }));
            for (since_ns, process) in found {
                self.keep((since_ns, SightingKind::Zombie { process }));
            }
        }
    }
}
