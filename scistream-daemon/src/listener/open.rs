//! The connections of a session that are open, and the sums of those that were.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::AcceptedFrom;
use crate::dataplane::live::Live;
use crate::dataplane::{Direction, Transferred};

/// Numbers all connections of the process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A connection that a plane has.
#[derive(Clone, Debug)]
pub struct OpenConnection {
    /// Unique in this process; a later connection has a higher one.
    pub id: u64,
    /// Where it came from.
    pub from: AcceptedFrom,
    /// The target.
    pub upstream: SocketAddr,
    /// When it was accepted.
    pub accepted_at: Instant,
    /// What it does.
    pub live: Arc<Live>,
}

/// Called when a connection comes or goes, with all that are open then.
type OnChange = Box<dyn Fn(&BTreeMap<u64, OpenConnection>) + Send + Sync>;

/// The connections of a session.
#[derive(Default)]
pub struct OpenConnections {
    inner: Mutex<Inner>,
    on_change: Option<OnChange>,
}

#[derive(Default)]
struct Inner {
    open: BTreeMap<u64, OpenConnection>,
    total: u64,
    closed_to_upstream: u64,
    closed_to_downstream: u64,
}

/// What a session has moved.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Moved {
    /// From who connects to the targets, bytes.
    pub to_upstream: u64,
    /// From the targets to who connects, bytes.
    pub to_downstream: u64,
    /// Connections that reached a target since the start.
    pub connections: u64,
}

impl OpenConnections {
    /// Has `on_change` called whenever a connection comes or goes, under the lock.
    #[must_use]
    pub fn telling(
        on_change: impl Fn(&BTreeMap<u64, OpenConnection>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: Mutex::default(),
            on_change: Some(Box::new(on_change)),
        }
    }

    /// Those open now, the oldest first.
    pub fn all(&self) -> Vec<OpenConnection> {
        self.inner().open.values().cloned().collect()
    }

    /// What was moved so far, by connections open and closed.
    pub fn moved(&self) -> Moved {
        let inner = self.inner();
        let mut moved = Moved {
            to_upstream: inner.closed_to_upstream,
            to_downstream: inner.closed_to_downstream,
            connections: inner.total,
        };
        for connection in inner.open.values() {
            moved.to_upstream += connection.live.moved(Direction::ToUpstream);
            moved.to_downstream += connection.live.moved(Direction::ToDownstream);
        }
        moved
    }

    /// Looks at those open now.
    pub fn with<T>(&self, look: impl FnOnce(&BTreeMap<u64, OpenConnection>) -> T) -> T {
        look(&self.inner().open)
    }

    /// Asks all of them to end.
    pub(super) fn abort_all(&self) {
        for connection in self.inner().open.values() {
            connection.live.abort();
        }
    }

    /// A connection reached its target.
    pub(super) fn insert(
        &self,
        from: AcceptedFrom,
        upstream: SocketAddr,
        accepted_at: Instant,
    ) -> OpenConnection {
        let connection = OpenConnection {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            from,
            upstream,
            accepted_at,
            live: Arc::default(),
        };
        let mut inner = self.inner();
        inner.total += 1;
        inner.open.insert(connection.id, connection.clone());
        self.tell(&inner);
        connection
    }

    /// A connection is over.
    pub(super) fn remove(&self, id: u64, transferred: &Transferred) {
        let mut inner = self.inner();
        inner.open.remove(&id);
        inner.closed_to_upstream += transferred.to_upstream.moved();
        inner.closed_to_downstream += transferred.to_downstream.moved();
        self.tell(&inner);
    }

    fn tell(&self, inner: &Inner) {
        if let Some(on_change) = &self.on_change {
            on_change(&inner.open);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
