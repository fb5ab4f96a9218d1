//! The control port: SciStream's gRPC service and our own, over TLS.
//!
//! ```text
//!   accept ── TLS ── HTTP/2 ── gate ──► old_calls, own_calls ──► calls ──► policy, sessions
//!     │        │        │       │            │                     │
//!     │        │        │       └ who is it  └ convert, answer     └ audit
//!     │        └────────┴ too slow: closed
//!     └ too many who have proved nothing: the oldest goes
//! ```
//!
//! Invariants: no message is read before its caller is known; every refusal goes through the one
//! table in `status`; callers are never told a wildcard address; waiting for a hello costs a future
//! and no thread.

mod accept;
mod answer;
mod calls;
mod connections;
pub mod convert;
mod gate;
mod guarded;
mod old_calls;
mod own_calls;
mod resolve;
mod status;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

use crate::audit::Audit;
use crate::auth::{AuthSetupError, Authentication};
use crate::config::Settings;
use crate::metrics::CallCounts;
use crate::sessions::Sessions;
use crate::wire;
use crate::wire::gateway::gateway_server::GatewayServer;
use crate::wire::scistream::control_server::ControlServer;
use accept::Entrance;
use calls::Calls;
use connections::{ConnectionLimits, Connections};
use convert::Told;
use gate::GateLayer;
use guarded::Guarded;
use old_calls::OldCalls;
use own_calls::OwnCalls;

pub use tls::TlsError;

/// Calls of one connection at once.
const CALLS_MAX: u32 = 1_024;

/// What one call may send before it is read, bytes.
const CALL_WINDOW: u32 = 64 << 10;

/// What all calls of a connection may send before they are read, bytes. The HTTP/2 library books a
/// small message at [`SMALLEST_BOOKING`] and ends a connection whose unread ones come to half the
/// window: so many calls at once must fit.
const CONNECTION_WINDOW: u32 = 2 * CALLS_MAX * SMALLEST_BOOKING;

/// Bytes that an unread message counts at least (`DEFAULT_DATA_FRAME_OVERHEAD_THRESHOLD` of h2 0.4).
const SMALLEST_BOOKING: u32 = 256;

/// Headers of one call, bytes; tokens are among them.
const HEADERS_MAX: u32 = 16 << 10;

/// One message, bytes: room for more targets than are allowed, so that the refusal can say so.
const MESSAGE_MAX: usize = 4 << 20;

/// Silence after which HTTP/2 asks whether a caller still lives: waiting ones say nothing.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may take to answer that.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that have shaken hands and wait for HTTP/2.
const HANDED_OVER_MAX: usize = 256;

/// How long calls in progress may take to end once the port closes.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Why there is no control port.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Everyone is let in, and everyone can come.
    #[error(
        "nobody is asked who they are, and the control port is not on loopback; have `s2cs init` set up a token, or give --client_secret (Globus Auth), or set up [auth] in the settings, or listen on 127.0.0.1; auth.allow_anyone forces it"
    )]
    Anyone,
    /// Callers could not be asked who they are.
    #[error(transparent)]
    Auth(#[from] AuthSetupError),
    /// The port cannot be had.
    #[error(
        "cannot bind the control port {address}: {cause}; choose another with --port or --listener_ip"
    )]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The description of the protocol cannot be served.
    #[error("the protocol's description is damaged: {0}; build s2cs again")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The port broke off.
    #[error("the control port stopped: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A control port that is bound, and not served yet.
pub struct ControlPort {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: Option<Arc<rustls::ServerConfig>>,
    authentication: Arc<Authentication>,
    limits: ConnectionLimits,
    counts: Arc<CallCounts>,
}

