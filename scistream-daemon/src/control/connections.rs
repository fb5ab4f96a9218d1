//! The control connections: how many there are, who of them has proved to be anybody, and when one
//! is closed.
//!
//! Whoever opens connections and says nothing, or too slowly, cannot keep others out: the *unproven*
//! ones are bounded by themselves, and for a new one the oldest of them goes. A connection is proven
//! by its first call with good credentials.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// The open control connections.
#[derive(Debug)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    table: Mutex<Table>,
}

/// How many there may be, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// At once.
    pub(super) open: usize,
    /// At once whose callers have not proved who they are.
    pub(super) unproven: usize,
    /// To the first complete call, the TLS handshake included.
    pub(super) first_call: Duration,
    /// Without a call, later.
    pub(super) idle: Duration,
}

#[derive(Debug, Default)]
struct Table {
    open: usize,
    next: u64,
    unproven: BTreeMap<u64, oneshot::Sender<()>>,
}

/// One connection, as its calls know it.
#[derive(Debug)]
pub(super) struct Presence {
    connections: Arc<Connections>,
    number: u64,
    opened: Instant,
    proven: AtomicBool,
    called: AtomicBool,
    calls: AtomicU32,
    /// When the last call began or ended, milliseconds since `opened`.
    last: AtomicU64,
}

/// Completes when a connection must give way.
pub(super) type Eviction = oneshot::Receiver<()>;

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: Mutex::default(),
        })
    }

    pub(super) fn limits(&self) -> ConnectionLimits {
        self.limits
    }

    /// Takes in a new connection; `None` when there are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Option<(Presence, Eviction)> {
        let mut table = self.table();
        if table.open >= self.limits.open {
            return None;
        }
        let number = table.next;
        table.next += 1;
        table.open += 1;
        let (evict, eviction) = oneshot::channel();
        table.unproven.insert(number, evict);
        if table.unproven.len() > self.limits.unproven {
            table.evict_oldest();
        }
        drop(table);
        let presence = Presence {
            connections: Arc::clone(self),
            number,
            opened: Instant::now(),
            proven: AtomicBool::new(false),
            called: AtomicBool::new(false),
            calls: AtomicU32::new(0),
            last: AtomicU64::new(0),
        };
        Some((presence, eviction))
    }

    /// Closes the oldest unproven connection, where descriptors are short.
    pub(super) fn make_room(&self) {
        self.table().evict_oldest();
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn evict_oldest(&mut self) {
        if let Some((_number, evict)) = self.unproven.pop_first() {
            // It may have gone by itself.
            let _told = evict.send(());
        }
    }
}

impl Presence {
    /// The caller has shown good credentials.
    pub(super) fn prove(&self) {
        if !self.proven.swap(true, Ordering::Relaxed) {
            self.connections.table().unproven.remove(&self.number);
        }
    }

    /// A call began; it ends when the answer is dropped.
    pub(super) fn call(self: &Arc<Self>) -> CallInProgress {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.touch();
        CallInProgress(Arc::clone(self))
    }

    /// A call was made.
    pub(super) fn touch(&self) {
        self.called.store(true, Ordering::Relaxed);
        let elapsed = self.opened.elapsed().as_millis();
        self.last.store(
            u64::try_from(elapsed).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// When the connection is to be closed unless something happens; `None` while it is in use.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.calls.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let limits = &self.connections.limits;
        if !self.called.load(Ordering::Relaxed) {
            return Some(self.opened + limits.first_call);
        }
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        Some(self.opened + last + limits.idle)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.open -= 1;
        table.unproven.remove(&self.number);
    }
}

/// A call that is being answered: its connection stays.
#[derive(Debug)]
pub(super) struct CallInProgress(Arc<Presence>);

impl Drop for CallInProgress {
    fn drop(&mut self) {
        self.0.touch();
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ConnectionLimits {
        ConnectionLimits {
            open: 4,
            unproven: 2,
            first_call: Duration::from_secs(10),
            idle: Duration::from_secs(600),
        }
    }

    #[test]
    fn for_a_new_connection_the_oldest_unproven_one_goes() {
        let connections = Connections::new(limits());
        let (first, mut first_eviction) = connections.enter().unwrap();
        first.prove();
        let (_second, mut second_eviction) = connections.enter().unwrap();
        let (_third, mut third_eviction) = connections.enter().unwrap();
        assert!(second_eviction.try_recv().is_err());
        let (fourth, _) = connections.enter().unwrap();
        assert_eq!(second_eviction.try_recv(), Ok(()));
        assert!(third_eviction.try_recv().is_err());
        assert!(first_eviction.try_recv().is_err(), "the proven one stays");
        assert!(connections.enter().is_none(), "four are open");
        drop(fourth);
        assert!(connections.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_when_it_is_not_used() {
        let connections = Connections::new(limits());
        let (presence, _eviction) = connections.enter().unwrap();
        let presence = Arc::new(presence);
        let opened = Instant::now();
        assert_eq!(presence.deadline(), Some(opened + limits().first_call));
        tokio::time::advance(Duration::from_secs(5)).await;
        let call = presence.call();
        assert_eq!(presence.deadline(), None);
        tokio::time::advance(Duration::from_secs(300)).await;
        drop(call);
        let idle = opened + Duration::from_secs(305) + limits().idle;
        assert_eq!(presence.deadline(), Some(idle));
    }
}
