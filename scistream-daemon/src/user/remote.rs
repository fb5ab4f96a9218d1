//! A gateway we are connected to, and calls to it under a deadline.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tower::service_fn;

use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::token::Token;
use super::transport::{Security, dial};
use crate::cli::HostPort;
use crate::wire::gateway::gateway_client::GatewayClient;
use crate::wire::scistream::control_client::ControlClient;

/// A gateway we are connected to.
#[derive(Clone)]
pub struct Remote {
    host: HostPort,
    peer: SocketAddr,
    security: Security,
    channel: Channel,
    authorization: AsciiMetadataValue,
    token: Token,
}

impl Remote {
    /// Connects. One connection serves all calls; when it breaks, they fail.
    ///
    /// # Errors
    /// When the gateway cannot be reached in time, or is none.
    pub async fn open(
        host: &HostPort,
        security: &Security,
        token: Token,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let connecting = || format!("connecting to {host}");
        let dialled = deadline.bound(connecting, dial(host, security)).await??;
        let peer = dialled.peer;
        let scheme = match security {
            Security::Plaintext => "http",
            Security::Tls(_) => "https",
        };
        let channel = deadline
            .bound(connecting, channel(host, scheme, dialled.stream))
            .await??;
        let authorization = AsciiMetadataValue::try_from(token.reveal()).map_err(|_invalid| {
            Failure::new(Exit::Usage, "the token is none that could be sent")
        })?;
        Ok(Self {
            host: host.clone(),
            peer,
            security: security.clone(),
            channel,
            authorization,
            token,
        })
    }

    /// Connects anew: a connection that broke stays broken.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn reopen(&self, deadline: Deadline) -> Result<Self, Failure> {
        Self::open(&self.host, &self.security, self.token.clone(), deadline).await
    }

    /// The address the user gave.
    pub fn host(&self) -> &HostPort {
        &self.host
    }

    /// The address that answered.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The token shown to it.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// SciStream's own service.
    pub fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone())
    }

    /// The service of our gateways.
    pub fn gateway(&self) -> GatewayClient<Channel> {
        GatewayClient::new(self.channel.clone())
    }

    /// A request that carries the token.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.authorization.clone());
        request
    }

    /// The answer to a call.
    ///
    /// # Errors
    /// When it does not come in time, and what the gateway answered else.
    pub async fn call<T>(
        &self,
        name: &str,
        deadline: Deadline,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        let doing = || format!("{name} at the gateway {}", self.host);
        let answer = deadline.bound(doing, answer).await?;
        answer
            .map(Response::into_inner)
            .map_err(|status| self.refused(name, &status))
    }

    /// What the gateway answered to a call, as a failure.
    pub fn refused(&self, name: &str, status: &Status) -> Failure {
        Failure::of_status(&self.host, name, status)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("host", &self.host)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// HTTP/2 over the stream that is up. A stream serves once: were it dialled anew by the library,
/// what went wrong would be told in the library's words.
async fn channel(
    host: &HostPort,
    scheme: &str,
    stream: Box<dyn super::transport::Stream>,
) -> Result<Channel, Failure> {
    let origin: Uri = format!("{scheme}://{host}")
        .parse()
        .map_err(|_invalid| bad_host(host))?;
    let stream = Arc::new(Mutex::new(Some(TokioIo::new(stream))));
    let connector = service_fn(move |_uri: Uri| {
        let stream = Arc::clone(&stream);
        async move {
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            stream
                .take()
                .ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset))
        }
    });
    let endpoint = Endpoint::from_static("http://gateway").origin(origin);
    let connected = endpoint.connect_with_connector(connector).await;
    connected.map_err(|error| {
        Failure::new(
            Exit::Unreachable,
            format!(
                "{host} does not speak gRPC: {}; see whether it is a gateway's control address, and \
                 whether it wants TLS",
                crate::errors::InFull(&error)
            ),
        )
    })
}

fn bad_host(host: &HostPort) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{host} is no address that gRPC could carry; give HOST:PORT"),
    )
}
