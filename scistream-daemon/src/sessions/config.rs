//! How the sessions of a gateway are set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::connection_log::ConnectionLog;
use crate::dataplane::RelayLimits;
use crate::dataplane::plane::StreamPlane;
use crate::listener::{Admission, Advertised, SocketOptions};
use crate::session::registry::RegistryConfig;
use crate::session::{Rate, RateUse};

/// What the sessions of a gateway may use, and what they get unless they ask for something else.
#[derive(Clone, Debug)]
pub struct SessionsConfig {
    /// Where listeners are bound; a port is taken when it can be had on all of them. At least one.
    pub listen: Vec<IpAddr>,
    /// The ports for listeners; `0..=0` for any that the kernel has.
    pub ports: RangeInclusive<u16>,
    /// How long a port rests after its session, so that a late connection does not meet the next.
    pub port_rest: Duration,
    /// What callers are told of the listeners, and what leads back to them: no target.
    pub advertised: Advertised,
    /// Listeners beside those of sessions that are no targets either: the control port.
    pub also_listening: Vec<SocketAddr>,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Connections at once in a session that asks for no other number; `None` for as many as the
    /// gateway takes.
    pub max_connections: Option<u32>,
    /// How long a `req` waits for its hello.
    pub hello_timeout: Duration,
    /// How long a hello that comes before its `req` is kept.
    pub early_hello: Duration,
    /// The longest lifetime of a session, and that of one that asks for none.
    pub lifetime: Option<Duration>,
    /// The idle time-out of a session that asks for none.
    pub idle_timeout: Option<Duration>,
    /// What the wire's `rate` is taken for.
    pub rate_use: RateUse,
    /// What the gateway can move in each direction; `None` when unknown, and then everything is
    /// admitted.
    pub capacity: Option<Rate>,
    /// Where targets are dialled from and how long that may take.
    pub connect_timeout: Duration,
    /// Options of every socket that carries a connection.
    pub socket_options: SocketOptions,
    /// What ends a connection from our side.
    pub relay_limits: RelayLimits,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            listen: vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            ports: 5100..=5200,
            port_rest: Duration::from_secs(5),
            advertised: Advertised::default(),
            also_listening: Vec::new(),
            max_sessions: 16_384,
            max_connections: None,
            hello_timeout: Duration::from_secs(180),
            early_hello: Duration::from_secs(1),
            lifetime: None,
            idle_timeout: None,
            rate_use: RateUse::default(),
            capacity: None,
            connect_timeout: Duration::from_secs(5),
            socket_options: SocketOptions {
                keepalive: Some(Duration::from_secs(60)),
                ..SocketOptions::default()
            },
            relay_limits: RelayLimits::default(),
        }
    }
}

impl SessionsConfig {
    /// The registry's part of it.
    pub(super) fn to_registry(&self) -> RegistryConfig {
        RegistryConfig {
            ports: self.ports.clone(),
            port_rest: self.port_rest,
            max_sessions: self.max_sessions,
            max_connections: self.max_connections,
            hello_timeout: self.hello_timeout,
            early_hello: self.early_hello,
            lifetime: self.lifetime,
            idle_timeout: self.idle_timeout,
            rate_use: self.rate_use,
            capacity: self.capacity,
        }
    }
}

/// What all sessions share, and the process beside them.
#[derive(Clone)]
pub struct SharedParts {
    /// Moves the bytes.
    pub plane: StreamPlane,
    /// How many connections may be open, over all sessions.
    pub admission: Arc<Admission>,
    /// Where ends of connections are logged.
    pub log: Arc<ConnectionLog>,
}
