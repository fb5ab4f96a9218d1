//! From a run's figures to its plots.

use std::collections::BTreeSet;

use super::axis::short;
use super::bars::{self, Bar};
use super::boxes;
use super::lines::{Line, Lines, Point};
use super::look::Look;
use super::tails::{self, Tail};
use crate::bench::metric::Metric;
use crate::bench::net::Net;
use crate::bench::noise::Figure;
use crate::bench::published::Path;
use crate::bench::results::{SHARES, Spread, View};
use crate::bench::scene::{Load, Scene, Setting, bytes};
use crate::bench::subject::Subject;

/// Direct and our planes: the first plot of a row.
const OURS: [Subject; 4] = [
    Subject::Copy,
    Subject::Splice,
    Subject::Sockmap,
    Subject::Auto,
];

/// Others', with `auto` among them: the second.
const OTHERS: [Subject; 7] = [
    Subject::Haproxy,
    Subject::HaproxySplice,
    Subject::Nginx,
    Subject::Socat,
    Subject::StunnelPair,
    Subject::SshTunnel,
    Subject::Auto,
];

/// The shares a box shows: from the 5th to the 99th of 100.
const BOX_SHARES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.99];

/// Goodput against message size as ratios to direct: our planes, others', and INDIS'22's three
/// curves, all on one scale.
pub(super) fn goodput_row(view: &View<'_>, family: Scene) -> Vec<String> {
    let ours = ratio_lines(view, family, &OURS);
    let others = ratio_lines(view, family, &OTHERS);
    let published = published_lines(family.net);
    let range = common_range([&ours, &others, &published].into_iter().flatten());
    let plot = |title: String, lines: Vec<Line>| {
        let plot = Lines {
            title,
            x_title: "bytes of one message",
            x_text: size_text,
            y_range: Some(range),
            level: Some(1.0),
            lines,
        };
        plot.draw()
    };
    let net = format!("{}{}", family.net.title(), family.setting);
    let mut plots = vec![
        plot(format!("{net}: our planes ÷ direct"), ours),
        plot(format!("{net}: others and auto ÷ direct"), others),
    ];
    if family.setting == Setting::Tuned && !published.is_empty() {
        plots.push(plot(
            format!("{net}: INDIS'22, its own ÷ direct"),
            published,
        ));
    }
    plots
}

/// One range for plots that are read side by side, with 1 in it; the foot is 0 unless nothing is
/// near it.
fn common_range<'a>(lines: impl Iterator<Item = &'a Line>) -> (f64, f64) {
    let ends = lines.flat_map(|line| &line.points);
    let (low, high) = ends.fold((1.0, 1.15), |(low, high), point| {
        (f64::min(low, point.y.low()), f64::max(high, point.y.high()))
    });
    let foot = if low > 0.6 { 0.5 } else { 0.0 };
    (foot, (high * 1.04).min(6.0))
}

