//! Numbers as text: three significant digits and a unit.

/// Three significant digits.
pub(crate) fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 || v == 0.0 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// Three significant digits in the largest unit in which the rounded value is at least 1. `units` have their
/// factors first and are sorted, largest first.
pub(crate) fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let fits = |(factor, _): &&(f64, &str)| value.abs() / factor >= 0.9995;
    let (factor, unit) = units.iter().find(fits).or(units.last()).copied().unwrap_or((1.0, ""));
    format!("{} {unit}", three_digits(value / factor))
}

/// A time in ns.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        0.0 => "0 s".to_owned(),
        ns => scaled(ns, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")]),
    }
}

/// A number of bytes with a binary prefix.
pub(crate) fn bytes(value: f64) -> String {
    let [kib, mib, gib, tib] = [10, 20, 30, 40].map(|bits| (1_u64 << bits) as f64);
    scaled(value, &[(tib, "TiB"), (gib, "GiB"), (mib, "MiB"), (kib, "KiB"), (1.0, "B")])
}

/// A whole number with thousands separators.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("\u{2212}{text}") } else { text }
}

/// The word for so many: one, or several or none.
pub(crate) fn plural<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// `1 client`, `2000 clients`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", plural(count, one, many))
}

/// `1 client`, `2,000 clients`.
pub(crate) fn counted_grouped(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count as f64), plural(count, one, many))
}

/// A share of 1 in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let clients = |count| counted(count, "client", "clients");
        assert_eq!([clients(0), clients(1), clients(2)], ["0 clients", "1 client", "2 clients"]);
        let clients = |count| counted_grouped(count, "client", "clients");
        assert_eq!([clients(0), clients(1), clients(2_000)], ["0 clients", "1 client", "2,000 clients"]);
    }

    #[test]
    fn a_rounded_value_chooses_its_unit() {
        let units = [(1e3, "ms"), (1.0, "µs")];
        assert_eq!(scaled(999.6, &units), "1.00 ms");
        assert_eq!(scaled(0.5, &units), "0.50 µs");
        assert_eq!((bytes(1023.0), bytes(1024.0)), ("1023 B".to_owned(), "1.00 KiB".to_owned()));
        assert_eq!((grouped(1_234_567.8), grouped(-1_000.0)), ("1,234,568".to_owned(), "−1,000".to_owned()));
    }
}
