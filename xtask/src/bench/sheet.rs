//! A suite whose figures stand each for themselves, with a target or without: `control` and `caps`.
//!
//! ```text
//!   repeat: its parts in an order drawn from the seed ──► figures ──► median ± half of the interval
//!                                                                          │
//!                                     Markdown, JSON ◄── verdict ◄── target
//! ```
//!
//! A part makes everything it needs anew. One that others disturbed is measured again, and the least
//! disturbed take counts, whatever it says.

mod report;
mod verdict;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::bar::{Bar, minutes};
use super::machine::Machine;
use super::others::{DISTURBED, Others};
use super::stats::Random;
use super::{calendar, meter};
use crate::workspace;

pub(super) use verdict::Bound;
use verdict::Verdict;

/// The format of these files; those of the other suites are 1 and 2.
const FORMAT: u32 = 3;

/// Something that is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Quantity {
    /// What it is, within its part.
    pub(super) name: String,
    /// Its unit.
    pub(super) unit: &'static str,
    /// Digits behind the point.
    pub(super) digits: usize,
    /// What it has to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<Bound>,
}

/// A quantity as one repeat found it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Found {
    /// What.
    #[serde(flatten)]
    pub(super) quantity: Quantity,
    /// How much.
    pub(super) value: f64,
}

/// One part of a suite.
pub(super) trait Part {
    /// The heading of its figures.
    fn heading(&self) -> String;

    /// About how long it takes.
    fn nominal(&self) -> Duration;

    /// Measures once. `seed` is this repeat's.
    ///
    /// Errors when it cannot be measured.
    fn measure(&self, seed: u64) -> Result<Vec<Found>>;
}

/// A suite as it is to be run.
pub(super) struct Plan<'a> {
    /// Its name on the command line.
    pub(super) suite: &'static str,
    /// Its parts, in the order of the tables.
    pub(super) parts: Vec<&'a dyn Part>,
    /// How often everything is measured.
    pub(super) repeats: usize,
    /// Decides the order, and whatever else is drawn.
    pub(super) seed: u64,
    /// How often a part that others disturbed is measured again.
    pub(super) retakes: usize,
    /// How it is measured, in sentences.
    pub(super) settings: Vec<String>,
    /// What others published, in sentences.
    pub(super) published: Vec<String>,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
struct Sheet {
    format: u32,
    suite: &'static str,
    /// When it began, UTC.
    started: String,
    minutes: f64,
    seed: u64,
    repeats: usize,
    machine: Machine,
    settings: Vec<String>,
    published: Vec<String>,
    headings: Vec<String>,
    samples: Vec<Sample>,
    verdicts: Vec<Verdict>,
}

/// One part in one repeat.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    repeat: usize,
    /// Which of the headings.
    part: usize,
    /// CPU-seconds per second that other processes used meanwhile.
    others: f64,
    found: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

impl Quantity {
    /// A quantity without a target.
    pub(super) fn new(name: impl Into<String>, unit: &'static str, digits: usize) -> Self {
        Self {
            name: name.into(),
            unit,
            digits,
            target: None,
        }
    }

    /// The same with a target.
    pub(super) fn aimed_at(self, target: Bound) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }

    /// The same as found.
    pub(super) fn found(self, value: f64) -> Found {
        Found {
            quantity: self,
            value,
        }
    }
}

impl Plan<'_> {
    /// Runs the suite, prints its tables and writes its files.
    ///
    /// Errors when a sample failed or a file cannot be written.
    pub(super) fn run(self) -> Result<()> {
        let nominal: Duration = self.parts.iter().map(|part| part.nominal()).sum();
        let all = nominal * u32::try_from(self.repeats).unwrap_or(u32::MAX);
        eprintln!("seed {}; about {}", self.seed, minutes(all));
        let (began, started) = (Instant::now(), calendar::date_time(SystemTime::now()));
        let machine = Machine::look(meter::online_cores()?.len());
        let samples = self.measure(all)?;
        let headings: Vec<String> = self.parts.iter().map(|part| part.heading()).collect();
        let verdicts = verdict::judge(&headings, &samples);
        let sheet = Sheet {
            format: FORMAT,
            suite: self.suite,
            started,
            minutes: began.elapsed().as_secs_f64() / 60.0,
            seed: self.seed,
            repeats: self.repeats,
            machine,
            settings: self.settings,
            published: self.published,
            headings,
            samples,
            verdicts,
        };
        sheet.write()
    }

    fn measure(&self, all: Duration) -> Result<Vec<Sample>> {
        let mut bar = Bar::begin(all);
        let mut random = Random::from_seed(self.seed);
        let mut samples = Vec::new();
        for repeat in 0..self.repeats {
            let mut order: Vec<usize> = (0..self.parts.len()).collect();
            random.shuffle(&mut order);
            for part in order {
                let now = format!("repeat {}, {}", repeat + 1, self.parts[part].heading());
                bar.show(&now);
                let sample = self.take(repeat, part)?;
                if let Some(why) = &sample.failure {
                    bar.say(&format!("FAILED {now}: {why}"));
                }
                samples.push(sample);
                bar.advance(self.parts[part].nominal(), &now);
            }
        }
        Ok(samples)
    }

    /// What decides which take counts is only what others did, never what was measured.
    fn take(&self, repeat: usize, part: usize) -> Result<Sample> {
        let mut best = self.take_once(repeat, part)?;
        for _ in 0..self.retakes {
            if best.others <= DISTURBED {
                break;
            }
            let again = self.take_once(repeat, part)?;
            if again.others < best.others {
                best = again;
            }
        }
        Ok(best)
    }

    /// A failure is recorded: the rest of the run is worth having.
    fn take_once(&self, repeat: usize, part: usize) -> Result<Sample> {
        let start = Others::read()?;
        let measured = self.parts[part].measure(self.seed.wrapping_add(repeat as u64));
        let others = Others::since(start)?;
        let (found, failure) = match measured {
            Ok(found) => (found, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        Ok(Sample {
            repeat,
            part,
            others,
            found,
            failure,
        })
    }
}

impl Sheet {
    fn write(&self) -> Result<()> {
        let folder = workspace::target().join("bench");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let name = format!("{}-{}", self.suite, self.started.replace(':', ""));
        let text = report::markdown(self);
        println!("{text}");
        let contents = [("json", serde_json::to_string_pretty(self)?), ("md", text)];
        for (extension, content) in contents {
            let path = folder.join(format!("{name}.{extension}"));
            std::fs::write(&path, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!("{}", path.display());
        }
        let failed = self
            .samples
            .iter()
            .filter(|sample| sample.failure.is_some());
        match failed.count() {
            0 => Ok(()),
            failed => bail!(
                "{failed} of {} samples failed; they are listed above",
                self.samples.len()
            ),
        }
    }
}
