//! Questions to a run: medians, paired ratios, spreads, and what of it is not valid.

use std::collections::{BTreeMap, BTreeSet};

use super::{Results, SHARES, Spread};
use crate::bench::metric::Metric;
use crate::bench::noise::Figure;
use crate::bench::scene::{BUSIEST, Load, Regime, Scene};
use crate::bench::subject::Subject;
use crate::median::median;

type Repeats = BTreeMap<usize, f64>;

/// A run, indexed.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    /// What it is a view of.
    pub(crate) results: &'a Results,
    values: BTreeMap<(Scene, Subject, Metric), Repeats>,
    spreads: BTreeMap<(Scene, Subject, Spread), Vec<&'a [f64]>>,
}

impl<'a> View<'a> {
    /// Indexes `results`.
    pub(crate) fn of(results: &'a Results) -> Self {
        let mut values: BTreeMap<_, Repeats> = BTreeMap::new();
        let mut spreads: BTreeMap<_, Vec<&[f64]>> = BTreeMap::new();
        for sample in &results.samples {
            let (scene, subject) = (sample.scene, sample.subject);
            for (&metric, &value) in &sample.measures {
                let repeats = values.entry((scene, subject, metric)).or_default();
                repeats.insert(sample.repeat, value);
            }
            for (&spread, at_shares) in &sample.spreads {
                // A file of another version may have other shares: those cannot be drawn.
                if at_shares.len() == SHARES.len() {
                    let all = spreads.entry((scene, subject, spread)).or_default();
                    all.push(at_shares);
                }
            }
        }
        Self {
            results,
            values,
            spreads,
        }
    }

    /// All scenes, in the order of the tables.
    pub(crate) fn scenes(&self) -> BTreeSet<Scene> {
        self.values.keys().map(|&(scene, ..)| scene).collect()
    }

    /// Who has a value of `metric` in `scene`.
    pub(crate) fn subjects(&self, scene: Scene, metric: Metric) -> Vec<Subject> {
        self.results
            .subjects
            .keys()
            .copied()
            .filter(|&subject| self.values.contains_key(&(scene, subject, metric)))
            .collect()
    }

    /// The scenes that differ from `scene` only in the load's measure, `scene` among them.
    pub(crate) fn kin(&self, scene: Scene) -> Vec<Scene> {
        let same = |other: &Scene| {
            let Scene {
                regime,
                net,
                setting,
                load,
            } = *other;
            (regime, net, setting) == (scene.regime, scene.net, scene.setting)
                && load.is_kin(scene.load)
        };
        self.scenes().into_iter().filter(same).collect()
    }

    /// One scene of each kin, the one with the least measure.
    pub(crate) fn families(&self) -> Vec<Scene> {
        let mut families: Vec<Scene> = Vec::new();
        for scene in self.scenes() {
            if !families
                .iter()
                .any(|family| self.kin(*family).contains(&scene))
            {
                families.push(scene);
            }
        }
        families
    }

    /// The median of a metric.
    pub(crate) fn figure(&self, scene: Scene, subject: Subject, metric: Metric) -> Option<Figure> {
        let repeats = self.values.get(&(scene, subject, metric))?;
        Figure::of(&repeats.values().copied().collect::<Vec<_>>())
    }

    /// `subject`'s metric divided by `base`'s, paired within each repeat.
    pub(crate) fn ratio(
        &self,
        scene: Scene,
        subject: Subject,
        base: Subject,
        metric: Metric,
    ) -> Option<Figure> {
        Figure::of_ratios(self.pairs(scene, subject, base, metric).into_values())
    }

    /// The same over several scenes at once: within each repeat, the geometric mean of their
    /// ratios. Scenes that are not valid for either side, and repeats that lack one, are left out.
    pub(crate) fn pooled_ratio(
        &self,
        scenes: &[Scene],
        (subject, base): (Subject, Subject),
        metric: Metric,
    ) -> Option<Figure> {
        let mut logarithms: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        let mut counted = 0;
        for &scene in scenes {
            if self
                .overloaded(scene, subject)
                .or(self.overloaded(scene, base))
                .is_some()
            {
                continue;
            }
            counted += 1;
            for (repeat, (over, under)) in self.pairs(scene, subject, base, metric) {
                if over > 0.0 && under > 0.0 {
                    logarithms
                        .entry(repeat)
                        .or_default()
                        .push((over / under).ln());
                }
            }
        }
        let whole = logarithms.into_values().filter(|all| all.len() == counted);
        let means = whole.map(|all| (all.iter().sum::<f64>() / all.len() as f64).exp());
        Figure::of(&means.collect::<Vec<_>>())
    }

    /// What `subject` uses beyond `base`, paired within each repeat.
    pub(crate) fn beyond(
        &self,
        scene: Scene,
        subject: Subject,
        base: Subject,
        metric: Metric,
    ) -> Option<Figure> {
        let pairs = self.pairs(scene, subject, base, metric).into_values();
        Figure::of(&pairs.map(|(own, other)| own - other).collect::<Vec<_>>())
    }

    /// How a metric grows over `scenes`: the exponent of the power of the measure that fits it
    /// best, repeat by repeat. 1 is linear, 0 is constant.
    pub(crate) fn exponent(
        &self,
        scenes: &[Scene],
        subject: Subject,
        metric: Metric,
    ) -> Option<Figure> {
        let mut points: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        for &scene in scenes {
            for (&repeat, &value) in self.values.get(&(scene, subject, metric))? {
                if value > 0.0 {
                    let point = (scene.load.measure().ln(), value.ln());
                    points.entry(repeat).or_default().push(point);
                }
            }
        }
        let slopes: Vec<f64> = points
            .into_values()
            .filter_map(|points| slope(&points))
            .collect();
        Figure::of(&slopes)
    }

