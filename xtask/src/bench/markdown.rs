//! A run of `peers`, `fabric` or `scale` as Markdown: for a terminal, a commit, an issue.

use super::judge::{self, GROWING, Judgement};
use super::meter::check::MeterCheck;
use super::metric::Metric;
use super::noise::Figure;
use super::others::DISTURBED;
use super::results::{Results, View};
use super::scene::{BUSIEST, Load, Scene, Setting};
use super::subject::Subject;
use super::table::Table;

/// The cell of what was not measured.
const NOTHING: &str = "-";

/// The headings of what [`slopes`] gives.
pub(super) const SLOPE_HEADINGS: [&str; 6] = [
    "load",
    "metric",
    "subject",
    "exponent",
    "outcome",
    "one more adds",
];

/// Retransmits per GB from which a cell without wanted loss is marked.
const MANY_RETRANSMITS: f64 = 100.0;

/// What a reader must know of a run before its figures.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Sentences.
    pub(super) lines: Vec<String>,
    /// What puts figures in doubt.
    pub(super) warnings: Vec<String>,
}

impl Facts {
    /// Those of a run.
    pub(super) fn of(results: &Results) -> Self {
        let machine = &results.machine;
        let virtual_words = if machine.virtual_machine {
            " of a virtual machine"
        } else {
            ""
        };
        let mut lines = vec![
            format!(
                "{}, {:.0} minutes; {} repeats, interleaved by seed {}. Medians ± half of their 95 % interval; ratios are paired within repeats.",
                results.started, results.minutes, results.repeats, results.seed
            ),
            format!(
                "{}, {} cores{virtual_words} for all hosts together, {} GiB, {}, kernel {}.",
                machine.cpu,
                machine.cores,
                (machine.memory_kib + 524_288) / 1_048_576,
                machine.system,
                machine.kernel
            ),
        ];
        let ratios = results.meter.checks.iter().map(MeterCheck::ratio);
        let ratios: Vec<String> = ratios.map(|ratio| format!("{ratio:.3}")).collect();
        if !ratios.is_empty() {
            lines.push(format!(
                "CPU meter on known loads, metered ÷ known: {}.",
                ratios.join(", ")
            ));
        }
        Self {
            lines,
            warnings: warnings(results),
        }
    }
}

fn warnings(results: &Results) -> Vec<String> {
    let mut warnings = Vec::new();
    if results.repeats < results.repeats_asked {
        warnings.push(format!(
            "The time was up after {} of {} repeats: intervals are wider than planned.",
            results.repeats, results.repeats_asked
        ));
    }
    let disturbed = results.disturbed();
    if disturbed > 0 {
        warnings.push(format!(
            "Other programs used more than {DISTURBED:.2} CPU-s/s during {disturbed} of {} samples: read the ratios with care.",
            results.samples.len()
        ));
    }
    if !results.meter.checks.iter().all(MeterCheck::holds) {
        warnings
            .push("The CPU meter was off by more than 5 %: CPU figures are unproven.".to_owned());
    }
    let failed = results.failures().count();
    if failed > 0 {
        warnings.push(format!(
            "{failed} of {} samples failed; they are listed at the end of the Markdown report.",
            results.samples.len()
        ));
    }
    warnings
}

/// The whole report.
pub(super) fn markdown(results: &Results) -> String {
    let view = View::of(results);
    let Facts { lines, warnings } = Facts::of(results);
    let mut text = format!(
        "# cargo xtask bench {}\n\n{}\n",
        results.suite,
        lines.join("\n\n")
    );
    for warning in warnings {
        text += &format!("\n**{warning}**\n");
    }
    text += &target_table(&view);
    let losses = judge::losses(&view);
    if !losses.is_empty() {
        text += &format!("\n## Where we lose\n\n* {}\n", losses.join("\n* "));
    }
    let slopes = slopes(&view);
    if !slopes.is_empty() {
        text += &format!("\n## Growth\n\n{}", slope_table(slopes));
    }
    for family in view.families() {
        let (summary, table) = self::family(&view, family);
        text += &format!("\n## {summary}\n\n{table}");
    }
    text += &bullets("Limits of this machine", results.limits());
    text += &bullets(
        "How it was measured",
        results.settings.iter().map(String::as_str).collect(),
    );
    text + &failures(results)
}

fn target_table(view: &View<'_>) -> String {
    let judgements = judge::targets(view);
    if judgements.is_empty() {
        return String::new();
    }
    let headings = ["where", "target", "found", "outcome"].map(str::to_owned);
    let mut table = Table::new(headings.to_vec());
    for judgement in judgements {
        let Judgement {
            place,
            target,
            found,
            outcome,
        } = judgement;
        let found = found.map_or_else(|| NOTHING.to_owned(), |found| found.words(2));
        table.push(vec![place, target, found, outcome.to_string()]);
    }
    format!("\n## The targets\n\n{table}")
}

/// How every growing metric grows, for every subject: the cells of a table's rows.
pub(super) fn slopes(view: &View<'_>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for family in view.families() {
        if matches!(family.load, Load::Bulk { .. } | Load::Paced { .. }) {
            continue;
        }
        let scenes = view.kin(family);
        let counts: Vec<String> = scenes.iter().map(|scene| scene.load.to_string()).collect();
        for metric in GROWING {
            for &subject in view.results.subjects.keys() {
                let Some(exponent) = view.exponent(&scenes, subject, metric) else {
                    continue;
                };
                rows.push(vec![
                    counts.join(" → "),
                    metric.to_string(),
                    subject.to_string(),
                    exponent.words(2),
                    judge::is_linear(exponent).to_string(),
                    slope(view, &scenes, subject, metric),
                ]);
            }
        }
    }
    rows
}

