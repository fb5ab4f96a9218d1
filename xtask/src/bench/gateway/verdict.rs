//! The targets, word for word from what was promised, and whether a run meets them.
//!
//! A quantity is an expression over medians. Its interval comes from evaluating the expression
//! on resampled repeats, so both sides of a ratio are resampled together.

use super::record::{Record, Verdict};
use super::rows::Row;
use crate::bench::metric::{Better, Metric};
use crate::bench::stats::{Random, bootstrap};
use crate::bench::subject::Subject;

/// The bootstrap's seed. Fixed: the same samples give the same table, whoever computes it.
const BOOTSTRAP_SEED: u64 = 0x5c15_7ea3;

/// Saturated: auto against no proxy, at least.
const SATURATED_OF_DIRECT: f64 = 0.80;
/// Saturated: auto against the best of the peers, at least.
const SATURATED_OF_PEERS: f64 = 1.3;
/// On a capped link: auto against no proxy, at least.
const CAPPED_OF_DIRECT: f64 = 0.99;
/// CPU per GB beyond no proxy's: auto against haproxy, at most.
const CPU_OF_HAPROXY: f64 = 0.5;
/// CPU per message beyond no proxy's: auto against copy, at most.
const MESSAGE_CPU_OF_COPY: f64 = 0.6;
/// Added latency: auto against haproxy, at most.
const LATENCY_OF_HAPROXY: f64 = 1.0;
/// New connections: auto against haproxy, at least.
const CONNECTIONS_OF_HAPROXY: f64 = 0.8;
/// Idle: KiB per connection, at most.
const IDLE_KIB: f64 = 12.0;
/// Every row: auto against the best single plane, where more is better, at least.
const OF_BEST_PLANE: f64 = 0.95;
/// The same where less is better, at most.
const OF_BEST_PLANE_COST: f64 = 1.05;

/// Something computed from a run.
#[derive(Clone, Debug)]
pub(super) enum Quantity {
    /// A median.
    Of(Row, Subject, Metric),
    /// What remains of a median after taking off no proxy's of the same row.
    Beyond(Row, Subject, Metric),
    /// The one divided by the other; nothing unless the divisor is positive.
    Ratio(Box<Self>, Box<Self>),
    /// The best median of several subjects; nothing unless all were measured.
    Best(Row, &'static [Subject], Metric),
}

/// On which side of its bound a quantity must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

struct Target {
    row: Row,
    words: String,
    quantity: Quantity,
    bound: Bound,
}

impl Quantity {
    /// One quantity divided by another.
    pub(super) fn ratio(over: Self, under: Self) -> Self {
        Self::Ratio(Box::new(over), Box::new(under))
    }

    /// The value in the repeats of `draw`.
    pub(super) fn evaluate(&self, record: &Record, draw: &[usize]) -> Option<f64> {
        match self {
            Self::Of(row, subject, metric) => record.median(*row, *subject, *metric, draw),
            Self::Beyond(row, subject, metric) => {
                let own = record.median(*row, *subject, *metric, draw)?;
                Some(own - record.median(*row, Subject::NoProxy, *metric, draw)?)
            }
            Self::Ratio(over, under) => {
                let under = under.evaluate(record, draw)?;
                (under > 0.0).then_some(over.evaluate(record, draw)? / under)
            }
            Self::Best(row, subjects, metric) => {
                let medians: Option<Vec<f64>> = subjects
                    .iter()
                    .map(|subject| record.median(*row, *subject, *metric, draw))
                    .collect();
                let best = match metric.better() {
                    Better::Higher => f64::max,
                    Better::Lower => f64::min,
                };
                medians?.into_iter().reduce(best)
            }
        }
    }

    /// The value with its interval.
    pub(super) fn estimate(&self, record: &Record) -> Option<crate::bench::stats::Estimate> {
        let mut random = Random::from_seed(BOOTSTRAP_SEED);
        bootstrap(record.repeats, &mut random, |draw| {
            self.evaluate(record, draw)
        })
    }
}

impl Bound {
    fn value(self) -> f64 {
        match self {
            Self::AtLeast(bound) | Self::AtMost(bound) => bound,
        }
    }

