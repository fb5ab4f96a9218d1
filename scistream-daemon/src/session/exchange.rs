//! What goes into the registry and what comes out of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::caller::Caller;
use super::error::SessionError;
use super::event::Change;
use super::id::SessionId;
use super::network::Network;
use super::rate::Rate;
use super::request::{CreateSession, Hello};
use super::saved::SavedSession;
use super::target::Target;
use super::view::SessionView;

/// A caller that waits for an answer; each gets exactly one, unless it goes away.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// One session among all that ever were: a uid comes back, a key does not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionKey(pub u64);

/// Something that the registry is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A caller wants a session.
    Create {
        /// Who waits.
        ticket: Ticket,
        /// Who asks.
        caller: Caller,
        /// The uid: the request's, or a fresh one.
        id: SessionId,
        /// What it is to be.
        request: Box<CreateSession>,
    },
    /// An application says hello.
    Hello {
        /// Who waits.
        ticket: Ticket,
        /// Who asks.
        caller: Caller,
        /// To which session.
        id: SessionId,
        /// What it says.
        hello: Hello,
    },
    /// A caller sets targets.
    Update {
        /// Who waits.
        ticket: Ticket,
        /// Who asks.
        caller: Caller,
        /// Of which session.
        id: SessionId,
        /// Where its listeners are to send.
        targets: Vec<Target>,
    },
    /// A caller ends a session.
    Release {
        /// Who waits.
        ticket: Ticket,
        /// Who asks.
        caller: Caller,
        /// Which session.
        id: SessionId,
        /// How long its connections may go on; not at all when `None`.
        drain: Option<Duration>,
    },
    /// Whoever held the ticket went away unanswered.
    CallerGone {
        /// The ticket.
        ticket: Ticket,
    },
    /// A listener is bound.
    Bound {
        /// The session.
        key: SessionKey,
        /// Which of its listeners.
        index: usize,
        /// Where.
        listen: SocketAddr,
    },
    /// A listener could not be bound.
    BindFailed {
        /// The session.
        key: SessionKey,
        /// Which of its listeners.
        index: usize,
        /// Why, in words.
        cause: String,
    },
    /// All listeners of a session are closed.
    ListenersClosed {
        /// The session.
        key: SessionKey,
    },
    /// Listeners and connections of a session are gone.
    Settled {
        /// The session.
        key: SessionKey,
    },
    /// Bytes moved in a session, or a connection came.
    Moved {
        /// The session.
        key: SessionKey,
    },
    /// The gateway takes no sessions from now on, and ends those there are.
    Drain {
        /// How long connections may go on; not at all when `None`.
        limit: Option<Duration>,
    },
    /// A session outlived the process that had it: it comes back on its own ports, or is lost.
    Restore {
        /// The session.
        saved: Box<SavedSession>,
    },
    /// As `Drain`, because the process ends: sessions that are open are kept for the next one.
    Suspend {
        /// How long connections may go on; not at all when `None`.
        limit: Option<Duration>,
    },
    /// Time has passed.
    Tick,
}

/// Something that is to be done, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// A session begins; no listener of it is open yet.
    Prepare {
        /// The session.
        key: SessionKey,
        /// What holds for it.
        terms: Arc<Terms>,
    },
    /// Bind a listener and answer with `Bound` or `BindFailed`.
    OpenListener {
        /// The session.
        key: SessionKey,
        /// Which of its listeners.
        index: usize,
        /// The port; 0 for any.
        port: u16,
    },
    /// Forward from now on: listener i to target i.
    SetTargets {
        /// The session.
        key: SessionKey,
        /// One for each listener.
        targets: Vec<Target>,
    },
    /// Close all listeners, answer with `ListenersClosed`, and with `Settled` once no connection is
    /// left.
    CloseListeners {
        /// The session.
        key: SessionKey,
    },
    /// Reset all connections of a session; its listeners are closed, or closing.
    EndConnections {
        /// The session.
        key: SessionKey,
    },
    /// Answer a caller.
    Answer {
        /// Who waits.
        ticket: Ticket,
        /// What to answer.
        answer: Result<Box<Answer>, SessionError>,
    },
    /// Tell those who watch.
    Record(Change),
}

/// What a call came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The session after it.
    pub session: SessionView,
    /// For a create: whether an earlier one with the same submission id had made it.
    pub existed: bool,
}

/// What holds for a session as long as it lives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Its uid.
    pub id: SessionId,
    /// Listeners.
    pub listeners: usize,
    /// Who may connect; empty for everyone.
    pub sources: Vec<Network>,
    /// Connections at once; `None` for as many as the gateway takes.
    pub max_connections: Option<u32>,
    /// The rate it reserves in each direction; zero for best effort.
    pub reserved: Rate,
    /// The rate it may not exceed in either direction.
    pub max_rate: Option<Rate>,
    /// How long it may last.
    pub lifetime: Option<Duration>,
    /// It ends when no byte has moved for this long.
    pub idle_timeout: Option<Duration>,
}
