//! A byte stream to a gateway or an issuer: TCP, and TLS over it unless that is declined.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::failure::{Exit, Failure};
use crate::cli::HostPort;

/// How long one address may take before the next is tried.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Silence after which the kernel asks whether the gateway still lives; gRPC's own pings would be
/// taken for an attack by the reference's gateways.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Whether the stream is protected, and how.
#[derive(Clone, Debug)]
pub enum Security {
    /// Anyone on the way reads and writes what they like, tokens included.
    Plaintext,
    /// TLS with these settings.
    Tls(Arc<ClientConfig>),
}

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream that is up, and whom it leads to.
pub struct Dialled {
    /// The stream.
    pub stream: Box<dyn Stream>,
    /// The address that answered.
    pub peer: SocketAddr,
}

/// Dials `host`: each of its addresses in turn, then the handshake.
///
/// # Errors
/// When no address answers, or the handshake fails; the sentence says what to do.
pub async fn dial(host: &HostPort, security: &Security) -> Result<Dialled, Failure> {
    let tcp = dial_tcp(host).await?;
    let peer = tcp.peer_addr().map_err(|error| unreachable(host, &error))?;
    tune_or_leave(&tcp);
    let stream: Box<dyn Stream> = match security {
        Security::Plaintext => Box::new(tcp),
        Security::Tls(settings) => {
            let name =
                ServerName::try_from(host.host().to_owned()).map_err(|_invalid| bad_name(host))?;
            let connector = TlsConnector::from(Arc::clone(settings));
            let stream = connector.connect(name, tcp).await;
            Box::new(stream.map_err(|error| no_handshake(host, &error))?)
        }
    };
    Ok(Dialled { stream, peer })
}

async fn dial_tcp(host: &HostPort) -> Result<TcpStream, Failure> {
    let addresses = lookup_host((host.host(), host.port()))
        .await
        .map_err(|error| unknown_host(host, &error))?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(unreachable(host, &last))
}

/// Neither option is worth failing for.
fn tune_or_leave(stream: &TcpStream) {
    drop(stream.set_nodelay(true));
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    drop(SockRef::from(stream).set_tcp_keepalive(&keepalive));
}

fn unknown_host(host: &HostPort, error: &io::Error) -> Failure {
    let name = host.host();
    Failure::new(
        Exit::Unreachable,
        format!("{name} has no address ({error}); see whether the name is right"),
    )
}

fn unreachable(host: &HostPort, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Unreachable,
        format!(
            "{host} cannot be reached: {error}; see whether it listens there and what is between"
        ),
    )
}

fn bad_name(host: &HostPort) -> Failure {
    let name = host.host();
    Failure::new(
        Exit::Usage,
        format!("{name} is no name that a certificate could hold; give a host name or an address"),
    )
}

fn no_handshake(host: &HostPort, error: &io::Error) -> Failure {
    let cause = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let advice = match cause {
        Some(rustls::Error::InvalidMessage(_)) => {
            "it does not seem to speak TLS: if that is meant, use --plaintext"
        }
        Some(rustls::Error::InvalidCertificate(_)) => {
            "name the certificate it is to be believed by: --ca FILE, and dial it by a name that its certificate holds"
        }
        Some(_) | None => "see whether it is a gateway, and whether it wants --cert and --key",
    };
    let said = cause.map_or_else(|| error.to_string(), ToString::to_string);
    Failure::new(
        Exit::Unreachable,
        format!("no TLS with {host}: {said}; {advice}"),
    )
}
