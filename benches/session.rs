//! Sessions without sockets: what a request costs before any system call.
//!
//! ```sh
//! cargo bench --bench session
//! ```

use criterion::{Criterion, Throughput};
use oneloop::services::Echo;
use oneloop::session::Service;
use oneloop::session::rehearsal::Rehearsal;

const OUTBOX_BYTES: usize = 64 << 10;

/// One request after another of one client; the answers are thrown away.
fn requests<V: Service>(criterion: &mut Criterion, name: &str, service: &V, request: &[u8]) {
    let mut rehearsal = Rehearsal::open(service, OUTBOX_BYTES);
    let mut group = criterion.benchmark_group("session");
    group.throughput(Throughput::Bytes(request.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            rehearsal.feed(request);
            rehearsal.answer.clear();
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    requests(&mut criterion, "echo, 64 bytes", &Echo, &[b'e'; 64]);
    requests(&mut criterion, "echo, 16 KiB", &Echo, &[b'e'; 16 << 10]);
    criterion.final_summary();
}
