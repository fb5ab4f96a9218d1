//! Sessions and connections with what they move.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::dataplane::live::SocketsView;
use crate::dataplane::{Direction, Plane};
use crate::listener::OpenConnection;
use crate::session::{Rate, SessionView};
use crate::sys::tcp_info::TcpInfo;

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
    /// From who connects to the targets, since it was made.
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

impl ConnectionView {
    /// What `connection` does, by its counters and the kernel's.
    pub(super) fn of(
        connection: &OpenConnection,
        rates: [Rate; 2],
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        let OpenConnection {
            id,
            from,
            upstream,
            accepted_at,
            live,
        } = connection;
        let age = now.saturating_duration_since(*accepted_at);
        let SocketsView { infos, paces } = live.sockets();
        let [up_rate, down_rate] = rates;
        let [up_pace, down_pace] = paces;
        let [downstream_socket, upstream_socket] = infos.map(|info| info.map(SocketView::from));
        let flow = |direction, rate, pace: Option<u64>| DirectionView {
            plane: live.plane(direction),
            flow: FlowView {
                bytes: live.moved(direction),
                rate,
            },
            pace: pace.map(Rate::from_bytes),
        };
        Self {
            id: *id,
            listen: from.listen,
            downstream: from.downstream,
            upstream: *upstream,
            age,
            opened: wall - age,
            to_upstream: flow(Direction::ToUpstream, up_rate, up_pace),
            to_downstream: flow(Direction::ToDownstream, down_rate, down_pace),
            downstream_socket,
            upstream_socket,
        }
    }
}

impl From<TcpInfo> for SocketView {
    fn from(info: TcpInfo) -> Self {
        let rtt = (info.rtt > 0).then(|| Duration::from_micros(info.rtt.into()));
        Self {
            rtt,
            retransmits: info.total_retrans.into(),
        }
    }
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
