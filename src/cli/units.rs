//! Numbers and values with units, as users write and read them: `10k`, `30s`, `200ms`, `64KiB`.

use std::fmt;
use std::str::FromStr;

/// A whole number from `MIN` to `MAX`; `10k` is 10,000.
pub(super) fn count<const MIN: u32, const MAX: u32>(text: &str) -> Result<u32, String> {
    number(text, MIN.into(), MAX.into()).map(|number| number as u32)
}

/// A whole number from `min` to `max`; `10k` is 10,000.
pub(super) fn number(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let form = || "not a whole number; write it as 64, 10k or 1M".to_owned();
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    let digits_max = 20; // of a number and its decimals: a longer number is out of range anyway
    let is_plain =
        digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && digits.len() <= digits_max;
    if text.starts_with('-') && text[1..].bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("it must be at least {min}"));
    }
    let number = digits.parse::<f64>().ok().filter(|_| is_plain).ok_or_else(form)? * factor;
    if number.fract() != 0.0 {
        return Err(form());
    }
    if number < min as f64 {
        return Err(format!("it must be at least {min}"));
    }
    if number > max as f64 {
        return Err(format!("it must be at most {max}"));
    }
    #[allow(clippy::cast_sign_loss)] // digits have no sign
    Ok(number as u64)
}

/// The seed of random numbers: any whole number, and none is rounded.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("not a whole number from 0 to {}", u64::MAX))
}

/// A time in ms: `200ms`, `30s`, `2min`, `1h`; `0` is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ms(pub(super) u32);

/// A time of at least `MIN` ms, which cannot be turned off.
pub(super) fn span<const MIN: u32>(text: &str) -> Result<Ms, String> {
    let time = if text == "0" { Ms(0) } else { positive(text, "")? };
    if time.0 < MIN { Err(format!("it must be at least {MIN} ms")) } else { Ok(time) }
}

/// A number of bytes: `512`, `64KiB`, `1MiB`, `10kB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u32);

impl FromStr for Ms {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" { Ok(Ms(0)) } else { positive(text, "0 for off") }
    }
}

/// A time with its unit; `off` is how to write none.
fn positive(text: &str, off: &str) -> Result<Ms, String> {
    let before_off =
        |separator: &str| if off.is_empty() { String::new() } else { format!("{separator}{off}") };
    if text.parse::<u64>().is_ok() {
        return Err(format!("the unit is missing; write {text}s or {text}ms"));
    }
    if text.starts_with('-') {
        return Err(format!("a time cannot be negative{}", before_off("; write ")));
    }
    let time = humantime::parse_duration(&text.replace(['µ', 'μ'], "u"))
        .map_err(|_| format!("not a time; write it as 200ms, 30s, 2min or 1h{}", before_off(", or ")))?;
    let ms = time.as_nanos().div_ceil(1_000_000);
    u32::try_from(ms).map(Ms).map_err(|_| "it must be at most 49 days".to_owned())
}

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            ms if ms % 3_600_000 == 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms % 60_000 == 0 && ms >= 120_000 => write!(f, "{}min", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// Units of bytes. `kB`, `MB` and `GB` are powers of ten (SI); `K`, `M` and `G`, in either
/// case, are powers of two, as most users expect.
const UNITS: [(&str, u64); 15] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Like [`Bytes`], but may be more than 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let form = || "not a size; write it as 512, 64KiB or 1MiB".to_owned();
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(form)?;
        let number: u64 = number.parse().map_err(|_| form())?;
        number.checked_mul(*factor).map(Size).ok_or_else(|| "it must be less than 16EiB".to_owned())
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Size(bytes) = text.parse()?;
        u32::try_from(bytes).map(Bytes).map_err(|_| "it must be less than 4GiB".to_owned())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size(self.0.into()).fmt(f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes != 0 && bytes % (1 << 30) == 0 => write!(f, "{}GiB", bytes >> 30),
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
        for text in ["1us", "1µs"] {
            assert_eq!(text.parse(), Ok(Ms(1)), "never rounded to 0, which is off");
        }
        for (ms, text) in
            [(60_000, "60s"), (90_000, "90s"), (600_000, "10min"), (7_200_000, "2h"), (1_500, "1500ms")]
        {
            assert_eq!(Ms(ms).to_string(), text);
        }
        for (text, bytes) in
            [("0", 0), ("512", 512), ("64KiB", 65_536), ("64k", 65_536), ("1M", 1 << 20), ("10kB", 10_000)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
            assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
        }
    }

    #[test]
    fn an_invalid_value_is_reported_with_what_to_write() {
        let time = |text: &str| text.parse::<Ms>().unwrap_err();
        assert_eq!(time("30"), "the unit is missing; write 30s or 30ms");
        assert!(
            time("-3s").contains("negative")
                && time("").contains("30s")
                && time("60days").contains("49 days")
        );
        let size = |text: &str| text.parse::<Bytes>().unwrap_err();
        assert!(
            size("").contains("64KiB") && size("64XiB").contains("64KiB") && size("5GiB").contains("4GiB")
        );
    }

    #[test]
    fn a_count_has_a_prefix_and_bounds_and_a_time_in_words_two_units() {
        let clients = count::<1, { u32::MAX }>;
        for (text, number) in [("1", 1), ("10k", 10_000), ("1.5K", 1_500), ("1M", 1_000_000)] {
            assert_eq!(clients(text), Ok(number));
        }
        for (text, part) in [
            ("lots", "write it as 64, 10k or 1M"),
            ("", "write it as"),
            ("1.5", "write it as"),
            ("1e3", "write it as"),
            ("+1", "write it as"),
            ("0", "at least 1"),
            ("-3", "at least 1"),
            ("5000M", "at most 4294967295"),
        ] {
            assert!(clients(text).unwrap_err().contains(part), "{text}: {:?}", clients(text));
        }
    }
}
