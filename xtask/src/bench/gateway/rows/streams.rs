//! Bulk: iperf3 through the subject, saturated or on a capped link.

use std::time::Duration;

use anyhow::Result;
use bpf_tests::iperf::{Load, Sink};

use super::Measures;
use crate::bench::gateway::stage::Stage;
use crate::bench::metric::Metric;

/// An unmeasured load first: it fills caches and pools, and lets buffers find their size.
const WARM_UP: Duration = Duration::from_secs(1);

/// The sink's own reports are not used: as few as possible.
const SINK_INTERVAL: Duration = Duration::from_secs(60);

/// Streams for the stage's duration.
///
/// Errors when iperf3 or the subject fails.
pub(super) fn measure(stage: &Stage<'_>, streams: u32) -> Result<Measures> {
    let sink = Sink::start(
        stage.consumer().netns(),
        stage.consumer_ip(),
        SINK_INTERVAL,
        None,
    )?;
    let relay = stage.relay(sink.address())?;
    let load = |duration| Load {
        duration,
        streams,
        ..Load::default()
    };
    let producer = stage.producer().netns();
    let run = |duration| {
        let mark = sink.mark();
        let throughput = load(duration).run(producer, relay.address())?;
        sink.wait_until_free(mark)?;
        anyhow::Ok(throughput)
    };
    run(WARM_UP)?;
    let throughput = run(stage.duration)?;
    // The meter runs from before iperf3's start to after its end, and the bytes are all that
    // arrived in between: nothing that was spent or moved is left out.
    let (metered, usage) = stage.meter.over(|| run(stage.duration))?;

    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let mut measures = Measures::from([
        (Metric::Goodput, throughput.bits_per_second / 1e9),
        (
            Metric::CpuPerGb,
            usage.busy_s / gigabytes(metered.bytes_received),
        ),
        (Metric::SoakedGoodput, metered.bits_per_second / 1e9),
        (Metric::Stolen, usage.stolen_s / usage.elapsed_s),
    ]);
    if let Some(retransmits) = throughput.retransmits {
        measures.insert(
            Metric::RetransmitsPerGb,
            retransmits as f64 / gigabytes(throughput.bytes_received),
        );
    }
    if let Some(share) = relay.finish()? {
        measures.insert(Metric::KernelShare, share);
    }
    Ok(measures)
}
