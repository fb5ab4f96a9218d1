//! The periodic line of totals.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::dataplane::Totals;
use crate::listener::Gateway;

/// Logs the totals every `interval`, for ever.
pub async fn report_every(interval: Duration, gateway: Arc<Gateway>) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut moved_before = 0;
    let mut last = Instant::now();
    loop {
        let now = ticks.tick().await;
        let moved = report(&gateway, moved_before, now.duration_since(last));
        (moved_before, last) = (moved, now);
    }
}

fn report(gateway: &Gateway, moved_before: u64, elapsed: Duration) -> u64 {
    let Totals {
        redirected,
        spliced,
        copied,
    } = gateway.totals();
    let moved = redirected + spliced + copied;
    let (to_upstream_bytes, to_downstream_bytes) = gateway.log.closed_bytes();
    tracing::info!(
        connections = gateway.admission.open(),
        connections_total = gateway.admission.admitted(),
        to_upstream_bytes,
        to_downstream_bytes,
        redirected,
        spliced,
        copied,
        rate_gbps = rate_gbps(moved.saturating_sub(moved_before), elapsed),
        "stats"
    );
    moved
}

fn rate_gbps(bytes: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds == 0.0 {
        return 0.0;
    }
    bytes as f64 * 8e-9 / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_bits_over_seconds() {
        assert_eq!(rate_gbps(1_000_000_000, Duration::from_secs(2)), 4.0);
        assert_eq!(rate_gbps(1, Duration::ZERO), 0.0);
    }
}
