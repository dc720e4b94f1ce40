//! Each model of `oneloop serve`, with all that is on by default, against the leanest server of the same
//! model: plain C of a page (`benches/floor`), built by `cc`; for the reactor the bare epoll loop of
//! `benches/echo`.
//!
//! | command | what it measures |
//! |---|---|
//! | `cargo bench --bench models_floor` | all of it: 15 minutes |
//! | `cargo bench --bench models_floor -- --fast fork thread` | two models in a minute, while developing |
//! | `cargo bench --bench models_floor -- --only once,memory fork` | some of 1, 64, 1000, once, memory |
//! | `cargo bench --bench models_floor -- --calls fork` | system calls per client, of both |
//! | `cargo bench --bench models_floor -- --prices` | what a larger program costs |
//!
//! Echo of 64 bytes: with 1, 64 and 1,000 clients that stay, and with clients that come once, 16 at a time.
//! Server and load have a core each. In a pair both servers are up, started afresh, and are loaded in turn,
//! in slices of which either is first as often; the time that the resting server takes of the core is not
//! counted as the other's. Shown are the median ratio of the pairs and its interval.
//!
//! On a busy machine run it as root with `nice -n -19`.
//!
//! Processor time is that of a control group (cgroup v2), which counts children that have ended, also those
//! that the kernel reaped. It needs root or a delegated group; without, only rates are measured. Memory is
//! the proportional set size of all processes (`smaps_rollup`), per client from 8 to 1,000 clients.
//!
//! `ONELOOP_PAIRS` and `ONELOOP_SPAN_MS` change the number of pairs and how long each side is measured;
//! `ONELOOP_PROGRAM` names another build. It ends with code 1 when an aim is missed.

#[cfg(target_os = "linux")]
#[path = "../bare/mod.rs"]
mod bare;
#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod price;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod subject;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: the load is written for epoll");
}

#[cfg(target_os = "linux")]
fn main() {
    bare::main("64 bytes per request", |bench| {
        let asked = subject::Asked::of_arguments();
        if !subject::build() {
            println!("SKIPPED: the leanest servers are built by cc, which is not here");
            return true;
        }
        let bench = asked.bench(bench);
        if asked.calls {
            asked.models.iter().for_each(|&model| calls::count(&bench, model));
            return true;
        }
        if asked.prices {
            price::measure(&bench);
            return true;
        }
        report::head(&bench);
        let (mut kept, mut lines) = (true, String::new());
        for &model in &asked.models {
            lines += model.name();
            for case in subject::Case::ALL {
                let outcome =
                    asked.cases.contains(&case).then(|| report::case(&bench, model, case, asked.fast));
                kept &= outcome.as_ref().is_none_or(|outcome| outcome.kept);
                let ratio = outcome.and_then(|outcome| outcome.ratio);
                lines += &ratio.map_or(",".to_owned(), |ratio| format!(",{ratio:.2}"));
            }
            lines += "\n";
        }
        println!(
            "\nfor src/lab/report/floor.csv (model, 1, 64, 1,000 clients, a connection each, memory):\n{lines}"
        );
        kept
    });
}
