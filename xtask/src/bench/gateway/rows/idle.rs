//! Quiet connections: what the relay keeps for one, and whether it wakes up for them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bpf_tests::load;
use bpf_tests::load::idle::IdleConnections;

use super::Measures;
use crate::bench::gateway::stage::Stage;
use crate::bench::metric::Metric;

/// How many.
const CONNECTIONS: usize = 5_000;

/// From the last connection to the beginning of the quiet: time to give back what was borrowed.
pub(super) const SETTLE: Duration = Duration::from_secs(3);

/// How long nothing is sent.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// Opens the connections and watches the relay do nothing.
///
/// Errors when a connection does not get through or the subject fails.
pub(super) fn measure(stage: &Stage<'_>) -> Result<Measures> {
    let listener = load::listen(stage.consumer().netns(), stage.consumer_ip())?;
    let target = listener
        .local_addr()
        .context("asking where the consumer listens")?;
    let relay = stage.relay(target)?;
    let processes = relay.processes();
    let processes = processes
        .first()
        .context("there is no relay that could be idle")?;

    let empty_kib = processes.memory_kib()?;
    let producer = stage.producer().netns();
    let idle = IdleConnections::open(CONNECTIONS, producer, relay.address(), &listener)?;
    std::thread::sleep(SETTLE);
    let full_kib = processes.memory_kib()?;
    let before = processes.context_switches()?;
    std::thread::sleep(QUIET);
    let after = processes.context_switches()?;

    let kept_kib = full_kib.saturating_sub(empty_kib) as f64;
    let measures = Measures::from([
        (Metric::MemoryPerConnection, kept_kib / idle.count() as f64),
        (Metric::WakeUps, after.saturating_sub(before) as f64),
    ]);
    drop(idle);
    relay.finish()?;
    Ok(measures)
}
