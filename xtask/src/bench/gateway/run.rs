//! One run from its settings to its report.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use super::plan::{self, Step};
use super::progress::Progress;
use super::record::{FORMAT, Record, Sample};
use super::report;
use super::rows::{Measures, Row};
use super::stage::Stage;
use super::verdict;
use crate::bench::calendar;
use crate::bench::machine::Machine;
use crate::bench::meter::{self, Meter, MeterFacts, check};
use crate::bench::metric::Metric;
use crate::bench::others::{DISTURBED, Others};
use crate::bench::peer::version_line;
use crate::bench::relay::Workshop;
use crate::bench::subject::Subject;

/// How long the machine is left alone to see what it does on its own.
const BACKGROUND_WINDOW: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) repeats: usize,
    pub(super) duration: Duration,
    pub(super) rows: Vec<Row>,
    pub(super) subjects: Vec<Subject>,
    pub(super) seed: u64,
    /// How often a disturbed sample is taken again.
    pub(super) retakes: usize,
    /// Where reports go.
    pub(super) folder: PathBuf,
    /// Our own binary, when a subject needs it.
    pub(super) s2cs: Option<PathBuf>,
}

/// Runs the comparison and writes its reports.
///
/// Errors when a subject is missing, a sample failed or the reports cannot be written.
pub(super) fn compare(settings: &Settings) -> Result<()> {
    let workshop = Workshop::open(
        &settings.folder,
        settings.s2cs.clone(),
        meter::online_cores()?.len(),
    )?;
    let mut record = begin(settings, &workshop)?;
    eprintln!("seed {}", settings.seed);
    let meter = Meter::start()?;
    record.meter.thresholds_ns = meter.thresholds_ns();
    record.meter.checks = check::run(&meter)?;

    let steps = plan::steps(
        &settings.rows,
        &settings.subjects,
        settings.repeats,
        settings.seed,
    );
    let mut progress = Progress::begin(&steps, settings.duration);
    for (number, step) in steps.iter().enumerate() {
        if number == 0 || steps[number - 1].repeat != step.repeat {
            record
                .meter
                .background
                .push(check::background(&meter, BACKGROUND_WINDOW)?);
        }
        let sample = take(step, settings, &workshop, &meter)?;
        progress.tell(&sample, settings.duration);
        record.samples.push(sample);
    }
    record
        .meter
        .background
        .push(check::background(&meter, BACKGROUND_WINDOW)?);
    record.meter.checks.extend(check::run(&meter)?);
    drop(meter);
    conclude(settings, record)
}

fn begin(settings: &Settings, workshop: &Workshop) -> Result<Record> {
    let facts = |&subject| Ok((subject, workshop.facts(subject)?));
    let subjects = settings
        .subjects
        .iter()
        .map(facts)
        .collect::<Result<BTreeMap<_, _>>>()?;
    let rows = settings
        .rows
        .iter()
        .map(|&row| (row, row.description().to_owned()));
    Ok(Record {
        format: FORMAT,
        started: calendar::date_time(SystemTime::now()),
        seed: settings.seed,
        repeats: settings.repeats,
        seconds: settings.duration.as_secs_f64(),
        machine: Machine::look(meter::online_cores()?.len()),
        meter: MeterFacts::default(),
        subjects,
        iperf3: version_line("iperf3", "--version", "iperf 3")?,
        rows: rows.collect(),
        samples: Vec::new(),
        verdicts: Vec::new(),
    })
}

/// Takes one sample, again if others disturbed it, and keeps the least disturbed take. What
/// decides is only what others did, never what was measured.
fn take(step: &Step, settings: &Settings, workshop: &Workshop, meter: &Meter) -> Result<Sample> {
    let mut best = take_once(step, settings, workshop, meter)?;
    for _ in 0..settings.retakes {
        if best.others <= DISTURBED {
            break;
        }
        let again = take_once(step, settings, workshop, meter)?;
        if again.others < best.others {
            best = again;
        }
    }
    Ok(best)
}

/// A failure is recorded: the rest of a long run is worth having.
fn take_once(
    step: &Step,
    settings: &Settings,
    workshop: &Workshop,
    meter: &Meter,
) -> Result<Sample> {
    let &Step {
        repeat,
        row,
        subject,
    } = step;
    let start = Others::read()?;
    let measured = Stage::set(subject, row.cap(), workshop, meter, settings.duration)
        .and_then(|stage| row.measure(&stage));
    let others = Others::since(start)?;
    let (measures, failure) = match measured {
        Ok(measures) => (measures, None),
        Err(error) => (Measures::new(), Some(format!("{error:#}"))),
    };
    Ok(Sample {
        repeat,
        row,
        subject,
        others,
        measures,
        failure,
    })
}

fn conclude(settings: &Settings, mut record: Record) -> Result<()> {
    record.verdicts = verdict::judge(&record);
    let text = report::markdown(&record);
    let name = record.started.replace(':', "");
    let (json, markdown) = (
        settings.folder.join(format!("{name}.json")),
        settings.folder.join(format!("{name}.md")),
    );
    let mut pretty = serde_json::to_string_pretty(&record).context("writing the run as JSON")?;
    pretty.push('\n');
    for (file, text) in [(&json, &pretty), (&markdown, &text)] {
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    println!("{text}\n{}\n{}", json.display(), markdown.display());
    match record.failures().count() {
        0 => Ok(()),
        failed => bail!(
            "{failed} of {} samples failed; they are listed above",
            record.samples.len()
        ),
    }
}

/// Checks the meter against known loads, and how much the soakers change a stream.
///
/// Errors when the meter is off by more than its tolerance.
pub(super) fn check_meter(settings: &Settings) -> Result<()> {
    let workshop = Workshop::open(&settings.folder, None, meter::online_cores()?.len())?;
    let meter = Meter::start()?;
    let background = check::background(&meter, BACKGROUND_WINDOW)?;
    println!("the machine on its own: {background:.3} CPU-s/s");
    let checks = check::run(&meter)?;
    for check in &checks {
        println!(
            "{:?}: known {:.3} s, metered {:.3} s ({:.3}), /proc/stat {:.3} s ({:.3})",
            check.load,
            check.known_s,
            check.metered_s,
            check.ratio(),
            check.proc_stat_s,
            check.proc_stat_s / check.known_s,
        );
    }
    let step = Step {
        repeat: 0,
        row: Row::Saturated1,
        subject: Subject::NoProxy,
    };
    for _ in 0..settings.repeats {
        let sample = take(&step, settings, &workshop, &meter)?;
        let of = |metric| sample.measures.get(&metric).copied().unwrap_or(f64::NAN);
        let (without, with) = (of(Metric::Goodput), of(Metric::SoakedGoodput));
        println!(
            "one stream, no proxy: {without:.2} Gb/s without soakers, {with:.2} with ({:.3})",
            with / without
        );
    }
    if checks.iter().all(check::MeterCheck::holds) {
        return Ok(());
    }
    bail!(
        "the meter is off by more than {:.0} %: is the machine busy?",
        check::TOLERANCE * 100.0
    )
}
