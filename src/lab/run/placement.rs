//! The cores of server and generator.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use crate::lab::plan::subject::CoreClass;
use crate::lab::sample::cpu::Sides;
use crate::sys::process::pin;

/// Cores of the server and of the generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// All cores that this process may use, the server's first.
    all: Vec<usize>,
    /// The physical core of each CPU.
    physical: Vec<usize>,
    /// How many CPUs the server has.
    server_count: usize,
    /// Server and generator are pinned to separate cores.
    apart: bool,
    /// Server and generator share one physical core, because there is no other.
    one_physical: bool,
    /// The cores are ordered by their use by other processes, not by their numbers.
    is_by_use: bool,
}

/// Shares of a core that differ by less count as equal.
const USED_STEP: f64 = 0.2;

/// The physical core of this hardware thread, named by its lowest thread; the core itself where the system
/// does not expose it.
pub(crate) fn physical_core(core: usize) -> usize {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let siblings = fs::read_to_string(path).unwrap_or_default();
    least_of(&siblings).unwrap_or(core)
}

/// The first number of a list such as `0,4` or `0-1`.
fn least_of(list: &str) -> Option<usize> {
    list.split([',', '-']).next()?.trim().parse().ok()
}

impl Placement {
    /// The placement on these cores; without a core no process is pinned. Hardware threads of one physical
    /// core slow each other down, so all of them are given to the same side if there is more than one
    /// physical core.
    ///
    /// `used` is the share of each core that other processes used a moment ago: the server gets the cores
    /// with the smallest shares, because a generator that waits affects fewer results.
    pub(crate) fn of(
        cores: &[usize],
        physical: impl Fn(usize) -> usize,
        used: impl Fn(usize) -> f64,
    ) -> Placement {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &core in cores {
            groups.entry(physical(core)).or_default().push(core);
        }
        let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
        // In steps: smaller differences are chance, and must not change the order.
        let steps = |group: &Vec<usize>| {
            (group.iter().map(|core| used(*core)).sum::<f64>() / USED_STEP).round() as i64
        };
        let numbered = groups.clone();
        groups.sort_by_key(steps);
        let one_physical = groups.len() == 1 && cores.len() >= 2;
        let server_count = if one_physical {
            cores.len().div_ceil(2)
        } else {
            groups.iter().take(groups.len().div_ceil(2)).map(Vec::len).sum()
        };
        let is_by_use = groups != numbered;
        let all: Vec<usize> = groups.into_iter().flatten().collect();
        let physical = all.iter().map(|core| physical(*core)).collect();
        Placement { all, physical, server_count, apart: cores.len() >= 2, one_physical, is_by_use }
    }

    /// The cores on which other processes disturb the server of this class, and those on which they disturb
    /// the generator. `None` if server and generator share cores.
    pub(crate) fn sides(&self, class: CoreClass) -> Sides {
        if !self.apart || self.one_physical {
            return Sides::default();
        }
        let physical =
            |core: usize| self.all.iter().position(|other| *other == core).map(|at| self.physical[at]);
        let beside = |own: &[usize]| {
            let taken: Vec<_> = own.iter().map(|core| physical(*core)).collect();
            self.all.iter().copied().filter(|core| taken.contains(&physical(*core))).collect()
        };
        Sides { server: beside(self.server(class)), generator: beside(self.generator()) }
    }

    /// All cores. After this process is pinned to the generator's cores, the system reports only those.
    pub(crate) fn cores(&self) -> &[usize] {
        &self.all
    }

    /// The generator's cores: the last half. This process runs there, too.
    pub(crate) fn generator(&self) -> &[usize] {
        &self.all[self.server_count..]
    }

    /// The server's cores.
    pub(crate) fn server(&self, class: CoreClass) -> &[usize] {
        let left = &self.all[..self.server_count];
        match class {
            CoreClass::OneCore => &left[..left.len().min(1)],
            CoreClass::AllCores => left,
        }
    }

    /// The classes that differ on this machine: there is one class if the server has one core.
    pub(crate) fn classes(&self) -> Vec<CoreClass> {
        if self.apart && self.server(CoreClass::AllCores).len() > 1 {
            vec![CoreClass::OneCore, CoreClass::AllCores]
        } else {
            vec![CoreClass::OneCore]
        }
    }

    /// Runs `start` with the current thread on these cores, so that processes it starts run there. Then the
    /// thread moves back to the generator's cores.
    pub(crate) fn on<T>(&self, cores: &[usize], start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if !self.apart {
            return start();
        }
        pin(cores)?;
        let started = start();
        pin(self.generator())?;
        started
    }

