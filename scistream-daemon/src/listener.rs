//! Where connections come from and go to: bound sockets, admission, dialling, and one task per
//! connection that hands the pair to a plane and logs its end.
//!
//! ```text
//!   accept ── admission ── dial ── plane.relay ── one log line
//!     │           │          └─ no target: reset the accepted side, one log line
//!     │           └─ at the maximum: wait, the kernel's backlog holds the rest
//!     └─ no descriptors left: wait until some are
//! ```
//!
//! Invariants: a descriptor for dialling is reserved before a connection is accepted, so a host
//! short of them leaves connections in the backlog and never holds half of a pair; nothing is read
//! from an accepted socket before a plane has both.

mod accept;
mod admission;
mod bind;
mod connection;
mod dial;
mod options;
mod targets;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection_log::ConnectionLog;
use crate::dataplane::plane::StreamPlane;
use crate::dataplane::{RelayLimits, Totals};

pub use admission::Admission;
pub use bind::{BindError, Listener, bind_all};
pub use dial::{Dialer, Refusal, RefusalReason};
pub use options::SocketOptions;
pub use targets::{ResolveError, Targets};

/// What all connections of a gateway share.
pub struct Gateway {
    /// Moves the bytes.
    pub plane: StreamPlane,
    /// What ends a connection from our side.
    pub limits: RelayLimits,
    /// Reaches the targets.
    pub dialer: Dialer,
    /// How many connections may be open.
    pub admission: Arc<Admission>,
    /// Where ends of connections are logged.
    pub log: Arc<ConnectionLog>,
    aborted: watch::Sender<bool>,
    /// What the plane had moved before: its self-test.
    before: Totals,
}

impl Gateway {
    /// A gateway without connections.
    pub fn new(
        plane: StreamPlane,
        limits: RelayLimits,
        dialer: Dialer,
        admission: Arc<Admission>,
        log: Arc<ConnectionLog>,
    ) -> Self {
        let before = plane.totals();
        Self {
            plane,
            limits,
            dialer,
            admission,
            log,
            aborted: watch::Sender::new(false),
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

    /// Ends every connection by a reset, those still dialling included.
    pub fn abort_all(&self) {
        self.aborted.send_replace(true);
        self.plane.abort_all();
    }

    /// Completes when [`Gateway::abort_all`] is called, or was.
    async fn aborted(&self) {
        let mut aborted = self.aborted.subscribe();
        let _sender_alive = aborted.wait_for(|aborted| *aborted).await;
    }
}

/// The running listeners; dropping it closes them.
pub struct Accepting {
    tasks: JoinSet<()>,
}

impl Accepting {
    /// Starts accepting on every listener.
    ///
    /// # Errors
    /// When a socket cannot be watched.
    pub fn start(listeners: Vec<Listener>, gateway: &Arc<Gateway>) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        for listener in listeners {
            let acceptor = accept::Acceptor::new(listener, Arc::clone(gateway))?;
            tasks.spawn(acceptor.run());
        }
        Ok(Self { tasks })
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
