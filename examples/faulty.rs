//! A service that misbehaves on command, under any model: what do the other clients notice?
//!
//! ```sh
//! cargo run --example faulty -- --model fork
//! ```
//!
//! It prints the port that it listens on. In another terminal, with that port in place of PORT:
//!
//! ```sh
//! nc 127.0.0.1 PORT
//! ```
//!
//! Send `panic`, `abort`, `kill`, `stall`, `later`, `late`, `tick` or `sleep`, or a line to be echoed.
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
use oneloop::models::{self, ListenerConfig, Model, ServerConfig};
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
    /// The client's address and its other properties.
    who: String,
    pending: PendingWork,
}

/// What a session does in addition to reading lines.
#[derive(Clone, Copy)]
enum PendingWork {
    Nothing,
    /// It pauses, then sends `later`.
    Later {
        due_ms: u64,
    },
    /// It pauses, and is timed out by itself.
    Late {
        due_ms: u64,
    },
    /// It sends `sleeping`, and pauses forever.
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
        FaultySession { who, pending: PendingWork::Nothing }
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
        match self.pending {
            PendingWork::Later { due_ms } | PendingWork::Late { due_ms } if now_ms < due_ms => {
                return Progress::pause(0);
            }
            PendingWork::Sleep if input.call != Call::Stopping => return Progress::pause(0),
            PendingWork::Late { .. } => {
                out.put_some(b"too late\n");
                return Progress::timed_out(0);
            }
            PendingWork::Later { .. } => {
                out.put_some(b"later\n");
                self.pending = PendingWork::Nothing;
                return Progress::again(0);
            }
            PendingWork::Tick { due_ms, left } if due_ms <= now_ms => {
                out.put_some(b"tick\n");
                let due_ms = input.now.after_ms(WAIT);
                self.pending = if left > 1 {
                    PendingWork::Tick { due_ms, left: left - 1 }
                } else {
                    PendingWork::Nothing
                };
                return Progress::again(0);
            }
            PendingWork::Sleep | PendingWork::Tick { .. } | PendingWork::Nothing => {}
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
                self.pending = match line {
                    b"later\n" => PendingWork::Later { due_ms },
                    b"late\n" => PendingWork::Late { due_ms },
                    b"sleep\n" => {
                        out.put_some(b"sleeping\n");
                        PendingWork::Sleep
                    }
                    _ => PendingWork::Tick { due_ms, left: 3 },
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
        match self.pending {
            PendingWork::Later { due_ms }
            | PendingWork::Late { due_ms }
            | PendingWork::Tick { due_ms, .. } => Some(due_ms),
            PendingWork::Nothing | PendingWork::Sleep => None,
        }
    }
}

/// Never gives the thread back, whatever interrupts it.
fn stall() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// The arguments.
struct Arguments {
    model: Model,
    workers: usize,
    limits: Limits,
    service: ServiceChoice,
    layers: ListenerLayers,
}

#[derive(Clone, Copy)]
enum ServiceChoice {
    Faulty(Faulty),
    Chat,
    Backend,
}

fn arguments(mut args: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        model: Model::Reactor,
        workers: 0,
        limits: Limits::default(),
        service: ServiceChoice::Faulty(Faulty { refusal_panics: false }),
        layers: ListenerLayers::none(),
    };
    while let Some(flag) = args.next() {
        if flag == "--chat" {
            arguments.service = ServiceChoice::Chat;
            continue;
        }
        if flag == "--backend" {
            arguments.service = ServiceChoice::Backend;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u32>().map_err(|error| format!("{flag} {value}: {error}"));
        match flag.as_str() {
            "--model" => arguments.model = value.parse().map_err(|error| format!("{error}"))?,
            "--workers" => arguments.workers = number()? as usize,
            "--clients" => arguments.limits.clients_max = number()?,
            "--per-address" => arguments.limits.clients_per_address_max = number()?,
            "--drain-ms" => arguments.limits.drain_ms = number()?,
            "--handshake-ms" => arguments.limits.handshake_ms = number()?,
            "--layers" if value == "frames" => {
                arguments.layers = ListenerLayers::none().with(layers::Frames::default);
            }
            "--layers" if value == "origin" => {
                arguments.layers =
                    ListenerLayers::none().with(layers::Origin::default).with(layers::Frames::default);
            }
            "--idle-ms" => arguments.limits.idle_ms = number()?,
            "--refusal" if value == "panic" => {
                arguments.service = ServiceChoice::Faulty(Faulty { refusal_panics: true });
            }
            "--overflow" if value == "wait" => arguments.limits.overflow = Overflow::Wait,
            "--overflow" if value == "evict" => arguments.limits.overflow = Overflow::Evict,
            _ => return Err(format!("unknown flag {flag} {value}")),
        }
    }
    if arguments.workers == 0 {
        arguments.workers = arguments.model.workers_default().unwrap_or(1);
    }
    Ok(arguments)
}

fn serve<S: Service + Send>(arguments: Arguments, name: &str, service: S) -> Result<(), ExitCode> {
    let Arguments { model, workers, limits, layers, .. } = arguments;
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
    let config = ServerConfig { listeners, limits, workers, telemetry, signals };
    let summary = models::run(model, config, &mut || {}).map_err(|error| fail(1)(&error))?;
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
    let served = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => match arguments.service {
            ServiceChoice::Faulty(faulty) => serve(arguments, "faulty", faulty),
            ServiceChoice::Chat => serve(arguments, "chat", chat::Chat::default()),
            ServiceChoice::Backend => serve(arguments, "backend", backend::Backend::start()),
        },
        Err(mistake) => {
            eprintln!("faulty: {mistake}");
            Err(ExitCode::from(2))
        }
    };
    served.err().unwrap_or(ExitCode::SUCCESS)
}
