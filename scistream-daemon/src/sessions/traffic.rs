//! Sessions and connections with what they move.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::dataplane::Plane;
use crate::session::{Rate, SessionView};

/// A session with its traffic.
#[derive(Clone, Debug)]
pub struct TrafficView {
    /// The session.
    pub session: SessionView,
    /// When it was made.
    pub created: SystemTime,
    /// When it ends by itself.
    pub expires: Option<SystemTime>,
    /// Connections that are open.
    pub connections_open: u32,
    /// Connections since it was made.
    pub connections_total: u64,
    /// From who connects to the targets, since it was made; the plane's field is unused.
    pub to_upstream: FlowView,
    /// From the targets to who connects, since it was made.
    pub to_downstream: FlowView,
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowView {
    /// Bytes so far.
    pub bytes: u64,
    /// Over about the last second.
    pub rate: Rate,
}

/// A session with its open connections.
#[derive(Clone, Debug)]
pub struct SessionDetails {
    /// The session.
    pub session: TrafficView,
    /// Its open connections, the oldest first.
    pub connections: Vec<ConnectionView>,
}

/// A connection that is open.
#[derive(Clone, Debug)]
pub struct ConnectionView {
    /// Unique in this process.
    pub id: u64,
    /// Which of our listeners took it.
    pub listen: SocketAddr,
    /// Who connected.
    pub downstream: SocketAddr,
    /// The target.
    pub upstream: SocketAddr,
    /// Since it was accepted.
    pub age: Duration,
    /// When it was accepted.
    pub opened: SystemTime,
    /// From who connected to the target.
    pub to_upstream: DirectionView,
    /// From the target to who connected.
    pub to_downstream: DirectionView,
    /// The accepted socket.
    pub downstream_socket: Option<SocketView>,
    /// The socket to the target.
    pub upstream_socket: Option<SocketView>,
}

/// One direction of an open connection.
#[derive(Clone, Copy, Debug)]
pub struct DirectionView {
    /// How its bytes move.
    pub plane: Plane,
    /// How many, and how fast.
    pub flow: FlowView,
    /// The pace its egress socket is held to; `None` for none.
    pub pace: Option<Rate>,
}

/// What the kernel measures on a socket (`TCP_INFO`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketView {
    /// Smoothed round trip; `None` before the first sample.
    pub rtt: Option<Duration>,
    /// Segments sent again since the start.
    pub retransmits: u64,
}
