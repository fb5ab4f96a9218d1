//! The rows of the comparison: each knows its load, its stage and what it measures.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::stage::{Cap, Stage};
use crate::bench::metric::Metric;
use crate::bench::subject::Subject;

mod connections;
mod idle;
mod messages;
mod streams;

/// What one sample came to.
pub(super) type Measures = BTreeMap<Metric, f64>;

/// The rate of the capped rows, bits per second on the wire.
const CAPPED_RATE: u64 = 5_000_000_000;

/// One row. The order is that of the run and of the tables.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// One stream, as fast as it goes.
    #[value(name = "saturated-1")]
    #[serde(rename = "saturated-1")]
    Saturated1,
    /// Eight streams, as fast as they go.
    #[value(name = "saturated-8")]
    #[serde(rename = "saturated-8")]
    Saturated8,
    /// One stream over a producer's link of 5 Gb/s.
    CappedIngress,
    /// One stream over a consumer's link of 5 Gb/s.
    CappedEgress,
    /// Messages of 1 KiB, one every 100 µs.
    Messages,
    /// Messages of 4 KiB; this and the next two only when asked for: where auto changes planes.
    #[value(name = "messages-4k")]
    #[serde(rename = "messages-4k")]
    Messages4K,
    /// Messages of 16 KiB.
    #[value(name = "messages-16k")]
    #[serde(rename = "messages-16k")]
    Messages16K,
    /// Messages of 64 KiB.
    #[value(name = "messages-64k")]
    #[serde(rename = "messages-64k")]
    Messages64K,
    /// New connections, one byte each way.
    Connections,
    /// 5,000 connections that say nothing.
    Idle,
}

impl Row {
    /// What a run without `--rows` consists of.
    pub(super) const USUAL: [Self; 7] = [
        Self::Saturated1,
        Self::Saturated8,
        Self::CappedIngress,
        Self::CappedEgress,
        Self::Messages,
        Self::Connections,
        Self::Idle,
    ];

    /// What happens in it, for the reader of the table.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Saturated1 => "iperf3, one stream, as fast as it goes",
            Self::Saturated8 => "iperf3, eight streams, as fast as they go",
            Self::CappedIngress => "iperf3, one stream, producer's link capped at 5 Gb/s",
            Self::CappedEgress => "iperf3, one stream, consumer's link capped at 5 Gb/s",
            Self::Messages => {
                "1 KiB messages, one due every 100 µs (open loop), one connection, after 2 s"
            }
            Self::Messages4K => "the same with messages of 4 KiB",
            Self::Messages16K => "the same with messages of 16 KiB",
            Self::Messages64K => "the same with messages of 64 KiB",
            Self::Connections => {
                "connect, one byte there and one back, orderly end; 8 workers (closed loop)"
            }
            Self::Idle => "5,000 connections, quiet for 10 s after one byte each way",
        }
    }

    /// What it measures that a table shows, in that order.
    pub(super) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Saturated1 | Self::Saturated8 | Self::CappedIngress | Self::CappedEgress => &[
                Metric::Goodput,
                Metric::CpuPerGb,
                Metric::RetransmitsPerGb,
                Metric::KernelShare,
            ],
            Self::Messages | Self::Messages4K | Self::Messages16K | Self::Messages64K => &[
                Metric::CpuPerMessage,
                Metric::LatencyP50,
                Metric::LatencyP99,
                Metric::SenderLateP99,
                Metric::KernelShare,
            ],
            Self::Connections => &[Metric::ConnectionRate, Metric::CpuPerConnection],
            Self::Idle => &[Metric::MemoryPerConnection, Metric::WakeUps],
        }
    }

    /// What `auto` is held to in comparison with the best single plane.
    pub(super) fn headline(self) -> &'static [Metric] {
        match self {
            Self::Saturated1 | Self::Saturated8 | Self::CappedIngress | Self::CappedEgress => {
                &[Metric::Goodput, Metric::CpuPerGb]
            }
            Self::Messages | Self::Messages4K | Self::Messages16K | Self::Messages64K => &[
                Metric::CpuPerMessage,
                Metric::LatencyP50,
                Metric::LatencyP99,
            ],
            Self::Connections => &[Metric::ConnectionRate],
            Self::Idle => &[Metric::MemoryPerConnection],
        }
    }

    /// Whether `subject` has anything to measure here.
    pub(super) fn concerns(self, subject: Subject) -> bool {
        match self {
            // Without a relay nobody holds memory for the connections.
            Self::Idle => subject != Subject::NoProxy,
            Self::Saturated1
            | Self::Saturated8
            | Self::CappedIngress
            | Self::CappedEgress
            | Self::Messages
            | Self::Messages4K
            | Self::Messages16K
            | Self::Messages64K
            | Self::Connections => true,
        }
    }

    /// Which links are slow.
    pub(super) fn cap(self) -> Cap {
        match self {
            Self::CappedIngress => Cap::ProducerSide(CAPPED_RATE),
            Self::CappedEgress => Cap::ConsumerSide(CAPPED_RATE),
            Self::Saturated1
            | Self::Saturated8
            | Self::Messages
            | Self::Messages4K
            | Self::Messages16K
            | Self::Messages64K
            | Self::Connections
            | Self::Idle => Cap::Nowhere,
        }
    }

    /// About how long one sample takes, for the first guess of the time left.
    pub(super) fn nominal_time(self, duration: Duration) -> Duration {
        let around = match self {
            Self::Saturated1 | Self::Saturated8 | Self::CappedIngress | Self::CappedEgress => {
                duration * 2 + Duration::from_secs(2)
            }
            Self::Messages | Self::Messages4K | Self::Messages16K | Self::Messages64K => {
                duration * 2 + messages::WARM_UP + Duration::from_secs(1)
            }
            Self::Connections => duration * 2 + connections::WARM_UP + Duration::from_secs(1),
            Self::Idle => idle::QUIET + idle::SETTLE + Duration::from_secs(5),
        };
        around + Duration::from_millis(500)
    }

    /// Takes one sample.
    ///
    /// Errors when the load or the subject fails.
    pub(super) fn measure(self, stage: &Stage<'_>) -> Result<Measures> {
        match self {
            Self::Saturated1 | Self::CappedIngress | Self::CappedEgress => {
                streams::measure(stage, 1)
            }
            Self::Saturated8 => streams::measure(stage, 8),
            Self::Messages => messages::measure(stage, 1_024),
            Self::Messages4K => messages::measure(stage, 4_096),
            Self::Messages16K => messages::measure(stage, 16_384),
            Self::Messages64K => messages::measure(stage, 65_536),
            Self::Connections => connections::measure(stage),
            Self::Idle => idle::measure(stage),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Saturated1 => "saturated-1",
            Self::Saturated8 => "saturated-8",
            Self::CappedIngress => "capped-ingress",
            Self::CappedEgress => "capped-egress",
            Self::Messages => "messages",
            Self::Messages4K => "messages-4k",
            Self::Messages16K => "messages-16k",
            Self::Messages64K => "messages-64k",
            Self::Connections => "connections",
            Self::Idle => "idle",
        })
    }
}
