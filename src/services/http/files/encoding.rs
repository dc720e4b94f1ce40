//! Content codings: which of the encoded files beside a file the client accepts and prefers (RFC 9110,
//! section 12.5.3).

/// A coding of a precompressed file, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstandard,
    Gzip,
}

impl Coding {
    pub(crate) const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstandard, Coding::Gzip];

    /// What is added to the name of the plain file.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstandard => ".zst",
            Coding::Gzip => ".gz",
        }
    }

    /// The registered name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstandard => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    fn is_named(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name().as_bytes())
            || (self == Coding::Gzip && name.eq_ignore_ascii_case(b"x-gzip"))
    }
}

/// Which of the `available` codings to send; `None` for the plain file. The highest quality wins, and among
/// equals the order of [`Coding::ALL`]. The plain file (`identity`, or else `*`) wins only if the client
/// gives it a higher quality.
pub(crate) fn choose<'a>(
    accept: impl Iterator<Item = &'a [u8]>,
    available: impl Iterator<Item = Coding>,
) -> Option<Coding> {
    let mut preferences = Preferences::default();
    for element in accept.flat_map(|value| value.split(|&byte| byte == b',')) {
        preferences.add(element);
    }
    let best =
        available.map(|coding| (preferences.quality(coding), coding)).filter(|(quality, _)| *quality > 0);
    // The first of the best: `max_by_key` would take the last.
    let best = best.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let plain = preferences.plain.or(preferences.others);
    best.filter(|(quality, _)| plain.is_none_or(|plain| *quality >= plain)).map(|(_, coding)| coding)
}

/// Qualities from `Accept-Encoding`, in thousandths; `None` if the client does not name the coding.
#[derive(Default)]
struct Preferences {
    codings: [Option<u16>; Coding::ALL.len()],
    plain: Option<u16>,
    others: Option<u16>,
}

impl Preferences {
    fn add(&mut self, element: &[u8]) {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| {
            let mut sides = part.splitn(2, |&byte| byte == b'=');
            let is_weight = sides.next()?.trim_ascii().eq_ignore_ascii_case(b"q");
            is_weight.then(|| sides.next().unwrap_or_default())
        });
        let Some(quality) = weight.map_or(Some(1000), quality) else { return };
        if name == b"*" {
            self.others = Some(quality);
        } else if name.eq_ignore_ascii_case(b"identity") {
            self.plain = Some(quality);
        } else if let Some(at) = Coding::ALL.iter().position(|coding| coding.is_named(name)) {
            self.codings[at] = Some(quality);
        }
    }

    fn quality(&self, coding: Coding) -> u16 {
        self.codings[coding as usize].or(self.others).unwrap_or(0)
    }
}

/// `0`, `0.5`, `1.000` in thousandths (RFC 9110, section 12.4.2); `None` if it is not valid.
fn quality(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    if !matches!(whole, b'0' | b'1') || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |digit| u16::from(digit - b'0'));
    let thousandths = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_with_the_highest_quality_is_chosen() {
        let table: [(&str, &[Coding], Option<Coding>); 26] = [
            ("", &Coding::ALL, None),
            ("gzip, br, zstd", &Coding::ALL, Some(Coding::Brotli)),
            ("gzip, deflate", &Coding::ALL, Some(Coding::Gzip)),
            ("GZIP", &Coding::ALL, Some(Coding::Gzip)),
            ("x-gzip", &Coding::ALL, Some(Coding::Gzip)),
            ("gzip;q=1.0, br;q=0.5", &Coding::ALL, Some(Coding::Gzip)),
            ("gzip ; q=0.001", &Coding::ALL, Some(Coding::Gzip)),
            ("gzip;q=0", &Coding::ALL, None),
            ("gzip;q=0, *", &[Coding::Gzip], None),
            ("*", &[Coding::Gzip], Some(Coding::Gzip)),
            ("*;q=0", &Coding::ALL, None),
            ("br", &[Coding::Gzip], None),
            ("identity;q=1, gzip;q=0.5", &Coding::ALL, None),
            ("identity;q=0.5, gzip;q=1", &Coding::ALL, Some(Coding::Gzip)),
            ("identity;q=0, gzip", &Coding::ALL, Some(Coding::Gzip)),
            ("gzip;q=0.5, *", &[Coding::Gzip], None),
            ("gzip;q=0.5, *;q=0.1", &[Coding::Gzip], Some(Coding::Gzip)),
            ("gzip;q=2", &Coding::ALL, None),
            ("gzip;q=1.5", &Coding::ALL, None),
            ("gzip;q=0.1234, br;q=0.1", &Coding::ALL, Some(Coding::Brotli)),
            // A malformed weight never selects the coding.
            ("gzip;q = 0", &Coding::ALL, None),
            ("gzip;q", &Coding::ALL, None),
            ("gzip;x=1;Q=0", &Coding::ALL, None),
            (",, gzip ,,", &Coding::ALL, Some(Coding::Gzip)),
            // No coding is acceptable: the plain file is better than an error (RFC 9110, section 12.1).
            ("identity;q=0", &[], None),
            ("identity;q=0, *;q=0", &Coding::ALL, None),
        ];
        for (accept, available, expected) in table {
            let chosen = choose([accept.as_bytes()].into_iter(), available.iter().copied());
            assert_eq!(chosen, expected, "{accept:?}");
        }
    }
}
