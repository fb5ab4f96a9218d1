//! A made-up run for tests.

use std::collections::BTreeMap;

use super::{FORMAT, Results, SHARES, Sample};
use crate::bench::machine::Machine;
use crate::bench::meter::MeterFacts;
use crate::bench::metric::Metric;
use crate::bench::net::Net;
use crate::bench::scene::{Load, Regime, Scene, Setting};
use crate::bench::subject::{Subject, SubjectFacts};

/// What one subject came to in one scene, repeat by repeat.
pub(crate) type Cell<'a> = (Scene, Subject, Metric, &'a [f64]);

/// Messages of `size` over the link of a LAN.
pub(crate) fn bulk(size: u32) -> Scene {
    Scene {
        regime: Regime::LinkBound,
        net: Net::Lan,
        setting: Setting::Tuned,
        load: Load::Bulk { size },
    }
}

/// Quiet connections through one gateway.
pub(crate) fn idle(count: u32) -> Scene {
    Scene {
        regime: Regime::CpuBound,
        net: Net::One,
        setting: Setting::Tuned,
        load: Load::Idle { count },
    }
}

/// A run with exactly these figures.
pub(crate) fn results(cells: &[Cell<'_>]) -> Results {
    let mut samples: BTreeMap<_, Sample> = BTreeMap::new();
    let mut subjects = BTreeMap::new();
    let mut repeats = 0;
    for &(scene, subject, metric, values) in cells {
        let facts = SubjectFacts {
            version: "1".to_owned(),
            configuration: "none".to_owned(),
        };
        subjects.insert(subject, facts);
        repeats = repeats.max(values.len());
        for (repeat, &value) in values.iter().enumerate() {
            let sample = samples.entry((repeat, scene, subject)).or_insert(Sample {
                repeat,
                scene,
                subject,
                others: 0.0,
                measures: BTreeMap::new(),
                spreads: BTreeMap::new(),
                limit: None,
                failure: None,
            });
            sample.measures.insert(metric, value);
        }
    }
    Results {
        format: FORMAT,
        suite: "fabric".to_owned(),
        started: "2026-01-02T03:04:05Z".to_owned(),
        minutes: 12.0,
        seed: 1,
        repeats,
        repeats_asked: repeats,
        settings: vec!["made up".to_owned()],
        machine: Machine::look(2),
        meter: MeterFacts::default(),
        subjects,
        probes: BTreeMap::new(),
        shares: SHARES.to_vec(),
        samples: samples.into_values().collect(),
    }
}
