//! One line per sample, with the time left.

use std::time::{Duration, Instant};

use super::plan::Step;
use super::record::Sample;
use crate::bench::bar::minutes;
use crate::bench::others::DISTURBED;

/// How far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    nominal_done: Duration,
    nominal_all: Duration,
    count: usize,
    done: usize,
}

impl Progress {
    /// Begins: `steps` will take about `duration` each, where the row does not say.
    pub(super) fn begin(steps: &[Step], duration: Duration) -> Self {
        let nominal_all = steps
            .iter()
            .map(|step| step.row.nominal_time(duration))
            .sum();
        eprintln!("{} samples, about {}", steps.len(), minutes(nominal_all));
        Self {
            started: Instant::now(),
            nominal_done: Duration::ZERO,
            nominal_all,
            count: steps.len(),
            done: 0,
        }
    }

    /// Tells about one sample that is done.
    pub(super) fn tell(&mut self, sample: &Sample, duration: Duration) {
        self.done += 1;
        self.nominal_done += sample.row.nominal_time(duration);
        eprintln!(
            "[{:>3}/{}] {:<14} {:<14} repeat {}: {}; {} left",
            self.done,
            self.count,
            sample.row,
            sample.subject,
            sample.repeat + 1,
            words(sample),
            minutes(self.left()),
        );
    }

    /// The nominal times tell how the samples relate; how long they really take is seen.
    fn left(&self) -> Duration {
        let pace = self.started.elapsed().as_secs_f64() / self.nominal_done.as_secs_f64();
        (self.nominal_all.saturating_sub(self.nominal_done)).mul_f64(pace)
    }
}

fn words(sample: &Sample) -> String {
    if let Some(failure) = &sample.failure {
        return format!("FAILED: {failure}");
    }
    let measured = sample.row.metrics().iter().filter_map(|metric| {
        let value = sample.measures.get(metric)?;
        let (digits, unit) = (metric.digits(), metric.unit());
        Some(format!("{metric} {value:.digits$} {unit}"))
    });
    let words = measured.take(3).collect::<Vec<_>>().join(", ");
    if sample.others > DISTURBED {
        return format!(
            "{words}; disturbed, others used {:.2} CPU-s/s",
            sample.others
        );
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_seconds_and_then_in_minutes() {
        assert_eq!(minutes(Duration::from_secs(89)), "89 s");
        assert_eq!(minutes(Duration::from_secs(100)), "2 min");
        assert_eq!(minutes(Duration::from_secs(3_600)), "60 min");
    }
}
