//! When a load begins, as users write it.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::civil::Time;
use jiff::{Timestamp, Zoned};

/// A time that is not past and at most a day ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartTime(pub(super) SystemTime);

/// The longest wait: a time that is further ahead is probably a mistake.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

impl FromStr for StartTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        StartTime::after(text, &Zoned::now())
    }
}

impl StartTime {
    fn after(text: &str, now: &Zoned) -> Result<Self, String> {
        let form =
            || "not a time; write it as 18:30:00, 2026-01-31T18:30:00Z or @SECONDS since 1970".to_owned();
        let time = if let Some(seconds) = text.strip_prefix('@') {
            let seconds = seconds.parse().map_err(|_| form())?;
            Timestamp::from_second(seconds).map_err(|_| form())?
        } else if let Ok(time) = text.parse::<Timestamp>() {
            time
        } else {
            let time: Time = text.parse().map_err(|_| form())?;
            now.with().time(time).build().map_err(|_| form())?.timestamp()
        };
        let ahead = time.duration_since(now.timestamp());
        if ahead.is_negative() {
            let now = now.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ");
            return Err(format!("{time} is past; now it is {now}"));
        }
        if ahead.unsigned_abs() > AHEAD_MAX {
            return Err(format!("{time} is more than a day ahead"));
        }
        Ok(StartTime(time.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_time_of_today_or_a_point_in_time_ahead() {
        let now: Zoned = "2026-01-31T18:00:00+00:00[UTC]".parse().unwrap();
        let after = |text: &str| StartTime::after(text, &now);
        let at = |text: &str| Ok(StartTime(text.parse::<Timestamp>().unwrap().into()));
        for text in ["18:30", "18:30:00", "2026-01-31T18:30:00Z", "2026-01-31T19:30:00+01:00", "@1769884200"]
        {
            assert_eq!(after(text), at("2026-01-31T18:30:00Z"), "{text}");
        }
        for (text, part) in [
            ("17:59", "is past"),
            ("2026-02-02T00:00:00Z", "more than a day"),
            ("soon", "18:30:00"),
            ("@x", "@SECONDS"),
            ("", "18:30:00"),
        ] {
            assert!(after(text).unwrap_err().contains(part), "{text}: {:?}", after(text));
        }
    }
}
