//! What is measured: the models, the cases, and how both sides are started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bare::pairs::Bench;

/// Workers of prefork and prethread, and of both sides alike. 1,000 clients that stay get 1,000.
const WORKERS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    Iterative,
    Prefork,
    Fork,
    Thread,
    Prethread,
    Reactor,
}

impl Model {
    const ALL: [Model; 6] =
        [Model::Iterative, Model::Prefork, Model::Fork, Model::Thread, Model::Prethread, Model::Reactor];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Model::Iterative => "iterative",
            Model::Prefork => "prefork",
            Model::Fork => "fork",
            Model::Thread => "thread",
            Model::Prethread => "prethread",
            Model::Reactor => "reactor",
        }
    }

    pub(crate) fn starts_ahead(self) -> bool {
        matches!(self, Model::Prefork | Model::Prethread)
    }

    /// How many workers it starts for this many clients that stay.
    pub(crate) fn workers(self, clients: usize) -> Option<usize> {
        self.starts_ahead().then_some(WORKERS.max(clients))
    }

    /// `oneloop serve`, with nothing switched off.
    pub(crate) fn ours(self, workers: Option<usize>) -> Command {
        let program = std::env::var_os("ONELOOP_PROGRAM");
        let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_oneloop").into()));
        command.args(["serve", "--model", self.name(), "echo@127.0.0.1:0"]).env_remove("RUST_LOG");
        if let Some(workers) = workers {
            command.args(["--workers", &workers.to_string()]);
        }
        command
    }

    /// The leanest server of this model.
    pub(crate) fn floor(self, workers: Option<usize>) -> Command {
        if self == Model::Reactor {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg(crate::bare::process::BARE);
            return command;
        }
        let mut command = Command::new(self.built());
        command.args(workers.map(|workers| workers.to_string()));
        command
    }

    /// The leanest server with one thing more: `extra` is a constant of `benches/floor/price.h` and its
    /// value.
    pub(crate) fn priced(self, extra: &str, workers: Option<usize>) -> Command {
        let program = self.built().with_extension(extra.replace('=', "-"));
        let flags = ["-D_GNU_SOURCE".to_owned(), "-DPRICE".to_owned(), format!("-D{extra}")];
        assert!(self.compile(&program, &flags), "there is a compiler");
        let mut command = Command::new(program);
        command.args(workers.map(|workers| workers.to_string()));
        command
    }

    /// Where the C program of this model is built.
    fn built(self) -> PathBuf {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("floor-{}", self.name()))
    }

    /// Builds the C program of this model. Returns whether there is a compiler.
    fn compile(self, program: &Path, flags: &[String]) -> bool {
        let source = format!("{}/../benches/floor/{}.c", env!("CARGO_MANIFEST_DIR"), self.name());
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-pthread"]).args(flags).arg("-o").arg(program).arg(source);
        let Ok(status) = cc.status() else { return false };
        assert!(status.success(), "{cc:?}: {status}");
        true
    }
}

/// Builds the C programs. Returns whether there is a compiler.
pub(crate) fn build() -> bool {
    let mut models = Model::ALL.into_iter().filter(|&model| model != Model::Reactor);
    models.all(|model| model.compile(&model.built(), &[]))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// So many clients that stay, and ask again and again.
    Stay(usize),
    /// Clients that come once.
    Once,
    /// What an idle client costs.
    Memory,
}

impl Case {
    pub(crate) const ALL: [Case; 5] =
        [Case::Stay(1), Case::Stay(64), Case::Stay(1000), Case::Once, Case::Memory];

    fn named(name: &str) -> Option<Case> {
        match name {
            "once" => Some(Case::Once),
            "memory" => Some(Case::Memory),
            number => {
                let clients = number.parse().ok()?;
                Case::ALL.into_iter().find(|&case| case == Case::Stay(clients))
            }
        }
    }

    /// Why a model cannot be measured in this case, if it cannot.
    pub(crate) fn unsupported(self, model: Model) -> Option<&'static str> {
        match (self, model) {
            (Case::Stay(2..), Model::Iterative) => {
                Some("serves one client at a time; the others would wait forever")
            }
            (Case::Memory, Model::Iterative) => Some("serves one client at a time"),
            _ => None,
        }
    }
}

/// What the command line asks for.
pub(crate) struct Asked {
    pub(crate) models: Vec<Model>,
    pub(crate) cases: Vec<Case>,
    pub(crate) fast: bool,
    pub(crate) calls: bool,
    pub(crate) prices: bool,
}

impl Asked {
    pub(crate) fn of_arguments() -> Asked {
        let mut asked =
            Asked { models: Vec::new(), cases: Vec::new(), fast: false, calls: false, prices: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {} // cargo's
                "--fast" => asked.fast = true,
                "--calls" => asked.calls = true,
                "--prices" => asked.prices = true,
                "--only" => {
                    let names = arguments.next().expect("--only 1,64,1000,once,memory");
                    let case = |name| Case::named(name).unwrap_or_else(|| panic!("--only: no case {name}"));
                    asked.cases = names.split(',').map(case).collect();
                }
                name => {
                    let model = Model::ALL.into_iter().find(|model| model.name() == name);
                    asked.models.push(model.unwrap_or_else(|| panic!("no model {name}")));
                }
            }
        }
        if asked.models.is_empty() {
            asked.models = Model::ALL.to_vec();
        }
        if asked.cases.is_empty() {
            asked.cases = Case::ALL.to_vec();
        }
        asked
    }

    /// The same benchmark, with fewer and shorter pairs if it is to be fast.
    pub(crate) fn bench(&self, bench: &Bench) -> Bench {
        let (pairs, span) =
            if self.fast { (5, Duration::from_millis(240)) } else { (bench.pairs, bench.span) };
        Bench { pairs, span, ..*bench }
    }
}
