//! What can be said from a few noisy repeats, and what cannot.
//!
//! ```text
//!   repeats ──► ratio within each repeat ──► median ± half-width (95 %) ──► finding
//!                (shared drift cancels)        │
//!                                              └─ bootstrap of whole repeats, made symmetric and
//!                                                 widened where few repeats would make it lie
//! ```
//!
//! With few repeats the percentile bootstrap of a median claims 95 % and holds less: three repeats
//! can say at most 75 %. [`WIDENING`] mends that; the test at the end shows by simulation that an
//! interval holds the true median in 95 of 100 experiments (ADR 16).

use serde::{Deserialize, Serialize};

use super::stats::{Random, bootstrap};
use crate::median::median;

/// The bootstrap's seed. Fixed: the same samples give the same page, whoever computes it.
const BOOTSTRAP_SEED: u64 = 0x5c15_7ea3;

/// Repeats from which an interval is given at all.
pub(crate) const FEWEST_REPEATS: usize = 3;

/// The factor on the bootstrap's half-width for 3, 4, 5 and 6 repeats, and for more.
const WIDENING: [f64; 5] = [2.0, 1.25, 1.05, 1.05, 1.2];

/// A median and the half-width of its 95 % interval.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// The median of the repeats.
    pub(crate) value: f64,
    /// Half of the interval's width; none with fewer than three repeats.
    pub(crate) half: Option<f64>,
}

/// What a ratio says about two sides.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finding {
    /// The upper side is larger, by more than the noise.
    Above,
    /// The upper side is smaller, by more than the noise.
    Below,
    /// Nothing can be said: the interval holds what it is compared with.
    Inside,
    /// Nothing can be said: too few repeats for an interval.
    TooFew,
}

impl Figure {
    /// The median of `values`, one per repeat; `None` when there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let value = median(values)?;
        let half = (values.len() >= FEWEST_REPEATS).then(|| half_width(values, value));
        Some(Self {
            value,
            half: half.flatten(),
        })
    }

    /// The median of the ratios that two subjects have within each repeat. A repeat in which one
    /// of them is missing, or the lower one is not positive, says nothing.
    pub(crate) fn of_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let ratios: Vec<f64> = pairs
            .into_iter()
            .filter(|(_, under)| *under > 0.0)
            .map(|(over, under)| over / under)
            .collect();
        Self::of(&ratios)
    }

    /// One figure divided by another of a different run, which shares no repeats with it.
    pub(crate) fn over(self, other: Self) -> Option<Self> {
        if other.value <= 0.0 || self.value <= 0.0 {
            return None;
        }
        let value = self.value / other.value;
        // Independent errors add in squares, relative to what they are errors of.
        let half = self
            .half
            .zip(other.half)
            .map(|(own, theirs)| value * f64::hypot(own / self.value, theirs / other.value));
        Some(Self { value, half })
    }

    /// The lower end of the interval; the figure itself when it has none.
    pub(crate) fn low(self) -> f64 {
        self.value - self.half.unwrap_or(0.0)
    }

    /// The upper end of the interval; the figure itself when it has none.
    pub(crate) fn high(self) -> f64 {
        self.value + self.half.unwrap_or(0.0)
    }

    /// On which side of `mark` the figure lies, if that can be said.
    pub(crate) fn beside(self, mark: f64) -> Finding {
        match self.half {
            None => Finding::TooFew,
            Some(_) if self.low() > mark => Finding::Above,
            Some(_) if self.high() < mark => Finding::Below,
            Some(_) => Finding::Inside,
        }
    }

    /// `0.98 ± 0.02`.
    pub(crate) fn words(self, digits: usize) -> String {
        let Self { value, half } = self;
        match half {
            Some(half) => format!("{value:.digits$} ± {half:.digits$}"),
            None => format!("{value:.digits$} ± ?"),
        }
    }
}

fn half_width(values: &[f64], value: f64) -> Option<f64> {
    let mut random = Random::from_seed(BOOTSTRAP_SEED);
    let estimate = bootstrap(values.len(), &mut random, |draw| {
        let drawn: Vec<f64> = draw
            .iter()
            .filter_map(|&at| values.get(at).copied())
            .collect();
        median(&drawn)
    })?;
    let at = (values.len() - FEWEST_REPEATS).min(WIDENING.len() - 1);
    let half = f64::max(value - estimate.low, estimate.high - value);
    Some(half * WIDENING[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A draw of the normal distribution with deviation 1: twelve uniform ones, less their mean.
    fn normal(random: &mut Random) -> f64 {
        let uniform = |random: &mut Random| random.below(1 << 30) as f64 / f64::from(1 << 30);
        (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
    }

    #[test]
    fn an_interval_holds_the_truth_in_95_of_100_experiments() {
        const EXPERIMENTS: usize = 600;
        let mut random = Random::from_seed(11);
        for repeats in [3, 4, 5, 6, 7, 9] {
            let mut held = 0;
            for _ in 0..EXPERIMENTS {
                let values: Vec<f64> = (0..repeats).map(|_| 10.0 + normal(&mut random)).collect();
                let figure = Figure::of(&values).unwrap();
                held += usize::from(figure.beside(10.0) == Finding::Inside);
            }
            let share = held as f64 / EXPERIMENTS as f64;
            // Two deviations of a share of .95 among so many experiments.
            assert!(share > 0.95 - 0.018, "{repeats} repeats: {share}");
        }
    }

    #[test]
    fn a_difference_inside_the_noise_is_not_called_one() {
        let pairs = [
            (9.0, 10.0),
            (11.0, 10.0),
            (10.2, 10.0),
            (9.7, 10.0),
            (10.4, 10.0),
        ];
        let ratio = Figure::of_ratios(pairs).unwrap();
        assert_eq!(ratio.beside(1.0), Finding::Inside, "{ratio:?}");
    }

    #[test]
    fn drift_that_both_sides_share_does_not_hide_a_difference() {
        let pairs = [
            (11.0, 10.0),
            (22.1, 20.0),
            (33.2, 30.0),
            (5.5, 5.0),
            (6.61, 6.0),
        ];
        let ratio = Figure::of_ratios(pairs).unwrap();
        assert_eq!(ratio.beside(1.0), Finding::Above, "{ratio:?}");
        assert_eq!(ratio.beside(1.2), Finding::Below, "{ratio:?}");
    }

    #[test]
    fn two_repeats_say_nothing() {
        let figure = Figure::of(&[1.0, 1.0]).unwrap();
        assert_eq!(figure.beside(0.5), Finding::TooFew);
        assert_eq!(figure.words(2), "1.00 ± ?");
        assert_eq!(Figure::of(&[]), None);
    }

    #[test]
    fn figures_of_two_runs_are_divided_with_both_their_errors() {
        let of = |value, half| Figure { value, half };
        let ratio = of(11.0, Some(0.33)).over(of(10.0, Some(0.4))).unwrap();
        assert!((ratio.value - 1.1).abs() < 1e-9);
        assert!((ratio.half.unwrap() - 1.1 * 0.05).abs() < 1e-9, "{ratio:?}");
        assert_eq!(of(1.0, None).over(of(0.0, None)), None);
        assert_eq!(of(1.0, None).over(of(2.0, Some(0.1))).unwrap().half, None);
    }
}
