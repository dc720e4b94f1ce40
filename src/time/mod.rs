//! The clock of a server, and a timer wheel for deadlines.

mod clock;
mod wheel;

use std::time::Duration;

pub use clock::LiveTime;
pub(crate) use clock::{CallClock, ServerClock};
pub(crate) use wheel::{Deadlines, Link};

/// A time in its two largest units: `23 min 4 s`.
pub(crate) fn in_words(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s"), (ms.into(), "ms")];
    let from = parts.iter().position(|(number, _)| *number > 0).unwrap_or(2).min(2);
    let shown = parts[from..].iter().take(2).filter(|(number, _)| *number > 0);
    let words = shown.map(|(number, unit)| format!("{number} {unit}")).collect::<Vec<_>>().join(" ");
    if words.is_empty() { "0 s".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_two_largest_units() {
        let words = |ms| in_words(Duration::from_millis(ms));
        assert_eq!([words(0), words(1_500), words(59_000)], ["0 s", "1 s 500 ms", "59 s"]);
        assert_eq!(
            [words(1_384_000), words(3_600_000), words(7_260_000)],
            ["23 min 4 s", "1 h", "2 h 1 min"]
        );
    }
}
