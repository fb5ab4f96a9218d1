//! What is measured, under which name: every metric of the gateway stands here once.

use std::sync::{Arc, Mutex, PoisonError};

use super::calls::CallCounts;
use super::exposition::{Exposition, Kind};
use crate::dataplane::{Direction, Plane, Totals};
use crate::session::{Census, Phase};
use crate::sessions::Sessions;

/// Where the numbers come from.
pub struct Sources {
    sessions: Sessions,
    calls: Arc<CallCounts>,
    /// The highest sums told so far. A connection that ends is for a moment among neither the open
    /// nor the closed ones, and a counter that dips is taken for a restart.
    told: Mutex<[Totals; 2]>,
}

impl Sources {
    /// The gateway that has these sessions and answers these calls.
    pub fn new(sessions: Sessions, calls: Arc<CallCounts>) -> Self {
        Self {
            sessions,
            calls,
            told: Mutex::default(),
        }
    }

    /// All metrics in Prometheus' text format.
    pub(super) fn to_text(&self) -> String {
        let mut to = Exposition::default();
        to.family(
            "scistream_build_info",
            Kind::Gauge,
            "Always 1; the version of this gateway is a label.",
        )
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        let census = self.sessions.census();
        sessions(&census, &mut to);
        ports_and_rates(&census, &mut to);
        self.connections(&mut to);
        self.bytes(&mut to);
        self.calls(&mut to);
        to.into_text()
    }

    fn connections(&self, to: &mut Exposition) {
        let gateway = self.sessions.gateway();
        to.family(
            "scistream_open_connections",
            Kind::Gauge,
            "Connections that are open, over all sessions.",
        )
        .sample(&[], gateway.admission.open());
        to.family(
            "scistream_open_connections_limit",
            Kind::Gauge,
            "Connections that may be open at once.",
        )
        .sample(&[], gateway.admission.maximum());
        to.family(
            "scistream_connections_total",
            Kind::Counter,
            "Connections accepted since the start.",
        )
        .sample(&[], gateway.admission.admitted());
        to.family(
            "scistream_ledger_mismatches_total",
            Kind::Counter,
            "Directions of closed connections whose sums did not agree. Anything but 0 is a defect of the gateway or the kernel; the log has the figures.",
        )
        .sample(&[], gateway.log.mismatches());
    }

    fn bytes(&self, to: &mut Exposition) {
        let moved = self.moved();
        let mut family = to.family(
            "scistream_moved_bytes_total",
            Kind::Counter,
            "Payload moved since the start, by direction and by what moved it: the kernel's redirection (sockmap), a pipe (splice) or a buffer (copy).",
        );
        for (direction, moved) in Direction::BOTH.into_iter().zip(moved) {
            let Totals {
                redirected,
                spliced,
                copied,
            } = moved;
            for (plane, bytes) in [
                (Plane::Copy, copied),
                (Plane::Sockmap, redirected),
                (Plane::Splice, spliced),
            ] {
                let labels = [("direction", direction.as_str()), ("plane", plane.as_str())];
                family.sample(&labels, bytes);
            }
        }
    }

    /// To upstream and to downstream, by what moved it.
    fn moved(&self) -> [Totals; 2] {
        // The closed ones first: one that ends in between is missed for once, and not counted twice.
        let closed = self.sessions.gateway().log.closed_by();
        let open = self.sessions.moved_by_open();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for ((told, open), closed) in told.iter_mut().zip(open).zip(closed) {
            let mut now = open;
            now.add(closed);
            *told = told.at_least(now);
        }
        *told
    }

    fn calls(&self, to: &mut Exposition) {
        let mut family = to.family(
            "scistream_control_calls_total",
            Kind::Counter,
            "Control calls answered, by method and gRPC code; calls still waiting for a hello are not among them.",
        );
        for (method, code, count) in self.calls.calls() {
            if count > 0 || code == "OK" {
                family.sample(&[("method", method), ("code", code)], count);
            }
        }
        let mut family = to.family(
            "scistream_auth_failures_total",
            Kind::Counter,
            "Control calls turned away unread: without a token (missing), with one that is no good (invalid), or because the token issuer could not be asked (unavailable).",
        );
        for (reason, count) in self.calls.failures() {
            family.sample(&[("reason", reason)], count);
        }
    }
}

fn sessions(census: &Census, to: &mut Exposition) {
    let mut family = to.family(
        "scistream_sessions",
        Kind::Gauge,
        "Sessions, by where they are in their life.",
    );
    for (phase, count) in Phase::ALL.into_iter().zip(census.sessions) {
        // What is closed is forgotten.
        if phase != Phase::Closed {
            family.sample(&[("state", phase.as_str())], count);
        }
    }
}

fn ports_and_rates(census: &Census, to: &mut Exposition) {
    let Census {
        sessions: _,
        ports_used,
        ports_free,
        ports_resting,
        reserved,
        left,
    } = census;
    let mut family = to.family(
        "scistream_ports",
        Kind::Gauge,
        "Ports for listeners: those sessions have (used), those that can be taken (free), and those that rest between two sessions (resting). Where the kernel chooses ports there are only used ones.",
    );
    for (state, count) in [
        ("used", Some(*ports_used)),
        ("free", *ports_free),
        ("resting", *ports_resting),
    ] {
        if let Some(count) = count {
            family.sample(&[("state", state)], count);
        }
    }
    to.family(
        "scistream_reserved_bytes_per_second",
        Kind::Gauge,
        "What sessions reserve in each direction.",
    )
    .sample(&[], reserved.to_bytes());
    if let Some(left) = left {
        to.family(
            "scistream_reservable_bytes_per_second",
            Kind::Gauge,
            "What can still be reserved of the gateway's capacity, in each direction.",
        )
        .sample(&[], left.to_bytes());
    }
}
