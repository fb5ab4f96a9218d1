//! The settings as the file has them. What is written about each here is what `s2cs config default`
//! and `s2cs config schema` say about it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::AuthSettings;
use super::rules::RuleSettings;
use super::values::{AdvertisedHost, BitRate, PortMapping, PortRange, Time};
use crate::dataplane::PlaneChoice;
use crate::dataplane::congestion::CongestionControl;
use crate::policy::Ports;

/// All settings of `s2cs serve`.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The control port, and what callers are told of the listeners.
    pub control: ControlSettings,
    /// How callers prove who they are. Where several ways are set up, a certificate counts first,
    /// then tokens in the order below.
    pub auth: AuthSettings,
    /// Sessions: their ports, times and rates.
    pub sessions: SessionSettings,
    /// How bytes move.
    pub data: DataSettings,
    /// The record of control calls.
    pub audit: AuditSettings,
    /// Numbers for monitoring.
    pub metrics: MetricsSettings,
    /// Who may do what. Without rules everyone who is known may have sessions; with the first rule,
    /// whatever no rule grants is refused.
    pub rules: Vec<RuleSettings>,
}

/// The control port.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlSettings {
    /// The address on which the control port and the sessions' listeners are bound.
    pub listener_ip: IpAddr,
    /// The control port; 0 for any free one.
    pub port: u16,
    /// TLS on the control port. Without it tokens and answers are in the clear.
    pub ssl: bool,
    /// The certificate chain, PEM.
    pub server_crt: PathBuf,
    /// Its private key, PEM; a file that others may read is refused.
    pub server_key: PathBuf,
    /// The host that callers are told to connect to, where it is not the one that is bound. Without
    /// it callers are told `listener_ip`, or, where that is a wildcard, the address at which their
    /// call arrived.
    #[schemars(extend("examples" = ["gateway.example.org"]))]
    pub advertise: Option<AdvertisedHost>,
    /// Ports that callers are told instead of those that are bound, for NodePorts and port
    /// forwarding.
    #[schemars(extend("examples" = [["5100-5110=30510-30520"]]))]
    pub port_map: Vec<PortMapping>,
    /// Control connections at once whose callers have not proved who they are; for a further one
    /// the oldest of them is closed.
    pub max_unproven: u32,
    /// Control connections at once; further ones are closed.
    pub max_connections: u32,
    /// How long a new control connection may take to its first complete call, the TLS handshake
    /// included.
    pub handshake_timeout: Time,
    /// How long a control connection may go on without a call.
    pub idle_timeout: Time,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            listener_ip: IpAddr::from([0, 0, 0, 0]),
            port: 5000,
            ssl: true,
            server_crt: "server.crt".into(),
            server_key: "server.key".into(),
            advertise: None,
            port_map: Vec::new(),
            max_unproven: 1_024,
            max_connections: 16_384,
            handshake_timeout: Time(Duration::from_secs(10)),
            idle_timeout: Time(Duration::from_secs(600)),
        }
    }
}

/// Sessions.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// The ports that sessions' listeners are bound on; 0 for any free ones.
    pub port_range: PortRange,
    /// How long a port rests after its session before another one gets it.
    pub port_cooldown: Time,
    /// How long `req` waits for a hello.
    pub hello_timeout: Time,
    /// Sessions at once.
    pub max_sessions: u32,
    /// What the `rate` of a `req` means, which old programs send without meaning it: `reserve`
    /// admits it against `capacity` and never slows the session, `cap` holds the session to it,
    /// `ignore` takes no notice.
    pub rate: RateMeaning,
    /// What all sessions together may reserve, in bits per second and direction: the link, or less.
    /// Without it there is no admission by rate, and nothing is kept for anyone.
    #[schemars(extend("examples" = ["10G"]))]
    pub capacity: Option<BitRate>,
    /// How long a session lasts at most.
    #[schemars(extend("examples" = ["12h"]))]
    pub max_lifetime: Option<Time>,
    /// How long a session may go without moving a byte, where its creator does not say.
    #[schemars(extend("examples" = ["1h"]))]
    pub idle_timeout: Option<Time>,
    /// The file in which sessions survive a restart: those that were ready come back on the same
    /// ports, with the same targets, terms and deadlines; connections do not. Without it a restart
    /// ends all sessions. Only this user may read or write it.
    #[schemars(extend("examples" = ["/var/lib/scistream/sessions.json"]))]
    pub state: Option<PathBuf>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            port_range: PortRange(Ports {
                first: 5100,
                last: 5200,
            }),
            port_cooldown: Time(Duration::from_secs(2)),
            hello_timeout: Time(Duration::from_secs(180)),
            max_sessions: 10_000,
            rate: RateMeaning::Reserve,
            capacity: None,
            max_lifetime: None,
            idle_timeout: None,
            state: None,
        }
    }
}

