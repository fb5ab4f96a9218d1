//! The planes behind one door: the closed set a listener hands its connections to.

use crate::dataplane::copy::CopyPlane;
use crate::dataplane::engine::Engine;
use crate::dataplane::live::RelayOrder;
use crate::dataplane::{StreamPair, Totals, Transferred};

/// The plane, or planes, that a gateway runs on. Clones share everything.
#[derive(Clone)]
pub enum StreamPlane {
    /// Every byte through a buffer in user space.
    Copy(CopyPlane),
    /// Splice, sockmap, or each direction as it behaves.
    Engine(Engine),
}

impl StreamPlane {
    /// Moves bytes until the connection is over; both sockets are closed then.
    pub async fn relay(&self, pair: StreamPair, order: RelayOrder) -> Transferred {
        match self {
            Self::Copy(plane) => plane.relay(pair, order).await,
            Self::Engine(engine) => engine.relay(pair, order).await,
        }
    }

    /// As [`Self::relay`], and tells `ended`. The engine takes it from there: the future is done once
    /// the sockets are handed over, so an open connection costs no task, and its end no wake-up of
    /// another thread. `ended` is dropped uncalled when the sockets could not be taken over.
    pub async fn relay_then(
        &self,
        pair: StreamPair,
        order: RelayOrder,
        ended: impl FnOnce(Transferred) + Send + 'static,
    ) {
        match self {
            Self::Copy(plane) => ended(plane.relay(pair, order).await),
            Self::Engine(engine) => engine.submit(pair, order, ended),
        }
    }

    /// Has the connections end that were aborted, see [`crate::dataplane::live::Live::abort`].
    pub fn end_aborted(&self) {
        match self {
            // Each of its connections waits for the wish itself.
            Self::Copy(_) => {}
            Self::Engine(engine) => engine.end_aborted(),
        }
    }

    /// What was moved since the start, connections still open included.
    pub fn totals(&self) -> Totals {
        match self {
            Self::Copy(plane) => plane.totals(),
            Self::Engine(engine) => engine.totals(),
        }
    }

    /// Descriptors to count on per connection: its sockets, and for splice a share of the pipes.
    /// Few directions hold a pipe at a time, and one that finds none copies.
    pub fn descriptors_per_connection(&self) -> u64 {
        match self {
            Self::Copy(_) => 2,
            Self::Engine(_) => 3,
        }
    }
}
