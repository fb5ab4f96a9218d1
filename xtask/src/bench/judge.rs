//! What was promised, and whether a run keeps it; and where others are better.
//!
//! Every figure is recomputed from the samples, so that a page written again from an old file is
//! judged by the same code.

use std::fmt;

use super::metric::{Better, Metric};
use super::noise::{Figure, Finding};
use super::published::Path;
use super::results::View;
use super::scene::{Load, Regime, Scene, Setting};
use super::subject::Subject;

/// Link-bound, up to 24 ms: auto against direct, at least.
const NEAR_OF_DIRECT: f64 = 0.98;
/// Link-bound, from 58 ms: the same.
const FAR_OF_DIRECT: f64 = 1.0;
/// Milliseconds from which a path counts as far.
const FAR_MS: f64 = 58.0;
/// Link-bound with loss, from 24 ms: auto against direct, at least.
const LOSSY_OF_DIRECT: f64 = 1.3;
/// Perceived delay and jitter: auto against direct, at most.
const DELAY_OF_DIRECT: f64 = 1.1;
/// CPU-bound: auto against haproxy, at least.
const CPU_BOUND_OF_HAPROXY: f64 = 1.15;
/// The exponent of the growth of a cost, at most.
const LINEAR: f64 = 1.0;
/// How far a fitted exponent may lie above [`LINEAR`] by what few connections find ready made: the
/// kernel's half-filled slabs make the first thousand look cheap.
const FIT: f64 = 0.1;
/// The factor from which a difference is worth a line.
const LEAST_LOSS: f64 = 1.01;
/// Cells listed where others are better.
const MOST_LOSSES: usize = 30;

/// On which side of its bound a figure must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// Met, beyond the noise.
    Meets,
    /// The median is on the right side, the interval holds the bound.
    MeetsInsideNoise,
    /// The median is on the wrong side, the interval holds the bound.
    MissesInsideNoise,
    /// Missed, by this share of the bound.
    Misses(f64),
    /// Too few repeats for an interval.
    TooFew,
    /// No valid cell.
    NotMeasured,
}

/// One target and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    /// Regime and network.
    pub(super) place: String,
    /// The target in words.
    pub(super) target: String,
    /// What was found.
    pub(super) found: Option<Figure>,
    /// How it ended.
    pub(super) outcome: Outcome,
}

impl Bound {
    fn value(self) -> f64 {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) => value,
        }
    }

    fn judge(self, found: Option<Figure>) -> Outcome {
        let Some(found) = found else {
            return Outcome::NotMeasured;
        };
        let bound = self.value();
        let (right, is_right) = match self {
            Self::AtLeast(_) => (Finding::Above, found.value >= bound),
            Self::AtMost(_) => (Finding::Below, found.value <= bound),
        };
        match found.beside(bound) {
            Finding::TooFew => Outcome::TooFew,
            Finding::Inside if is_right => Outcome::MeetsInsideNoise,
            Finding::Inside => Outcome::MissesInsideNoise,
            finding if finding == right => Outcome::Meets,
            Finding::Above | Finding::Below => Outcome::Misses((found.value - bound).abs() / bound),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meets => f.write_str("meets"),
            Self::MeetsInsideNoise => f.write_str("meets, but the interval holds the bound"),
            Self::MissesInsideNoise => f.write_str("misses, but the interval holds the bound"),
            Self::Misses(share) => write!(f, "misses by {:.1} %", share * 100.0),
            Self::TooFew => f.write_str("too few repeats to say"),
            Self::NotMeasured => f.write_str("no valid cell"),
        }
    }
}

/// Every target that the run has scenes for.
pub(super) fn targets(view: &View<'_>) -> Vec<Judgement> {
    let of_family = |family: Scene| {
        let scenes = view.kin(family);
        let mut judgements = match family.load {
            Load::Bulk { .. } => bulk(view, family, &scenes),
            Load::Paced { .. } => paced(view, family, &scenes),
            Load::Streams { .. } | Load::Idle { .. } | Load::Trickle { .. } => Vec::new(),
        };
        judgements.extend(growth(view, family, &scenes));
        judgements
    };
    view.families().into_iter().flat_map(of_family).collect()
}

/// What is held to grow at most linearly.
pub(super) const GROWING: [Metric; 7] = [
    Metric::CpuLoad,
    Metric::CpuPerGb,
    Metric::MemoryTotal,
    Metric::KernelMemory,
    Metric::LatencyP50,
    Metric::LatencyP99,
    Metric::SwitchesPerSecond,
];

