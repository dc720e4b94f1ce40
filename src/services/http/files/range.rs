//! Byte ranges (RFC 9110, section 14).

use std::ops::Range;

use super::super::bounds::RANGES_MAX;

/// The ranges that a Range field selects in a representation of a known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RangeSelection {
    /// The whole representation: there was no valid range.
    Whole,
    /// These ranges, in the requested order, disjoint and not adjacent; at least one.
    Parts(Vec<Range<u64>>),
    /// No requested range can be satisfied: 416.
    Nothing,
}

/// Parses the value of a Range field. If it has another unit, a mistake, or more ranges than are allowed, the
/// field is ignored, as RFC 9110, section 14.2, permits. Overlapping and touching ranges are merged.
pub(crate) fn wanted(value: &[u8], len: u64) -> RangeSelection {
    let Some(specs) =
        value.trim_ascii().split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes="))
    else {
        return RangeSelection::Whole;
    };
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut count = 0;
    for spec in specs.1.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        if spec.is_empty() {
            continue; // RFC 9110, section 5.6.1.2: empty elements of a list do not count.
        }
        count += 1;
        if count > RANGES_MAX {
            return RangeSelection::Whole;
        }
        match one(spec, len) {
            None => return RangeSelection::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => merge(&mut parts, range),
        }
    }
    match (count, parts.is_empty()) {
        (0, _) => RangeSelection::Whole,
        (_, true) => RangeSelection::Nothing,
        (_, false) => RangeSelection::Parts(parts),
    }
}

/// Parses one `first-last`, `first-` or `-suffix`. The range is empty if it lies beyond the content. `None`
/// if it is malformed, or a suffix of an empty file: RFC 9110, section 14.1.2, calls that satisfiable, but no
/// Content-Range can express it.
fn one(spec: &[u8], len: u64) -> Option<Range<u64>> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let suffix = number(last)?;
        return if len == 0 && suffix > 0 { None } else { Some(len.saturating_sub(suffix)..len) };
    }
    let first = number(first)?;
    let end = if last.is_empty() { len } else { number(last)?.saturating_add(1) };
    if !last.is_empty() && end <= first && end != u64::MAX {
        return None;
    }
    Some(if first < len { first..end.min(len) } else { len..len })
}

/// Digits only; a number too large for 64 bits is as large as can be.
fn number(digits: &[u8]) -> Option<u64> {
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    valid.then(|| {
        digits.iter().fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

/// Adds a range at the end, or merges it into the first range that it overlaps or touches, and that into
/// others.
fn merge(parts: &mut Vec<Range<u64>>, mut range: Range<u64>) {
    let mut place = None;
    let mut at = 0;
    while at < parts.len() {
        if parts[at].start <= range.end && range.start <= parts[at].end {
            range = parts[at].start.min(range.start)..parts[at].end.max(range.end);
            parts.remove(at);
            // It may now touch a range that it did not touch before.
            place = Some(place.map_or(at, |before: usize| before.min(at)));
            at = 0;
        } else {
            at += 1;
        }
    }
    parts.insert(place.unwrap_or(parts.len()).min(parts.len()), range);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_parsed_by_rfc_9110() {
        let parts = |ranges: &[(u64, u64)]| {
            RangeSelection::Parts(ranges.iter().map(|&(from, to)| from..to).collect())
        };
        let table = [
            ("bytes=0-0", parts(&[(0, 1)])),
            ("bytes=0-499", parts(&[(0, 100)])),
            ("BYTES=90-", parts(&[(90, 100)])),
            ("bytes=-10", parts(&[(90, 100)])),
            ("bytes=-500", parts(&[(0, 100)])),
            ("bytes=-0", RangeSelection::Nothing),
            ("bytes=100-", RangeSelection::Nothing),
            ("bytes=100-200, 300-", RangeSelection::Nothing),
            ("bytes=99999999999999999999999-", RangeSelection::Nothing),
            ("bytes=5-99999999999999999999999", parts(&[(5, 100)])),
            ("bytes=0-1, 5-6, 200-300", parts(&[(0, 2), (5, 7)])),
            ("bytes=5-6,0-1", parts(&[(5, 7), (0, 2)])),
            ("bytes=0-4,5-9", parts(&[(0, 10)])),
            ("bytes=0-4,20-30,3-25", parts(&[(0, 31)])),
            ("bytes= , 1-2 ,, ", parts(&[(1, 3)])),
            ("bytes=", RangeSelection::Whole),
            ("bytes=2-1", RangeSelection::Whole),
            ("bytes=a-b", RangeSelection::Whole),
            ("bytes=1", RangeSelection::Whole),
            ("bytes=-", RangeSelection::Whole),
            ("bytes=+1-2", RangeSelection::Whole),
            ("bytes=0-1,x", RangeSelection::Whole),
            ("items=0-1", RangeSelection::Whole),
            ("byte", RangeSelection::Whole),
        ];
        for (value, expected) in table {
            assert_eq!(wanted(value.as_bytes(), 100), expected, "{value}");
        }
        for (value, expected) in [
            ("bytes=0-", RangeSelection::Nothing),
            ("bytes=-0", RangeSelection::Nothing),
            ("bytes=-5", RangeSelection::Whole),
        ] {
            assert_eq!(wanted(value.as_bytes(), 0), expected, "{value} of nothing");
        }
        let many = format!("bytes={}", vec!["0-0"; RANGES_MAX + 1].join(","));
        assert_eq!(wanted(many.as_bytes(), 100), RangeSelection::Whole);
    }

    proptest! {
        #[test]
        fn the_parts_are_exactly_the_bytes_asked_for_and_never_meet(
            len in 1u64..60,
            asked in prop::collection::vec((0u64..80, prop::option::of(0u64..80)), 1..=RANGES_MAX),
        ) {
            let specs: Vec<_> = asked.iter().map(|&(first, last)| match last {
                Some(last) if last >= first => format!("{first}-{last}"),
                Some(_) => format!("-{first}"),
                None => format!("{first}-"),
            }).collect();
            let mut oracle = vec![false; len as usize];
            for &(first, last) in &asked {
                let (from, to) = match last {
                    Some(last) if last >= first => (first, last + 1),
                    Some(_) => (len.saturating_sub(first), len),
                    None => (first, len),
                };
                for at in from..to.min(len) {
                    oracle[at as usize] = true;
                }
            }
            let mut seen = vec![false; len as usize];
            match wanted(format!("bytes={}", specs.join(",")).as_bytes(), len) {
                RangeSelection::Parts(parts) => {
                    for (index, part) in parts.iter().enumerate() {
                        prop_assert!(part.start < part.end && part.end <= len);
                        for other in &parts[index + 1..] {
                            prop_assert!(part.end < other.start || other.end < part.start);
                        }
                        part.clone().for_each(|at| seen[at as usize] = true);
                    }
                }
                RangeSelection::Nothing => {}
                RangeSelection::Whole => prop_assert!(false, "valid ranges were ignored"),
            }
            prop_assert_eq!(seen, oracle);
        }
    }
}
