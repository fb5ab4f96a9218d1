//! How bytes move between the two sockets of a connection: the planes, what each of them promises,
//! and what a finished connection reports.
//!
//! ```text
//!   downstream (accepted) ──ToUpstream──►  upstream (dialled)
//!                         ◄─ToDownstream──
//! ```
//!
//! Every plane keeps the same contract, held by one suite: bytes arrive equal and in order, each
//! direction half-closes on its own, a reset of one side resets the other, a reader that stops
//! bounds what the gateway has accepted, and the counts reported at the end are the bytes moved.

pub mod behaviour;
pub mod choose;
pub mod congestion;
pub mod copy;
pub mod engine;
pub mod gathering;
mod ledger;
pub mod live;
pub mod plane;
pub mod self_test;
pub mod sockmap;

use std::fmt;
use std::net::TcpStream;
use std::time::Duration;

use self::congestion::CongestionControl;

/// The socket pair of one connection. Both are connected, non-blocking and TCP_NODELAY.
#[derive(Debug)]
pub struct StreamPair {
    /// The accepted socket.
    pub downstream: TcpStream,
    /// The dialled socket.
    pub upstream: TcpStream,
}

/// One of the two sockets of a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// The accepted socket.
    Downstream,
    /// The dialled socket.
    Upstream,
}

/// One of the two byte streams of a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the dialled socket to the accepted one.
    ToDownstream,
    /// From the accepted socket to the dialled one.
    ToUpstream,
}

/// How bytes move.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Plane {
    /// read(2) and write(2) through a buffer, in tokio: the reference, and the rootless path.
    Copy,
    /// The kernel redirects them from socket to socket; user space handles the exceptions.
    Sockmap,
    /// splice(2) through a pipe: pages move by reference.
    Splice,
}

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, clap::ValueEnum)]
pub enum PlaneChoice {
    /// By capability, then by each direction's behaviour.
    #[default]
    Auto,
    /// Always copy.
    Copy,
    /// Always sockmap; an error where this host cannot.
    Sockmap,
    /// Always splice.
    Splice,
}

/// How a plane treats a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct RelayTerms {
    /// End the connection when no byte has moved in either direction for this long.
    pub idle_timeout: Option<Duration>,
    /// Whose congestion control its sockets have.
    pub congestion_control: CongestionControl,
}

/// What one direction moved. `redirected + spliced + copied` is what user space and the kernel
/// moved; on a clean end it equals both `received` and `accepted`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DirectionReport {
    /// The plane this direction ended on.
    pub plane: Plane,
    /// Bytes the ingress socket received (`tcpi_bytes_received` less the FIN).
    pub received: u64,
    /// Bytes the sockmap verdict redirected, without a system call.
    pub redirected: u64,
    /// Bytes moved by splice(2).
    pub spliced: u64,
    /// Bytes moved through a buffer in user space.
    pub copied: u64,
    /// Bytes the egress socket took (acknowledged, or in its send queue).
    pub accepted: u64,
    /// How often the sockmap verdict went from redirecting to passing.
    pub flips: u32,
    /// Whether the ingress ended with a FIN that was passed on.
    pub finished: bool,
}

impl fmt::Display for DirectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plane: _,
            received,
            redirected,
            spliced,
            copied,
            accepted,
            flips: _,
            finished: _,
        } = self;
        write!(
            f,
            "{received} bytes received, {redirected} redirected, {spliced} spliced, {copied} copied \
             and {accepted} accepted"
        )
    }
}

/// Why a connection ended. The label in logs and metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EndReason {
    /// The gateway was stopping and the drain time ran out.
    DrainTimeout,
    /// Both sides sent FIN and every byte was delivered to the other socket.
    Finished,
    /// No byte moved for the idle time-out.
    IdleTimeout,
    /// The accepted side reset the connection, or died.
    DownstreamReset,
    /// The dialled side reset the connection, or died.
    UpstreamReset,
    /// A system call failed in a way that says nothing about either peer.
    Failed,
}

/// What a finished connection reports.
#[derive(Clone, Copy, Debug)]
pub struct Transferred {
    /// Downstream to upstream.
    pub to_upstream: DirectionReport,
    /// Upstream to downstream.
    pub to_downstream: DirectionReport,
    /// Why it ended.
    pub end: EndReason,
}

/// Bytes moved since the start, by what moved them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// By the sockmap verdict, without a system call.
    pub redirected: u64,
    /// By splice(2).
    pub spliced: u64,
    /// Through a buffer in user space.
    pub copied: u64,
}

impl Transferred {
    /// A connection that ended before a byte moved.
    pub fn nothing(plane: Plane, end: EndReason) -> Self {
        let report = DirectionReport::new(plane);
        Self {
            to_upstream: report,
            to_downstream: report,
            end,
        }
    }
}

impl DirectionReport {
    /// A report of nothing moved yet.
    pub fn new(plane: Plane) -> Self {
        Self {
            plane,
            received: 0,
            redirected: 0,
            spliced: 0,
            copied: 0,
            accepted: 0,
            flips: 0,
            finished: false,
        }
    }

    /// Bytes moved, by the kernel and by user space.
    pub fn moved(&self) -> u64 {
        self.redirected + self.spliced + self.copied
    }

    /// The same, by what moved them.
    pub fn moved_by(&self) -> Totals {
        Totals {
            redirected: self.redirected,
            spliced: self.spliced,
            copied: self.copied,
        }
    }

    /// Whether the ledger holds: in = moved = accepted after a FIN, and never more out than in.
    pub fn balances(&self) -> bool {
        if self.finished {
            self.received == self.moved() && self.moved() == self.accepted
        } else {
            self.accepted <= self.received && self.moved() <= self.received
        }
    }
}

impl Direction {
    /// Both, in the order in which arrays here have them.
    pub const BOTH: [Self; 2] = [Self::ToUpstream, Self::ToDownstream];

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToDownstream => "to_downstream",
            Self::ToUpstream => "to_upstream",
        }
    }
}

impl Totals {
    /// All bytes.
    pub fn moved(self) -> u64 {
        let Self {
            redirected,
            spliced,
            copied,
        } = self;
        redirected + spliced + copied
    }

    /// The higher of both sums, each by itself.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        Self {
            redirected: self.redirected.max(other.redirected),
            spliced: self.spliced.max(other.spliced),
            copied: self.copied.max(other.copied),
        }
    }

    /// Adds what something else moved.
    pub fn add(&mut self, other: Self) {
        self.redirected += other.redirected;
        self.spliced += other.spliced;
        self.copied += other.copied;
    }
}

impl Plane {
    /// The name in logs, metrics and options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Sockmap => "sockmap",
            Self::Splice => "splice",
        }
    }
}

impl EndReason {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DrainTimeout => "drain_timeout",
            Self::Finished => "finished",
            Self::IdleTimeout => "idle_timeout",
            Self::DownstreamReset => "downstream_reset",
            Self::UpstreamReset => "upstream_reset",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
