//! From what there is to what goes over the wire, in our own service.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::dataplane::Plane;
use crate::session::{Change, Phase, Rate, Role};
use crate::sessions::{ConnectionView, DirectionView, Event, SocketView, TrafficView};
use crate::wire::gateway as own;

use super::convert::Told;

/// What callers are told of where they are to connect.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    /// The gateway's map.
    pub(super) told: &'a Told,
    /// Where the call arrived.
    pub(super) arrived: Option<SocketAddr>,
}

impl Teller<'_> {
    pub(super) fn listeners(&self, bound: &[SocketAddr]) -> Vec<String> {
        let Self { told, arrived } = self;
        bound
            .iter()
            .map(|bound| told.listener(*bound, *arrived))
            .collect()
    }

    pub(super) fn session(&self, view: &TrafficView) -> own::Session {
        let TrafficView {
            session,
            created,
            expires,
            connections_open,
            connections_total,
            to_upstream,
            to_downstream,
        } = view;
        own::Session {
            uid: session.id.to_string(),
            role: role(session.role).into(),
            state: state(session.phase).into(),
            status: session.sentence.clone(),
            label: session
                .label
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            owner: session.owner.to_string(),
            listeners: self.listeners(&session.listeners),
            targets: strings(&session.targets),
            sources: strings(&session.sources),
            reserved_rate_bps: session.reserved.to_bits(),
            max_rate_bps: session.max_rate.map_or(0, Rate::to_bits),
            created: Some((*created).into()),
            expires: expires.map(Into::into),
            connections_open: *connections_open,
            connections_total: *connections_total,
            bytes_to_upstream: to_upstream.bytes,
            bytes_to_downstream: to_downstream.bytes,
            rate_to_upstream_bps: to_upstream.rate.to_bits(),
            rate_to_downstream_bps: to_downstream.rate.to_bits(),
        }
    }

    pub(super) fn connection(&self, view: &ConnectionView) -> own::Connection {
        own::Connection {
            id: view.id,
            listener: self.told.listener(view.listen, self.arrived),
            downstream: view.downstream.to_string(),
            upstream: view.upstream.to_string(),
            opened: Some(view.opened.into()),
            to_upstream: Some(direction(&view.to_upstream)),
            to_downstream: Some(direction(&view.to_downstream)),
            downstream_socket: view.downstream_socket.as_ref().map(socket),
            upstream_socket: view.upstream_socket.as_ref().map(socket),
        }
    }
}

pub(super) fn event(event: &Event) -> own::Event {
    let Event { time, change } = event;
    let Change {
        sequence,
        at: _,
        session,
        owner: _,
        phase,
        code,
        sentence,
    } = change;
    own::Event {
        sequence: *sequence,
        time: Some(SystemTime::into(*time)),
        uid: session.to_string(),
        state: state(*phase).into(),
        code: code.as_str().to_owned(),
        message: sentence.clone(),
    }
}

pub(super) fn strings<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn direction(view: &DirectionView) -> own::Direction {
    let plane = match view.plane {
        Plane::Copy => own::Plane::Copy,
        Plane::Sockmap => own::Plane::Sockmap,
        Plane::Splice => own::Plane::Splice,
    };
    own::Direction {
        plane: plane.into(),
        bytes: view.flow.bytes,
        rate_bps: view.flow.rate.to_bits(),
        pace_bps: view.pace.map_or(0, Rate::to_bits),
    }
}

fn socket(view: &SocketView) -> own::Socket {
    let SocketView { rtt, retransmits } = *view;
    let seconds = |rtt: Duration| i64::try_from(rtt.as_secs()).unwrap_or(i64::MAX);
    own::Socket {
        rtt: rtt.map(|rtt| prost_types::Duration {
            seconds: seconds(rtt),
            nanos: i32::try_from(rtt.subsec_nanos()).unwrap_or_default(),
        }),
        retransmits,
    }
}

fn role(role: Role) -> own::Role {
    match role {
        Role::Consumer => own::Role::Consumer,
        Role::Producer => own::Role::Producer,
    }
}

fn state(phase: Phase) -> own::State {
    match phase {
        Phase::Opening => own::State::Opening,
        Phase::AwaitingHello => own::State::AwaitingHello,
        Phase::Ready => own::State::Ready,
        Phase::Forwarding => own::State::Forwarding,
        Phase::Draining | Phase::Ending => own::State::Draining,
        Phase::Closed => own::State::Closed,
    }
}
