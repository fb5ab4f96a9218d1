//! What one direction of the line did, counted by its thread and read by anyone.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// Counters of one direction while it runs.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) packets: AtomicU64,
    pub(super) segments: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) delivered_bytes: AtomicU64,
    pub(super) lost_segments: AtomicU64,
    pub(super) overflowed: AtomicU64,
    pub(super) without_memory: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) queued: AtomicU64,
    pub(super) queued_bytes: AtomicU64,
    pub(super) most_queued_bytes: AtomicU64,
    pub(super) most_late_ns: AtomicU64,
    pub(super) late_ns: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) memory: AtomicU64,
    /// The kernel's id of the thread; 0 until it runs.
    pub(super) thread: AtomicU32,
}

/// Counters of one direction at one moment.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LineCounters {
    /// Packets that came in, as the kernel handed them over: with offloads one may hold 64 KB.
    pub packets: u64,
    /// Segments in them: what would be a packet each on a real wire.
    pub segments: u64,
    /// Bytes of IP that came in, repeated headers of segments not counted.
    pub bytes: u64,
    /// Packets handed on. One that lost a segment in its midst is handed on in two.
    pub delivered: u64,
    /// Bytes of IP handed on.
    pub delivered_bytes: u64,
    /// What did not arrive, and why.
    pub drops: Drops,
    /// Packets under way.
    pub queued: u64,
    /// Bytes under way.
    pub queued_bytes: u64,
    /// The most bytes that were ever under way.
    pub most_queued_bytes: u64,
    /// How late the latest packet was handed on, nanoseconds after it was due.
    pub most_late_ns: u64,
    /// How late packets were handed on, nanoseconds, all together.
    pub late_ns: u64,
    /// Memory taken for packets under way, bytes.
    pub memory: u64,
}

/// What did not arrive, by cause.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Drops {
    /// Segments lost by chance, as was asked for.
    pub lost_segments: u64,
    /// Packets that found the bottleneck's queue full.
    pub overflowed: u64,
    /// Packets for which the emulator had no memory: a failure of the lab, not of the line.
    pub without_memory: u64,
    /// Packets that the receiving kernel refused: a failure of the lab.
    pub refused: u64,
    /// Packets that the sending kernel dropped before the emulator could read them: a failure of
    /// the lab.
    pub unread: u64,
}

impl Counters {
    pub(super) fn snapshot(&self) -> LineCounters {
        LineCounters {
            packets: self.packets.load(Relaxed),
            segments: self.segments.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            delivered_bytes: self.delivered_bytes.load(Relaxed),
            drops: Drops {
                lost_segments: self.lost_segments.load(Relaxed),
                overflowed: self.overflowed.load(Relaxed),
                without_memory: self.without_memory.load(Relaxed),
                refused: self.refused.load(Relaxed),
                unread: 0,
            },
            queued: self.queued.load(Relaxed),
            queued_bytes: self.queued_bytes.load(Relaxed),
            most_queued_bytes: self.most_queued_bytes.load(Relaxed),
            most_late_ns: self.most_late_ns.load(Relaxed),
            late_ns: self.late_ns.load(Relaxed),
            memory: self.memory.load(Relaxed),
        }
    }
}

impl LineCounters {
    /// How late packets were handed on in the mean, nanoseconds.
    pub fn mean_late_ns(&self) -> u64 {
        self.late_ns.checked_div(self.delivered).unwrap_or_default()
    }
}

impl Drops {
    /// Drops that nobody asked for: the emulator did not keep up. A row with one is not valid.
    pub fn failures(&self) -> u64 {
        let Self {
            lost_segments: _,
            overflowed: _,
            without_memory,
            refused,
            unread,
        } = self;
        without_memory + refused + unread
    }
}

/// Adds to a counter that only one thread writes.
pub(super) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Relaxed);
}