fn bulk(view: &View<'_>, family: Scene, scenes: &[Scene]) -> Vec<Judgement> {
    // One gateway has its own suite and its own targets.
    let Some(rtt) = family.net.rtt_ms() else {
        return Vec::new();
    };
    let against = |(base, metric), bound, words: String| {
        let found = view.pooled_ratio(scenes, (Subject::Auto, base), metric);
        judged(family, words, found, bound)
    };
    let direct = |bound, note: &str| {
        let words = format!("auto ≥ {bound:.2} × direct{note}, all sizes");
        let of_direct = (Subject::NoProxy, Metric::Goodput);
        against(of_direct, Bound::AtLeast(bound), words)
    };
    match (family.regime, family.setting) {
        (Regime::CpuBound, _) => {
            let times = CPU_BOUND_OF_HAPROXY;
            let faster = format!("auto ≥ {times} × haproxy");
            // Where a window and not the CPU is the limit after all, only this tells of the relay.
            let cheaper = format!("auto's CPU per GB ≤ haproxy's ÷ {times}");
            let [speed, cost] =
                [Metric::Goodput, Metric::CpuPerGb].map(|of| (Subject::Haproxy, of));
            vec![
                against(speed, Bound::AtLeast(times), faster),
                against(cost, Bound::AtMost(1.0 / times), cheaper),
            ]
        }
        (Regime::LinkBound, Setting::Lossy { .. }) => vec![direct(LOSSY_OF_DIRECT, "")],
        (Regime::LinkBound, _) if rtt < FAR_MS => vec![direct(NEAR_OF_DIRECT, "")],
        (Regime::LinkBound, Setting::Tuned | Setting::AsInstalled) => {
            let mut all = vec![direct(FAR_OF_DIRECT, "")];
            if let Some(legacy) = Path::Legacy.mean_ratio(family.net) {
                all.push(direct(legacy, " (INDIS'22's relay in user space)"));
            }
            all
        }
    }
}

fn paced(view: &View<'_>, family: Scene, scenes: &[Scene]) -> Vec<Judgement> {
    if family.net.rtt_ms().is_none() {
        return Vec::new();
    }
    let of = |(metric, words): (Metric, &str)| {
        let found = view.pooled_ratio(scenes, (Subject::Auto, Subject::NoProxy), metric);
        let words = format!("auto's {words} ≤ {DELAY_OF_DIRECT} × direct's");
        judged(family, words, found, Bound::AtMost(DELAY_OF_DIRECT))
    };
    [
        (Metric::LatencyP50, "perceived delay (half of the messages)"),
        (Metric::LatencyP99, "perceived delay (99 of 100)"),
        (Metric::Jitter, "jitter"),
    ]
    .map(of)
    .to_vec()
}

fn growth(view: &View<'_>, family: Scene, scenes: &[Scene]) -> Vec<Judgement> {
    if matches!(family.load, Load::Bulk { .. } | Load::Paced { .. }) {
        return Vec::new();
    }
    let grows = |metric: Metric| {
        let found = view.exponent(scenes, Subject::Auto, metric)?;
        let most = LINEAR + FIT;
        let words = format!("auto's {metric} grows at most linearly (exponent ≤ {most:.1})");
        Some(judged(
            family,
            words,
            Some(found),
            Bound::AtMost(LINEAR + FIT),
        ))
    };
    GROWING.into_iter().filter_map(grows).collect()
}

/// The outcome of a growth, for the table of slopes.
pub(super) fn is_linear(exponent: Figure) -> Outcome {
    Bound::AtMost(LINEAR + FIT).judge(Some(exponent))
}

fn judged(family: Scene, target: String, found: Option<Figure>, bound: Bound) -> Judgement {
    let Scene {
        regime,
        net,
        setting,
        load,
    } = family;
    let kind = match load {
        Load::Bulk { .. } => "flat out",
        Load::Paced { .. } => "paced",
        Load::Streams { .. } => "streams",
        Load::Idle { .. } => "idle connections",
        Load::Trickle { .. } => "trickling connections",
    };
    Judgement {
        place: format!("{}{setting}, {kind}, {regime}", net.title()),
        target,
        found,
        outcome: bound.judge(found),
    }
}

/// Cells in which `auto` is worse than direct, or than the best of others, by more than the noise;
/// the largest first.
pub(super) fn losses(view: &View<'_>) -> Vec<String> {
    let mut found: Vec<(f64, String)> = Vec::new();
    for scene in view.scenes() {
        for metric in compared(scene) {
            let subjects = view.subjects(scene, metric);
            let rivals = subjects.into_iter().filter(|other| {
                // Nobody relays at no cost: direct is a rival by what a path gives only.
                *other != Subject::Auto && (*other != Subject::NoProxy || is_of_path(metric))
            });
            let worst = rivals
                .filter_map(|rival| loss(view, scene, rival, metric))
                .max_by(|one, other| one.0.total_cmp(&other.0));
            found.extend(worst);
        }
    }
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    found
        .into_iter()
        .take(MOST_LOSSES)
        .map(|(_, words)| words)
        .collect()
}

