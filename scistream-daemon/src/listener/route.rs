//! What the connections of one session share.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::Gateway;
use super::admission::Admission;
use super::dial::Dialer;
use super::open::OpenConnections;
use crate::dataplane::RelayTerms;
use crate::session::Network;

/// What holds for the connections of a session.
#[derive(Clone, Debug, Default)]
pub struct RouteTerms {
    /// Who may connect; empty for everyone.
    pub sources: Vec<Network>,
    /// Connections at once, beside what the gateway takes; `None` for no limit of its own.
    pub max_connections: Option<u32>,
    /// How planes treat a connection.
    pub relay: RelayTerms,
}

/// What the connections of a session share.
pub struct Route {
    /// What all sessions share.
    pub gateway: Gateway,
    /// What holds for its connections.
    pub terms: RouteTerms,
    /// How many of them may be open.
    pub admission: Arc<Admission>,
    /// Those that are.
    pub open: Arc<OpenConnections>,
    pub(super) dialer: Dialer,
    aborted: watch::Sender<bool>,
}

impl Route {
    /// A route without connections.
    pub fn new(gateway: Gateway, terms: RouteTerms, dialer: Dialer) -> Self {
        let maximum = gateway.admission.maximum();
        let admission = match terms.max_connections {
            Some(most) => Admission::of_session(maximum.min(most as usize)),
            // One more, so that it is the gateway's maximum that is met and named.
            None => Admission::of_session(maximum.saturating_add(1)),
        };
        Self {
            gateway,
            terms,
            admission: Arc::new(admission),
            open: Arc::default(),
            dialer,
            aborted: watch::Sender::new(false),
        }
    }

    /// With other books of its connections, which tell somebody.
    #[must_use]
    pub fn with_open(self, open: OpenConnections) -> Self {
        Self {
            open: Arc::new(open),
            ..self
        }
    }

    /// Ends every connection by a reset, those still dialling included.
    pub fn abort_all(&self) {
        self.aborted.send_replace(true);
        self.open.abort_all();
        self.gateway.plane.end_aborted();
    }

    /// Whether [`Route::abort_all`] was called.
    pub(super) fn is_aborted(&self) -> bool {
        *self.aborted.borrow()
    }

    /// Completes when [`Route::abort_all`] is called, or was.
    pub(super) async fn aborted(&self) {
        let mut aborted = self.aborted.subscribe();
        let _sender_alive = aborted.wait_for(|aborted| *aborted).await;
    }

    /// Whether `source` may connect.
    pub(super) fn lets_in(&self, source: IpAddr) -> bool {
        let sources = &self.terms.sources;
        sources.is_empty() || sources.iter().any(|network| network.contains(source))
    }
}
