//! The page around plots and tables.

use super::svg::escape;

/// A page with this title and content; the content is HTML. It needs no other file and no network.
pub(crate) fn page(title: &str, content: &str) -> String {
    let style = include_str!("page.css");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\">\
         <title>{}</title><style>{style}</style></head><body><main>\n{content}</main></body></html>\n",
        escape(title)
    )
}

#[cfg(test)]
mod tests {
    type Colour = [f64; 3];

    /// The names of the series of models, and of the parts of a stacked bar.
    const KINDS: [&[&str]; 2] =
        [&["s0", "s1", "s2", "s3", "s4", "s5"], &["served", "waiting", "dropped", "refused"]];
    /// How linear RGB is seen without one kind of cones (Machado, Oliveira, Fernandes 2009, severity 1).
    const SEEN: [(&str, [Colour; 3]); 3] = [
        ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
        ),
    ];
    /// A difference in CIELAB that is seen at a glance, between areas that are apart.
    const APART_MIN: f64 = 15.0;

    /// The linear RGB of each colour with this name in the style: light, dark, print.
    fn colours(name: &str) -> Vec<Colour> {
        let style = include_str!("page.css");
        let property = format!("--{name}: #");
        let hex = style.split(&property).skip(1).map(|rest| &rest[..6]);
        let channel = |hex: &str, at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        hex.map(|hex| [0, 2, 4].map(|at| channel(hex, at))).collect()
    }

    fn times(matrix: &[Colour; 3], colour: Colour) -> Colour {
        matrix.map(|row| {
            row.iter().zip(colour).map(|(factor, value)| factor * value).sum::<f64>().clamp(0.0, 1.0)
        })
    }

    /// CIELAB of linear sRGB.
    fn lab(colour: Colour) -> Colour {
        const XYZ: [Colour; 3] = [
            [0.412_457 / 0.950_47, 0.357_576 / 0.950_47, 0.180_438 / 0.950_47],
            [0.212_673, 0.715_152, 0.072_175],
            [0.019_334 / 1.088_83, 0.119_192 / 1.088_83, 0.950_304 / 1.088_83],
        ];
        let [x, y, z] = times(&XYZ, colour)
            .map(|value| if value > 0.008_856 { value.cbrt() } else { 7.787 * value + 16.0 / 116.0 });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn colours_differ_for_colour_blind_readers() {
        for names in KINDS {
            let schemes: Vec<Vec<Colour>> = names.iter().map(|name| colours(name)).collect();
            for (scheme, at) in [("light", 0), ("dark", 1), ("print", 2)] {
                for (reader, matrix) in &SEEN {
                    let seen: Vec<Colour> = schemes.iter().map(|all| lab(times(matrix, all[at]))).collect();
                    for (first, one) in seen.iter().enumerate() {
                        for (second, other) in seen.iter().enumerate().skip(first + 1) {
                            let squares = one.iter().zip(other).map(|(a, b)| (a - b) * (a - b));
                            let apart = squares.sum::<f64>().sqrt();
                            let which = (names[first], names[second]);
                            assert!(apart >= APART_MIN, "{scheme}, {reader}: {which:?} differ by {apart:.1}");
                        }
                    }
                }
            }
        }
    }
}