/// What one more stream or connection adds, by the first and the last count.
fn slope(view: &View<'_>, scenes: &[Scene], subject: Subject, metric: Metric) -> String {
    let at = |scene: &Scene| {
        let figure = view.figure(*scene, subject, metric)?;
        Some((scene.load.measure(), figure.value))
    };
    let ends = scenes.first().and_then(at).zip(scenes.last().and_then(at));
    match ends {
        Some(((few, low), (many, high))) if many > few => {
            let (added, unit) = ((high - low) / (many - few), metric.unit());
            if added.abs() < 0.001 {
                return format!("{added:.0e} {unit}");
            }
            format!("{added:.3} {unit}")
        }
        Some(_) | None => NOTHING.to_owned(),
    }
}

fn slope_table(rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new(SLOPE_HEADINGS.map(str::to_owned).to_vec());
    rows.into_iter().for_each(|row| table.push(row));
    table
}

/// A family of scenes: its heading, and a table of all its figures.
pub(super) fn family(view: &View<'_>, family: Scene) -> (String, String) {
    let scenes = view.kin(family);
    let metrics: Vec<Metric> = Metric::ALL
        .into_iter()
        .filter(|&metric| {
            scenes
                .iter()
                .any(|&scene| !view.subjects(scene, metric).is_empty())
        })
        .collect();
    let mut headings = vec!["load".to_owned(), "subject".to_owned()];
    for metric in &metrics {
        headings.push(format!("{metric}, {}", metric.unit()));
        if *metric == Metric::Goodput {
            headings.push("÷ direct".to_owned());
        }
        if *metric == Metric::CpuPerGb {
            headings.push("beyond direct".to_owned());
        }
    }
    let mut table = Table::new(headings);
    for scene in scenes {
        for &subject in view.results.subjects.keys() {
            let cells = metrics
                .iter()
                .flat_map(|&metric| cells(view, scene, subject, metric));
            let cells: Vec<String> = cells.collect();
            if cells.iter().any(|cell| cell != NOTHING) {
                let start = [scene.load.to_string(), mark(view, scene, subject)];
                table.push(start.into_iter().chain(cells).collect());
            }
        }
    }
    let summary = family.to_string();
    let summary = summary.rsplit_once(", ").map_or("", |(place, _)| place);
    (summary.to_owned(), table.to_string())
}

fn mark(view: &View<'_>, scene: Scene, subject: Subject) -> String {
    match view.overloaded(scene, subject) {
        Some(load) => format!(
            "{subject} ! {:.0} % > {:.0} %",
            load * 100.0,
            BUSIEST * 100.0
        ),
        None => subject.to_string(),
    }
}

fn cells(view: &View<'_>, scene: Scene, subject: Subject, metric: Metric) -> Vec<String> {
    let cell = |figure: Option<Figure>, digits| {
        figure.map_or_else(|| NOTHING.to_owned(), |figure| figure.words(digits))
    };
    let figure = view.figure(scene, subject, metric);
    let many = metric == Metric::RetransmitsPerGb
        && !matches!(scene.setting, Setting::Lossy { .. })
        && figure.is_some_and(|figure| figure.value > MANY_RETRANSMITS);
    let mark = if many { " !" } else { "" };
    let mut cells = vec![format!("{}{mark}", cell(figure, metric.digits()))];
    if metric == Metric::Goodput {
        cells.push(cell(
            view.ratio(scene, subject, Subject::NoProxy, metric),
            2,
        ));
    }
    if metric == Metric::CpuPerGb {
        let beyond = view.beyond(scene, subject, Subject::NoProxy, metric);
        cells.push(cell(beyond, metric.digits()));
    }
    cells
}

fn bullets(title: &str, items: Vec<&str>) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!("\n## {title}\n\n* {}\n", items.join("\n* "))
}

fn failures(results: &Results) -> String {
    let line = |(sample, failure): (&super::results::Sample, &str)| {
        let (scene, subject) = (sample.scene, sample.subject);
        format!(
            "* {scene}, {subject}, repeat {}: {failure}\n",
            sample.repeat + 1
        )
    };
    let lines: String = results.failures().map(line).collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\n## Failed\n\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::fixture;

    #[test]
    fn a_cell_that_is_not_valid_is_marked() {
        let scene = fixture::bulk(512);
        let results = fixture::results(&[
            (scene, Subject::Auto, Metric::Goodput, &[1.0; 5]),
            (scene, Subject::Auto, Metric::CpuLoad, &[0.8; 5]),
        ]);
        let text = markdown(&results);
        assert!(text.contains("s2cs auto ! 80 % > 60 %"), "{text}");
        assert!(text.contains("link-bound, LAN"), "{text}");
    }

    #[test]
    fn a_run_that_was_cut_short_says_so() {
        let scene = fixture::bulk(512);
        let mut results = fixture::results(&[(scene, Subject::Auto, Metric::Goodput, &[1.0; 3])]);
        results.repeats_asked = 5;
        assert!(markdown(&results).contains("after 3 of 5 repeats"));
    }
}
