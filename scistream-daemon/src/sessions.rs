//! The running sessions: one handle that makes, changes, shows and ends them.
//!
//! ```text
//!   control ──create, hello, update, release──► Sessions ──input──► session::Registry (decides)
//!                                                  │  ◄──outputs──
//!                                                  ├─ listeners bound and closed, targets set
//!                                                  ├─ one data plane for all sessions
//!                                                  └─ callers answered, watchers told
//! ```

mod config;
mod events;
mod traffic;

use std::time::Duration;

pub use config::{SessionsConfig, SharedParts};
pub use events::{Event, EventStream, Watched};
pub use traffic::{
    ConnectionView, DirectionView, FlowView, SessionDetails, SocketView, TrafficView,
};

use crate::session::{Caller, CreateSession, Hello, SessionError, SessionId, SessionView, Target};

/// The sessions of a gateway; clones share them.
#[derive(Clone)]
pub struct Sessions {}

/// What a create came to.
#[derive(Clone, Debug)]
pub struct CreatedSession {
    /// The session: bound, and greeted where that was awaited.
    pub session: SessionView,
    /// Whether an earlier create with the same submission id had made it.
    pub existed: bool,
}

impl Sessions {
    /// Starts without sessions. Must be called within a tokio runtime.
    pub fn start(config: SessionsConfig, shared: SharedParts) -> Self {
        todo!()
    }

    /// Makes a session. With [`crate::session::Greeting::Awaited`] it answers once a hello or an
    /// update came; dropping the future before that releases the session, unless another caller
    /// waits for it with the same submission id.
    ///
    /// # Errors
    /// `BadField`, `Exists`, `Exhausted`, `HelloTimeout`, `Ended`, `Unavailable`.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateSession,
    ) -> Result<CreatedSession, SessionError> {
        todo!()
    }

    /// Says hello to a session. One that comes a moment before its session is kept for
    /// [`SessionsConfig::early_hello`], then it is `Unknown`.
    ///
    /// # Errors
    /// `Unknown`, `NotOwner`, `Unavailable`.
    pub async fn hello(
        &self,
        caller: &Caller,
        id: &SessionId,
        hello: Hello,
    ) -> Result<SessionView, SessionError> {
        todo!()
    }

    /// Sets where the session's listeners send to: listener i to target i, beginning anew when
    /// there are fewer targets. Open connections stay where they are. Stands in for a hello that
    /// has not come.
    ///
    /// # Errors
    /// `BadField` (no targets, too many, one of our own listeners), `Unknown`, `NotOwner`,
    /// `Unavailable` (a name without address, a session that drains).
    pub async fn update(
        &self,
        caller: &Caller,
        id: &SessionId,
        targets: Vec<Target>,
    ) -> Result<SessionView, SessionError> {
        todo!()
    }

    /// Ends a session. Nothing listens any more when it answers; its connections are gone then too,
    /// or, with a `drain` time, go on until it is over.
    ///
    /// # Errors
    /// `Unknown` (also the second time), `NotOwner`.
    pub async fn release(
        &self,
        caller: &Caller,
        id: &SessionId,
        drain: Option<Duration>,
    ) -> Result<SessionView, SessionError> {
        todo!()
    }

    /// The caller's sessions, the oldest first; everyone's for an admin.
    pub fn list(&self, caller: &Caller) -> Vec<TrafficView> {
        todo!()
    }

    /// One session with its open connections.
    ///
    /// # Errors
    /// `Unknown`, `NotOwner`.
    pub fn show(&self, caller: &Caller, id: &SessionId) -> Result<SessionDetails, SessionError> {
        todo!()
    }

    /// What happens from now on to the caller's sessions (everyone's for an admin), or to one.
    ///
    /// # Errors
    /// `Unknown`, `NotOwner`.
    pub fn watch(
        &self,
        caller: &Caller,
        id: Option<&SessionId>,
    ) -> Result<EventStream, SessionError> {
        todo!()
    }

    /// Takes no sessions from now on and releases those there are; answers how many that were.
    pub fn drain(&self, limit: Option<Duration>) -> usize {
        todo!()
    }

    /// Completes when no session is left; to be awaited after [`Self::drain`].
    pub async fn all_closed(&self) {
        todo!()
    }
}
