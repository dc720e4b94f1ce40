//! Values with units, as they are typed and shown: `30s`, `200ms`, `64KiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time in ms: `200ms`, `30s`, `2min`, `1h`; `0` is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ms(pub(super) u32);

/// A number of bytes: `512`, `64KiB`, `1MiB`, `10kB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u32);

impl FromStr for Ms {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Ms(0));
        }
        if text.parse::<u64>().is_ok() {
            return Err(format!("a unit is missing: write {text}s or {text}ms"));
        }
        let time = humantime::parse_duration(text)
            .map_err(|_| "write a time as 200ms, 30s, 2min or 1h, or 0 for off".to_owned())?;
        let ms = time.as_nanos().div_ceil(1_000_000);
        u32::try_from(ms)
            .map(Ms)
            .map_err(|_| "that is longer than 49 days, the longest there can be".to_owned())
    }
}

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            ms => write!(f, "{}", humantime::format_duration(Duration::from_millis(ms.into()))),
        }
    }
}

/// Units of bytes, and how many bytes each is. Those of two letters are powers of ten (SI), `K`, `M` and `G` alone are
/// what most people mean by them: powers of two.
const UNITS: [(&str, u64); 12] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let form = || "write a size as 512, 64KiB or 1MiB".to_owned();
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(form)?;
        let number: u64 = number.parse().map_err(|_| form())?;
        let bytes = number.checked_mul(*factor).and_then(|bytes| u32::try_from(bytes).ok());
        bytes.map(Bytes).ok_or_else(|| "that is more than 4 GiB".to_owned())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes != 0 && bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes != 0 && bytes % (1 << 10) == 0 => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_their_units_and_shown_as_they_are_read() {
        for (text, ms) in [("0", 0), ("200ms", 200), ("30s", 30_000), ("2min", 120_000), ("1h", 3_600_000)] {
            assert_eq!(text.parse(), Ok(Ms(ms)));
            assert_eq!(Ms(ms).to_string().parse(), Ok(Ms(ms)));
        }
        assert_eq!("1us".parse(), Ok(Ms(1)), "never rounded to 0, which is off");
        for (text, bytes) in [("0", 0), ("512", 512), ("64KiB", 65_536), ("1M", 1 << 20), ("10kB", 10_000)] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
            assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
        }
    }

    #[test]
    fn a_value_without_sense_is_told_with_what_to_write() {
        let time = |text: &str| text.parse::<Ms>().unwrap_err();
        assert_eq!(time("30"), "a unit is missing: write 30s or 30ms");
        assert!(
            time("-3s").contains("30s") && time("").contains("30s") && time("60days").contains("49 days")
        );
        let size = |text: &str| text.parse::<Bytes>().unwrap_err();
        assert!(
            size("").contains("64KiB") && size("64XiB").contains("64KiB") && size("5GiB").contains("4 GiB")
        );
    }
}
