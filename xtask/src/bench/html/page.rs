//! The page: sections in the order of a reader's questions.

use super::plots;
use super::svg::escaped;
use super::tables::{fold, list, table};
use crate::bench::judge::{self, Judgement};
use crate::bench::markdown::{self, Facts};
use crate::bench::metric::Metric;
use crate::bench::noise::FEWEST_REPEATS;
use crate::bench::results::{Results, Spread, View};
use crate::bench::scene::{BUSIEST, Load, Regime, Scene};

const STYLE: &str = include_str!("style.css");

/// The whole page of a run.
pub(crate) fn page(results: &Results) -> String {
    let view = View::of(results);
    let title = format!("bench {}, {}", results.suite, results.started);
    let sections = [
        head(results),
        targets(&view),
        losses(&view),
        goodput(&view),
        spreads(&view),
        costs(&view),
        growth(&view),
        all_figures(&view),
        facts(results),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style></head>\n<body>\n{}</body></html>\n",
        escaped(&title),
        sections.concat()
    )
}

fn section(title: &str, words: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!(
        "<h2>{}</h2>\n<p>{}</p>\n{content}",
        escaped(title),
        escaped(words)
    )
}

fn row(plots: &[String]) -> String {
    if plots.is_empty() {
        return String::new();
    }
    format!("<div class=\"plots\">{}</div>\n", plots.concat())
}

fn head(results: &Results) -> String {
    let Facts { lines, warnings } = Facts::of(results);
    let bold: String = warnings
        .iter()
        .map(|warning| format!("<p><strong>{}</strong></p>\n", escaped(warning)))
        .collect();
    let plain: String = lines
        .iter()
        .map(|line| format!("<p>{}</p>\n", escaped(line)))
        .collect();
    format!(
        "<h1>SciStream gateway: bench {}</h1>\n{plain}{bold}",
        escaped(&results.suite)
    )
}