    /// The placement as text, for reports.
    pub(crate) fn describe(&self) -> String {
        if !self.apart {
            return match self.all.len() {
                0 => "not pinned: this system does not let a program choose its cores, so server and generator may share \
                      them"
                    .to_owned(),
                _ => "one core, shared by server and generator: they disturb each other".to_owned(),
            };
        }
        let list = |cores: &[usize]| cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let more = match self.server(CoreClass::AllCores).len() {
            1 => "the class of all cores is the same here".to_owned(),
            _ => {
                format!("in the class of all cores the server has {}", list(self.server(CoreClass::AllCores)))
            }
        };
        let shared = if self.one_physical {
            "; these are threads of one physical core and slow each other down"
        } else {
            ""
        };
        let by_use = if self.is_by_use { " (other processes used it least)" } else { "" };
        format!(
            "pinned and disjoint: server on core {}{by_use}, generator on {}; {more}{shared}",
            list(self.server(CoreClass::OneCore)),
            list(self.generator())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a quiet machine.
    fn quiet(cores: &[usize], physical: impl Fn(usize) -> usize) -> Placement {
        Placement::of(cores, physical, |_| 0.0)
    }

    #[test]
    fn server_and_generator_never_share_a_core_if_there_are_two() {
        for count in 2..9 {
            let placement = quiet(&(0..count).collect::<Vec<_>>(), |core| core);
            for class in placement.classes() {
                assert!(!placement.server(class).is_empty());
                assert!(!placement.generator().is_empty());
                assert!(placement.server(class).iter().all(|core| !placement.generator().contains(core)));
            }
        }
        let of = |cores| quiet(cores, |core| core);
        assert_eq!(of(&[0, 1]).classes(), [CoreClass::OneCore]);
        assert_eq!(of(&[0, 1, 2, 3]).classes(), [CoreClass::OneCore, CoreClass::AllCores]);
        assert!(of(&[5]).describe().contains("shared"));
        assert!(of(&[]).describe().contains("not pinned"));
    }

    #[test]
    fn the_server_has_the_cores_that_other_processes_use_least() {
        let of = |used: [f64; 4]| Placement::of(&[0, 1, 2, 3], |core| core, |core| used[core]);
        let placement = of([0.9, 0.02, 0.5, 0.05]);
        assert_eq!(placement.server(CoreClass::AllCores), [1, 3]);
        assert_eq!(placement.generator(), [2, 0]);
        assert!(placement.describe().contains("server on core 1 (other processes used it least)"));
        let alike = of([0.06, 0.02, 0.0, 0.05]);
        assert_eq!(alike.cores(), [0, 1, 2, 3], "differences by chance");
        assert!(!alike.describe().contains("used it least"));
    }

    #[test]
    fn what_disturbs_a_side_runs_on_its_physical_cores() {
        // Threads 0 and 2, and 1 and 3.
        let placement = quiet(&[0, 1, 2, 3], |core| core % 2);
        let sides = placement.sides(CoreClass::OneCore);
        assert_eq!((sides.server, sides.generator), (vec![0, 2], vec![1, 3]));
        let eight = quiet(&[0, 1, 2, 3, 4, 5, 6, 7], |core| core);
        assert_eq!(eight.sides(CoreClass::OneCore).server, [0], "the server does not use the others");
        assert_eq!(eight.sides(CoreClass::AllCores).server, [0, 1, 2, 3]);
        for together in [quiet(&[0, 1], |_| 0), quiet(&[5], |core| core)] {
            assert_eq!(together.sides(CoreClass::OneCore), Sides::default());
        }
    }

    #[test]
    fn threads_of_one_physical_core_are_on_one_side() {
        // Both ways in which systems number them.
        let side_by_side = quiet(&[0, 1, 2, 3], |core| core / 2 * 2);
        assert_eq!(
            (side_by_side.server(CoreClass::AllCores), side_by_side.generator()),
            (&[0, 1][..], &[2, 3][..])
        );
        let far_apart = quiet(&[0, 1, 2, 3, 4, 5], |core| core % 3);
        assert_eq!((far_apart.server(CoreClass::OneCore), far_apart.generator()), (&[0][..], &[2, 5][..]));
        // One thread of a core, and both of another.
        let uneven = quiet(&[1, 2, 3], |core| core / 2 * 2);
        assert_eq!((uneven.server(CoreClass::AllCores), uneven.generator()), (&[1][..], &[2, 3][..]));
        for apart in [side_by_side, far_apart, uneven] {
            assert!(!apart.describe().contains("physical"), "{}", apart.describe());
        }
        let one = quiet(&[0, 1], |_| 0);
        assert_eq!((one.server(CoreClass::OneCore), one.generator()), (&[0][..], &[1][..]));
        assert!(one.describe().contains("threads of one physical core"), "{}", one.describe());
        assert_eq!([least_of("0,4\n"), least_of("2-3\n"), least_of("")], [Some(0), Some(2), None]);
    }
}