fn compared(scene: Scene) -> Vec<Metric> {
    match scene.load {
        Load::Bulk { .. } => vec![Metric::Goodput, Metric::CpuPerGb],
        Load::Paced { .. } => vec![Metric::LatencyP50, Metric::LatencyP99, Metric::Jitter],
        Load::Streams { .. } => vec![Metric::CpuPerGb, Metric::LatencyP99],
        Load::Idle { .. } | Load::Trickle { .. } => vec![Metric::CpuLoad, Metric::MemoryTotal],
    }
}

/// Whether direct can be compared by it: what a path gives, not what a relay costs.
fn is_of_path(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::Goodput | Metric::LatencyP50 | Metric::LatencyP99 | Metric::Jitter
    )
}

fn loss(view: &View<'_>, scene: Scene, rival: Subject, metric: Metric) -> Option<(f64, String)> {
    let invalid = view
        .overloaded(scene, Subject::Auto)
        .or(view.overloaded(scene, rival));
    if invalid.is_some() {
        return None;
    }
    let ratio = view.ratio(scene, Subject::Auto, rival, metric)?;
    let (is_loss, factor) = match metric.better() {
        Better::Higher => (ratio.beside(1.0) == Finding::Below, 1.0 / ratio.value),
        Better::Lower => (ratio.beside(1.0) == Finding::Above, ratio.value),
    };
    let words = format!("{scene}: {metric} {} × {rival}'s", ratio.words(2));
    (is_loss && factor >= LEAST_LOSS).then_some((factor, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::net::Net;
    use crate::bench::results::fixture;

    const DIRECT: Subject = Subject::NoProxy;
    const AUTO: Subject = Subject::Auto;

    fn outcome(auto: [f64; 5]) -> Outcome {
        let scene = fixture::bulk(16_384);
        let results = fixture::results(&[
            (scene, DIRECT, Metric::Goodput, &[1.0; 5]),
            (scene, AUTO, Metric::Goodput, &auto),
        ]);
        let judgements = targets(&View::of(&results));
        assert_eq!(judgements.len(), 1, "{judgements:?}");
        judgements[0].outcome
    }

    #[test]
    fn a_target_is_met_missed_or_cannot_be_told() {
        assert_eq!(outcome([0.995; 5]), Outcome::Meets);
        assert_eq!(
            outcome([0.97, 0.985, 0.99, 0.995, 1.0]),
            Outcome::MeetsInsideNoise
        );
        assert_eq!(
            outcome([0.96, 0.965, 0.975, 0.985, 0.99]),
            Outcome::MissesInsideNoise
        );
        let Outcome::Misses(share) = outcome([0.49; 5]) else {
            panic!("half of direct is a miss");
        };
        assert!((share - 0.5).abs() < 1e-9);
        assert!(Outcome::Misses(share).to_string().contains("50.0 %"));
    }

    #[test]
    fn only_differences_outside_the_noise_are_losses() {
        let scene = fixture::bulk(512);
        let noisy = [0.7, 1.3, 0.9, 1.1, 0.95];
        let results = fixture::results(&[
            (scene, DIRECT, Metric::Goodput, &[1.0; 5]),
            (scene, AUTO, Metric::Goodput, &noisy),
            (scene, Subject::Haproxy, Metric::Goodput, &[0.5; 5]),
        ]);
        assert_eq!(losses(&View::of(&results)), Vec::<String>::new());
        let results = fixture::results(&[
            (scene, Subject::Nginx, Metric::Goodput, &[1.0; 5]),
            (scene, Subject::Haproxy, Metric::Goodput, &[1.5; 5]),
            (scene, AUTO, Metric::Goodput, &[0.9, 0.91, 0.9, 0.89, 0.9]),
        ]);
        let losses = losses(&View::of(&results));
        assert_eq!(losses.len(), 1, "{losses:?}");
        assert!(
            losses[0].contains("0.60 ±") && losses[0].contains("haproxy's"),
            "{losses:?}"
        );
    }

    #[test]
    fn growth_is_held_to_be_linear() {
        let figure = |value| Figure {
            value,
            half: Some(0.01),
        };
        assert_eq!(is_linear(figure(0.9)), Outcome::Meets);
        assert!(matches!(is_linear(figure(1.4)), Outcome::Misses(_)));
    }

    #[test]
    fn every_network_of_the_lab_has_a_target() {
        for net in Net::FABRIC {
            let scene = Scene {
                net,
                ..fixture::bulk(512)
            };
            let results = fixture::results(&[(scene, AUTO, Metric::Goodput, &[1.0; 3])]);
            let judgements = targets(&View::of(&results));
            assert!(
                judgements
                    .iter()
                    .all(|one| one.outcome == Outcome::NotMeasured)
            );
            assert!(!judgements.is_empty(), "{net}");
        }
    }
}
