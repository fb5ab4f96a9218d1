//! What a session moves, and the paces that follow from it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::dataplane::Direction;
use crate::listener::OpenConnection;
use crate::session::Rate;
use crate::session::share::{Usage, among_connections};

/// Over how long the rates that are shown are averaged.
const SHOWN_OVER: Duration = Duration::from_secs(1);

/// The rates of a session and its connections, and the paces it is held to.
pub(super) struct Meter {
    max_rate: Option<Rate>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    flows: [Gauge; 2],
    connections: BTreeMap<u64, [Gauge; 2]>,
    /// What the session may use of the gateway's capacity.
    allotted: [Option<Rate>; 2],
    /// Whether a pace was set, which is to be lifted again.
    paced: [bool; 2],
    at: Option<Instant>,
}

/// What goes one way.
#[derive(Clone, Copy, Debug, Default)]
struct Gauge {
    bytes: u64,
    /// Since the last reading.
    used: Rate,
    /// Averaged, to be shown.
    shown: Rate,
    /// What it is held to.
    pace: Option<Rate>,
}

impl Gauge {
    fn read(&mut self, bytes: u64, elapsed: Duration) {
        let moved = bytes.saturating_sub(self.bytes);
        self.bytes = self.bytes.max(bytes);
        let used = moved as f64 / elapsed.as_secs_f64();
        let weight = (elapsed.as_secs_f64() / SHOWN_OVER.as_secs_f64()).min(1.0);
        let shown = self.shown.to_bytes() as f64;
        self.used = Rate::from_bytes(used as u64);
        self.shown = Rate::from_bytes((shown + weight * (used - shown)) as u64);
    }
}

impl Meter {
    /// A meter of a session whose cap is `max_rate`.
    pub(super) fn new(max_rate: Option<Rate>) -> Self {
        Self {
            max_rate,
            inner: Mutex::default(),
        }
    }

    /// The session's rates, as they are shown.
    pub(super) fn rates(&self) -> [Rate; 2] {
        self.inner().flows.map(|gauge| gauge.shown)
    }

    /// The rates of one connection, as they are shown.
    pub(super) fn rates_of(&self, connection: u64) -> [Rate; 2] {
        let inner = self.inner();
        let gauges = inner.connections.get(&connection);
        gauges.map_or([Rate::ZERO; 2], |gauges| gauges.map(|gauge| gauge.shown))
    }

    /// What the session did in one direction since the last reading.
    pub(super) fn usage(&self, index: usize) -> Usage {
        let inner = self.inner();
        let used = inner.flows.get(index).map(|gauge| gauge.used);
        Usage {
            used: used.unwrap_or_default(),
            pace: inner.allotted.get(index).copied().flatten(),
        }
    }

    /// Reads all counters, `moved` being the session's own; true when bytes have moved.
    pub(super) fn read(
        &self,
        moved: [u64; 2],
        open: &BTreeMap<u64, OpenConnection>,
        now: Instant,
    ) -> bool {
        let mut inner = self.inner();
        let Some(elapsed) = inner
            .at
            .replace(now)
            .map(|at| now.saturating_duration_since(at))
            .filter(|elapsed| !elapsed.is_zero())
        else {
            return false;
        };
        for (gauge, moved) in inner.flows.iter_mut().zip(moved) {
            gauge.read(moved, elapsed);
        }
        inner.connections.retain(|id, _| open.contains_key(id));
        for (id, connection) in open {
            let gauges = inner.connections.entry(*id).or_default();
            for (gauge, direction) in gauges.iter_mut().zip(Direction::BOTH) {
                gauge.read(connection.live.moved(direction), elapsed);
            }
        }
        inner.flows.iter().any(|gauge| !gauge.used.is_zero())
    }

    /// Allots a part of the gateway's capacity; `None` for as much as there is.
    pub(super) fn allot(&self, allotted: [Option<Rate>; 2]) {
        self.inner().allotted = allotted;
    }

    /// Holds the connections together to what the session may use.
    pub(super) fn share(&self, open: &BTreeMap<u64, OpenConnection>) {
        let mut inner = self.inner();
        for (index, direction) in Direction::BOTH.into_iter().enumerate() {
            let allotted = inner.allotted.get(index).copied().flatten();
            let may_use = [self.max_rate, allotted].into_iter().flatten().min();
            let Some(paced) = inner.paced.get_mut(index) else {
                continue;
            };
            let was_paced = std::mem::replace(paced, may_use.is_some());
            if was_paced || may_use.is_some() {
                inner.pace(open, index, direction, may_use);
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Holds the connections together to `rate`; `None` lets them go.
    fn pace(
        &mut self,
        open: &BTreeMap<u64, OpenConnection>,
        index: usize,
        direction: Direction,
        rate: Option<Rate>,
    ) {
        let usage = |id| {
            let gauge = self.connections.get(id)?.get(index)?;
            // A burst fills a round or misses it: what the last second says counts as well.
            Some(Usage {
                used: gauge.used.max(gauge.shown),
                pace: gauge.pace,
            })
        };
        let usages: Vec<Option<Usage>> = open.keys().map(usage).collect();
        let paces = match rate {
            Some(rate) => among_connections(rate, &usages),
            None => Vec::new(),
        };
        let mut paces = paces.into_iter();
        for (id, connection) in open {
            let pace = paces.next();
            connection
                .live
                .set_pace(direction, pace.map(Rate::to_bytes));
            let gauges = self.connections.get_mut(id);
            if let Some(gauge) = gauges.and_then(|gauges| gauges.get_mut(index)) {
                gauge.pace = pace;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_shows_an_average_and_uses_the_last_reading() {
        let mut gauge = Gauge::default();
        gauge.read(500, Duration::from_millis(500));
        assert_eq!((gauge.used.to_bytes(), gauge.shown.to_bytes()), (1000, 500));
        gauge.read(1_500, Duration::from_secs(1));
        assert_eq!(
            (gauge.used.to_bytes(), gauge.shown.to_bytes()),
            (1000, 1000)
        );
        gauge.read(1_500, Duration::from_secs(2));
        assert_eq!((gauge.used.to_bytes(), gauge.shown.to_bytes()), (0, 0));
    }

    #[test]
    fn a_counter_that_dips_for_a_moment_counts_nothing_twice() {
        let mut gauge = Gauge::default();
        gauge.read(1_000, Duration::from_secs(1));
        gauge.read(400, Duration::from_secs(1));
        gauge.read(1_000, Duration::from_secs(1));
        assert_eq!(gauge.used, Rate::ZERO);
    }
}