    /// The load that a spread of `scene` belongs to, at every share: the median over the repeats.
    pub(crate) fn spread(
        &self,
        scene: Scene,
        subject: Subject,
        spread: Spread,
    ) -> Option<Vec<f64>> {
        let all = self.spreads.get(&(scene, subject, spread))?;
        let at = |share: usize| median(&all.iter().map(|one| one[share]).collect::<Vec<_>>());
        (0..SHARES.len()).map(at).collect()
    }

    /// Scenes with a spread.
    pub(crate) fn scenes_with(&self, wanted: Spread) -> BTreeSet<Scene> {
        let keys = self.spreads.keys();
        keys.filter(|(.., spread)| *spread == wanted)
            .map(|&(scene, ..)| scene)
            .collect()
    }

    /// The share of the cores in use, when it makes a link-bound cell invalid.
    pub(crate) fn overloaded(&self, scene: Scene, subject: Subject) -> Option<f64> {
        if scene.regime != Regime::LinkBound {
            return None;
        }
        let load = self.figure(scene, subject, Metric::CpuLoad)?.value;
        (load > BUSIEST).then_some(load)
    }

    /// Whether a load is bulk: what goodput is drawn of.
    pub(crate) fn is_bulk(scene: Scene) -> bool {
        matches!(scene.load, Load::Bulk { .. })
    }

    fn pairs(
        &self,
        scene: Scene,
        subject: Subject,
        base: Subject,
        metric: Metric,
    ) -> BTreeMap<usize, (f64, f64)> {
        let of = |subject| self.values.get(&(scene, subject, metric));
        let (Some(own), Some(other)) = (of(subject), of(base)) else {
            return BTreeMap::new();
        };
        own.iter()
            .filter_map(|(repeat, &value)| Some((*repeat, (value, *other.get(repeat)?))))
            .collect()
    }
}

/// The slope of the straight line that fits `points` best; none unless they differ in x.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = points
        .iter()
        .map(|(x, y)| (x - x_mean) * (y - y_mean))
        .sum();
    let under: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::fixture;
    use crate::bench::scene::Setting;

    const DIRECT: Subject = Subject::NoProxy;
    const AUTO: Subject = Subject::Auto;

    #[test]
    fn a_ratio_is_paired_within_repeats() {
        let scene = fixture::bulk(16_384);
        let results = fixture::results(&[
            (scene, DIRECT, Metric::Goodput, &[1.0, 2.0, 4.0, 8.0, 16.0]),
            (scene, AUTO, Metric::Goodput, &[1.1, 2.2, 4.4, 8.8, 17.6]),
        ]);
        let view = View::of(&results);
        let ratio = view.ratio(scene, AUTO, DIRECT, Metric::Goodput).unwrap();
        assert!((ratio.value - 1.1).abs() < 1e-9);
        assert!(ratio.half.unwrap() < 1e-9, "{ratio:?}");
        let beyond = view.beyond(scene, AUTO, DIRECT, Metric::Goodput).unwrap();
        assert!((beyond.value - 0.4).abs() < 1e-9, "{beyond:?}");
    }

    #[test]
    fn a_cell_over_the_limit_is_not_valid_and_not_pooled() {
        let (small, large) = (fixture::bulk(512), fixture::bulk(1 << 20));
        let five = |value| [value; 5];
        let results = fixture::results(&[
            (small, DIRECT, Metric::Goodput, &five(1.0)),
            (small, AUTO, Metric::Goodput, &five(0.5)),
            (small, AUTO, Metric::CpuLoad, &five(0.7)),
            (large, DIRECT, Metric::Goodput, &five(1.0)),
            (large, AUTO, Metric::Goodput, &five(0.9)),
        ]);
        let view = View::of(&results);
        assert_eq!(view.overloaded(small, AUTO), Some(0.7));
        assert_eq!(view.overloaded(large, AUTO), None);
        let pooled = view.pooled_ratio(&[small, large], (AUTO, DIRECT), Metric::Goodput);
        assert!((pooled.unwrap().value - 0.9).abs() < 1e-9, "{pooled:?}");
    }

    #[test]
    fn growth_is_told_as_an_exponent() {
        let scenes: Vec<Scene> = [1_000, 10_000, 50_000].map(fixture::idle).to_vec();
        let values: Vec<[f64; 3]> = scenes
            .iter()
            .map(|scene| [0.5 * scene.load.measure().powf(1.5); 3])
            .collect();
        let cells: Vec<fixture::Cell<'_>> = scenes
            .iter()
            .zip(&values)
            .map(|(&scene, values)| (scene, AUTO, Metric::MemoryTotal, values.as_slice()))
            .collect();
        let results = fixture::results(&cells);
        let view = View::of(&results);
        let exponent = view.exponent(&scenes, AUTO, Metric::MemoryTotal).unwrap();
        assert!((exponent.value - 1.5).abs() < 1e-9, "{exponent:?}");
        assert_eq!(view.exponent(&scenes[..1], AUTO, Metric::MemoryTotal), None);
    }

    #[test]
    fn scenes_that_differ_only_in_size_are_kin() {
        let five = [1.0; 5];
        let other = Scene {
            setting: Setting::Lossy { ppm: 100 },
            ..fixture::bulk(512)
        };
        let results = fixture::results(&[
            (fixture::bulk(512), AUTO, Metric::Goodput, &five),
            (fixture::bulk(1_024), AUTO, Metric::Goodput, &five),
            (other, AUTO, Metric::Goodput, &five),
        ]);
        let view = View::of(&results);
        assert_eq!(view.families(), [fixture::bulk(512), other]);
        assert_eq!(view.kin(fixture::bulk(1_024)).len(), 2);
    }
}
