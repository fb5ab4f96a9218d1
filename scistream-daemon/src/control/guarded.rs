//! A control connection's stream, which ends by itself when nothing is done with it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::connections::{Eviction, Presence};

/// How often a connection in use is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// What calls know of their connection.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Who is at the other end.
    pub(super) peer: SocketAddr,
    /// The address at which the connection arrived.
    pub(super) arrived: Option<SocketAddr>,
    /// The verified certificate of the other end.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// The connection among the others.
    pub(super) presence: Arc<Presence>,
}

/// A stream that ends when it is not used.
pub(super) struct Guarded {
    stream: Transport,
    origin: Origin,
    /// Gone once the caller has proved who it is.
    eviction: Option<Eviction>,
    timer: Pin<Box<Sleep>>,
}

/// What carries a control connection.
pub(super) enum Transport {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Guarded {
    pub(super) fn new(stream: Transport, origin: Origin, eviction: Eviction) -> Self {
        let deadline = origin.presence.deadline().unwrap_or_else(Instant::now);
        Self {
            stream,
            origin,
            eviction: Some(eviction),
            timer: Box::pin(tokio::time::sleep_until(deadline)),
        }
    }

    /// Ready when the connection is to end.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(eviction) = &mut self.eviction
            && let Poll::Ready(outcome) = Pin::new(eviction).poll(context)
        {
            self.eviction = None;
            if outcome.is_ok() {
                return Poll::Ready(());
            }
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            let next = match self.origin.presence.deadline() {
                Some(deadline) if deadline <= now => return Poll::Ready(()),
                Some(deadline) => deadline,
                None => now + LOOK_INTERVAL,
            };
            self.timer.as_mut().reset(next);
        }
    }
}

impl Connected for Guarded {
    type ConnectInfo = Origin;

    fn connect_info(&self) -> Origin {
        self.origin.clone()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_end(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
