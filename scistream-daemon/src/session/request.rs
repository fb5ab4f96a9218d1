//! What callers ask for, once parsed.

use std::time::Duration;

use super::id::{Label, SessionId, SubmissionId};
use super::network::Network;
use super::rate::Rate;
use super::target::Target;

/// Which side of the stream this gateway stands on for a session, or for who says hello.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// Beside the application that connects (wire `CONS`).
    Consumer,
    /// Beside the application that listens (wire `PROD`).
    Producer,
}

/// Whether the session waits for its application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Greeting {
    /// `create` answers when a hello, or targets, came; the session is released if none does within
    /// this time (`None` for the gateway's own).
    Awaited(Option<Duration>),
    /// `create` answers when the listeners are bound.
    NotNeeded,
}

/// What a session is to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CreateSession {
    /// Its uid; `None` for one of ours.
    pub id: Option<SessionId>,
    /// Which side this gateway is on.
    pub role: Role,
    /// How many listeners; 1 to the size of the port pool.
    pub listeners: u32,
    /// Whether it waits for a hello.
    pub greeting: Greeting,
    /// The wire's `rate`, taken for what the gateway's `RateUse` says; `None` for none.
    pub rate: Option<Rate>,
    /// The rate it reserves, whatever `RateUse` says.
    pub reserved: Option<Rate>,
    /// The rate it may not exceed in either direction.
    pub max_rate: Option<Rate>,
    /// Where its listeners send to, in turn; none when an update will say.
    pub targets: Vec<Target>,
    /// What people call it.
    pub label: Option<Label>,
    /// A repeated create of the same caller with the same key gets the session of the first.
    pub submission: Option<SubmissionId>,
    /// How long it may last.
    pub lifetime: Option<Duration>,
    /// It ends when no byte has moved for this long.
    pub idle_timeout: Option<Duration>,
    /// Who may connect to its listeners; empty for whoever the caller's quota allows.
    pub sources: Vec<Network>,
    /// Connections at once; further ones wait in the kernel.
    pub max_connections: Option<u32>,
}

/// What an application says to a session that waits for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Who says it. `PROD` is fine on a consumer's session: an old `outbound-request` says so.
    pub role: Role,
    /// Where the application listens; told to the caller of `req`, and not yet forwarded to.
    pub targets: Vec<Target>,
}

impl CreateSession {
    /// A session with one listener that is ready at once, and nothing else asked for.
    pub fn plain(role: Role) -> Self {
        Self {
            id: None,
            role,
            listeners: 1,
            greeting: Greeting::NotNeeded,
            rate: None,
            reserved: None,
            max_rate: None,
            targets: Vec::new(),
            label: None,
            submission: None,
            lifetime: None,
            idle_timeout: None,
            sources: Vec::new(),
            max_connections: None,
        }
    }
}
