//! A made-up run for tests.

use std::collections::BTreeMap;

use super::record::{FORMAT, Record, Sample};
use super::rows::{Measures, Row};
use crate::bench::machine::Machine;
use crate::bench::meter::MeterFacts;
use crate::bench::metric::Metric;
use crate::bench::subject::Subject;

/// Three equal repeats of one row in which each subject has one metric.
pub(super) fn record(row: Row, metric: Metric, pairs: &[(Subject, f64)]) -> Record {
    let sample = |repeat, &(subject, value): &(Subject, f64)| Sample {
        repeat,
        row,
        subject,
        others: 0.0,
        measures: Measures::from([(metric, value)]),
        failure: None,
    };
    Record {
        format: FORMAT,
        started: "2026-01-02T03:04:05Z".to_owned(),
        seed: 1,
        repeats: 3,
        seconds: 3.0,
        machine: Machine::look(2),
        meter: MeterFacts::default(),
        subjects: BTreeMap::new(),
        iperf3: "iperf 3".to_owned(),
        rows: BTreeMap::from([(row, row.description().to_owned())]),
        samples: (0..3)
            .flat_map(|repeat| pairs.iter().map(move |pair| sample(repeat, pair)))
            .collect(),
        verdicts: Vec::new(),
    }
}
