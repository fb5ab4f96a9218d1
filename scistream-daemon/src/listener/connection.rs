//! One accepted connection: dial, relay, one log line.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use super::accept::Places;
use super::dial::{Begun, Dialled, Refusal, RefusalReason};
use super::open::{OpenConnection, OpenConnections};
use super::{AcceptedFrom, Route};
use crate::connection_log::ConnectionLog;
use crate::dataplane::live::RelayOrder;
use crate::dataplane::{EndReason, Plane, StreamPair, Transferred};

/// An accepted connection that dials its target. Early bytes stay in the kernel until a plane has
/// both sockets.
pub(super) struct Connection {
    downstream: TcpStream,
    from: AcceptedFrom,
    begun: Begun,
    places: Places,
    accepted_at: Instant,
}

impl Connection {
    pub(super) fn new(
        downstream: TcpStream,
        from: AcceptedFrom,
        begun: Begun,
        places: Places,
    ) -> Self {
        Self {
            downstream,
            from,
            begun,
            places,
            accepted_at: Instant::now(),
        }
    }

    /// Runs the connection to its end.
    pub(super) async fn serve(self, route: Arc<Route>) {
        let Self {
            downstream,
            from,
            begun,
            places,
            accepted_at,
        } = self;
        match dial(&route, begun, &downstream).await {
            Ok(Dialled { stream, address }) => {
                let pair = StreamPair {
                    downstream,
                    upstream: stream,
                };
                let connection = route.open.insert(from, address, accepted_at);
                let order = RelayOrder {
                    terms: route.terms.relay,
                    live: Arc::clone(&connection.live),
                };
                if route.is_aborted() {
                    order.live.abort();
                }
                let relayed = Relayed {
                    open: Arc::clone(&route.open),
                    log: Arc::clone(&route.gateway.log),
                    connection,
                    transferred: None,
                    _places: places,
                };
                let ended = move |transferred| relayed.end(transferred);
                route.gateway.plane.relay_then(pair, order, ended).await;
            }
            Err(refusal) => {
                reset(downstream);
                route.gateway.log.refused(from, &refusal);
            }
        }
    }
}

/// A connection that a plane has; its end is logged however it comes. It holds nothing of the plane,
/// whose own threads drop it.
struct Relayed {
    open: Arc<OpenConnections>,
    log: Arc<ConnectionLog>,
    connection: OpenConnection,
    transferred: Option<Transferred>,
    /// Given back after the end was told.
    _places: Places,
}

impl Relayed {
    fn end(mut self, transferred: Transferred) {
        self.transferred = Some(transferred);
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        let transferred = self
            .transferred
            .unwrap_or_else(|| Transferred::nothing(Plane::Copy, EndReason::Failed));
        let OpenConnection {
            id,
            from,
            upstream,
            accepted_at,
            ..
        } = self.connection;
        self.open.remove(id, &transferred);
        let duration = accepted_at.elapsed();
        self.log.closed(from, upstream, &transferred, duration);
    }
}

async fn dial(route: &Route, begun: Begun, downstream: &TcpStream) -> Result<Dialled, Refusal> {
    tokio::select! {
        biased;
        dialled = route.dialer.dial(begun, downstream) => dialled,
        () = route.aborted() => Err(Refusal::without_attempts(RefusalReason::Stopping)),
    }
}

/// Tells the peer at once that nobody is there, where a FIN would look like an empty answer: a close
/// of this socket is a reset, see [`super::options::SocketOptions`].
fn reset(socket: TcpStream) {
    drop(socket);
}