    fn holds(self, found: f64) -> bool {
        match self {
            Self::AtLeast(bound) => found >= bound,
            Self::AtMost(bound) => found <= bound,
        }
    }
}

/// Judges `record` by every target of the rows it has.
pub(super) fn judge(record: &Record) -> Vec<Verdict> {
    let targets = record.rows.keys().flat_map(|&row| targets(row));
    targets.map(|target| judged(record, target)).collect()
}

fn judged(record: &Record, target: Target) -> Verdict {
    let Target {
        row,
        words,
        quantity,
        bound,
    } = target;
    let found = quantity.estimate(record);
    let outcome = match found {
        None => "not measured".to_owned(),
        Some(found) => {
            let sure = bound.holds(found.low) == bound.holds(found.high);
            let remark = if sure {
                ""
            } else {
                ", the interval holds the bound"
            };
            format!("{}{remark}", outcome(bound, found.value))
        }
    };
    Verdict {
        row,
        target: words,
        bound: bound.value(),
        found,
        outcome,
    }
}

fn outcome(bound: Bound, found: f64) -> String {
    if bound.holds(found) {
        return "meets".to_owned();
    }
    let value = bound.value();
    if value == 0.0 {
        return format!("misses: {found:.0} instead of 0");
    }
    let percent = 100.0 * (found - value).abs() / value;
    let digits = usize::from(percent < 10.0);
    format!("misses by {percent:.digits$} %")
}

fn targets(row: Row) -> Vec<Target> {
    let mut targets = match row {
        Row::Saturated1 | Row::Saturated8 => saturated(row),
        Row::CappedIngress | Row::CappedEgress => capped(row),
        Row::Messages => messages(row),
        Row::Messages4K | Row::Messages16K | Row::Messages64K => Vec::new(),
        Row::Connections => connections(row),
        Row::Idle => idle(row),
    };
    targets.extend(row.headline().iter().map(|&metric| best_plane(row, metric)));
    targets
}

fn saturated(row: Row) -> Vec<Target> {
    let auto = || Quantity::Of(row, Subject::Auto, Metric::Goodput);
    let peers = Quantity::Best(row, &Subject::PEERS, Metric::Goodput);
    vec![
        of_direct(row, SATURATED_OF_DIRECT),
        Target {
            row,
            words: format!("auto ≥ {SATURATED_OF_PEERS} × best of haproxy, nginx, socat"),
            quantity: Quantity::ratio(auto(), peers),
            bound: Bound::AtLeast(SATURATED_OF_PEERS),
        },
        cpu_of_haproxy(row),
    ]
}

fn capped(row: Row) -> Vec<Target> {
    vec![of_direct(row, CAPPED_OF_DIRECT), cpu_of_haproxy(row)]
}

fn of_direct(row: Row, bound: f64) -> Target {
    let of = |subject| Quantity::Of(row, subject, Metric::Goodput);
    Target {
        row,
        words: format!("auto ≥ {bound:.2} × no proxy"),
        quantity: Quantity::ratio(of(Subject::Auto), of(Subject::NoProxy)),
        bound: Bound::AtLeast(bound),
    }
}

fn cpu_of_haproxy(row: Row) -> Target {
    let beyond = |subject| Quantity::Beyond(row, subject, Metric::CpuPerGb);
    Target {
        row,
        words: format!("auto's CPU/GB beyond no proxy ≤ {CPU_OF_HAPROXY} × haproxy's"),
        quantity: Quantity::ratio(beyond(Subject::Auto), beyond(Subject::Haproxy)),
        bound: Bound::AtMost(CPU_OF_HAPROXY),
    }
}

fn messages(row: Row) -> Vec<Target> {
    let beyond = |subject, metric| Quantity::Beyond(row, subject, metric);
    let cpu = |subject| beyond(subject, Metric::CpuPerMessage);
    let added = |metric| Target {
        row,
        words: format!("auto's added {metric} ≤ haproxy's"),
        quantity: Quantity::ratio(
            beyond(Subject::Auto, metric),
            beyond(Subject::Haproxy, metric),
        ),
        bound: Bound::AtMost(LATENCY_OF_HAPROXY),
    };
    vec![
        Target {
            row,
            words: format!("auto's CPU/message beyond no proxy ≤ {MESSAGE_CPU_OF_COPY} × copy's"),
            quantity: Quantity::ratio(cpu(Subject::Auto), cpu(Subject::Copy)),
            bound: Bound::AtMost(MESSAGE_CPU_OF_COPY),
        },
        added(Metric::LatencyP50),
        added(Metric::LatencyP99),
    ]
}

fn connections(row: Row) -> Vec<Target> {
    let rate = |subject| Quantity::Of(row, subject, Metric::ConnectionRate);
    vec![Target {
        row,
        words: format!("auto ≥ {CONNECTIONS_OF_HAPROXY} × haproxy"),
        quantity: Quantity::ratio(rate(Subject::Auto), rate(Subject::Haproxy)),
        bound: Bound::AtLeast(CONNECTIONS_OF_HAPROXY),
    }]
}

fn idle(row: Row) -> Vec<Target> {
    let of_auto = |metric| Quantity::Of(row, Subject::Auto, metric);
    vec![
        Target {
            row,
            words: format!("auto ≤ {IDLE_KIB} KiB per connection"),
            quantity: of_auto(Metric::MemoryPerConnection),
            bound: Bound::AtMost(IDLE_KIB),
        },
        Target {
            row,
            words: "auto does not wake up".to_owned(),
            quantity: of_auto(Metric::WakeUps),
            bound: Bound::AtMost(0.0),
        },
    ]
}

fn best_plane(row: Row, metric: Metric) -> Target {
    let (sign, bound) = match metric.better() {
        Better::Higher => ("≥", Bound::AtLeast(OF_BEST_PLANE)),
        Better::Lower => ("≤", Bound::AtMost(OF_BEST_PLANE_COST)),
    };
    Target {
        row,
        words: format!(
            "auto's {metric} {sign} {:.2} × the best single plane's",
            bound.value()
        ),
        quantity: Quantity::ratio(
            Quantity::Of(row, Subject::Auto, metric),
            Quantity::Best(row, &Subject::SINGLE_PLANES, metric),
        ),
        bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::gateway::fixture;

    fn ours(row: Row, metric: Metric, pairs: &[(Subject, f64)]) -> Record {
        fixture::record(row, metric, pairs)
    }

    fn outcome_of(record: &Record, words: &str) -> String {
        let verdicts = judge(record);
        let found = verdicts
            .iter()
            .find(|verdict| verdict.target.contains(words));
        found.unwrap().outcome.clone()
    }

    #[test]
    fn a_ratio_above_its_bound_meets_and_one_below_misses_by_its_share() {
        let pairs = [(Subject::NoProxy, 20.0), (Subject::Auto, 17.0)];
        let record = ours(Row::Saturated1, Metric::Goodput, &pairs);
        assert_eq!(outcome_of(&record, "× no proxy"), "meets");
        let pairs = [(Subject::NoProxy, 20.0), (Subject::Auto, 12.0)];
        let record = ours(Row::Saturated1, Metric::Goodput, &pairs);
        assert_eq!(outcome_of(&record, "× no proxy"), "misses by 25 %");
    }

    #[test]
    fn a_near_miss_is_not_rounded_to_nothing() {
        let pairs = [(Subject::NoProxy, 100.0), (Subject::Auto, 98.8)];
        let record = ours(Row::CappedIngress, Metric::Goodput, &pairs);
        assert_eq!(outcome_of(&record, "× no proxy"), "misses by 0.2 %");
    }

    #[test]
    fn cost_is_compared_beyond_no_proxy() {
        let pairs = [
            (Subject::NoProxy, 0.5),
            (Subject::Auto, 0.7),
            (Subject::Haproxy, 1.0),
        ];
        let record = ours(Row::Saturated1, Metric::CpuPerGb, &pairs);
        // 0.2 of 0.5.
        assert_eq!(outcome_of(&record, "CPU/GB beyond"), "meets");
        let pairs = [
            (Subject::NoProxy, 0.5),
            (Subject::Auto, 0.8),
            (Subject::Haproxy, 1.0),
        ];
        let record = ours(Row::Saturated1, Metric::CpuPerGb, &pairs);
        assert_eq!(outcome_of(&record, "CPU/GB beyond"), "misses by 20 %");
    }

    #[test]
    fn a_wake_up_too_many_is_told_as_a_count() {
        let record = ours(Row::Idle, Metric::WakeUps, &[(Subject::Auto, 3.0)]);
        assert_eq!(outcome_of(&record, "wake up"), "misses: 3 instead of 0");
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let record = ours(Row::Saturated1, Metric::Goodput, &[(Subject::Auto, 17.0)]);
        assert_eq!(outcome_of(&record, "× no proxy"), "not measured");
        // The best of the peers needs all of the peers.
        let pairs = [(Subject::Auto, 17.0), (Subject::Haproxy, 1.0)];
        let record = ours(Row::Saturated1, Metric::Goodput, &pairs);
        assert_eq!(outcome_of(&record, "best of haproxy"), "not measured");
    }

    #[test]
    fn a_peer_cheaper_than_no_proxy_cannot_be_divided_by() {
        let pairs = [
            (Subject::NoProxy, 0.5),
            (Subject::Auto, 0.4),
            (Subject::Haproxy, 0.4),
        ];
        let record = ours(Row::Saturated1, Metric::CpuPerGb, &pairs);
        assert_eq!(outcome_of(&record, "CPU/GB beyond"), "not measured");
    }

    #[test]
    fn the_best_plane_is_the_lowest_where_less_is_better() {
        let pairs = [
            (Subject::Copy, 30.0),
            (Subject::Splice, 20.0),
            (Subject::Sockmap, 10.0),
            (Subject::Auto, 10.4),
        ];
        let record = ours(Row::Messages, Metric::CpuPerMessage, &pairs);
        assert_eq!(outcome_of(&record, "best single plane"), "meets");
    }

    #[test]
    fn every_row_has_targets() {
        use clap::ValueEnum as _;
        for &row in Row::value_variants() {
            assert!(targets(row).len() >= 2, "{row}");
        }
    }
}
