//! Deadlines of a worker's connections: each connection has at most one that counts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A heap of (deadline, connection). A connection that moved its deadline leaves the old entry
/// behind; who takes it compares with the connection's own.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, u64)>>);

impl Timers {
    pub(super) fn arm(&mut self, at: Instant, token: u64) {
        self.0.push(Reverse((at, token)));
    }

    /// Time until the next deadline.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        self.0
            .peek()
            .map(|Reverse((at, _))| at.saturating_duration_since(now))
    }

    /// The next deadline that has passed.
    pub(super) fn expired(&mut self, now: Instant) -> Option<(Instant, u64)> {
        let Reverse((at, _)) = self.0.peek()?;
        if *at > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}
