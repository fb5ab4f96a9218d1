//! What is measured: names, units, and which way is better.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One measured quantity.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// What arrived at the consumer, Gb/s.
    Goodput,
    /// The same while the soakers run: to see what they change. Not compared.
    SoakedGoodput,
    /// Segments the producer's host sent again, per GB.
    RetransmitsPerGb,
    /// CPU-seconds of the whole system per GB (10^9 bytes) that arrived.
    CpuPerGb,
    /// From the moment a message was due to the moment it was read, µs: half are faster.
    LatencyP50,
    /// The same, 99 of 100 are faster.
    LatencyP99,
    /// How late the sender of messages itself was, µs: 99 of 100 were less late.
    SenderLateP99,
    /// CPU of the whole system per message, µs.
    CpuPerMessage,
    /// Connections made, used and ended in order, per second.
    ConnectionRate,
    /// CPU of the whole system per connection, µs.
    CpuPerConnection,
    /// Memory of the relay's processes (proportional set size) per idle connection, KiB.
    MemoryPerConnection,
    /// Context switches of the relay's threads while all connections are quiet.
    WakeUps,
    /// The share of the relayed bytes that the sockmap redirected in the kernel, 0 to 1.
    KernelShare,
    /// CPU-seconds that the host gave to others, per second.
    Stolen,
    /// The share of all cores in use, 0 to 1, by the time that they were not idle.
    CpuLoad,
    /// By how much messages in a row were apart beyond what they were due apart, µs, on average.
    Jitter,
    /// Context switches of the whole system per GB.
    SwitchesPerGb,
    /// Context switches of the whole system per second.
    SwitchesPerSecond,
    /// Memory of the relays' processes (proportional set size), KiB.
    MemoryTotal,
    /// What the kernel holds for sockets and slabs beyond what it held before, KiB.
    KernelMemory,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Better {
    /// More of it.
    Higher,
    /// Less of it.
    Lower,
}

impl Metric {
    /// All of them, in the order of the tables.
    pub(super) const ALL: [Self; 20] = [
        Self::Goodput,
        Self::SoakedGoodput,
        Self::CpuPerGb,
        Self::CpuLoad,
        Self::RetransmitsPerGb,
        Self::LatencyP50,
        Self::LatencyP99,
        Self::Jitter,
        Self::SenderLateP99,
        Self::CpuPerMessage,
        Self::ConnectionRate,
        Self::CpuPerConnection,
        Self::MemoryPerConnection,
        Self::MemoryTotal,
        Self::KernelMemory,
        Self::WakeUps,
        Self::SwitchesPerGb,
        Self::SwitchesPerSecond,
        Self::KernelShare,
        Self::Stolen,
    ];

    /// Which way is better.
    pub(super) fn better(self) -> Better {
        match self {
            Self::Goodput | Self::SoakedGoodput | Self::ConnectionRate | Self::KernelShare => {
                Better::Higher
            }
            Self::RetransmitsPerGb
            | Self::CpuPerGb
            | Self::LatencyP50
            | Self::LatencyP99
            | Self::SenderLateP99
            | Self::CpuPerMessage
            | Self::CpuPerConnection
            | Self::MemoryPerConnection
            | Self::WakeUps
            | Self::Stolen
            | Self::CpuLoad
            | Self::Jitter
            | Self::SwitchesPerGb
            | Self::SwitchesPerSecond
            | Self::MemoryTotal
            | Self::KernelMemory => Better::Lower,
        }
    }

    /// The unit, as tables have it.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Goodput | Self::SoakedGoodput => "Gb/s",
            Self::RetransmitsPerGb | Self::SwitchesPerGb => "per GB",
            Self::CpuPerGb => "s/GB",
            Self::LatencyP50
            | Self::LatencyP99
            | Self::SenderLateP99
            | Self::CpuPerMessage
            | Self::CpuPerConnection
            | Self::Jitter => "µs",
            Self::ConnectionRate | Self::SwitchesPerSecond => "per s",
            Self::MemoryPerConnection | Self::MemoryTotal | Self::KernelMemory => "KiB",
            Self::WakeUps => "in all",
            Self::KernelShare | Self::CpuLoad => "of 1",
            Self::Stolen => "s/s",
        }
    }

    /// Digits behind the point, as tables have them.
    pub(super) fn digits(self) -> usize {
        match self {
            Self::CpuPerGb => 3,
            Self::Goodput
            | Self::SoakedGoodput
            | Self::KernelShare
            | Self::Stolen
            | Self::CpuLoad => 2,
            Self::LatencyP50
            | Self::LatencyP99
            | Self::SenderLateP99
            | Self::CpuPerMessage
            | Self::CpuPerConnection
            | Self::Jitter
            | Self::MemoryPerConnection => 1,
            Self::RetransmitsPerGb
            | Self::ConnectionRate
            | Self::WakeUps
            | Self::SwitchesPerGb
            | Self::SwitchesPerSecond
            | Self::MemoryTotal
            | Self::KernelMemory => 0,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Goodput => "goodput",
            Self::SoakedGoodput => "metered goodput",
            Self::RetransmitsPerGb => "retransmits",
            Self::CpuPerGb => "CPU",
            Self::LatencyP50 => "latency p50",
            Self::LatencyP99 => "latency p99",
            Self::SenderLateP99 => "sender late p99",
            Self::CpuPerMessage => "CPU/message",
            Self::ConnectionRate => "connections",
            Self::CpuPerConnection => "CPU/connection",
            Self::MemoryPerConnection => "memory/connection",
            Self::WakeUps => "wake-ups",
            Self::KernelShare => "sockmap share",
            Self::Stolen => "stolen by host",
            Self::CpuLoad => "cores in use",
            Self::Jitter => "jitter",
            Self::SwitchesPerGb | Self::SwitchesPerSecond => "context switches",
            Self::MemoryTotal => "relay memory",
            Self::KernelMemory => "kernel memory",
        })
    }
}