/// What the `rate` of a `req` means.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RateMeaning {
    /// A cap.
    Cap,
    /// Nothing.
    Ignore,
    /// A reservation.
    Reserve,
}

/// How bytes move.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// `auto` takes what this host can do and each flow is best served by; `sockmap`, `splice` and
    /// `copy` insist.
    pub plane: PlaneName,
    /// Connections open at once, over all sessions; without it, what the limit on open files allows.
    #[schemars(extend("examples" = [65536]))]
    pub max_connections: Option<u32>,
    /// How long a connection may spend on reaching a target, over all addresses tried.
    pub connect_timeout: Time,
    /// Silence after which the kernel asks whether a peer still lives.
    pub keepalive: Time,
    /// End a connection when no byte has moved for this long.
    #[schemars(extend("examples" = ["24h"]))]
    pub idle_timeout: Option<Time>,
    /// How long open connections may go on after SIGTERM.
    pub drain_timeout: Time,
    /// Send buffer of both sockets in bytes; by default the kernel tunes it.
    #[schemars(extend("examples" = [4194304]))]
    pub sndbuf: Option<u32>,
    /// Receive buffer of both sockets, likewise.
    #[schemars(extend("examples" = [4194304]))]
    pub rcvbuf: Option<u32>,
    /// `auto` begins with the system's, and gives a stream bbr that loses packets on a long path
    /// though no queue there is full; `system` leaves it at that.
    pub congestion_control: CongestionName,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            plane: PlaneName::Auto,
            max_connections: None,
            connect_timeout: Time(Duration::from_secs(5)),
            keepalive: Time(Duration::from_secs(60)),
            idle_timeout: None,
            drain_timeout: Time(Duration::from_secs(30)),
            sndbuf: None,
            rcvbuf: None,
            congestion_control: CongestionName::Auto,
        }
    }
}

/// A plane, or the choice among them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaneName {
    /// The best this host can do.
    Auto,
    /// Through a buffer in user space.
    Copy,
    /// By an eBPF program.
    Sockmap,
    /// Through a pipe.
    Splice,
}

impl From<PlaneName> for PlaneChoice {
    fn from(name: PlaneName) -> Self {
        match name {
            PlaneName::Auto => Self::Auto,
            PlaneName::Copy => Self::Copy,
            PlaneName::Sockmap => Self::Sockmap,
            PlaneName::Splice => Self::Splice,
        }
    }
}

/// Whose congestion control carries the streams.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CongestionName {
    /// The system's, or bbr where losses are not congestion.
    Auto,
    /// The system's.
    System,
}

impl From<CongestionName> for CongestionControl {
    fn from(name: CongestionName) -> Self {
        match name {
            CongestionName::Auto => Self::Auto,
            CongestionName::System => Self::System,
        }
    }
}

/// The record of control calls.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// The file that every control call is appended to, one JSON object a line; without it they go
    /// to the log.
    #[schemars(extend("examples" = ["/var/log/scistream/audit.jsonl"]))]
    pub file: Option<PathBuf>,
}

/// Numbers for monitoring.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSettings {
    /// Where Prometheus, or whoever reads its text format, finds them: http://ADDRESS:PORT/metrics.
    /// Nobody is asked who they are there; nothing in it names sessions or callers. Without it there
    /// are none.
    #[schemars(extend("examples" = ["127.0.0.1:9464"]))]
    pub listen: Option<SocketAddr>,
}