impl ControlPort {
    /// Reads the files that the settings name and binds the port. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// What cannot be had of it.
    pub fn bind(settings: &Settings) -> Result<Self, ControlError> {
        let control = &settings.control;
        let is_open = !settings.asks_callers() && !control.listener_ip.is_loopback();
        if is_open && !settings.auth.allow_anyone {
            return Err(ControlError::Anyone);
        }
        let tls = control.ssl.then(|| tls::configure(settings)).transpose()?;
        let authentication = Arc::new(Authentication::new(&settings.auth)?);
        let address = SocketAddr::new(control.listener_ip, control.port);
        let failed = |cause| ControlError::Bind { address, cause };
        let listeners = accept::bind(address).map_err(failed)?;
        let addresses = listeners.iter().map(TcpListener::local_addr);
        let addresses = addresses.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        warn_of_dangers(settings, is_open);
        let number = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
        Ok(Self {
            addresses,
            listeners,
            tls,
            authentication,
            counts: Arc::default(),
            limits: ConnectionLimits {
                open: number(control.max_connections),
                unproven: number(control.max_unproven),
                first_call: control.handshake_timeout.0,
                idle: control.idle_timeout.0,
            },
        })
    }

    /// Where it is bound.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How its calls end.
    pub fn counts(&self) -> Arc<CallCounts> {
        Arc::clone(&self.counts)
    }

    /// Answers calls until `stop` completes. Calls in progress then have a moment to end: whoever
    /// stops has drained the sessions before.
    ///
    /// # Errors
    /// When it cannot go on.
    pub async fn serve(
        self,
        settings: &Settings,
        sessions: Sessions,
        audit: Audit,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ControlError> {
        let calls = Arc::new(Calls {
            authentication: self.authentication,
            policy: settings.policy(),
            sessions,
            audit,
            counts: self.counts,
            told: Told {
                host: settings.control.advertise.clone(),
                ports: settings.control.port_map.clone(),
            },
            rate: settings.sessions.rate,
        });
        let (accepted, incoming) = mpsc::channel(HANDED_OVER_MAX);
        let entrance = Entrance {
            connections: Connections::new(self.limits),
            tls: self.tls,
            accepted,
        };
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(entrance.clone().accept_on(listener));
        }
        drop(entrance);
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = answer_calls(calls, incoming, async {
            // Gone is as good as told.
            let _told = stopped.await;
        });
        tokio::pin!(serving);
        tokio::select! {
            outcome = &mut serving => return outcome,
            () = stop => {}
        }
        accepting.shutdown().await;
        drop(stopping);
        // Whoever does not let go by then is cut off.
        tokio::time::timeout(STOP_GRACE, serving)
            .await
            .unwrap_or(Ok(()))
    }
}

/// Serves both protocols, health and reflection on what was accepted.
async fn answer_calls(
    calls: Arc<Calls>,
    incoming: mpsc::Receiver<io::Result<Guarded>>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ControlError> {
    let old =
        ControlServer::new(OldCalls(Arc::clone(&calls))).max_decoding_message_size(MESSAGE_MAX);
    let own =
        GatewayServer::new(OwnCalls(Arc::clone(&calls))).max_decoding_message_size(MESSAGE_MAX);
    let (reporter, health) = tonic_health::server::health_reporter();
    report_serving(&reporter).await;
    Server::builder()
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(CALL_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(HEADERS_MAX)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .layer(GateLayer { calls })
        .add_service(old)
        .add_service(own)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async {
            stop.await;
            reporter.set_not_serving::<ControlServer<OldCalls>>().await;
            reporter.set_not_serving::<GatewayServer<OwnCalls>>().await;
        })
        .await?;
    Ok(())
}

/// All that is answered here, what refusals carry in their details included.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

async fn report_serving(reporter: &HealthReporter) {
    reporter.set_serving::<ControlServer<OldCalls>>().await;
    reporter.set_serving::<GatewayServer<OwnCalls>>().await;
}

fn warn_of_dangers(settings: &Settings, is_open: bool) {
    if !settings.control.ssl {
        tracing::warn!(
            "THE CONTROL PORT IS NOT ENCRYPTED: tokens and sessions can be read and changed by whoever sits in between; set control.ssl"
        );
    }
    if is_open {
        tracing::warn!(
            "ANYONE WHO REACHES THE CONTROL PORT MAY DO ANYTHING: nobody is asked who they are; set up [auth]"
        );
    }
}
