//! The event stream: what happens to sessions, to those who may know.

use std::time::SystemTime;

use crate::session::Change;

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
    Event(Event),
    /// The watcher read too slowly; so many events are lost to it.
    Lagged(u64),
}

/// A stream of events.
pub struct EventStream {}

impl EventStream {
    /// The next event; `None` once the gateway has stopped.
    pub async fn next(&mut self) -> Option<Watched> {
        todo!()
    }
}
