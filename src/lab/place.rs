//! Which cores the server and the generator have.

use std::io;

use super::cell::CoreClass;
use crate::sys::process::pin;

/// Cores of the server and of the generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// All that this process may use.
    all: Vec<usize>,
    /// Cores are kept apart.
    apart: bool,
}

impl Placement {
    /// For these cores; empty where the system does not tell, and then nobody is pinned.
    pub fn of(cores: Vec<usize>) -> Placement {
        let apart = cores.len() >= 2;
        Placement { all: cores, apart }
    }

    /// The generator's cores: half of them, the last ones; the lab itself stays there too.
    pub fn generator(&self) -> &[usize] {
        &self.all[self.all.len().div_ceil(2)..]
    }

    /// The server's cores.
    pub fn server(&self, class: CoreClass) -> &[usize] {
        let left = &self.all[..self.all.len().div_ceil(2)];
        match class {
            CoreClass::OneCore => &left[..left.len().min(1)],
            CoreClass::AllCores => left,
        }
    }

    /// The classes that differ here: with one core left to the server, all are one.
    pub fn classes(&self) -> Vec<CoreClass> {
        if self.apart && self.server(CoreClass::AllCores).len() > 1 {
            vec![CoreClass::OneCore, CoreClass::AllCores]
        } else {
            vec![CoreClass::OneCore]
        }
    }

    /// Does something with the current thread on these cores, so that what it starts begins there, and returns it to
    /// the generator's half.
    pub fn on<T>(&self, cores: &[usize], start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if !self.apart {
            return start();
        }
        pin(cores)?;
        let started = start();
        pin(self.generator())?;
        started
    }

    /// What is told of it.
    pub fn told(&self) -> String {
        if !self.apart {
            return match self.all.len() {
                0 => "not pinned: this system does not let a program choose its cores, so that server and generator \
                      may share them"
                    .to_owned(),
                _ => "one core, shared by server and generator: each disturbs the other".to_owned(),
            };
        }
        let list = |cores: &[usize]| cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let more = match self.server(CoreClass::AllCores).len() {
            1 => "the server's class of all cores would be the same one".to_owned(),
            _ => {
                format!("in the class of all cores the server has {}", list(self.server(CoreClass::AllCores)))
            }
        };
        format!(
            "pinned and disjoint: server on core {}, generator on {}; {more}",
            list(self.server(CoreClass::OneCore)),
            list(self.generator())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_generator_never_share_a_core_if_there_are_two() {
        for count in 2..9 {
            let placement = Placement::of((0..count).collect());
            for class in placement.classes() {
                assert!(!placement.server(class).is_empty());
                assert!(!placement.generator().is_empty());
                assert!(placement.server(class).iter().all(|core| !placement.generator().contains(core)));
            }
        }
        assert_eq!(Placement::of(vec![0, 1]).classes(), [CoreClass::OneCore]);
        assert_eq!(Placement::of(vec![0, 1, 2, 3]).classes(), [CoreClass::OneCore, CoreClass::AllCores]);
        assert!(Placement::of(vec![5]).told().contains("shared"));
        assert!(Placement::of(vec![]).told().contains("not pinned"));
    }
}
