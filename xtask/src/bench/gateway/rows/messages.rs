//! Small messages at a fixed rate: what one costs and how long it takes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bpf_tests::load;
use bpf_tests::load::messages::MessageLoad;

use super::Measures;
use crate::bench::gateway::stage::Stage;
use crate::bench::metric::Metric;
use crate::bench::stats::percentile;

/// Unmeasured messages first, long enough for a relay that changes its ways after a look at the
/// flow.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);

/// From one message to the next.
const INTERVAL: Duration = Duration::from_micros(100);

/// Messages of `size` bytes for the stage's duration.
///
/// Errors when a message does not arrive or the subject fails.
pub(super) fn measure(stage: &Stage<'_>, size: usize) -> Result<Measures> {
    let listener = load::listen(stage.consumer().netns(), stage.consumer_ip())?;
    let target = listener
        .local_addr()
        .context("asking where the consumer listens")?;
    let relay = stage.relay(target)?;
    let (near, far) = load::join(stage.producer().netns(), relay.address(), &listener)?;
    messages(size, WARM_UP).run(&near, &far)?;

    let report = messages(size, stage.duration).run(&near, &far)?;
    let (metered, usage) = stage
        .meter
        .over(|| messages(size, stage.duration).run(&near, &far))?;

    let microseconds = |sorted: &[u64], share| {
        let nanoseconds = percentile(sorted, share).context("no message was sent")?;
        anyhow::Ok(nanoseconds as f64 / 1e3)
    };
    let mut measures = Measures::from([
        (
            Metric::CpuPerMessage,
            usage.busy_s * 1e6 / metered.latencies_ns.len() as f64,
        ),
        (
            Metric::LatencyP50,
            microseconds(&report.latencies_ns, 0.50)?,
        ),
        (
            Metric::LatencyP99,
            microseconds(&report.latencies_ns, 0.99)?,
        ),
        (Metric::SenderLateP99, microseconds(&report.late_ns, 0.99)?),
        (Metric::Stolen, usage.stolen_s / usage.elapsed_s),
    ]);
    drop((near, far));
    if let Some(share) = relay.finish()? {
        measures.insert(Metric::KernelShare, share);
    }
    Ok(measures)
}

fn messages(size: usize, duration: Duration) -> MessageLoad {
    let count = duration.as_nanos() / INTERVAL.as_nanos();
    MessageLoad {
        size,
        interval: INTERVAL,
        count: u32::try_from(count).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_ten_thousand_messages() {
        assert_eq!(messages(1_024, Duration::from_secs(1)).count, 10_000);
    }
}
