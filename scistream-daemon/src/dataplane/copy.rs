//! The copy plane: read(2) and write(2) through a buffer, in tokio. The path for hosts and users
//! that can do nothing else, and the reference the other planes are compared with.
//!
//! ```text
//!   relay ── flow ToUpstream ───┐
//!     │  ─── flow ToDownstream ─┤ whichever is over first ──► both finished: close
//!     │  ─── reset of a leg ────┤                             a leg died: deliver what it sent,
//!     │  ─── idle, aborted ─────┘                             then reset the other
//! ```
//!
//! Invariants: a flow holds a buffer only while the buffer holds bytes; bytes once read are written
//! or the connection ends by a reset, so that truncation is never seen as a clean end.

mod buffer;
mod flow;
mod last_rites;
mod leg;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::dataplane::live::{Live, RelayOrder};
use crate::dataplane::{
    Direction, DirectionReport, EndReason, Plane, Side, StreamPair, Totals, Transferred,
};
use buffer::BufferPool;
use flow::Flow;
use leg::{Broken, Leg};

/// The copy plane; clones share its buffers and counters.
#[derive(Clone, Debug)]
pub struct CopyPlane {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    buffers: BufferPool,
    copied: AtomicU64,
}

impl Default for CopyPlane {
    fn default() -> Self {
        Self::new()
    }
}

impl CopyPlane {
    /// A plane without connections.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                buffers: BufferPool::default(),
                copied: AtomicU64::new(0),
            }),
        }
    }

    /// Moves bytes until the connection is over; both sockets are closed then.
    pub async fn relay(&self, pair: StreamPair, order: RelayOrder) -> Transferred {
        match Connection::new(&self.shared, pair, &order) {
            Ok(connection) => connection.run(&order).await,
            Err(error) => {
                tracing::error!(%error, "the copy plane could not take a connection");
                Transferred::nothing(Plane::Copy, EndReason::Failed)
            }
        }
    }

    /// What was moved since the start.
    pub fn totals(&self) -> Totals {
        Totals {
            copied: self.shared.copied.load(Ordering::Relaxed),
            ..Totals::default()
        }
    }
}

/// One connection: two legs and two flows between them.
struct Connection<'a> {
    downstream: Leg,
    upstream: Leg,
    to_upstream: Flow<'a>,
    to_downstream: Flow<'a>,
}

impl<'a> Connection<'a> {
    fn new(shared: &'a Shared, pair: StreamPair, order: &'a RelayOrder) -> io::Result<Self> {
        let StreamPair {
            downstream,
            upstream,
        } = pair;
        let downstream = Leg::new(downstream, Side::Downstream)?;
        let upstream = Leg::new(upstream, Side::Upstream)?;
        order.live.set_copied();
        order.live.lend([downstream.to_lend(), upstream.to_lend()]);
        let flow = |direction| Flow::new(shared, order, direction);
        Ok(Self {
            downstream,
            upstream,
            to_upstream: flow(Direction::ToUpstream),
            to_downstream: flow(Direction::ToDownstream),
        })
    }

    async fn run(mut self, order: &RelayOrder) -> Transferred {
        let end = match self.until_over(order).await {
            Ok(end) => end,
            Err(broken) => self.after_breaking(&broken, &order.live).await,
        };
        let transferred = Transferred {
            to_upstream: self.report(Direction::ToUpstream),
            to_downstream: self.report(Direction::ToDownstream),
            end,
        };
        for leg in [&self.downstream, &self.upstream] {
            leg.settle_close(end);
        }
        order.live.end(&transferred);
        order.live.take_back();
        transferred
    }

    /// Runs both flows until both are finished, or something else ends the connection.
    async fn until_over(&mut self, order: &RelayOrder) -> Result<EndReason, Broken> {
        let Self {
            downstream,
            upstream,
            to_upstream,
            to_downstream,
        } = self;
        let activity = Activity::new(order.terms.idle_timeout);
        let flows = async {
            tokio::try_join!(
                to_upstream.run(downstream, upstream, &activity),
                to_downstream.run(upstream, downstream, &activity),
            )
        };
        tokio::select! {
            finished = flows => finished.map(|((), ())| EndReason::Finished),
            broken = downstream.broken() => Err(broken),
            broken = upstream.broken() => Err(broken),
            () = activity.idle() => Ok(EndReason::IdleTimeout),
            () = order.live.aborted() => Ok(EndReason::DrainTimeout),
        }
    }

    /// One leg is dead. What it sent before is still delivered, within bounds; then the other is
    /// reset.
    async fn after_breaking(&mut self, broken: &Broken, live: &Live) -> EndReason {
        tracing::debug!(side = ?broken.side, error = %broken.source, "a side broke");
        if !broken.is_of_the_peer() {
            return EndReason::Failed;
        }
        let (flow, dead, other) = match broken.side {
            Side::Downstream => (&mut self.to_upstream, &self.downstream, &self.upstream),
            Side::Upstream => (&mut self.to_downstream, &self.upstream, &self.downstream),
        };
        tokio::select! {
            () = last_rites::deliver(flow, dead, other) => {}
            () = live.aborted() => {}
        }
        match broken.side {
            Side::Downstream => EndReason::DownstreamReset,
            Side::Upstream => EndReason::UpstreamReset,
        }
    }

    fn report(&self, direction: Direction) -> DirectionReport {
        let (flow, ingress, egress) = match direction {
            Direction::ToUpstream => (&self.to_upstream, &self.downstream, &self.upstream),
            Direction::ToDownstream => (&self.to_downstream, &self.upstream, &self.downstream),
        };
        DirectionReport {
            received: ingress.received(flow.is_finished()),
            copied: flow.copied(),
            accepted: flow.accepted().unwrap_or_else(|| egress.taken()),
            finished: flow.is_finished(),
            ..DirectionReport::new(Plane::Copy)
        }
    }
}

/// When a byte last moved, in either direction; kept only where an idle time-out asks for it.
struct Activity {
    timeout: Option<Duration>,
    start: Instant,
    last: AtomicU64,
}

impl Activity {
    fn new(timeout: Option<Duration>) -> Self {
        Self {
            timeout,
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    fn touch(&self) {
        if self.timeout.is_some() {
            let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.last.store(elapsed, Ordering::Relaxed);
        }
    }

    /// Completes once nothing has moved for the time-out.
    async fn idle(&self) {
        let Some(timeout) = self.timeout else {
            return std::future::pending().await;
        };
        loop {
            let last = Duration::from_nanos(self.last.load(Ordering::Relaxed));
            let due = self.start + last + timeout;
            if Instant::now() >= due {
                return;
            }
            sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests;
