//! Axes: the place of each value, and which values have a label.

use crate::judge::figures::{bytes, three_digits};

/// An axis.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    kind: ScaleKind,
    unit: AxisUnit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScaleKind {
    Linear,
    Log,
}

/// The unit of the values on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AxisUnit {
    Count,
    Micros,
    Millis,
    Bytes,
}

/// Which axes suit a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// A linear scale.
    Linear,
    /// A logarithmic scale if the values are far apart.
    AsNeeded,
}

/// Ratio of the greatest to the smallest value from which an axis is logarithmic.
const LOG_FROM: f64 = 25.0;

impl Scale {
    /// An axis for these values: from zero, or logarithmic if they are far apart.
    pub(crate) fn of_values(unit: AxisUnit, spread: Spread, values: impl Iterator<Item = f64>) -> Scale {
        let (low, high) = bounds(values);
        if spread == Spread::AsNeeded && low > 0.0 && high / low >= LOG_FROM {
            // Some space below, so that the smallest value is not on the axis.
            return Scale { low: low / 1.6, high: high * 1.15, kind: ScaleKind::Log, unit };
        }
        Scale {
            low: low.min(0.0),
            high: if high > 0.0 { high * 1.05 } else { 1.0 },
            kind: ScaleKind::Linear,
            unit,
        }
    }

    /// A logarithmic axis over counts.
    pub(crate) fn log(low: f64, high: f64) -> Scale {
        Scale { low: low.max(f64::MIN_POSITIVE), high, kind: ScaleKind::Log, unit: AxisUnit::Count }
    }

    /// A linear axis over counts.
    pub(crate) fn linear(low: f64, high: f64) -> Scale {
        Scale { low, high, kind: ScaleKind::Linear, unit: AxisUnit::Count }
    }

    /// A linear axis over ms, from 0.
    pub(crate) fn linear_ms(high: f64) -> Scale {
        Scale { low: 0.0, high, kind: ScaleKind::Linear, unit: AxisUnit::Millis }
    }

    /// Whether it is logarithmic.
    pub(crate) fn is_log(&self) -> bool {
        self.kind == ScaleKind::Log
    }

    /// The place of a value between `from` (the low end) and `to`; values outside are moved to the ends.
    pub(crate) fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        let share = match self.kind {
            ScaleKind::Linear => (value - self.low) / (self.high - self.low),
            ScaleKind::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        from + share * (to - from)
    }

    /// Values with labels, ascending, about five.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let values = match (self.kind, self.unit) {
            (ScaleKind::Linear, AxisUnit::Bytes) => {
                self.linear_ticks(1024_f64.powf((self.high.ln() / 1024_f64.ln()).floor()))
            }
            (ScaleKind::Linear, _) => self.linear_ticks(1.0),
            (ScaleKind::Log, AxisUnit::Bytes) => self.powers(2.0),
            (ScaleKind::Log, _) => self.powers(10.0),
        };
        values.into_iter().map(|value| (value, self.label(value))).collect()
    }

    fn linear_ticks(&self, prefix: f64) -> Vec<f64> {
        let rough = (self.high - self.low) / prefix / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= rough).unwrap_or(10.0)
            * power
            * prefix;
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last.min(first + 20)).map(|at| at as f64 * step).collect()
    }

    /// Powers of the base, thinned to about six; if there are few, values between them as well.
    fn powers(&self, base: f64) -> Vec<f64> {
        let first = (self.low.ln() / base.ln()).ceil() as i32;
        let last = (self.high.ln() / base.ln()).floor() as i32;
        let every = ((last - first) / 6 + 1).max(1);
        let mut values: Vec<f64> =
            (first..=last).filter(|power| power % every == 0).map(|power| base.powi(power)).collect();
        if base > 2.0 && values.len() < 3 {
            let between = |power: i32| [1.0, 2.0, 5.0].map(|step| step * base.powi(power));
            values = (first - 1..=last)
                .flat_map(between)
                .filter(|value| (self.low..=self.high).contains(value))
                .collect();
        }
        values
    }

    fn label(&self, value: f64) -> String {
        match self.unit {
            AxisUnit::Count => short(value),
            AxisUnit::Bytes => bytes(value).replace(".00 ", " ").replace(".0 ", " "),
            AxisUnit::Millis => time(value * 1e3),
            AxisUnit::Micros => time(value),
        }
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { (0.0, 1.0) } else { (low, high) }
}

/// A count for an axis: `4k`, `1.5M`.
pub(crate) fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{}{suffix}", trimmed(scaled))
}

fn time(us: f64) -> String {
    if us == 0.0 {
        return "0".to_owned();
    }
    let (scaled, unit) = match us.abs() {
        v if v >= 1e6 => (us / 1e6, "s"),
        v if v >= 1e3 => (us / 1e3, "ms"),
        _ => (us, "\u{b5}s"),
    };
    format!("{}\u{a0}{unit}", trimmed(scaled))
}

fn trimmed(value: f64) -> String {
    let text = three_digits(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_needed<const N: usize>(unit: AxisUnit, values: [f64; N]) -> Scale {
        Scale::of_values(unit, Spread::AsNeeded, values.into_iter())
    }

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|tick| tick.1.replace('\u{a0}', " ")).collect()
    }

    #[test]
    fn values_far_apart_get_a_logarithmic_axis_and_others_start_at_zero() {
        let near = as_needed(AxisUnit::Count, [50_000.0, 90_000.0]);
        assert!(!near.is_log());
        assert_eq!(labels(&near), ["0", "20k", "40k", "60k", "80k"]);
        let far = as_needed(AxisUnit::Micros, [40.0, 300_000.0]);
        assert!(far.is_log());
        assert_eq!(labels(&far), ["100 \u{b5}s", "1 ms", "10 ms", "100 ms"]);
    }

    #[test]
    fn bytes_have_binary_steps() {
        let linear = as_needed(AxisUnit::Bytes, [1e6, 9e6]);
        assert!(labels(&linear).contains(&"4 MiB".to_owned()), "{:?}", labels(&linear));
        let log = as_needed(AxisUnit::Bytes, [300.0, 2e6]);
        assert!(log.ticks().iter().all(|tick| tick.0.log2().fract() == 0.0));
    }

    #[test]
    fn places_stay_within_the_plot() {
        let scale = Scale::log(1.0, 100.0);
        assert!((scale.place(10.0, 0.0, 200.0) - 100.0).abs() < 1e-9);
        assert!((scale.place(0.0, 0.0, 200.0)).abs() < 1e-9);
        assert!((scale.place(1e9, 0.0, 200.0) - 200.0).abs() < 1e-9);
    }
}
