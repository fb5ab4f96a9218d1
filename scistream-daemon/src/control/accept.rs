//! Accepting control connections: a task for each while it shakes hands, then over to HTTP/2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::connections::{Connections, Eviction, Presence};
use super::guarded::{Guarded, Origin, Transport};

/// Connections that the kernel keeps until we take them.
const BACKLOG: i32 = 4_096;

/// How long to leave the kernel alone when it has no descriptors left.
const SHORTAGE_TIME: Duration = Duration::from_millis(50);

/// Silence after which the kernel asks whether a caller still lives.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);

/// Binds the control port: on both families where the address is IPv6's wildcard.
///
/// # Errors
/// What the kernel answers.
pub(super) fn bind(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    let first = bind_one(address)?;
    let mut listeners = vec![first];
    if address.ip() == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) {
        let port = listeners.first().map(TcpListener::local_addr).transpose()?;
        let port = port.map_or(address.port(), |bound| bound.port());
        listeners.push(bind_one((Ipv4Addr::UNSPECIFIED, port).into())?);
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What every accepted connection goes through.
#[derive(Clone)]
pub(super) struct Entrance {
    pub(super) connections: Arc<Connections>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) accepted: mpsc::Sender<io::Result<Guarded>>,
}

impl Entrance {
    /// Accepts for ever.
    pub(super) async fn accept_on(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    tracing::debug!(%error, "no control connection could be accepted");
                    // Out of descriptors, most likely: one of those who have proved nothing goes.
                    self.connections.make_room();
                    sleep(SHORTAGE_TIME).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let Some((presence, eviction)) = self.connections.enter() else {
            tracing::warn!(%peer, "too many control connections; closing a new one");
            return;
        };
        let entrance = self.clone();
        tokio::spawn(async move { entrance.shake_hands(stream, peer, presence, eviction).await });
    }

    async fn shake_hands(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        presence: Presence,
        mut eviction: Eviction,
    ) {
        let deadline = tokio::time::Instant::now() + self.connections.limits().first_call;
        let arrived = stream.local_addr().ok();
        set_options_or_warn(&stream);
        let (stream, certificate) = match &self.tls {
            None => (Transport::Plain(stream), None),
            Some(tls) => {
                let shaking = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
                let shaken = tokio::select! {
                    shaken = timeout_at(deadline, shaking) => shaken,
                    Ok(()) = &mut eviction => return,
                };
                match shaken {
                    Ok(Ok(stream)) => {
                        let shown = stream.get_ref().1.peer_certificates();
                        let certificate = shown.and_then(|chain| chain.first()).cloned();
                        (Transport::Tls(Box::new(stream)), certificate)
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%peer, %error, "no TLS on a control connection");
                        return;
                    }
                    Err(_elapsed) => {
                        tracing::debug!(%peer, "a control connection was too slow with TLS");
                        return;
                    }
                }
            }
        };
        let origin = Origin {
            peer,
            arrived,
            certificate,
            presence: Arc::new(presence),
        };
        let guarded = Guarded::new(stream, origin, eviction);
        // The other end is gone when the gateway stops.
        let _handed_over = self.accepted.send(Ok(guarded)).await;
    }
}

fn set_options_or_warn(stream: &TcpStream) {
    let set = stream.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEPALIVE_TIME)?;
        Ok(sockopt::set_tcp_keepintvl(stream, KEEPALIVE_TIME)?)
    });
    if let Err(error) = set {
        tracing::debug!(%error, "a control connection's options could not be set");
    }
}
