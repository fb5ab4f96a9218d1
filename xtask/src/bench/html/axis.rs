//! From values to places on the page, and the marks along an axis.

/// How values become lengths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scale {
    Linear,
    Logarithmic,
    /// Shares of messages: 0.9, 0.99 and 0.999 are equally far apart.
    Nines,
}

/// One axis: values of `range` on pixels of `pixels`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) range: (f64, f64),
    pub(super) pixels: (f64, f64),
}

impl Axis {
    /// An axis that holds all `values` and some room around them; logarithmic when they differ by
    /// more than a factor of 20.
    pub(super) fn around(values: impl IntoIterator<Item = f64>, pixels: (f64, f64)) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return Self::linear((0.0, 1.0), pixels);
        }
        if low > 0.0 && high / low > 20.0 {
            return Self {
                scale: Scale::Logarithmic,
                range: (low / 1.15, high * 1.15),
                pixels,
            };
        }
        let room = ((high - low) * 0.06).max(high.abs() * 0.01).max(1e-9);
        Self::linear((low - room, high + room), pixels)
    }

    /// A linear axis.
    pub(super) fn linear(range: (f64, f64), pixels: (f64, f64)) -> Self {
        Self {
            scale: Scale::Linear,
            range,
            pixels,
        }
    }

    /// A logarithmic axis.
    pub(super) fn logarithmic(range: (f64, f64), pixels: (f64, f64)) -> Self {
        Self {
            scale: Scale::Logarithmic,
            range,
            pixels,
        }
    }

    /// Where `value` is drawn; beyond the range, at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high) = (self.length(self.range.0), self.length(self.range.1));
        let share = if high > low {
            (self.length(value) - low) / (high - low)
        } else {
            0.5
        };
        let (from, to) = self.pixels;
        from + (to - from) * share.clamp(0.0, 1.0)
    }

    /// Round values to mark, about `count` of them, each with its text.
    pub(super) fn marks(&self, count: usize) -> Vec<(f64, String)> {
        let values = match self.scale {
            Scale::Linear => linear_marks(self.range, count),
            Scale::Logarithmic => logarithmic_marks(self.range),
            Scale::Nines => vec![0.0, 0.5, 0.9, 0.99, 0.999, 0.9999],
        };
        let text = |value: f64| match self.scale {
            Scale::Linear | Scale::Logarithmic => short(value),
            Scale::Nines => format!("{} %", short(value * 100.0)),
        };
        let within = |value: &f64| *value >= self.range.0 && *value <= self.range.1;
        let kept = values.into_iter().filter(within);
        kept.map(|value| (value, text(value))).collect()
    }

    fn length(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).ln(),
            Scale::Nines => -(1.0 - value).max(1e-9).log10(),
        }
    }
}

fn linear_marks((low, high): (f64, f64), count: usize) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    if rough <= 0.0 {
        return vec![low];
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|number| number as f64 * step).collect()
}

fn logarithmic_marks((low, high): (f64, f64)) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    // A short range needs the marks between the powers of ten.
    let factors: &[f64] = if high / low < 100.0 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let of_decade = |decade: i32| {
        factors
            .iter()
            .map(move |factor| factor * 10_f64.powi(decade))
    };
    decades.flat_map(of_decade).collect()
}

/// A number in few characters: `0.5`, `20k`, `3M`.
pub(super) fn short(value: f64) -> String {
    let (shown, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{shown:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let text = if text == "-0" { "0" } else { text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_placed_by_their_scale() {
        let pixels = (0.0, 100.0);
        assert_eq!(Axis::linear((0.0, 2.0), pixels).place(0.5), 25.0);
        let axis = Axis::logarithmic((1.0, 10_000.0), pixels);
        assert!((axis.place(100.0) - 50.0).abs() < 1e-9);
        let nines = Axis {
            scale: Scale::Nines,
            range: (0.0, 0.999),
            pixels,
        };
        let steps = [0.9, 0.99, 0.999].map(|share| nines.place(share).round());
        assert_eq!(steps, [33.0, 67.0, 100.0]);
        // Beyond the range is at its end, and downwards works, too.
        assert_eq!(Axis::linear((0.0, 1.0), (100.0, 0.0)).place(9.0), 0.0);
    }

    #[test]
    fn marks_are_round_and_inside() {
        let texts = |axis: Axis| -> Vec<String> {
            axis.marks(4).into_iter().map(|(_, text)| text).collect()
        };
        let pixels = (0.0, 1.0);
        assert_eq!(texts(Axis::linear((0.0, 1.25), pixels)), ["0", "0.5", "1"]);
        assert_eq!(
            texts(Axis::logarithmic((9.0, 20_000.0), pixels)),
            ["10", "100", "1000", "10k"]
        );
        assert_eq!(
            texts(Axis::logarithmic((8.0, 60.0), pixels)),
            ["10", "20", "50"]
        );
    }

    #[test]
    fn an_axis_around_values_holds_them_and_turns_logarithmic_when_they_are_far_apart() {
        let near = Axis::around([1.0, 2.0], (0.0, 1.0));
        assert!(near.range.0 < 1.0 && near.range.1 > 2.0 && near.scale == Scale::Linear);
        assert_eq!(
            Axis::around([1.0, 50.0], (0.0, 1.0)).scale,
            Scale::Logarithmic
        );
        assert_eq!(Axis::around([], (0.0, 1.0)).range, (0.0, 1.0));
    }
}
