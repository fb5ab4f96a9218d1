//! Where connections come from and go to: bound sockets, admission, dialling, and one task per
//! connection that hands the pair to a plane and logs its end.
//!
//! ```text
//!   accept ── source ── admission ── dial ── plane.relay ── one log line
//!     │         │           │          └─ no target: reset the accepted side, one log line
//!     │         │           └─ at the maximum: wait, the kernel's backlog holds the rest
//!     │         └─ not allowed: reset, one log line
//!     ├─ no targets yet: wait, likewise
//!     └─ no descriptors left: wait until some are
//! ```
//!
//! A [`Route`] is what the connections of one session share; `s2cs forward` is one route whose
//! targets never change. Each listener of a route has an [`Aim`], the targets it sends to now.
//!
//! Invariants: a descriptor for dialling is reserved before a connection is accepted, so a host
//! short of them leaves connections in the backlog and never holds half of a pair; nothing is read
//! from an accepted socket before a plane has both; connections of one listener dial in the order in
//! which they were accepted.

mod accept;
mod admission;
mod bind;
mod connection;
mod dial;
mod open;
mod options;
mod own;
mod route;
mod targets;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection_log::ConnectionLog;
use crate::dataplane::Totals;
use crate::dataplane::plane::StreamPlane;

pub use admission::Admission;
pub use bind::{BindError, Listener, bind, bind_all};
pub use dial::{Dialer, Refusal, RefusalReason};
pub use open::{Moved, OpenConnection, OpenConnections};
pub use options::SocketOptions;
pub use own::{Advertised, OwnListeners};
pub use route::{Route, RouteTerms};
pub use targets::{ResolveError, Targets};

/// What all connections of a process share.
#[derive(Clone)]
pub struct Gateway {
    /// Moves the bytes.
    pub plane: StreamPlane,
    /// How many connections may be open.
    pub admission: Arc<Admission>,
    /// Where ends of connections are logged.
    pub log: Arc<ConnectionLog>,
    /// What the plane had moved before: its self-test.
    before: Totals,
}

impl Gateway {
    /// A gateway without connections.
    pub fn new(plane: StreamPlane, admission: Arc<Admission>, log: Arc<ConnectionLog>) -> Self {
        let before = plane.totals();
        Self {
            plane,
            admission,
            log,
            before,
        }
    }

    /// Bytes moved so far, by what moved them.
    pub fn totals(&self) -> Totals {
        let Totals {
            redirected,
            spliced,
            copied,
        } = self.plane.totals();
        Totals {
            redirected: redirected - self.before.redirected,
            spliced: spliced - self.before.spliced,
            copied: copied - self.before.copied,
        }
    }
}

/// The targets that a listener sends to now; none before there are some. Connections wait in the
/// kernel until then.
pub type Aim = watch::Receiver<Option<Arc<Targets>>>;

/// The running listeners; dropping it closes them.
#[derive(Default)]
pub struct Accepting {
    tasks: JoinSet<()>,
}

impl Accepting {
    /// None yet.
    pub fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
        }
    }

    /// Starts accepting on one more listener, for targets that may change.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    pub fn add(&mut self, listener: Listener, aim: Aim, route: &Arc<Route>) -> io::Result<()> {
        let acceptor = accept::Acceptor::new(listener, aim, Arc::clone(route))?;
        self.tasks.spawn(acceptor.run());
        Ok(())
    }

    /// Closes the listeners; connections accepted so far go on.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The two ends of an accepted connection, for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AcceptedFrom {
    /// The peer that connected to us.
    pub downstream: SocketAddr,
    /// The listener it came in by.
    pub listen: SocketAddr,
}