fn targets(view: &View<'_>) -> String {
    let rows: Vec<Vec<String>> = judge::targets(view)
        .into_iter()
        .map(|judgement| {
            let Judgement {
                place,
                target,
                found,
                outcome,
            } = judgement;
            let found = found.map_or_else(|| "-".to_owned(), |found| found.words(2));
            vec![place, target, found, outcome.to_string()]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    section(
        "The targets",
        "Computed from the samples of this run. A figure whose interval holds the bound is not called met or missed beyond doubt.",
        &table(&["where", "target", "found", "outcome"], &rows),
    )
}

fn losses(view: &View<'_>) -> String {
    let items = judge::losses(view);
    let words = if view.results.repeats < FEWEST_REPEATS {
        "Cannot be said: too few repeats."
    } else if items.is_empty() {
        "Nowhere in this run, outside the noise."
    } else {
        "Cells in which auto is worse than direct (no proxy) or than the best other subject, outside the noise and by more than 1 %; the largest first."
    };
    format!("<h2>Where we lose</h2>\n<p>{words}</p>\n{}", list(&items))
}

fn goodput(view: &View<'_>) -> String {
    let bulk = |regime| {
        let of_regime = move |scene: &Scene| View::is_bulk(*scene) && scene.regime == regime;
        view.families().into_iter().filter(of_regime)
    };
    let rows = |regime| -> String {
        let several = bulk(regime).filter(|family| view.kin(*family).len() > 1);
        several
            .map(|family| row(&plots::goodput_row(view, family)))
            .collect()
    };
    let limit = BUSIEST * 100.0;
    let link = format!(
        "Each line is the median of ratios to direct within the same repeat; the band is its 95 % interval; 1 is direct. The link is capped so that all hosts together leave cores idle: a hollow mark is a cell in which more than {limit:.0} % of the cores were in use, and says nothing about the path. INDIS'22's curves are its own, divided by its own direct: single runs on FABRIC, kernel 5.4."
    );
    section(
        "Goodput over message size, link-bound",
        &link,
        &rows(Regime::LinkBound),
    ) + &section(
        "Goodput over message size, CPU-bound",
        "Nothing is capped and all hosts share the cores: the ratio tells what a relay costs, not what a path carries.",
        &rows(Regime::CpuBound),
    )
}

fn spreads(view: &View<'_>) -> String {
    section(
        "Perceived delay",
        "From the moment a message was due to its last byte (open loop: a sender that is late does not hide it). Boxes hold the middle half of the messages, whiskers reach from the 5th to the 99th of 100; the figure is the median.",
        &row(&plots::spread_boxes(view, Spread::Delay)),
    ) + &section(
        "Jitter",
        "By how much two messages in a row arrived further apart, or closer, than they were due.",
        &row(&plots::spread_boxes(view, Spread::Jitter)),
    ) + &section(
        "The slowest messages",
        "The same delays as distributions: to the right stand the rarest.",
        &row(&plots::delay_tails(view)),
    )
}

fn costs(view: &View<'_>) -> String {
    let bulk = |scene: Scene| View::is_bulk(scene);
    section(
        "CPU per GB",
        "Of the whole system: endpoints, relays, kernel, and the emulator of the line. Beyond direct's own bar lies what the relay adds. Whiskers are 95 % intervals.",
        &row(&plots::metric_bars(view, Metric::CpuPerGb, bulk)),
    ) + &section(
        "Goodput, CPU-bound",
        "Nothing capped, all hosts on the same cores.",
        &row(&plots::metric_bars(view, Metric::Goodput, |scene| {
            View::is_bulk(scene) && scene.regime == Regime::CpuBound
        })),
    )
}

fn growth(view: &View<'_>) -> String {
    let grows = |scene: &Scene| match scene.load {
        Load::Bulk { .. } | Load::Paced { .. } => false,
        Load::Streams { .. } | Load::Idle { .. } | Load::Trickle { .. } => true,
    };
    if !view.scenes().iter().any(grows) {
        return String::new();
    }
    let metrics = [
        Metric::CpuLoad,
        Metric::CpuPerGb,
        Metric::MemoryTotal,
        Metric::KernelMemory,
        Metric::LatencyP50,
        Metric::LatencyP99,
        Metric::SwitchesPerSecond,
    ];
    let rows: String = metrics
        .iter()
        .map(|metric| row(&plots::growth(view, *metric)))
        .collect();
    let limits: Vec<String> = view
        .results
        .limits()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let slopes = markdown::slopes(view);
    section(
        "How it grows",
        "The exponent of the power of the count that fits best: 0 is constant, 1 linear, more than 1 worse than linear. The last column is the slope between the least and the most.",
        &table(&markdown::SLOPE_HEADINGS, &slopes),
    ) + &section("Growth, drawn", "One plot for each metric and load.", &rows)
        + &section(
            "Limits of this machine",
            "What stopped the run, and where.",
            &list(&limits),
        )
}

fn all_figures(view: &View<'_>) -> String {
    let folds: String = view
        .families()
        .into_iter()
        .map(|family| {
            let (summary, text) = markdown::family(view, family);
            fold(&summary, &text)
        })
        .collect();
    section(
        "All figures",
        "Medians ± half of the 95 % interval; ! marks a cell that is not valid.",
        &folds,
    )
}

fn facts(results: &Results) -> String {
    let mut text = section(
        "How it was measured",
        "Hosts are network namespaces on one machine.",
        &list(&results.settings),
    );
    for (subject, facts) in &results.subjects {
        text += &fold(
            &format!("{subject}: {}", facts.version),
            &facts.configuration,
        );
    }
    for (kernel, probe) in &results.probes {
        text += &fold(&format!("s2cs probe on kernel {kernel}"), probe);
    }
    let sysctls: String = results
        .machine
        .sysctls
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    text + &fold("Sysctls of the machine", &sysctls)
}
