//! What is played: clients with their plans, and the servers that they come to.

use crate::models::Model;

/// Clients of a scene, at most: their rows fit on a terminal of 24 lines.
pub(crate) const CLIENTS_MAX: usize = 12;
/// How long a scene may take, in ms, if no client had to wait.
pub(crate) const SCENE_MS_MAX: u32 = 60_000;
/// Workers of models that start them in advance: fewer than the clients that need one at the same time.
pub(crate) const WORKERS_DEFAULT: u32 = 2;
/// How long a client waits for the end of the connection after it has closed its side, in ms.
pub(crate) const END_PATIENCE_MS: u32 = 500;

/// A scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    /// Its subject, in one line.
    pub(crate) title: String,
    /// The servers, each with the same clients, one after the other.
    pub(crate) servers: Vec<LectureServer>,
    /// The clients, in the order of their rows.
    pub(crate) clients: Vec<ClientPlan>,
    /// Processes or threads of models that start them in advance.
    pub(crate) workers: u32,
    /// The gauges shown below the clients.
    pub(crate) gauges: Vec<Gauge>,
    /// What it is about.
    pub(crate) topic: Topic,
}

/// The scenes of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SceneName {
    /// Five clients at each model.
    Clients,
    /// Children that nothing waits for.
    Zombies,
    /// A parent that keeps `newS`.
    Leak,
    /// A queue that is too short.
    Backlog,
}

impl SceneName {
    /// All of them.
    pub(crate) const ALL: [SceneName; 4] =
        [SceneName::Clients, SceneName::Zombies, SceneName::Leak, SceneName::Backlog];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SceneName::Clients => "clients",
            SceneName::Zombies => "zombies",
            SceneName::Leak => "leak",
            SceneName::Backlog => "backlog",
        }
    }

    /// Its subject, in one line.
    pub(crate) fn title(self) -> String {
        self.scene().title
    }

    /// The scene.
    pub(crate) fn scene(self) -> Scene {
        match self {
            SceneName::Clients => Scene::five_clients(&Model::ALL),
            SceneName::Zombies => Scene::zombies(),
            SceneName::Leak => Scene::leak(),
            SceneName::Backlog => Scene::backlog(),
        }
    }
}

/// What a scene is about: what its sentence is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Which clients wait, and what serves them.
    Waiting,
    /// Children that were not waited for.
    Zombies,
    /// Connections that the server does not close.
    Leak,
    /// A queue that is too short.
    Backlog,
}

/// A server of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LectureServer {
    /// A model, with a listen queue of this length; `None` for the default.
    Model(Model, Option<u32>),
    /// A child per client whose parent never waits for its children.
    WithoutWait,
    /// A child per client whose parent does not close `newS`.
    WithoutClose,
}

impl LectureServer {
    /// What it is, in a line.
    pub(crate) fn title(self) -> String {
        match self {
            LectureServer::Model(model, None) => format!("{model}: {}", about(model)),
            LectureServer::Model(model, Some(backlog)) => format!("{model}, listen(S, {backlog})"),
            LectureServer::WithoutWait => "fork with a mistake: the parent never calls waitpid".to_owned(),
            LectureServer::WithoutClose => "fork with a mistake: the parent does not close newS".to_owned(),
        }
    }

    /// Whether the server is one with a mistake.
    pub(crate) fn has_mistake(self) -> bool {
        matches!(self, LectureServer::WithoutWait | LectureServer::WithoutClose)
    }
}

fn about(model: Model) -> &'static str {
    match model {
        Model::Iterative => "one client after the other",
        Model::Prefork => "copies started in advance, one client each",
        Model::Fork => "a child process per client",
        Model::Thread => "a thread per client",
        Model::Prethread => "threads started in advance, one client each",
        Model::Reactor => "one loop for all clients, a slot for each",
    }
}

/// What one client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientPlan {
    /// What it is called: a number or a name.
    pub(crate) name: String,
    /// What is special about it, in a word; may be empty.
    pub(crate) manner: String,
    /// When it connects, in ms from the beginning.
    pub(crate) comes_ms: u32,
    /// What it does then, in this order. In the end it closes the connection.
    pub(crate) acts: Vec<Act>,
}

/// One thing that a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It sends this.
    Send(String),
    /// It does nothing for this many ms. Bytes that arrive meanwhile are read.
    Pause(u32),
    /// It waits until all that it has sent has come back.
    Answer,
    /// It closes its side, and waits for the end of the connection.
    End,
}

/// A number that is shown below the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gauge {
    /// Connections in the queue of the listening socket.
    Queue,
    /// Children that have ended and were not waited for.
    Zombies,
    /// Descriptors of the process that listens.
    Descriptors,
}

impl Gauge {
    /// The label of its row.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Gauge::Queue => "backlog",
            Gauge::Zombies => "zombies",
            Gauge::Descriptors => "open files",
        }
    }
}

impl ClientPlan {
    /// Its name, and its manner.
    pub(crate) fn label(&self) -> String {
        if self.manner.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.manner) }
    }

    /// What it sends in all, in bytes.
    pub(crate) fn sends_bytes(&self) -> usize {
        let of = |act: &Act| if let Act::Send(text) = act { text.len() } else { 0 };
        self.acts.iter().map(of).sum()
    }
}

