//! One run beside an older one: what became better or worse, by more than both runs' noise.
//!
//! What is compared are ratios to direct where there is one: absolute figures say how busy the
//! machine was. Two runs of the same thing should agree in 19 of 20 cells; how many do is said, so
//! that intervals which are too narrow show.

use super::metric::{Better, Metric};
use super::noise::{Figure, Finding};
use super::results::{Results, View};
use super::scene::Scene;
use super::subject::Subject;
use super::table::Table;

/// What is compared.
const METRICS: [Metric; 7] = [
    Metric::Goodput,
    Metric::CpuPerGb,
    Metric::LatencyP50,
    Metric::LatencyP99,
    Metric::Jitter,
    Metric::MemoryTotal,
    Metric::CpuLoad,
];

/// One cell of two runs.
#[derive(Clone, Debug)]
struct Change {
    scene: Scene,
    subject: Subject,
    metric: Metric,
    old: Figure,
    new: Figure,
    /// New divided by old.
    ratio: Figure,
}

/// What two runs came to.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    /// The report.
    pub(super) text: String,
    /// Cells that became worse.
    pub(super) regressions: usize,
}

/// Compares `new` with `old`.
pub(super) fn compare(old: &Results, new: &Results) -> Comparison {
    let changes = changes(&View::of(old), &View::of(new));
    let of = |wanted: bool| -> Vec<&Change> {
        changes
            .iter()
            .filter(|change| change.is_better() == Some(wanted))
            .collect()
    };
    let (better, worse) = (of(true), of(false));
    let agree = changes.len() - better.len() - worse.len();
    let mut text = format!("# {} beside {}\n\n", new.started, old.started);
    text += &format!(
        "{agree} of {} cells agree within their intervals ({:.0} %), {} became worse, {} better. Goodput, delay and jitter as ratios to direct; the rest as it is.\n",
        changes.len(),
        100.0 * agree as f64 / changes.len().max(1) as f64,
        worse.len(),
        better.len()
    );
    if old.machine.cpu != new.machine.cpu || old.machine.kernel != new.machine.kernel {
        text.push_str("\n**The two runs are of different machines or kernels.**\n");
    }
    for (title, changes) in [("Worse", &worse), ("Better", &better)] {
        if !changes.is_empty() {
            text += &format!("\n## {title}\n\n{}", table(changes));
        }
    }
    Comparison {
        text,
        regressions: worse.len(),
    }
}

impl Change {
    /// Whether the new run is better; none when the difference lies inside the noise.
    fn is_better(&self) -> Option<bool> {
        let higher = match self.ratio.beside(1.0) {
            Finding::Above => true,
            Finding::Below => false,
            Finding::Inside | Finding::TooFew => return None,
        };
        Some(higher == (self.metric.better() == Better::Higher))
    }
}

fn changes(old: &View<'_>, new: &View<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    for scene in new.scenes() {
        for &subject in new.results.subjects.keys() {
            let valid = |view: &View<'_>| view.overloaded(scene, subject).is_none();
            if !(valid(old) && valid(new)) {
                continue;
            }
            let of = |metric| {
                let (old, new) = (
                    told(old, scene, subject, metric)?,
                    told(new, scene, subject, metric)?,
                );
                Some(Change {
                    scene,
                    subject,
                    metric,
                    old,
                    new,
                    ratio: new.over(old)?,
                })
            };
            changes.extend(METRICS.into_iter().filter_map(of));
        }
    }
    changes
}

/// What is compared of a cell: a ratio to direct where the metric is one of the path.
fn told(view: &View<'_>, scene: Scene, subject: Subject, metric: Metric) -> Option<Figure> {
    let of_path = matches!(
        metric,
        Metric::Goodput | Metric::LatencyP50 | Metric::LatencyP99 | Metric::Jitter
    );
    let direct = view.ratio(scene, subject, Subject::NoProxy, metric);
    if of_path && subject != Subject::NoProxy && direct.is_some() {
        return direct;
    }
    view.figure(scene, subject, metric)
}

fn table(changes: &[&Change]) -> Table {
    let headings = ["cell", "subject", "metric", "old", "new", "new ÷ old"];
    let mut table = Table::new(headings.map(str::to_owned).to_vec());
    for change in changes {
        let Change {
            scene,
            subject,
            metric,
            old,
            new,
            ratio,
        } = change;
        table.push(vec![
            scene.to_string(),
            subject.to_string(),
            metric.to_string(),
            old.words(3),
            new.words(3),
            ratio.words(2),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::fixture;

    fn run(auto: &[f64]) -> Results {
        let scene = fixture::bulk(16_384);
        fixture::results(&[
            (
                scene,
                Subject::NoProxy,
                Metric::Goodput,
                &[10.0, 11.0, 12.0, 13.0, 14.0],
            ),
            (scene, Subject::Auto, Metric::Goodput, auto),
        ])
    }

    #[test]
    fn a_regression_is_found_and_told() {
        let old = run(&[9.9, 10.9, 11.9, 12.9, 13.8]);
        let new = run(&[7.9, 8.8, 9.6, 10.5, 11.0]);
        let comparison = compare(&old, &new);
        assert_eq!(comparison.regressions, 1, "{}", comparison.text);
        assert!(comparison.text.contains("## Worse"), "{}", comparison.text);
        assert_eq!(compare(&new, &old).regressions, 0);
    }

    #[test]
    fn the_same_run_again_is_no_change() {
        let old = run(&[9.0, 11.9, 11.0, 13.9, 13.8]);
        let comparison = compare(&old, &old);
        assert_eq!(comparison.regressions, 0);
        assert!(
            comparison.text.contains("2 of 2 cells agree"),
            "{}",
            comparison.text
        );
    }
}
