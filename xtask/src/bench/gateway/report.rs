//! The run for people: tables of medians and ratios, and what the targets made of them. The same
//! Markdown goes to the terminal and into a file.

use super::record::{Record, Verdict};
use super::rows::Row;
use super::verdict::Quantity;
use crate::bench::meter::check::{KnownLoad, TOLERANCE};
use crate::bench::metric::Metric;
use crate::bench::others::DISTURBED;
use crate::bench::stats::Estimate;
use crate::bench::subject::Subject;
use crate::bench::table::Table;

/// The cell of what was not measured.
const NOTHING: &str = "-";

/// Retransmits per GB from which a median is marked: the path reordered or dropped, and the
/// figure may tell of that rather than of the relay.
const MANY_RETRANSMITS: f64 = 100.0;

/// The whole report.
pub(super) fn markdown(record: &Record) -> String {
    let mut text = head(record);
    for (&row, words) in &record.rows {
        text += &format!("\n## {row}: {words}\n\n{}", row_table(record, row));
    }
    text += &format!("\n## Targets\n\n{}", targets(&record.verdicts));
    text.push_str(&failures(record));
    text
}

/// One row's table. A column that nobody has a value for is left out.
fn row_table(record: &Record, row: Row) -> String {
    let subjects: Vec<Subject> = record
        .subjects
        .keys()
        .copied()
        .filter(|&subject| row.concerns(subject))
        .collect();
    let mut columns = vec![(
        "subject".to_owned(),
        subjects.iter().map(Subject::to_string).collect(),
    )];
    for &metric in row.metrics() {
        let medians = subjects
            .iter()
            .map(|&subject| median_cell(record, row, subject, metric));
        columns.push((format!("{metric}, {}", metric.unit()), medians.collect()));
        columns.extend(comparison_columns(record, row, &subjects, metric));
    }
    columns.retain(|(_, cells)| cells.iter().any(|cell| cell != NOTHING));
    Table::from_columns(columns).to_string()
}

fn comparison_columns(
    record: &Record,
    row: Row,
    subjects: &[Subject],
    metric: Metric,
) -> Vec<(String, Vec<String>)> {
    let headings = comparisons(row, Subject::NoProxy, metric).map(|(heading, ..)| heading);
    let column = |(number, heading): (usize, &str)| {
        let cell = |&subject: &Subject| {
            let beside = comparisons(row, subject, metric).nth(number);
            beside.map_or_else(
                || NOTHING.to_owned(),
                |(_, quantity, digits)| value_cell(record, &quantity, digits),
            )
        };
        (heading.to_owned(), subjects.iter().map(cell).collect())
    };
    headings.enumerate().map(column).collect()
}

/// What stands beside a median, each with its heading and its digits: ratios of a rate, the extra
/// of a cost.
fn comparisons(
    row: Row,
    subject: Subject,
    metric: Metric,
) -> impl Iterator<Item = (&'static str, Quantity, usize)> {
    let of = |subject| Quantity::Of(row, subject, metric);
    let beyond = |subject| Quantity::Beyond(row, subject, metric);
    let of_base = |base| Quantity::ratio(of(subject), of(base));
    let comparisons = match metric {
        Metric::Goodput | Metric::ConnectionRate => vec![
            ("× no proxy", of_base(Subject::NoProxy), 2),
            ("× haproxy", of_base(Subject::Haproxy), 2),
        ],
        Metric::CpuPerGb | Metric::CpuPerMessage | Metric::CpuPerConnection => vec![
            ("beyond no proxy", beyond(subject), metric.digits()),
            (
                "× haproxy's",
                Quantity::ratio(beyond(subject), beyond(Subject::Haproxy)),
                2,
            ),
        ],
        Metric::LatencyP50 | Metric::LatencyP99 => {
            vec![("added", beyond(subject), metric.digits())]
        }
        Metric::CpuLoad
        | Metric::Jitter
        | Metric::KernelMemory
        | Metric::KernelShare
        | Metric::MemoryPerConnection
        | Metric::MemoryTotal
        | Metric::RetransmitsPerGb
        | Metric::SenderLateP99
        | Metric::SoakedGoodput
        | Metric::Stolen
        | Metric::SwitchesPerGb
        | Metric::SwitchesPerSecond
        | Metric::WakeUps => Vec::new(),
    };
    comparisons.into_iter()
}

fn value_cell(record: &Record, quantity: &Quantity, digits: usize) -> String {
    let value = quantity.evaluate(record, &record.all_repeats());
    value.map_or_else(|| NOTHING.to_owned(), |value| format!("{value:.digits$}"))
}

fn median_cell(record: &Record, row: Row, subject: Subject, metric: Metric) -> String {
    let Some(estimate) = Quantity::Of(row, subject, metric).estimate(record) else {
        return NOTHING.to_owned();
    };
    let many = metric == Metric::RetransmitsPerGb && estimate.value > MANY_RETRANSMITS;
    let mark = if many { " (!)" } else { "" };
    format!("{}{mark}", interval(&estimate, metric.digits()))
}

/// `median [low – high]`.
fn interval(estimate: &Estimate, digits: usize) -> String {
    let Estimate { value, low, high } = estimate;
    if low == high {
        return format!("{value:.digits$}");
    }
    format!("{value:.digits$} [{low:.digits$} – {high:.digits$}]")
}

