//! The running sessions: one handle that makes, changes, shows and ends them.
//!
//! ```text
//!   control ──create, hello, update, release──► Sessions ──input──► session::Registry (decides)
//!                                                  │  ◄──outputs──
//!                                                  ├─ listeners bound and closed, targets set
//!                                                  ├─ one data plane for all sessions
//!                                                  └─ callers answered, watchers told
//! ```
//!
//! Inputs are taken in under one lock, and their outputs carried out before it is let go, so the
//! world follows the registry step by step. Nothing waits under it: callers wait for their answer on
//! a channel, connections run elsewhere, and listeners and connections that end are seen off by a
//! task for each session.

mod config;
mod events;
mod keeper;
mod meter;
mod pacer;
mod restore;
mod running;
mod shell;
mod state_file;
mod traffic;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use config::{SessionsConfig, SharedParts};
pub use events::{Event, EventStream, Watched};
pub use state_file::{RecordError, StateError, StateFile};
pub use traffic::{
    ConnectionView, DirectionView, FlowView, SessionDetails, SocketView, TrafficView,
};

use crate::dataplane::Totals;
use crate::listener::{Gateway, Targets};
use crate::session::error::Unavailable;
use crate::session::exchange::{Answer, Input};
use crate::session::registry::targets_fit;
use crate::session::{
    Caller, Census, CreateSession, Hello, SavedSession, SessionError, SessionId, SessionView,
    Target,
};
use shell::Shell;

/// Targets whose names were looked up.
type Resolved = HashMap<Target, Arc<Targets>>;

/// The sessions of a gateway; clones share them.
#[derive(Clone)]
pub struct Sessions {
    shell: Arc<Shell>,
}

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
        let shell = Arc::new(Shell::new(config, shared));
        tokio::spawn(shell::keep_time(Arc::downgrade(&shell), shell.timer()));
        tokio::spawn(pacer::pace(Arc::downgrade(&shell)));
        Self { shell }
    }

    /// Brings back the sessions that outlived the last run, and keeps `file` true from then on. To be
    /// awaited before the first call. A session whose ports cannot be bound again is lost, and the log
    /// and the events say so. Answers how many came back.
    pub async fn restore(&self, file: StateFile, sessions: Vec<SavedSession>) -> usize {
        restore::restore(&self.shell, sessions).await;
        self.shell.progress.begin();
        tokio::spawn(keeper::keep(Arc::downgrade(&self.shell), file));
        let (_changes, _revision, back) = self.shell.to_keep();
        back.len()
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
        let id = match &request.id {
            Some(id) => id.clone(),
            None => fresh_id()?,
        };
        if !request.targets.is_empty() {
            targets_fit(&request.targets)?;
        }
        let resolved = self.resolve(&request.targets).await?;
        let input = |ticket| Input::Create {
            ticket,
            caller: caller.clone(),
            id,
            request: Box::new(request),
        };
        let Answer { session, existed } = self.shell.ask(input, &resolved).await?;
        Ok(CreatedSession { session, existed })
    }

    /// Says hello to a session. One that comes a moment before its session is kept for
    /// [`early_hello`](crate::session::registry::RegistryConfig::early_hello), then it is `Unknown`.
    ///
    /// # Errors
    /// `BadField`, `Unknown`, `NotOwner`, `Unavailable`.
    pub async fn hello(
        &self,
        caller: &Caller,
        id: &SessionId,
        hello: Hello,
    ) -> Result<SessionView, SessionError> {
        let input = |ticket| Input::Hello {
            ticket,
            caller: caller.clone(),
            id: id.clone(),
            hello,
        };
        let answer = self.shell.ask(input, &Resolved::new()).await?;
        Ok(answer.session)
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
        // Nobody has names looked up for sessions that are not theirs.
        self.shell.look_at(caller, id)?;
        targets_fit(&targets)?;
        let resolved = self.resolve(&targets).await?;
        let input = |ticket| Input::Update {
            ticket,
            caller: caller.clone(),
            id: id.clone(),
            targets,
        };
        let answer = self.shell.ask(input, &resolved).await?;
        Ok(answer.session)
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
        let input = |ticket| Input::Release {
            ticket,
            caller: caller.clone(),
            id: id.clone(),
            drain,
        };
        let answer = self.shell.ask(input, &Resolved::new()).await?;
        Ok(answer.session)
    }

    /// The caller's sessions, the oldest first; everyone's for an admin.
    pub fn list(&self, caller: &Caller) -> Vec<TrafficView> {
        self.shell.list(caller)
    }

    /// One session with its open connections.
    ///
    /// # Errors
    /// `Unknown`, `NotOwner`.
    pub fn show(&self, caller: &Caller, id: &SessionId) -> Result<SessionDetails, SessionError> {
        self.shell.show(caller, id)
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
        self.shell.watch(caller, id)
    }

    /// Takes no sessions from now on and releases those there are, for good; answers how many that were.
    /// Connections may go on for `limit`, or are cut at once.
    pub fn drain(&self, limit: Option<Duration>) -> usize {
        self.shell.drain(limit)
    }

    /// As [`Self::drain`], because the process ends: with a state file, the sessions that are open stay
    /// in it for the next start.
    pub fn stop(&self, limit: Option<Duration>) -> usize {
        self.shell.stop(limit)
    }

    /// Completes when the state file holds what the sessions are at this moment; at once without one.
    pub async fn all_saved(&self) {
        self.shell.progress.caught_up().await;
    }

    /// How many of everything there is.
    pub fn census(&self) -> Census {
        self.shell.census()
    }

    /// What the connections of all sessions share, with its sums.
    pub fn gateway(&self) -> &Gateway {
        &self.shell.gateway
    }

    /// Bytes that open connections have moved so far, to upstream and to downstream, by what moved
    /// them.
    pub fn moved_by_open(&self) -> [Totals; 2] {
        self.shell.moved_by_open()
    }

    /// Completes when no session is left; to be awaited after [`Self::drain`].
    pub async fn all_closed(&self) {
        self.shell.all_closed().await;
    }

    /// Looks the names of targets up, and refuses those that lead back to us.
    async fn resolve(&self, targets: &[Target]) -> Result<Resolved, SessionError> {
        let mut resolved = Resolved::new();
        for target in targets {
            if resolved.contains_key(target) {
                continue;
            }
            let spec = std::slice::from_ref(target.as_host_port());
            let found = Targets::look_up("the targets", spec).await;
            let found = found.map_err(|error| {
                SessionError::Unavailable(Unavailable::Target {
                    target: target.to_string(),
                    cause: error.cause.to_string(),
                })
            })?;
            if self.shell.leads_back(target, &found).await {
                let allowed = "a target that is not one of this gateway's own listeners";
                return Err(SessionError::bad_field("targets", target, allowed));
            }
            resolved.insert(target.clone(), Arc::new(found));
        }
        Ok(resolved)
    }
}

/// A uid that nobody can guess.
fn fresh_id() -> Result<SessionId, SessionError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the kernel gives no random bytes");
        SessionError::Unavailable(Unavailable::Stopping)
    })?;
    Ok(SessionId::from_random(bytes))
}
