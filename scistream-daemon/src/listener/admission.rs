//! How many connections may be open, and the pauses when there can be no more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long accepting waits for descriptors when no connection of ours closes: another process may
/// have given some back.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Counts connections, and lets in as many as may be.
#[derive(Debug)]
pub struct Admission {
    maximum: usize,
    permits: Arc<Semaphore>,
    admitted: AtomicU64,
    closed: Notify,
    at_maximum: AtomicBool,
    exhausted: AtomicBool,
    /// What to do about the maximum.
    advice: &'static str,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// Room for `maximum` connections.
    pub fn new(maximum: usize) -> Self {
        let maximum = maximum.min(Semaphore::MAX_PERMITS);
        Self {
            maximum,
            permits: Arc::new(Semaphore::new(maximum)),
            admitted: AtomicU64::new(0),
            closed: Notify::new(),
            at_maximum: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            advice: "raise --max-connections to take more",
        }
    }

    /// Room for `maximum` connections of one session.
    pub fn of_session(maximum: usize) -> Self {
        Self {
            advice: "the session, or its owner's quota, allows no more",
            ..Self::new(maximum)
        }
    }

    /// Connections that may be open.
    pub fn maximum(&self) -> usize {
        self.maximum
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.maximum - self.permits.available_permits()
    }

    /// Connections accepted since the start.
    pub fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Room for one more connection, if there is some.
    pub(super) fn room_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Waits for room for one more connection, which waits in a backlog.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        if !self.at_maximum.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                maximum = self.maximum,
                "accepting pauses at the maximum of connections; {}",
                self.advice
            );
        }
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Takes a connection in.
    pub(super) fn admit(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Admitted {
        self.admitted.fetch_add(1, Ordering::Relaxed);
        Admitted {
            admission: Arc::clone(self),
            permit: Some(permit),
        }
    }

    /// The kernel is out of something that open connections hold: waits until one closes, or a
    /// moment.
    pub(super) async fn wait_for_resources(&self, error: &io::Error) {
        if !self.exhausted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                connections = self.open(),
                "accepting pauses until a connection closes; raise the limit on open files (ulimit -n)"
            );
        }
        let _closed_or_late = timeout(RETRY_INTERVAL, self.closed.notified()).await;
    }

    /// Every connection that waited in a backlog has been accepted: pauses are over.
    pub(super) fn caught_up(&self) {
        for flag in [&self.at_maximum, &self.exhausted] {
            if flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Relaxed) {
                tracing::info!(connections = self.open(), "accepting resumed");
            }
        }
    }

    /// Completes when no connection is open; to be awaited once accepting has stopped.
    pub async fn all_closed(&self) {
        let all = u32::try_from(self.maximum).unwrap_or(u32::MAX);
        let _never_closed = self.permits.acquire_many(all).await;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.admission.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready<T>(future: impl Future<Output = T>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut context).is_ready()
    }

    #[tokio::test]
    async fn the_maximum_holds_and_a_closed_connection_makes_room() {
        let admission = Arc::new(Admission::new(2));
        let first = admission.admit(admission.room_now().unwrap());
        let second = admission.admit(admission.room().await.unwrap());
        assert_eq!(admission.open(), 2);
        assert!(admission.room_now().is_none());
        assert!(!is_ready(admission.room()));
        drop(first);
        assert!(is_ready(admission.room()));
        drop(second);
        assert_eq!((admission.open(), admission.admitted()), (0, 2));
    }

    #[tokio::test]
    async fn all_closed_waits_for_the_last_connection() {
        let admission = Arc::new(Admission::new(3));
        let last = admission.admit(admission.room().await.unwrap());
        assert!(!is_ready(admission.all_closed()));
        drop(last);
        assert!(is_ready(admission.all_closed()));
    }

    #[tokio::test]
    async fn an_exhausted_listener_goes_on_when_a_connection_closes() {
        let admission = Arc::new(Admission::new(1));
        let connection = admission.admit(admission.room().await.unwrap());
        let error = io::Error::from_raw_os_error(24);
        let mut waiting = std::pin::pin!(admission.wait_for_resources(&error));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(connection);
        assert!(waiting.as_mut().poll(&mut context).is_ready());
    }
}