/// The table of the targets, and how many could not be judged.
pub(super) fn targets(verdicts: &[Verdict]) -> String {
    let headings = ["row", "target", "found", "verdict"]
        .map(str::to_owned)
        .to_vec();
    let mut table = Table::new(headings);
    let mut unjudged = 0;
    for verdict in verdicts {
        let Verdict {
            row,
            target,
            bound: _,
            found,
            outcome,
        } = verdict;
        let Some(found) = found else {
            unjudged += 1;
            continue;
        };
        table.push(vec![
            row.to_string(),
            target.clone(),
            interval(found, 2),
            outcome.clone(),
        ]);
    }
    let mut text = table.to_string();
    if unjudged > 0 {
        text += &format!("\n{unjudged} targets need subjects that were not measured.\n");
    }
    text
}

fn head(record: &Record) -> String {
    let machine = &record.machine;
    let mut text = format!(
        "# cargo xtask bench, {}\n\n{} repeats, {} s each, seed {}; medians [95 % bootstrap \
         interval]; endpoints and gateway share the cores.\n\n{}, {} cores{}, {}, kernel {}; hosts \
         use {}; {}.\n",
        record.started,
        record.repeats,
        record.seconds,
        record.seed,
        machine.cpu,
        machine.cores,
        if machine.virtual_machine {
            " of a virtual machine"
        } else {
            ""
        },
        machine.system,
        machine.kernel,
        machine.congestion_control,
        record.iperf3,
    );
    for (subject, facts) in &record.subjects {
        text += &format!("\n* {subject}: {}", facts.version);
    }
    text.push('\n');
    text.push_str(&meter(record));
    text
}

fn meter(record: &Record) -> String {
    let mut text = String::from("\nCPU meter against known loads:");
    for check in &record.meter.checks {
        let load = match check.load {
            KnownLoad::Continuous => "continuous",
            KnownLoad::Bursts => "timer-driven bursts",
        };
        text += &format!(
            " {load} {:.3} (ticks of /proc/stat {:.3}){}",
            check.ratio(),
            check.proc_stat_s / check.known_s,
            if check.holds() { ";" } else { " **off**;" }
        );
    }
    let worst = record.meter.background.iter().copied().fold(0.0, f64::max);
    let stolen = record
        .samples
        .iter()
        .filter_map(|sample| sample.measures.get(&Metric::Stolen));
    let stolen = stolen.copied().fold(0.0, f64::max);
    text += &format!(
        " the machine on its own: at most {worst:.2} CPU-s/s; stolen by the host during a sample: \
         at most {stolen:.2} CPU-s/s.\n"
    );
    if !record
        .meter
        .checks
        .iter()
        .all(crate::bench::meter::check::MeterCheck::holds)
    {
        let percent = TOLERANCE * 100.0;
        text += &format!(
            "\n**The meter was off by more than {percent:.0} %: CPU figures are unproven.**\n"
        );
    }
    let disturbed = record.disturbed();
    if disturbed > 0 {
        text += &format!(
            "\n**Others used more than {DISTURBED:.2} CPU-s/s during {disturbed} of {} samples: \
             read the ratios with care.**\n",
            record.samples.len()
        );
    }
    text
}

fn failures(record: &Record) -> String {
    let mut text = String::new();
    for (sample, why) in record.failures() {
        if text.is_empty() {
            text.push_str("\n## Failed samples\n\n");
        }
        let (row, subject, repeat) = (sample.row, sample.subject, sample.repeat + 1);
        text += &format!("* {row}, {subject}, repeat {repeat}: {why}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bench::gateway::fixture;
    use crate::bench::subject::SubjectFacts;

    fn run() -> Record {
        let pairs = [
            (Subject::NoProxy, 20.0),
            (Subject::Haproxy, 10.0),
            (Subject::Auto, 16.0),
        ];
        let mut record = fixture::record(Row::Saturated1, Metric::Goodput, &pairs);
        let facts = || SubjectFacts {
            version: "1.0".to_owned(),
            configuration: String::new(),
        };
        record.subjects = pairs
            .iter()
            .map(|&(subject, _)| (subject, facts()))
            .collect();
        record
    }

    #[test]
    fn a_row_shows_medians_and_ratios() {
        let table = row_table(&run(), Row::Saturated1);
        let auto = table
            .lines()
            .find(|line| line.contains("s2cs auto"))
            .unwrap();
        let cells: Vec<_> = auto.split('|').map(str::trim).collect();
        assert_eq!(cells, ["", "s2cs auto", "16.00", "0.80", "1.60", ""]);
    }

    #[test]
    fn metrics_that_nobody_has_take_no_column() {
        assert!(!row_table(&run(), Row::Saturated1).contains("retransmits"));
    }

    #[test]
    fn failures_are_told_one_by_one() {
        let mut record = run();
        record.samples[1].failure = Some("it broke".to_owned());
        assert!(markdown(&record).contains("saturated-1, haproxy, repeat 1: it broke"));
    }

    #[test]
    fn disturbed_samples_are_counted_aloud() {
        let mut record = run();
        assert!(!markdown(&record).contains("with care"));
        record.samples[1].others = 0.5;
        assert!(markdown(&record).contains("during 1 of 9 samples"));
    }

    #[test]
    fn a_meter_that_is_off_is_said_aloud() {
        let mut record = run();
        let check = crate::bench::meter::check::MeterCheck {
            load: KnownLoad::Bursts,
            known_s: 1.0,
            metered_s: 0.8,
            proc_stat_s: 0.5,
        };
        assert!(!markdown(&record).contains("unproven"));
        record.meter.checks = vec![check];
        assert!(markdown(&record).contains("unproven"));
    }

    #[test]
    fn a_run_survives_json() {
        let mut record = run();
        record.samples[0].failure = Some("it broke".to_owned());
        record.verdicts = crate::bench::gateway::verdict::judge(&record);
        record.rows = BTreeMap::from([(Row::Idle, "idle".to_owned())]);
        let text = serde_json::to_string_pretty(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
