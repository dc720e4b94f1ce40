//! The cores of server and generator.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use crate::lab::plan::subject::CoreClass;
use crate::sys::process::pin;

/// Cores of the server and of the generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// All cores that this process may use, the server's first.
    all: Vec<usize>,
    /// How many of them are the server's.
    server_count: usize,
    /// Server and generator are pinned to separate cores.
    apart: bool,
    /// Server and generator share one physical core, because there is no other.
    one_physical: bool,
}

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
    /// For these cores; without any, no process is pinned. Hardware threads of one physical core slow each
    /// other down, so they are all given to the same side if there is more than one physical core.
    pub(crate) fn of(cores: &[usize], physical: impl Fn(usize) -> usize) -> Placement {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &core in cores {
            groups.entry(physical(core)).or_default().push(core);
        }
        let one_physical = groups.len() == 1 && cores.len() >= 2;
        let server_count = if one_physical {
            cores.len().div_ceil(2)
        } else {
            groups.values().take(groups.len().div_ceil(2)).map(Vec::len).sum()
        };
        let all = groups.into_values().flatten().collect();
        Placement { all, server_count, apart: cores.len() >= 2, one_physical }
    }

    /// All cores. The system itself reports only those of the generator once this process is pinned there.
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
        format!(
            "pinned and disjoint: server on core {}, generator on {}; {more}{shared}",
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
            let placement = Placement::of(&(0..count).collect::<Vec<_>>(), |core| core);
            for class in placement.classes() {
                assert!(!placement.server(class).is_empty());
                assert!(!placement.generator().is_empty());
                assert!(placement.server(class).iter().all(|core| !placement.generator().contains(core)));
            }
        }
        let of = |cores| Placement::of(cores, |core| core);
        assert_eq!(of(&[0, 1]).classes(), [CoreClass::OneCore]);
        assert_eq!(of(&[0, 1, 2, 3]).classes(), [CoreClass::OneCore, CoreClass::AllCores]);
        assert!(of(&[5]).describe().contains("shared"));
        assert!(of(&[]).describe().contains("not pinned"));
    }

    #[test]
    fn threads_of_one_physical_core_are_on_one_side() {
        // Both ways in which systems number them.
        let side_by_side = Placement::of(&[0, 1, 2, 3], |core| core / 2 * 2);
        assert_eq!(
            (side_by_side.server(CoreClass::AllCores), side_by_side.generator()),
            (&[0, 1][..], &[2, 3][..])
        );
        let far_apart = Placement::of(&[0, 1, 2, 3, 4, 5], |core| core % 3);
        assert_eq!((far_apart.server(CoreClass::OneCore), far_apart.generator()), (&[0][..], &[2, 5][..]));
        // One thread of a core, and both of another.
        let uneven = Placement::of(&[1, 2, 3], |core| core / 2 * 2);
        assert_eq!((uneven.server(CoreClass::AllCores), uneven.generator()), (&[1][..], &[2, 3][..]));
        for apart in [side_by_side, far_apart, uneven] {
            assert!(!apart.describe().contains("physical"), "{}", apart.describe());
        }
        let one = Placement::of(&[0, 1], |_| 0);
        assert_eq!((one.server(CoreClass::OneCore), one.generator()), (&[0][..], &[1][..]));
        assert!(one.describe().contains("threads of one physical core"), "{}", one.describe());
        assert_eq!([least_of("0,4\n"), least_of("2-3\n"), least_of("")], [Some(0), Some(2), None]);
    }
}
