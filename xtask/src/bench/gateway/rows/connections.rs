//! New connections: how many per second, and what one costs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpf_tests::load;
use bpf_tests::load::connections::{Answering, ConnectionLoad, spare_ports};

use super::Measures;
use crate::bench::gateway::stage::Stage;
use crate::bench::metric::Metric;

/// Unmeasured connections first.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);

/// Connections open at once, and threads that answer them.
const WORKERS: usize = 8;

/// Connections for the stage's duration.
///
/// Errors when a connection fails or the subject does.
pub(super) fn measure(stage: &Stage<'_>) -> Result<Measures> {
    spare_ports(stage.topology())?;
    let listener = load::listen(stage.consumer().netns(), stage.consumer_ip())?;
    let target = listener
        .local_addr()
        .context("asking where the consumer listens")?;
    let answering = Answering::start(listener, WORKERS)?;
    let relay = stage.relay(target)?;
    let producer = stage.producer().netns();
    let run = |duration| {
        let load = ConnectionLoad {
            workers: WORKERS,
            duration,
        };
        let report = load.run(producer, relay.address());
        ensure!(
            report.failed == 0,
            "{} of {} connections failed; the first: {}",
            report.failed,
            report.failed + report.completed,
            report.first_failure.unwrap_or_default()
        );
        Ok(report)
    };
    run(WARM_UP)?;
    let report = run(stage.duration)?;
    let (metered, usage) = stage.meter.over(|| run(stage.duration))?;

    relay.finish()?;
    drop(answering);
    Ok(Measures::from([
        (
            Metric::ConnectionRate,
            report.completed as f64 / report.seconds,
        ),
        (
            Metric::CpuPerConnection,
            usage.busy_s * 1e6 / metered.completed as f64,
        ),
        (Metric::Stolen, usage.stolen_s / usage.elapsed_s),
    ]))
}
