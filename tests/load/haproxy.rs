//! A load on `HAProxy` itself, which ends connections that wait for a request for too long.

use crate::raw::{Program, answered, report};

/// Twice: after an answer it closes without a message, and on a new connection with an unsolicited 408.
/// Every end is 100 ms away from a request, so that they do not meet.
#[test]
fn the_end_of_a_wait_for_a_request_is_not_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let start = |port: u16| {
        let path = folder.path().join(port.to_string());
        let text = format!(
            "defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 1s\n timeout http-request 300ms\n\
             frontend f\n bind 127.0.0.1:{port}\n http-request return status 200 content-type text/plain string hello\n"
        );
        std::fs::write(&path, text).unwrap();
        vec!["-db".to_owned(), "-f".to_owned(), path.display().to_string()]
    };
    let Some(haproxy) = Program::start("haproxy", start) else { return };
    let url = format!("http://{}/", haproxy.target.strip_prefix("tcp@").unwrap());
    let report = report(&url, &["-c1", "--rate=1", "--duration=2200ms"]);
    let errors = report.errors.and(report.errors_before);
    assert_eq!((errors.total(), report.missed_sends), (0, 0), "{report:?}");
    assert_eq!(answered(&report), 3, "{report:?}");
    assert!(report.connections.ended_by_server >= 5, "{:?}", report.connections);
}