impl Scene {
    /// Five clients at each of these models: one stalls, one is slow, one leaves early.
    pub(crate) fn five_clients(models: &[Model]) -> Scene {
        let send = |text: &str| Act::Send(text.to_owned());
        let asks = || vec![send("hello"), Act::Answer, Act::Pause(150)];
        Scene {
            title: "Five clients: one stalls, one is slow, one leaves early".to_owned(),
            servers: models.iter().map(|model| LectureServer::Model(*model, None)).collect(),
            clients: vec![
                plan("1", "stalls", 0, vec![Act::Pause(1500), send("hello"), Act::Answer]),
                plan("2", "asks", 200, asks()),
                plan(
                    "3",
                    "slow",
                    400,
                    vec![
                        send("he"),
                        Act::Pause(150),
                        send("ll"),
                        Act::Pause(150),
                        send("o"),
                        Act::Answer,
                        Act::Pause(100),
                    ],
                ),
                plan("4", "leaves", 600, vec![send("hello"), Act::Pause(200)]),
                plan("5", "asks", 700, asks()),
            ],
            workers: WORKERS_DEFAULT,
            gauges: vec![Gauge::Queue],
            topic: Topic::Waiting,
        }
    }

    /// Children that nothing waits for, and the same with a parent that does.
    pub(crate) fn zombies() -> Scene {
        let plans = (0..5).map(|at| {
            let acts = vec![Act::Send("hello".to_owned()), Act::Answer, Act::Pause(80)];
            plan(&(at + 1).to_string(), "asks", at * 150, acts)
        });
        Scene {
            title: "Zombies: ended children that their parent does not wait for".to_owned(),
            servers: vec![LectureServer::WithoutWait, LectureServer::Model(Model::Fork, None)],
            clients: plans.collect(),
            workers: WORKERS_DEFAULT,
            gauges: vec![Gauge::Zombies],
            topic: Topic::Zombies,
        }
    }

    /// A parent that keeps `newS`, compared with one that closes it.
    pub(crate) fn leak() -> Scene {
        let plans = (0..5).map(|at| {
            let acts = vec![Act::Send("hello".to_owned()), Act::Answer, Act::End];
            plan(&(at + 1).to_string(), "asks", at * 150, acts)
        });
        Scene {
            title: "A forgotten close(newS): clients never see the end".to_owned(),
            servers: vec![LectureServer::WithoutClose, LectureServer::Model(Model::Fork, None)],
            clients: plans.collect(),
            workers: WORKERS_DEFAULT,
            gauges: vec![Gauge::Descriptors],
            topic: Topic::Leak,
        }
    }

    /// A listen queue for one client, compared with one for all.
    pub(crate) fn backlog() -> Scene {
        let asks = || vec![Act::Send("hello".to_owned()), Act::Answer, Act::Pause(50)];
        let mut clients =
            vec![plan("1", "stalls", 0, vec![Act::Pause(600), Act::Send("hello".to_owned()), Act::Answer])];
        clients.extend((1..5).map(|at| plan(&(at + 1).to_string(), "asks", at * 100, asks())));
        Scene {
            title: "A full backlog: the kernel drops attempts to connect".to_owned(),
            servers: [1, 128].map(|backlog| LectureServer::Model(Model::Iterative, Some(backlog))).to_vec(),
            clients,
            workers: WORKERS_DEFAULT,
            gauges: vec![Gauge::Queue],
            topic: Topic::Backlog,
        }
    }

    /// Whether connect(2) is drawn: with a listen queue of its own length, a client may find it full.
    pub(crate) fn draws_connecting(&self) -> bool {
        self.servers.iter().any(|server| matches!(server, LectureServer::Model(_, Some(_))))
    }

    /// How long the scene takes, in ms, with a server that serves one client after the other: the length of
    /// the axis.
    pub(crate) fn serial_ms(&self) -> u32 {
        let mut plans: Vec<&ClientPlan> = self.clients.iter().collect();
        plans.sort_by_key(|plan| plan.comes_ms);
        plans.iter().fold(0, |free_ms, plan| {
            let is_answer = |act: &Act| matches!(act, Act::Answer | Act::End);
            let served_from = plan.acts.iter().position(is_answer).unwrap_or(plan.acts.len());
            let (before, after) = plan.acts.split_at(served_from);
            // What it does before it needs the server, it also does while it waits.
            free_ms.max(plan.comes_ms.saturating_add(pauses_ms(before))).saturating_add(pauses_ms(after))
        })
    }
}

/// All pauses among these.
fn pauses_ms(acts: &[Act]) -> u32 {
    let of = |act: &Act| match act {
        Act::Pause(ms) => *ms,
        Act::Send(_) | Act::Answer | Act::End => 0,
    };
    acts.iter().map(of).fold(0, u32::saturating_add)
}

fn plan(name: &str, manner: &str, comes_ms: u32, acts: Vec<Act>) -> ClientPlan {
    ClientPlan { name: name.to_owned(), manner: manner.to_owned(), comes_ms, acts }
}
