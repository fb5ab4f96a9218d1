//! One accepted connection: dial, relay, one log line.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use super::admission::Admitted;
use super::dial::{Dialled, Prepared, Refusal, RefusalReason};
use super::{AcceptedFrom, Gateway};
use crate::connection_log::ConnectionLog;
use crate::dataplane::{EndReason, Plane, StreamPair, Transferred};

/// An accepted connection that has no target yet. Early bytes stay in the kernel until a plane has
/// both sockets.
pub(super) struct Connection {
    downstream: TcpStream,
    from: AcceptedFrom,
    prepared: Prepared,
    admitted: Admitted,
    accepted_at: Instant,
}

impl Connection {
    pub(super) fn new(
        downstream: TcpStream,
        from: AcceptedFrom,
        prepared: Prepared,
        admitted: Admitted,
    ) -> Self {
        Self {
            downstream,
            from,
            prepared,
            admitted,
            accepted_at: Instant::now(),
        }
    }

    /// Runs the connection to its end.
    pub(super) async fn serve(self, gateway: Arc<Gateway>) {
        let Self {
            downstream,
            from,
            prepared,
            admitted,
            accepted_at,
        } = self;
        match dial(&gateway, prepared, &downstream).await {
            Ok(Dialled { stream, address }) => {
                let pair = StreamPair {
                    downstream,
                    upstream: stream,
                };
                let relayed = Relayed {
                    from,
                    upstream: address,
                    accepted_at,
                    log: Arc::clone(&gateway.log),
                    transferred: None,
                    _admitted: admitted,
                };
                let ended = move |transferred| relayed.end(transferred);
                gateway.plane.relay_then(pair, gateway.limits, ended).await;
            }
            Err(refusal) => {
                reset(downstream);
                gateway.log.refused(from, &refusal);
            }
        }
    }
}

/// A connection that a plane has; its end is logged however it comes. It holds nothing of the plane,
/// whose own threads drop it.
struct Relayed {
    from: AcceptedFrom,
    upstream: SocketAddr,
    accepted_at: Instant,
    log: Arc<ConnectionLog>,
    transferred: Option<Transferred>,
    _admitted: Admitted,
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
        let duration = self.accepted_at.elapsed();
        self.log
            .closed(self.from, self.upstream, &transferred, duration);
    }
}

async fn dial(
    gateway: &Gateway,
    prepared: Prepared,
    downstream: &TcpStream,
) -> Result<Dialled, Refusal> {
    tokio::select! {
        biased;
        dialled = gateway.dialer.dial(prepared, downstream) => dialled,
        () = gateway.aborted() => Err(Refusal::without_attempts(RefusalReason::Stopping)),
    }
}

/// Tells the peer at once that nobody is there, where a FIN would look like an empty answer: a close
/// of this socket is a reset, see [`super::options::SocketOptions`].
fn reset(socket: TcpStream) {
    drop(socket);
}
