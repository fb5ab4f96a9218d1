//! One session's part of the world: its listeners, its connections, what they move.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;

use super::Resolved;
use super::meter::Meter;
use super::shell::Shell;
use super::traffic::{ConnectionView, FlowView, TrafficView};
use crate::drain;
use crate::listener::Targets;
use crate::listener::{Accepting, BindError, Listener, OpenConnections, Route, RouteTerms, bind};
use crate::session::exchange::{Input, SessionKey, Terms};
use crate::session::{SessionView, Target};

/// A session.
pub(super) struct Running {
    shared: Shared,
    accepting: Accepting,
    /// What each listener sends to.
    aims: Vec<watch::Sender<Option<Arc<Targets>>>>,
    listens: Vec<SocketAddr>,
    /// Its connections are to be reset.
    cut: watch::Sender<bool>,
}

/// What others have of a session beside the lock.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) key: SessionKey,
    pub(super) terms: Arc<Terms>,
    pub(super) route: Arc<Route>,
    pub(super) meter: Arc<Meter>,
}

impl Running {
    pub(super) fn new(shell: &Shell, key: SessionKey, terms: Arc<Terms>) -> Self {
        let route_terms = RouteTerms {
            sources: terms.sources.clone(),
            max_connections: terms.max_connections,
            relay: shell.config.relay,
        };
        let meter = Arc::new(Meter::new(terms.max_rate));
        let shares_anew = Arc::clone(&meter);
        let open = OpenConnections::telling(move |open| shares_anew.share(open));
        let route = Route::new(shell.gateway.clone(), route_terms, shell.dialer.clone());
        Self {
            accepting: Accepting::new(),
            aims: (0..terms.listeners)
                .map(|_| watch::Sender::new(None))
                .collect(),
            listens: Vec::new(),
            cut: watch::Sender::new(false),
            shared: Shared {
                key,
                terms,
                route: Arc::new(route.with_open(open)),
                meter,
            },
        }
    }

    pub(super) fn share(&self) -> Shared {
        self.shared.clone()
    }

    /// Binds a listener on every address, or on none.
    pub(super) fn open(&mut self, shell: &Shell, index: usize, port: u16) -> Input {
        let key = self.shared.key;
        match self.try_open(shell, index, port) {
            Ok(listen) => Input::Bound { key, index, listen },
            Err(error) => Input::BindFailed {
                key,
                index,
                cause: error.to_string(),
            },
        }
    }

    fn try_open(
        &mut self,
        shell: &Shell,
        index: usize,
        port: u16,
    ) -> Result<SocketAddr, BindError> {
        let mut listeners: Vec<Listener> = Vec::new();
        for ip in &shell.config.listen {
            // All addresses have the port that the kernel chose for the first.
            let port = listeners.first().map_or(port, |first| first.address.port());
            listeners.push(bind(
                SocketAddr::new(*ip, port),
                &shell.config.socket_options,
            )?);
        }
        let nowhere = SocketAddr::from(([0, 0, 0, 0], port));
        let first = listeners.first().map_or(nowhere, |first| first.address);
        let Some(aim) = self.aims.get(index) else {
            return Ok(first);
        };
        for listener in listeners {
            let address = listener.address;
            let added = self
                .accepting
                .add(listener, aim.subscribe(), &self.shared.route);
            added.map_err(|cause| BindError::Refused {
                address,
                call: "epoll_ctl(ADD)",
                cause,
            })?;
            shell.own.add(address);
            self.listens.push(address);
        }
        Ok(first)
    }

    /// Has each listener send to its target from now on.
    pub(super) fn aim(&self, targets: &[Target], resolved: &Resolved) {
        for (aim, target) in self.aims.iter().zip(targets) {
            if let Some(targets) = resolved.get(target) {
                aim.send_replace(Some(Arc::clone(targets)));
            }
        }
    }

    /// Has its connections reset.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Closes the listeners, waits for the connections, and tells the registry of both.
    pub(super) fn see_off(&mut self, shell: &Arc<Shell>) -> impl Future<Output = ()> + use<> {
        let accepting = std::mem::take(&mut self.accepting);
        let listens = std::mem::take(&mut self.listens);
        let mut cut = self.cut.subscribe();
        let Shared { key, route, .. } = self.shared.clone();
        let shell = Arc::clone(shell);
        async move {
            accepting.stop().await;
            for listen in listens {
                shell.own.remove(listen);
            }
            let nothing = Resolved::new();
            shell.feed(Input::ListenersClosed { key }, &nothing);
            let is_cut = async move {
                let _sender_gone_too = cut.wait_for(|cut| *cut).await;
            };
            let drained = drain::drain(&route, None, is_cut).await;
            tracing::debug!(
                ?key,
                drain = drained.as_str(),
                "a session's connections are gone"
            );
            shell.feed(Input::Settled { key }, &nothing);
            shell.forget(key);
        }
    }

    /// The session with its traffic.
    pub(super) fn traffic(&self, session: SessionView, now: SystemTime) -> TrafficView {
        let Shared { route, meter, .. } = &self.shared;
        let moved = route.open.moved();
        let [to_upstream, to_downstream] = meter.rates();
        TrafficView {
            created: now - session.age,
            expires: session.expires_in.and_then(|left| now.checked_add(left)),
            connections_open: u32::try_from(route.admission.open()).unwrap_or(u32::MAX),
            connections_total: moved.connections,
            to_upstream: FlowView {
                bytes: moved.to_upstream,
                rate: to_upstream,
            },
            to_downstream: FlowView {
                bytes: moved.to_downstream,
                rate: to_downstream,
            },
            session,
        }
    }
}

impl Shared {
    /// The connections open now, as their sockets tell.
    pub(super) fn connections(&self, now: Instant, wall: SystemTime) -> Vec<ConnectionView> {
        let open = self.route.open.all();
        let views = open.iter().map(|connection| {
            let rates = self.meter.rates_of(connection.id);
            ConnectionView::of(connection, rates, now, wall)
        });
        views.collect()
    }
}
