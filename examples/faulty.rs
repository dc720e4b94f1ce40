//! A service that misbehaves on command, under any model: what do the other clients notice?
//!
//! ```sh
//! cargo run --example faulty -- --model fork     # listening on faulty@127.0.0.1:…
//! nc 127.0.0.1 PORT                              # say: panic, abort, kill, stall, or anything else, which is echoed
//! ```
//!
//! `--refusal panic` has it panic over its last words, too; `--chat` serves `examples/chat.rs` instead, whose sessions wake each other.
//! `--layers frames`, or `origin` for one more below it, puts the toy layers of the tests between the service and its clients.

use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use oneloop::connection::ListenerLayers;
use oneloop::limits::{Limits, Overflow};
use oneloop::models::{self, ListenerConfig, Model, Setup};
use oneloop::session::{Call, Client, Input, Outbox, Progress, Refusal, Service, Session, Wait};
use oneloop::telemetry::Telemetry;
use oneloop::{Address, ListenOptions, Listener, Signals};

#[path = "chat.rs"]
#[allow(unreachable_pub, reason = "it is an example of its own")]
mod chat;
#[path = "../tests/common/layers.rs"]
mod layers;

/// Each line is a command, or is echoed.
#[derive(Clone, Copy)]
struct Faulty {
    refusal_panics: bool,
}

/// One client: what is known of it.
struct FaultySession {
    who: String,
}

impl Service for Faulty {
    type Session = FaultySession;

    fn open(&self, client: &Client<'_>) -> FaultySession {
        let (name, protocol) = (client.server_name.unwrap_or("-"), client.protocol.unwrap_or(b"-"));
        FaultySession { who: format!("{} {name} {}\n", client.peer, protocol.escape_ascii()) }
    }

    fn refusal(&self, why: Refusal) -> &[u8] {
        assert!(!self.refusal_panics, "as commanded");
        match why {
            Refusal::NoWorker => b"no worker\n",
            Refusal::TooManyClients => b"too many clients\n",
            Refusal::TooManyFromAddress => b"too many from your address\n",
            Refusal::Stopping => b"stopping\n",
        }
    }
}

impl Session for FaultySession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
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
            _ => {}
        }
        match out.put(if line == b"who\n" { self.who.as_bytes() } else { line }) {
            Ok(()) => Progress::again(line.len()),
            Err(_) => Progress::need_room(0),
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
    let setup = Setup { listeners, limits, workers, telemetry: Telemetry::new(), signals };
    let summary = models::run(model, setup, &mut || {}).map_err(|error| fail(1)(&error))?;
    eprintln!("ended: {summary}");
    Ok(())
}

fn main() -> ExitCode {
    #[cfg(feature = "cli")]
    env_logger::init();
    let served = match asked(std::env::args().skip(1)) {
        Ok(asked) => match asked.serves {
            Serves::Faulty(faulty) => serve(asked, "faulty", faulty),
            Serves::Chat => serve(asked, "chat", chat::Chat::default()),
        },
        Err(mistake) => {
            eprintln!("faulty: {mistake}");
            Err(ExitCode::from(2))
        }
    };
    served.err().unwrap_or(ExitCode::SUCCESS)
}
