//! A service that misbehaves on command, under any model: what do the other clients notice?
//!
//! ```sh
//! cargo run --example faulty -- --model fork     # listening on faulty@127.0.0.1:…
//! nc 127.0.0.1 PORT                              # send: panic, abort, kill, stall, later, late, tick, sleep, or a line to be echoed
//! ```
//!
//! `--refusal panic` has it panic over its last words, too; `--chat` and `--backend` serve those examples
//! instead, whose sessions are woken. `--layers frames`, or `origin` for one more below it, puts the toy
//! layers of the tests between the service and its clients.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use oneloop::connection::ListenerLayers;
use oneloop::limits::{Limits, Overflow};
use oneloop::models::{self, ListenerConfig, Model, Setup};
use oneloop::session::{
    AnswerInfo, Call, ClientInfo, Input, Outbox, Progress, Refusal, Service, Session, Wait,
};
use oneloop::telemetry::{Metrics, Telemetry};
use oneloop::{Address, ListenOptions, Listener, Signals};

#[path = "chat.rs"]
#[allow(unreachable_pub, reason = "it is an example of its own")]
mod chat;
#[path = "../tests/common/layers.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a module of the tests, which use more of it")]
mod layers;

#[path = "backend.rs"]
#[allow(unreachable_pub, reason = "it is an example of its own")]
mod backend;

/// Each line is a command, or is echoed.
#[derive(Clone, Copy)]
struct Faulty {
    refusal_panics: bool,
}

/// How long `later`, `late` and each tick of `tick` take.
const WAIT: Duration = Duration::from_millis(30);

/// One client.
struct FaultySession {
    /// What is known of it.
    who: String,
    does: Does,
}

/// What a session does beside taking lines.
#[derive(Clone, Copy)]
enum Does {
    Nothing,
    /// It pauses, then sends `later`.
    Later {
        due_ms: u64,
    },
    /// It pauses, and is timed out by itself.
    Late {
        due_ms: u64,
    },
    /// It sends `sleeping`, and pauses for ever.
    Sleep,
    /// It sends `tick` three times, at intervals, while it waits for lines.
    Tick {
        due_ms: u64,
        left: u8,
    },
}

impl Service for Faulty {
    type Session = FaultySession;

    fn open(&self, client: &ClientInfo<'_>) -> FaultySession {
        let (name, protocol) = (client.server_name.unwrap_or("-"), client.protocol.unwrap_or(b"-"));
        let who = format!("{} {name} {}\n", client.peer, protocol.escape_ascii());
        FaultySession { who, does: Does::Nothing }
    }

    fn refusal(&self, why: Refusal) -> &[u8] {
        assert!(!self.refusal_panics, "as commanded");
        match why {
            Refusal::NoWorker => b"no worker\n",
            Refusal::TooManyClients => b"too many clients\n",
            Refusal::TooManyFromAddress => b"too many from your address\n",
            Refusal::Stopping => b"stopping\n",
            _ => b"refused\n",
        }
    }
}

impl Session for FaultySession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        let now_ms = input.now.monotonic_ms;
        match self.does {
            Does::Later { due_ms } | Does::Late { due_ms } if now_ms < due_ms => return Progress::pause(0),
            Does::Sleep if input.call != Call::Stopping => return Progress::pause(0),
            Does::Late { .. } => {
                out.put_some(b"too late\n");
                return Progress::timed_out(0);
            }
            Does::Later { .. } => {
                out.put_some(b"later\n");
                self.does = Does::Nothing;
                return Progress::again(0);
            }
            Does::Tick { due_ms, left } if due_ms <= now_ms => {
                out.put_some(b"tick\n");
                let due_ms = input.now.after_ms(WAIT);
                self.does = if left > 1 { Does::Tick { due_ms, left: left - 1 } } else { Does::Nothing };
                return Progress::again(0);
            }
            Does::Sleep | Does::Tick { .. } | Does::Nothing => {}
        }
        let Some(end) = input.bytes.iter().position(|&byte| byte == b'\n') else {
            return match (input.bytes, input.call) {
                ([], Call::Stopping) => Progress::finish(0),
                ([], _) => Progress::need_input(0, Wait::NextRequest),
                _ => Progress::need_input(0, Wait::Rest),
            };
        };
        let line = &input.bytes[..=end];
        match line {
            b"panic\n" => panic!("as commanded"),
            b"abort\n" => std::process::abort(),
            b"kill\n" => raise(Signal::SIGKILL).expect("a process may end itself"),
            b"stall\n" => stall(),
            b"later\n" | b"late\n" | b"sleep\n" | b"tick\n" => {
                let due_ms = input.now.after_ms(WAIT);
                self.does = match line {
                    b"later\n" => Does::Later { due_ms },
                    b"late\n" => Does::Late { due_ms },
                    b"sleep\n" => {
                        out.put_some(b"sleeping\n");
                        Does::Sleep
                    }
                    _ => Does::Tick { due_ms, left: 3 },
                };
                return Progress::again(line.len());
            }
            _ => {}
        }
        match out.put(if line == b"who\n" { self.who.as_bytes() } else { line }) {
            Ok(()) => {
                let began_ms = input.arrived_ms;
                out.answered(AnswerInfo { status: None, head_bytes: 0, began_ms, request: None });
                Progress::again(line.len())
            }
            Err(_) => Progress::need_room(0),
        }
    }

    fn timer_due_ms(&self) -> Option<u64> {
        match self.does {
            Does::Later { due_ms } | Does::Late { due_ms } | Does::Tick { due_ms, .. } => Some(due_ms),
            Does::Nothing | Does::Sleep => None,
        }
    }
}

