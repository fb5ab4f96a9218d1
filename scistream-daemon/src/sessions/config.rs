//! How the sessions of a gateway are set up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{BitRate, RateMeaning, SessionSettings, Settings, Time};
use crate::connection_log::ConnectionLog;
use crate::dataplane::RelayTerms;
use crate::dataplane::plane::StreamPlane;
use crate::listener::{Admission, Advertised, SocketOptions};
use crate::session::registry::RegistryConfig;
use crate::session::{Rate, RateUse};

/// How long a hello that comes before its `req` is kept: as long as two calls may overtake each other.
const EARLY_HELLO: Duration = Duration::from_secs(1);

/// What the sessions of a gateway may use, and what they get unless they ask for something else.
#[derive(Clone, Debug)]
pub struct SessionsConfig {
    /// Ports, numbers and times of the sessions.
    pub registry: RegistryConfig,
    /// Where listeners are bound; a port is taken when it can be had on all of them. At least one.
    pub listen: Vec<IpAddr>,
    /// What callers are told of the listeners, and what leads back to them: no target.
    pub advertised: Advertised,
    /// Listeners beside those of sessions that are no targets either: the control port.
    pub also_listening: Vec<SocketAddr>,
    /// Where targets are dialled from and how long that may take.
    pub connect_timeout: Duration,
    /// Options of every socket that carries a connection.
    pub socket_options: SocketOptions,
    /// How planes treat a connection.
    pub relay: RelayTerms,
}

impl Default for SessionsConfig {
    /// What the settings say when nobody set one.
    fn default() -> Self {
        Self::of(&Settings::default(), &[])
    }
}

impl SessionsConfig {
    /// What the settings say; the gateway's own control port is at the addresses `control`.
    pub fn of(settings: &Settings, control: &[SocketAddr]) -> Self {
        let Settings {
            control: port,
            auth: _,
            sessions,
            data,
            audit: _,
            metrics: _,
            rules: _,
        } = settings;
        let buffer = |bytes: Option<u32>| bytes.and_then(|bytes| usize::try_from(bytes).ok());
        Self {
            registry: registry_config(sessions),
            listen: both_families(port.listener_ip),
            advertised: Advertised {
                host: port.advertise.clone(),
                ports: port.port_map.clone(),
            },
            also_listening: control.to_vec(),
            connect_timeout: data.connect_timeout.0,
            socket_options: SocketOptions {
                keepalive: Some(data.keepalive.0),
                receive_buffer: buffer(data.rcvbuf),
                send_buffer: buffer(data.sndbuf),
            },
            relay: RelayTerms {
                idle_timeout: data.idle_timeout.map(|Time(time)| time),
                congestion_control: data.congestion_control.into(),
            },
        }
    }
}

fn registry_config(sessions: &SessionSettings) -> RegistryConfig {
    let ports = sessions.port_range.0;
    RegistryConfig {
        ports: ports.first..=ports.last,
        port_rest: sessions.port_cooldown.0,
        max_sessions: usize::try_from(sessions.max_sessions).unwrap_or(usize::MAX),
        hello_timeout: sessions.hello_timeout.0,
        lifetime: sessions.max_lifetime.map(|Time(time)| time),
        idle_timeout: sessions.idle_timeout.map(|Time(time)| time),
        rate_use: match sessions.rate {
            RateMeaning::Cap => RateUse::Cap,
            RateMeaning::Ignore => RateUse::Ignore,
            RateMeaning::Reserve => RateUse::Reserve,
        },
        capacity: sessions.capacity.map(|BitRate(rate)| Rate::from_bits(rate)),
        max_connections: None,
        early_hello: EARLY_HELLO,
    }
}

/// IPv6's wildcard takes IPv6 only, so IPv4's beside it for both.
fn both_families(address: IpAddr) -> Vec<IpAddr> {
    if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        return vec![address, IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    }
    vec![address]
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
