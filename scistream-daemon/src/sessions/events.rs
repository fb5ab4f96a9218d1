//! The event stream: what happens to sessions, to those who may know.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::session::{Caller, Change, SessionId};

/// Events kept for a watcher that reads slowly.
pub(super) const KEPT: usize = 1024;

/// Something happened to a session.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// What.
    pub change: Change,
}

/// What a watcher is told next.
#[derive(Clone, Debug)]
pub enum Watched {
    /// Something happened.
    Event(Arc<Event>),
    /// The watcher read too slowly; so many events, of all sessions, are lost to it.
    Lagged(u64),
}

/// A stream of events. It keeps nothing of the gateway alive.
pub struct EventStream {
    events: broadcast::Receiver<Arc<Event>>,
    caller: Caller,
    session: Option<SessionId>,
}

impl EventStream {
    pub(super) fn new(
        events: broadcast::Receiver<Arc<Event>>,
        caller: Caller,
        session: Option<SessionId>,
    ) -> Self {
        Self {
            events,
            caller,
            session,
        }
    }

    /// The next event; `None` once the gateway has stopped.
    pub async fn next(&mut self) -> Option<Watched> {
        loop {
            match self.events.recv().await {
                Ok(event) if self.wants(&event.change) => return Some(Watched::Event(event)),
                Ok(_of_others) => {}
                Err(RecvError::Lagged(lost)) => return Some(Watched::Lagged(lost)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn wants(&self, change: &Change) -> bool {
        let named = self.session.as_ref().is_none_or(|id| *id == change.session);
        named && self.caller.may_touch(&change.owner)
    }
}