/// Never gives the thread back, whatever interrupts it.
fn stall() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// What was typed.
struct Asked {
    model: Model,
    workers: usize,
    limits: Limits,
    serves: Serves,
    layers: ListenerLayers,
}

#[derive(Clone, Copy)]
enum Serves {
    Faulty(Faulty),
    Chat,
    Backend,
}

fn asked(mut args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked {
        model: Model::Reactor,
        workers: 0,
        limits: Limits::default(),
        serves: Serves::Faulty(Faulty { refusal_panics: false }),
        layers: ListenerLayers::none(),
    };
    while let Some(flag) = args.next() {
        if flag == "--chat" {
            asked.serves = Serves::Chat;
            continue;
        }
        if flag == "--backend" {
            asked.serves = Serves::Backend;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u32>().map_err(|error| format!("{flag} {value}: {error}"));
        match flag.as_str() {
            "--model" => asked.model = value.parse().map_err(|error| format!("{error}"))?,
            "--workers" => asked.workers = number()? as usize,
            "--clients" => asked.limits.clients_max = number()?,
            "--per-address" => asked.limits.clients_per_address_max = number()?,
            "--drain-ms" => asked.limits.drain_ms = number()?,
            "--handshake-ms" => asked.limits.handshake_ms = number()?,
            "--layers" if value == "frames" => {
                asked.layers = ListenerLayers::none().with(layers::Frames::default);
            }
            "--layers" if value == "origin" => {
                asked.layers =
                    ListenerLayers::none().with(layers::Origin::default).with(layers::Frames::default);
            }
            "--idle-ms" => asked.limits.idle_ms = number()?,
            "--refusal" if value == "panic" => asked.serves = Serves::Faulty(Faulty { refusal_panics: true }),
            "--overflow" if value == "wait" => asked.limits.overflow = Overflow::Wait,
            "--overflow" if value == "evict" => asked.limits.overflow = Overflow::Evict,
            _ => return Err(format!("{flag} {value}: there is no such flag")),
        }
    }
    if asked.workers == 0 {
        asked.workers = asked.model.workers_default().unwrap_or(1);
    }
    Ok(asked)
}

fn serve<S: Service + Send>(asked: Asked, name: &str, service: S) -> Result<(), ExitCode> {
    let Asked { model, workers, limits, layers, .. } = asked;
    let fail = |code: u8| {
        move |error: &dyn std::fmt::Display| {
            eprintln!("faulty: {error}");
            ExitCode::from(code)
        }
    };
    let objection = model.objection(workers, &limits).or_else(|| model.objection_to(&service, workers));
    if let Some(objection) = objection {
        return Err(fail(2)(&objection));
    }
    let mut signals = Signals::install().map_err(|error| fail(1)(&error))?;
    if !model.makes_processes(workers) {
        signals = signals.without_children().map_err(|error| fail(1)(&error))?;
    }
    oneloop::raise_descriptors_max();
    let options = ListenOptions::default();
    let any = "127.0.0.1:0".parse().expect("an address");
    let sockets = if model.splits_port(workers) { workers } else { 1 };
    let listeners = match any {
        Address::Tcp(tcp) if sockets > 1 => Listener::bind_group(tcp, &options, sockets),
        any => Listener::bind(&any, &options).map(|listener| vec![listener]),
    };
    let sockets = listeners.map_err(|error| fail(1)(&error))?;
    println!("listening on {name}@{}", sockets[0].local_addr());
    let listeners = vec![ListenerConfig { service, sockets, layers }];
    let metrics = Arc::new(Metrics::new().map_err(|error| fail(1)(&error))?);
    let telemetry = Telemetry::new().with_observer(metrics.clone());
    let setup = Setup { listeners, limits, workers, telemetry, signals };
    let summary = models::run(model, setup, &mut || {}).map_err(|error| fail(1)(&error))?;
    eprintln!("ended: {summary}");
    let seen = metrics.snapshot();
    let (answers, latencies) = (seen.answers(), seen.latencies_ms.count());
    let (bytes, incomplete) = (seen.sent_bytes, seen.incomplete);
    eprintln!("metrics: answers={answers} bytes={bytes} incomplete={incomplete} latencies={latencies}");
    Ok(())
}

fn main() -> ExitCode {
    #[cfg(feature = "cli")]
    env_logger::init();
    let served = match asked(std::env::args().skip(1)) {
        Ok(asked) => match asked.serves {
            Serves::Faulty(faulty) => serve(asked, "faulty", faulty),
            Serves::Chat => serve(asked, "chat", chat::Chat::default()),
            Serves::Backend => serve(asked, "backend", backend::Backend::start()),
        },
        Err(mistake) => {
            eprintln!("faulty: {mistake}");
            Err(ExitCode::from(2))
        }
    };
    served.err().unwrap_or(ExitCode::SUCCESS)
}
