//! Targets, and whether a run meets them.

use serde::Serialize;

use super::{Quantity, Sample};
use crate::bench::noise::Figure;

/// What a quantity has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// No further from the first than the second says, as a share of it.
    Within(f64, f64),
}

/// A quantity over all repeats.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    /// The heading of its part.
    pub(super) heading: String,
    /// What was measured.
    pub(super) quantity: Quantity,
    /// The median with its interval.
    pub(super) figure: Figure,
    /// What the target makes of it; none without one.
    pub(super) outcome: Option<String>,
}

impl Bound {
    /// Whether `found` is as it has to be.
    fn holds(self, found: f64) -> bool {
        match self {
            Self::AtLeast(least) => found >= least,
            Self::AtMost(most) => found <= most,
            Self::Within(mark, share) => (found - mark).abs() <= mark * share,
        }
    }

    /// By what share of the nearer bound `found` misses it.
    fn miss(self, found: f64) -> f64 {
        let bound = match self {
            Self::AtLeast(bound) | Self::AtMost(bound) => bound,
            Self::Within(mark, share) if found < mark => mark * (1.0 - share),
            Self::Within(mark, share) => mark * (1.0 + share),
        };
        (found - bound).abs() / bound
    }

    /// The target in words.
    pub(super) fn words(self, digits: usize) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least:.digits$}"),
            Self::AtMost(most) => format!("≤ {most:.digits$}"),
            Self::Within(mark, share) => format!("{mark:.digits$} ± {:.0} %", share * 100.0),
        }
    }

    fn outcome(self, figure: Figure) -> String {
        let value = figure.value;
        let base = if self.holds(value) {
            "meets".to_owned()
        } else {
            format!("misses by {:.1} %", self.miss(value) * 100.0)
        };
        let ends = [figure.low(), figure.high()];
        let sure = ends.iter().all(|end| self.holds(*end) == self.holds(value));
        match (figure.half, sure) {
            (None, _) => format!("{base}, too few repeats for an interval"),
            (Some(_), true) => base,
            (Some(_), false) => format!("{base}, the interval holds the bound"),
        }
    }
}

/// Every quantity of every part, in the order of the tables.
pub(super) fn judge(headings: &[String], samples: &[Sample]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (part, heading) in headings.iter().enumerate() {
        let of_part = || samples.iter().filter(move |sample| sample.part == part);
        let mut seen: Vec<&Quantity> = Vec::new();
        for found in of_part().flat_map(|sample| &sample.found) {
            if !seen.contains(&&found.quantity) {
                seen.push(&found.quantity);
            }
        }
        for quantity in seen {
            let all = of_part().flat_map(|sample| &sample.found);
            let values = all.filter(|found| found.quantity == *quantity);
            let values: Vec<f64> = values.map(|found| found.value).collect();
            let Some(figure) = Figure::of(&values) else {
                continue;
            };
            verdicts.push(Verdict {
                heading: heading.clone(),
                quantity: quantity.clone(),
                figure,
                outcome: quantity.target.map(|target| target.outcome(figure)),
            });
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64, half: Option<f64>) -> Figure {
        Figure { value, half }
    }

    #[test]
    fn a_target_is_met_missed_or_within_the_noise() {
        for (bound, value, half, outcome) in [
            (Bound::AtMost(2.0), 1.0, 0.1, "meets"),
            (Bound::AtMost(2.0), 2.5, 0.1, "misses by 25.0 %"),
            (
                Bound::AtMost(2.0),
                1.95,
                0.1,
                "meets, the interval holds the bound",
            ),
            (Bound::AtLeast(0.95), 1.2, 0.1, "meets"),
            (Bound::AtLeast(0.8), 0.4, 0.1, "misses by 50.0 %"),
            (Bound::Within(1.0, 0.05), 1.04, 0.005, "meets"),
            (Bound::Within(1.0, 0.05), 0.76, 0.005, "misses by 20.0 %"),
            (
                Bound::Within(1.0, 0.05),
                1.06,
                0.02,
                "misses by 1.0 %, the interval holds the bound",
            ),
        ] {
            assert_eq!(bound.outcome(figure(value, Some(half))), outcome);
        }
        assert_eq!(
            Bound::AtMost(2.0).outcome(figure(1.0, None)),
            "meets, too few repeats for an interval"
        );
    }

    #[test]
    fn figures_are_medians_of_the_repeats_in_the_order_of_the_parts() {
        let quantity = |name: &str| Quantity::new(name, "ms", 1);
        let sample = |part, found: Vec<(&str, f64)>| Sample {
            repeat: 0,
            part,
            others: 0.0,
            found: found
                .into_iter()
                .map(|(name, value)| quantity(name).found(value))
                .collect(),
            failure: None,
        };
        let samples = [
            sample(1, vec![("b", 5.0)]),
            sample(0, vec![("a", 1.0), ("c", 9.0)]),
            sample(0, vec![("a", 3.0)]),
            sample(0, vec![("a", 2.0)]),
        ];
        let verdicts = judge(&["first".to_owned(), "second".to_owned()], &samples);
        let rows: Vec<_> = verdicts
            .iter()
            .map(|verdict| (verdict.quantity.name.as_str(), verdict.figure.value))
            .collect();
        assert_eq!(rows, [("a", 2.0), ("c", 9.0), ("b", 5.0)]);
    }
}
