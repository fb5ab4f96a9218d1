//! The order of the samples: every repeat has every row, every row every subject, in an order
//! drawn anew from the seed, so that no subject always runs after the same other or at the same
//! moment of a machine's slow hours.

use super::rows::Row;
use crate::bench::stats::Random;
use crate::bench::subject::Subject;

/// One sample to take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Step {
    pub(super) repeat: usize,
    pub(super) row: Row,
    pub(super) subject: Subject,
}

/// All samples, in order.
pub(super) fn steps(rows: &[Row], subjects: &[Subject], repeats: usize, seed: u64) -> Vec<Step> {
    let mut random = Random::from_seed(seed);
    let mut steps = Vec::new();
    for repeat in 0..repeats {
        for &row in rows {
            let mut order: Vec<Subject> = subjects
                .iter()
                .copied()
                .filter(|&subject| row.concerns(subject))
                .collect();
            random.shuffle(&mut order);
            steps.extend(order.into_iter().map(|subject| Step {
                repeat,
                row,
                subject,
            }));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_subject_is_in_every_row_of_every_repeat_once() {
        let (rows, subjects) = (Row::value_variants(), Subject::GATEWAY);
        let steps = steps(rows, &subjects, 3, 1);
        // Nothing can be idle without a relay.
        assert_eq!(steps.len(), 3 * (rows.len() * subjects.len() - 1));
        for step in &steps {
            assert_eq!(steps.iter().filter(|other| *other == step).count(), 1);
        }
    }

    #[test]
    fn the_order_of_subjects_changes_from_repeat_to_repeat() {
        let steps = steps(&[Row::Saturated1], &Subject::GATEWAY, 2, 1);
        let order = |repeat| {
            let of_repeat = steps.iter().filter(|step| step.repeat == repeat);
            of_repeat.map(|step| step.subject).collect::<Vec<_>>()
        };
        assert_ne!(order(0), order(1));
    }
}
