//! A run of `peers`, `fabric` or `scale` as a value: what is written as JSON, and what tables and
//! plots are computed from.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::meter::MeterFacts;
use super::metric::Metric;
use super::others::DISTURBED;
use super::scene::Scene;
use super::subject::{Subject, SubjectFacts};

#[cfg(test)]
pub(super) mod fixture;
mod view;

pub(super) use view::View;

/// Raised when a reader of older files would misread a newer one. The `gateway` suite has a format
/// of its own, 1.
pub(crate) const FORMAT: u32 = 2;

/// The shares of messages whose delay is kept: 0 is the least, 1 the most.
pub(crate) const SHARES: [f64; 21] = [
    0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.98, 0.99,
    0.995, 0.999, 0.9999, 1.0,
];

/// What is kept of a sample beside single figures.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Spread {
    /// From the moment a message was due to its last byte, µs.
    Delay,
    /// By how much two messages in a row were apart in arriving, beyond what they were in being
    /// due, µs, without sign.
    Jitter,
}

/// A whole run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Results {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// `peers`, `fabric` or `scale`.
    pub(crate) suite: String,
    /// When it began, UTC.
    pub(crate) started: String,
    /// How long it took, minutes.
    pub(crate) minutes: f64,
    /// What decided the order.
    pub(crate) seed: u64,
    /// Repeats that were completed.
    pub(crate) repeats: usize,
    /// Repeats that were asked for; fewer were completed when the time was up.
    pub(crate) repeats_asked: usize,
    /// How hosts and links were set, in words.
    pub(crate) settings: Vec<String>,
    /// The machine.
    pub(crate) machine: Machine,
    /// The CPU meter on known loads.
    pub(crate) meter: MeterFacts,
    /// What was compared.
    pub(crate) subjects: BTreeMap<Subject, SubjectFacts>,
    /// What `s2cs probe` said, by kernel.
    pub(crate) probes: BTreeMap<String, String>,
    /// The shares that every spread has values for.
    pub(crate) shares: Vec<f64>,
    /// Everything that was measured, in the order it was.
    pub(crate) samples: Vec<Sample>,
}

/// One sample.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// From 0.
    pub(crate) repeat: usize,
    /// What was played.
    pub(crate) scene: Scene,
    /// By whom.
    pub(crate) subject: Subject,
    /// CPU-seconds per second that other processes used meanwhile.
    pub(crate) others: f64,
    /// What was measured; empty when it failed.
    #[serde(default)]
    pub(crate) measures: BTreeMap<Metric, f64>,
    /// Spreads, at [`Results::shares`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) spreads: BTreeMap<Spread, Vec<f64>>,
    /// A limit of this machine that was reached, in words: the rest holds up to there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

impl Results {
    /// Reads a run that was written as JSON.
    ///
    /// Errors when there is no such file, or it is no run of these suites.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let whole: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON: was it cut short?", file.display()))?;
        let format = whole.get("format").and_then(serde_json::Value::as_u64);
        ensure!(
            format == Some(u64::from(FORMAT)),
            "{} has format {}, this command reads format {FORMAT}: runs of `bench peers`, `fabric` \
             and `scale` (those of `bench` alone have 1 and come with their own tables)",
            file.display(),
            format.map_or_else(|| "none".to_owned(), |format| format.to_string()),
        );
        serde_json::from_value(whole)
            .with_context(|| format!("{} is not a whole run", file.display()))
    }

    /// Samples that failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&Sample, &str)> {
        self.samples
            .iter()
            .filter_map(|sample| Some((sample, sample.failure.as_deref()?)))
    }

    /// How many samples others disturbed.
    pub(super) fn disturbed(&self) -> usize {
        let disturbed = |sample: &&Sample| sample.others > DISTURBED;
        self.samples.iter().filter(disturbed).count()
    }

    /// Every limit of the machine that was reached, each once.
    pub(super) fn limits(&self) -> Vec<&str> {
        let mut limits: Vec<&str> = self
            .samples
            .iter()
            .filter_map(|sample| sample.limit.as_deref())
            .collect();
        limits.sort_unstable();
        limits.dedup();
        limits
    }
}
