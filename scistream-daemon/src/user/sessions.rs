//! Looking at sessions: `s2uc list`, `show` and `events`, by our gateways' own service; and giving one
//! other targets, `s2uc update`.

mod text;

use serde_json::{Value, json};

use super::cli::{EventsArgs, ListArgs, ShowArgs, TargetList, UpdateArgs};
use super::failure::{Exit, Failure};
use super::gateway_calls;
use super::output::Output;
use crate::wire::gateway::{Connection, Direction, Event, Plane, Role, Session, Socket, State};

/// `s2uc list`.
///
/// # Errors
/// What the gateway answered.
pub async fn list(args: &ListArgs, output: &Output) -> Result<(), Failure> {
    let (remote, deadline) = args.one.open(output).await?;
    let sessions = gateway_calls::list(&remote, deadline).await?;
    if output.is_json() {
        let sessions: Vec<Value> = sessions.iter().map(session_json).collect();
        output.json(&json!({ "sessions": sessions }));
    } else {
        output.line(&text::table(&sessions));
    }
    Ok(())
}

/// `s2uc show`.
///
/// # Errors
/// What the gateway answered.
pub async fn show(args: &ShowArgs, output: &Output) -> Result<(), Failure> {
    let (remote, deadline) = args.one.open(output).await?;
    let shown = gateway_calls::show(&remote, &args.uid, deadline).await?;
    let session = shown.session.ok_or_else(|| {
        let host = remote.host();
        Failure::new(
            Exit::Failed,
            format!("the gateway {host} answered GetSession without a session; it is not as it should be"),
        )
    })?;
    if output.is_json() {
        let mut value = session_json(&session);
        let connections: Vec<Value> = shown.connections.iter().map(connection_json).collect();
        value["connections"] = connections.into();
        output.json(&value);
    } else {
        output.line(&text::session(&session, &shown.connections));
    }
    Ok(())
}

/// `s2uc update`.
///
/// # Errors
/// What the gateway answered.
pub async fn update(args: &UpdateArgs, output: &Output) -> Result<(), Failure> {
    let UpdateArgs { uid, target, one } = args;
    let targets = target.iter().flat_map(TargetList::to_strings).collect();
    let (remote, deadline) = one.open(output).await?;
    let session = gateway_calls::update(&remote, uid, targets, deadline).await?;
    output.json(&session_json(&session));
    output.line(&text::session(&session, &[]));
    Ok(())
}

/// `s2uc events`: until Ctrl-C, or until the gateway ends the stream.
///
/// # Errors
/// What the gateway answered, and how it ended the stream.
pub async fn events(args: &EventsArgs, output: &Output) -> Result<(), Failure> {
    let (remote, deadline) = args.one.open(output).await?;
    let uid = args.uid.as_deref().unwrap_or_default();
    let mut events = gateway_calls::watch(&remote, uid, deadline).await?;
    loop {
        let event = tokio::select! {
            event = events.message() => event,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match event {
            Ok(Some(event)) => print_event(&event, output),
            Ok(None) => return Ok(()),
            Err(status) => return Err(remote.refused("WatchEvents", &status)),
        }
    }
}

fn print_event(event: &Event, output: &Output) {
    if output.is_json() {
        output.json(&event_json(event));
    } else {
        output.line(&text::event(event));
    }
}

fn event_json(event: &Event) -> Value {
    let Event {
        sequence,
        time,
        uid,
        state: _,
        code,
        message,
    } = event;
    json!({
        "sequence": sequence,
        "time": time.map(|time| time.to_string()),
        "uid": uid,
        "state": state(event.state()),
        "code": code,
        "message": message,
    })
}

fn session_json(session: &Session) -> Value {
    let Session {
        uid,
        role: _,
        state: _,
        status,
        label,
        owner,
        listeners,
        targets,
        sources,
        reserved_rate_bps,
        max_rate_bps,
        created,
        expires,
        connections_open,
        connections_total,
        bytes_to_upstream,
        bytes_to_downstream,
        rate_to_upstream_bps,
        rate_to_downstream_bps,
    } = session;
    json!({
        "uid": uid,
        "role": role(session.role()),
        "state": state(session.state()),
        "status": status,
        "label": label,
        "owner": owner,
        "listeners": listeners,
        "targets": targets,
        "sources": sources,
        "reserved_rate_bps": reserved_rate_bps,
        "max_rate_bps": max_rate_bps,
        "created": created.map(|time| time.to_string()),
        "expires": expires.map(|time| time.to_string()),
        "connections_open": connections_open,
        "connections_total": connections_total,
        "bytes_to_upstream": bytes_to_upstream,
        "bytes_to_downstream": bytes_to_downstream,
        "rate_to_upstream_bps": rate_to_upstream_bps,
        "rate_to_downstream_bps": rate_to_downstream_bps,
    })
}

fn connection_json(connection: &Connection) -> Value {
    let Connection {
        id,
        listener,
        downstream,
        upstream,
        opened,
        to_upstream,
        to_downstream,
        downstream_socket,
        upstream_socket,
    } = connection;
    json!({
        "id": id,
        "listener": listener,
        "downstream": downstream,
        "upstream": upstream,
        "opened": opened.map(|time| time.to_string()),
        "to_upstream": to_upstream.as_ref().map(direction_json),
        "to_downstream": to_downstream.as_ref().map(direction_json),
        "downstream_socket": downstream_socket.as_ref().map(socket_json),
        "upstream_socket": upstream_socket.as_ref().map(socket_json),
    })
}

fn direction_json(direction: &Direction) -> Value {
    json!({
        "plane": plane(direction.plane()),
        "bytes": direction.bytes,
        "rate_bps": direction.rate_bps,
        "pace_bps": direction.pace_bps,
    })
}

fn socket_json(socket: &Socket) -> Value {
    json!({ "rtt_us": socket.rtt.map(microseconds), "retransmits": socket.retransmits })
}

fn microseconds(time: prost_types::Duration) -> i64 {
    let prost_types::Duration { seconds, nanos } = time;
    seconds.saturating_mul(1_000_000) + i64::from(nanos) / 1_000
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unknown",
        Role::Producer => "producer",
        Role::Consumer => "consumer",
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Unspecified => "unknown",
        State::Opening => "opening",
        State::AwaitingHello => "awaiting hello",
        State::Ready => "ready",
        State::Forwarding => "forwarding",
        State::Draining => "draining",
        State::Closed => "closed",
    }
}

fn plane(plane: Plane) -> &'static str {
    match plane {
        Plane::Unspecified => "unknown",
        Plane::Copy => "copy",
        Plane::Splice => "splice",
        Plane::Sockmap => "sockmap",
    }
}
