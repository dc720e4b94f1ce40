//! Observers: what the processes and threads of a server count together.
#![cfg(target_os = "linux")]

use crate::common::Client;
use crate::common::faulty::{models, start};

const CLIENTS: usize = 3;

/// Processes count in shared memory, threads beside each other; nothing is lost with a child that has ended.
#[test]
fn metrics_count_the_answers_of_all_processes_and_threads() {
    for args in models(2) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut server = start(&args);
        let address = server.address("faulty");
        for _ in 0..CLIENTS {
            let mut client = Client::connect(&address);
            client.expect_echo(b"four\n");
            client.expect_echo(b"nine more\n");
            assert_eq!(client.rest_after_half_close(), b"");
        }
        assert!(server.stop().success(), "{args:?}");
        let (answers, bytes) = (2 * CLIENTS, 15 * CLIENTS);
        let counted = format!("metrics: answers={answers} bytes={bytes} incomplete=0 latencies={answers}\n");
        assert!(server.stderr().contains(&counted), "{args:?}: {}", server.stderr());
    }
}
