//! The planes behind one door: the closed set a listener hands its connections to.

use crate::dataplane::copy::CopyPlane;
use crate::dataplane::engine::Engine;
use crate::dataplane::{RelayLimits, StreamPair, Totals, Transferred};

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
    pub async fn relay(&self, pair: StreamPair, limits: RelayLimits) -> Transferred {
        match self {
            Self::Copy(plane) => plane.relay(pair, limits).await,
            Self::Engine(engine) => engine.relay(pair, limits).await,
        }
    }

    /// As [`Self::relay`], and tells `ended`. The engine takes it from there: the future is done once
    /// the sockets are handed over, so an open connection costs no task, and its end no wake-up of
    /// another thread. `ended` is dropped uncalled when the sockets could not be taken over.
    pub async fn relay_then(
        &self,
        pair: StreamPair,
        limits: RelayLimits,
        ended: impl FnOnce(Transferred) + Send + 'static,
    ) {
        match self {
            Self::Copy(plane) => ended(plane.relay(pair, limits).await),
            Self::Engine(engine) => engine.submit(pair, limits, ended),
        }
    }

    /// Ends every connection by a reset of both sides.
    pub fn abort_all(&self) {
        match self {
            Self::Copy(plane) => plane.abort_all(),
            Self::Engine(engine) => engine.abort_all(),
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
