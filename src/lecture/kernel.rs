//! What the kernel's tables show of a server: its queue, zombies and descriptors (proc(5)). On
//! systems without `/proc` nothing is seen, and the sentence of a scene that needs it has no number.

use std::fs;

/// The state of a listening socket in the table.
const LISTEN: &str = "0A";

/// Connections in the queue of the socket that listens at this port (`/proc/net/tcp`).
pub(super) fn queue(server_port: u16) -> Option<u32> {
    parse_queue(&fs::read_to_string("/proc/net/tcp").ok()?, server_port)
}

/// A line: `sl local:port remote:port st tx:rx …`, in hexadecimal. Of a listening socket, rx is the length of
/// its queue.
fn parse_queue(text: &str, server_port: u16) -> Option<u32> {
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().take(5).collect();
        let [_, local, _, LISTEN, queues] = fields.as_slice() else { return None };
        let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        let queue = u32::from_str_radix(queues.rsplit(':').next()?, 16).ok()?;
        (port == server_port).then_some(queue)
    })
}

/// Whether this process has ended and was not waited for.
pub(super) fn is_zombie(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name is in parentheses and may contain anything, also parentheses.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// How many descriptors a process has open.
pub(super) fn descriptors(process: u32) -> Option<u32> {
    fs::read_dir(format!("/proc/{process}/fd")).ok().map(|entries| entries.count() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_found_in_the_table() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
             0: 0100007F:1B60 00000000:0000 0A 00000000:00000009 00:00000000 00000000     0\n   \
             1: 0100007F:1B5F 0100007F:A3A2 01 00000000:00000003 00:00000000 00000000     0\n   \
             2: 0100007F:1B5F 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0\n";
        assert_eq!(parse_queue(text, 7007), Some(2));
        assert_eq!((parse_queue(text, 7009), parse_queue("nonsense\n1 2 3\n", 7007)), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_that_has_ended_is_a_zombie_until_it_is_waited_for() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !is_zombie(child.id()) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_zombie(child.id()) && !is_zombie(std::process::id()));
        assert!(descriptors(std::process::id()).is_some_and(|count| count >= 3));
    }
}