fn ratio_lines(view: &View<'_>, family: Scene, subjects: &[Subject]) -> Vec<Line> {
    let line = |&subject: &Subject| {
        let points = view.kin(family).into_iter().filter_map(|scene| {
            Some(Point {
                x: scene.load.measure(),
                y: view.ratio(scene, subject, Subject::NoProxy, Metric::Goodput)?,
                valid: view.overloaded(scene, subject).is_none()
                    && view.overloaded(scene, Subject::NoProxy).is_none(),
            })
        });
        Line {
            name: subject.to_string(),
            look: Look::of(subject),
            points: points.collect(),
        }
    };
    let lines = subjects.iter().map(line);
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn published_lines(net: Net) -> Vec<Line> {
    let line = |path: Path| Line {
        name: path.name().to_owned(),
        look: Look::published(path.name()),
        points: path
            .ratios(net)
            .into_iter()
            .map(|(size, ratio)| Point {
                x: f64::from(size),
                // Single runs: no interval was published.
                y: Figure {
                    value: ratio,
                    half: None,
                },
                valid: true,
            })
            .collect(),
    };
    let lines = Path::ALL.into_iter().map(line);
    lines.filter(|line| !line.points.is_empty()).collect()
}

/// Boxes of a spread, one plot for each scene.
pub(super) fn spread_boxes(view: &View<'_>, spread: Spread) -> Vec<String> {
    let plot = |scene: Scene| {
        let boxes: Vec<boxes::Spread> = subjects(view)
            .into_iter()
            .filter_map(|subject| {
                let at = view.spread(scene, subject, spread)?;
                Some(boxes::Spread {
                    name: subject.to_string(),
                    look: Look::of(subject),
                    at: BOX_SHARES.map(|share| at_share(&at, share)),
                })
            })
            .collect();
        (!boxes.is_empty()).then(|| boxes::draw(&scene_title(scene), "µs", &boxes))
    };
    view.scenes_with(spread)
        .into_iter()
        .filter_map(plot)
        .collect()
}

/// The distribution of the delays, one plot for each scene.
pub(super) fn delay_tails(view: &View<'_>) -> Vec<String> {
    let plot = |scene: Scene| {
        let tails: Vec<Tail> = subjects(view)
            .into_iter()
            .filter_map(|subject| {
                let at = view.spread(scene, subject, Spread::Delay)?;
                // The very last message has no place on an axis of nines.
                let points = SHARES.into_iter().zip(at).filter(|(share, _)| *share < 1.0);
                Some(Tail {
                    name: subject.to_string(),
                    look: Look::of(subject),
                    points: points.collect(),
                })
            })
            .collect();
        (!tails.is_empty()).then(|| tails::draw(&scene_title(scene), "delay in µs", &tails))
    };
    let scenes = view.scenes_with(Spread::Delay);
    scenes.into_iter().filter_map(plot).collect()
}

/// Bars of a metric, one plot for each scene that has it.
pub(super) fn metric_bars(
    view: &View<'_>,
    metric: Metric,
    of: impl Fn(Scene) -> bool,
) -> Vec<String> {
    let plot = |scene: Scene| {
        let bars: Vec<Bar> = view
            .subjects(scene, metric)
            .into_iter()
            .filter_map(|subject| {
                Some(Bar {
                    name: subject.to_string(),
                    look: Look::of(subject),
                    figure: view.figure(scene, subject, metric)?,
                    valid: view.overloaded(scene, subject).is_none(),
                })
            })
            .collect();
        let unit = format!("{metric}, {}", metric.unit());
        (!bars.is_empty()).then(|| bars::draw(&scene_title(scene), &unit, metric.digits(), &bars))
    };
    let scenes = view.scenes().into_iter().filter(|scene| of(*scene));
    scenes.filter_map(plot).collect()
}

/// How a metric grows with streams or connections, one plot for each kind of load.
pub(super) fn growth(view: &View<'_>, metric: Metric) -> Vec<String> {
    let plot = |family: Scene| {
        let scenes = view.kin(family);
        let lines: Vec<Line> = subjects(view)
            .into_iter()
            .filter_map(|subject| {
                let points: Vec<Point> = scenes
                    .iter()
                    .filter_map(|&scene| {
                        Some(Point {
                            x: scene.load.measure(),
                            y: view.figure(scene, subject, metric)?,
                            valid: true,
                        })
                    })
                    .collect();
                (!points.is_empty()).then(|| Line {
                    name: subject.to_string(),
                    look: Look::of(subject),
                    points,
                })
            })
            .collect();
        let plot = Lines {
            title: format!("{metric}, {}: {}", metric.unit(), kind(family.load)),
            x_title: kind(family.load),
            x_text: short,
            y_range: None,
            level: None,
            lines,
        };
        (!plot.lines.is_empty()).then(|| plot.draw())
    };
    view.families().into_iter().filter_map(plot).collect()
}

fn kind(load: Load) -> &'static str {
    match load {
        Load::Bulk { .. } | Load::Paced { .. } => "bytes of one message",
        Load::Streams { .. } => "streams at once, one rate shared",
        Load::Idle { .. } => "idle connections",
        Load::Trickle { .. } => "trickling connections",
    }
}

fn subjects(view: &View<'_>) -> BTreeSet<Subject> {
    view.results.subjects.keys().copied().collect()
}

fn scene_title(scene: Scene) -> String {
    let Scene {
        regime,
        net,
        setting,
        load,
    } = scene;
    format!("{}{setting}: {load}, {regime}", net.title())
}

fn size_text(size: f64) -> String {
    bytes(size as u32).replace("iB", "").replace(" B", "")
}

fn at_share(at: &[f64], share: f64) -> f64 {
    let place = SHARES.iter().position(|other| *other >= share);
    place
        .and_then(|place| at.get(place).copied())
        .unwrap_or(f64::NAN)
}
