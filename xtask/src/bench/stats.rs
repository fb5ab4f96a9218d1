//! Medians, percentiles and bootstrap intervals.

use serde::{Deserialize, Serialize};

/// Resamples per interval: the ends of a 95 % interval rest on 50 of them each.
const RESAMPLES: usize = 2_000;

/// The share of resamples outside the interval, on each side.
const TAIL: f64 = 0.025;

/// A small, seeded generator (SplitMix64): runs must be repeatable, not unpredictable.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A generator that always gives the same numbers for the same `seed`.
    pub(super) fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The high half of the product is uniform enough for a few dozen choices.
        let wide = u128::from(self.next()) * end as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Puts `items` in random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

/// A point estimate and its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// The figure of all repeats.
    pub(crate) value: f64,
    /// The lower end of the interval.
    pub(crate) low: f64,
    /// The upper end of the interval.
    pub(crate) high: f64,
}

/// Estimates a figure that `of` computes from a choice of repeats (indices below `repeats`, any
/// of them several times or not at all). Choosing whole repeats keeps together what was measured
/// side by side, so a ratio's interval does not grow by the drift that both its sides share.
///
/// `None` when the figure cannot be computed from all repeats.
pub(super) fn bootstrap(
    repeats: usize,
    random: &mut Random,
    of: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Estimate> {
    let everything: Vec<usize> = (0..repeats).collect();
    let value = of(&everything)?;
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let draw: Vec<usize> = (0..repeats).map(|_| random.below(repeats)).collect();
            of(&draw)
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let low = percentile(&resampled, TAIL)?;
    let high = percentile(&resampled, 1.0 - TAIL)?;
    Some(Estimate { value, low, high })
}

/// The value below which `share` of the ascending `sorted` lie (nearest rank).
pub(super) fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(last)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::median::median;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 0.5), Some(50));
        assert_eq!(percentile(&hundred, 0.99), Some(99));
        assert_eq!(percentile(&hundred, 0.0), Some(1));
        assert_eq!(percentile(&hundred, 1.0), Some(100));
        assert_eq!(percentile::<u32>(&[], 0.5), None);
    }

    #[test]
    fn an_interval_holds_its_median_and_stays_within_the_samples() {
        let samples = [9.0, 10.0, 10.5, 11.0, 14.0];
        let median_of = |draw: &[usize]| {
            median(
                &draw
                    .iter()
                    .map(|&repeat| samples[repeat])
                    .collect::<Vec<_>>(),
            )
        };
        let estimate = bootstrap(samples.len(), &mut Random::from_seed(1), median_of).unwrap();
        assert_eq!(estimate.value, 10.5);
        assert_eq!((estimate.low, estimate.high), (9.0, 14.0));
    }

    #[test]
    fn a_ratio_of_paired_repeats_is_not_blurred_by_shared_drift() {
        let ours = [10.0, 20.0, 30.0, 40.0, 50.0];
        let theirs = [5.0, 10.0, 15.0, 20.0, 25.0];
        let chosen = |samples: &[f64], draw: &[usize]| {
            median(
                &draw
                    .iter()
                    .map(|&repeat| samples[repeat])
                    .collect::<Vec<_>>(),
            )
        };
        let ratio = |draw: &[usize]| Some(chosen(&ours, draw)? / chosen(&theirs, draw)?);
        let estimate = bootstrap(ours.len(), &mut Random::from_seed(1), ratio).unwrap();
        assert_eq!(
            estimate,
            Estimate {
                value: 2.0,
                low: 2.0,
                high: 2.0
            }
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_order() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..9).collect();
            Random::from_seed(seed).shuffle(&mut items);
            items
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_below_an_end_reach_all_of_it() {
        let mut random = Random::from_seed(3);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5)] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }
}
