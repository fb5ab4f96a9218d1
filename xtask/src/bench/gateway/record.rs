//! The run as a value: what is written as JSON, and what the tables are computed from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rows::{Measures, Row};
use crate::bench::machine::Machine;
use crate::bench::meter::MeterFacts;
use crate::bench::metric::Metric;
use crate::bench::others::DISTURBED;
use crate::bench::stats::Estimate;
use crate::bench::subject::{Subject, SubjectFacts};
use crate::median::median;

/// Raised when a reader of older files would misread a newer one.
pub(crate) const FORMAT: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Record {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// When it began, UTC.
    pub(crate) started: String,
    /// What decided the order of the samples.
    pub(crate) seed: u64,
    /// Repeats asked for.
    pub(crate) repeats: usize,
    /// Seconds of one measurement, where the row does not say.
    pub(crate) seconds: f64,
    /// The machine.
    pub(crate) machine: Machine,
    /// How the meter did on known loads.
    pub(crate) meter: MeterFacts,
    /// What was compared.
    pub(crate) subjects: BTreeMap<Subject, SubjectFacts>,
    /// The version of the load generator.
    pub(crate) iperf3: String,
    /// What the rows are.
    pub(crate) rows: BTreeMap<Row, String>,
    /// Everything that was measured, in the order it was.
    pub(crate) samples: Vec<Sample>,
    /// What the targets made of it.
    pub(crate) verdicts: Vec<Verdict>,
}

/// One sample.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// From 0.
    pub(crate) repeat: usize,
    /// Which row.
    pub(crate) row: Row,
    /// Which subject.
    pub(crate) subject: Subject,
    /// CPU-seconds per second that other processes used meanwhile.
    pub(crate) others: f64,
    /// What was measured; empty when it failed.
    pub(crate) measures: Measures,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

/// One target and what became of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// Which row.
    pub(crate) row: Row,
    /// The target in words.
    pub(crate) target: String,
    /// The bound.
    pub(crate) bound: f64,
    /// What was found; none when a subject of it was not measured.
    pub(crate) found: Option<Estimate>,
    /// How it ended, in words.
    pub(crate) outcome: String,
}

impl Record {
    /// The median of what was measured in the repeats of `draw` (each index as often as it is in
    /// there); `None` when nothing was.
    pub(crate) fn median(
        &self,
        row: Row,
        subject: Subject,
        metric: Metric,
        draw: &[usize],
    ) -> Option<f64> {
        let by_repeat = self.by_repeat(row, subject, metric);
        let values: Vec<f64> = draw
            .iter()
            .filter_map(|repeat| by_repeat.get(repeat).copied())
            .collect();
        median(&values)
    }

    /// Every repeat, once.
    pub(crate) fn all_repeats(&self) -> Vec<usize> {
        (0..self.repeats).collect()
    }

    /// Samples that failed.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&Sample, &str)> {
        self.samples
            .iter()
            .filter_map(|sample| Some((sample, sample.failure.as_deref()?)))
    }

    /// How many samples others disturbed.
    pub(crate) fn disturbed(&self) -> usize {
        self.samples
            .iter()
            .filter(|sample| sample.others > DISTURBED)
            .count()
    }

    fn by_repeat(&self, row: Row, subject: Subject, metric: Metric) -> BTreeMap<usize, f64> {
        let of_both = |sample: &&Sample| sample.row == row && sample.subject == subject;
        let value = |sample: &Sample| Some((sample.repeat, *sample.measures.get(&metric)?));
        self.samples
            .iter()
            .filter(of_both)
            .filter_map(value)
            .collect()
    }
}
