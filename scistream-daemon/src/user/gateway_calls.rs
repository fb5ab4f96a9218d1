//! The service that our gateways offer beside SciStream's own: sessions made without waiting,
//! listed, watched and drained.

use std::time::Duration;

use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::remote::Remote;
use crate::wire::gateway::{
    CreateSessionRequest, Event, GetSessionRequest, GetSessionResponse, ListSessionsRequest,
    ReleaseSessionRequest, Session, UpdateTargetsRequest, WatchEventsRequest,
};

/// Makes a session, and tells whether the same create had made it before.
///
/// # Errors
/// What the gateway answered; [`Exit::Unsupported`] when it does not offer this service.
pub async fn create(
    remote: &Remote,
    request: CreateSessionRequest,
    deadline: Deadline,
) -> Result<(Session, bool), Failure> {
    let mut gateway = remote.gateway();
    let created = gateway.create_session(remote.request(request));
    let answer = remote.call("CreateSession", deadline, created).await?;
    let session = present(remote, "CreateSession", answer.session)?;
    Ok((session, answer.existed))
}

/// Says where a session's listeners send to.
///
/// # Errors
/// What the gateway answered.
pub async fn update(
    remote: &Remote,
    uid: &str,
    targets: Vec<String>,
    deadline: Deadline,
) -> Result<Session, Failure> {
    let mut gateway = remote.gateway();
    let updated = gateway.update_targets(remote.request(UpdateTargetsRequest {
        uid: uid.to_owned(),
        targets,
    }));
    let answer = remote.call("UpdateTargets", deadline, updated).await?;
    present(remote, "UpdateTargets", answer.session)
}

/// Our sessions, the oldest first.
///
/// # Errors
/// What the gateway answered.
pub async fn list(remote: &Remote, deadline: Deadline) -> Result<Vec<Session>, Failure> {
    let mut gateway = remote.gateway();
    let listed = gateway.list_sessions(remote.request(ListSessionsRequest {}));
    let answer = remote.call("ListSessions", deadline, listed).await?;
    Ok(answer.sessions)
}

/// One session with its connections.
///
/// # Errors
/// What the gateway answered.
pub async fn show(
    remote: &Remote,
    uid: &str,
    deadline: Deadline,
) -> Result<GetSessionResponse, Failure> {
    let mut gateway = remote.gateway();
    let shown = gateway.get_session(remote.request(GetSessionRequest {
        uid: uid.to_owned(),
    }));
    remote.call("GetSession", deadline, shown).await
}

/// What happens to our sessions, or to the one of `uid`, as it happens.
///
/// # Errors
/// What the gateway answered.
pub async fn watch(
    remote: &Remote,
    uid: &str,
    deadline: Deadline,
) -> Result<tonic::Streaming<Event>, Failure> {
    let mut gateway = remote.gateway();
    let watched = gateway.watch_events(remote.request(WatchEventsRequest {
        uid: uid.to_owned(),
    }));
    remote.call("WatchEvents", deadline, watched).await
}

/// Ends a session; its connections may go on for `drain`.
///
/// # Errors
/// What the gateway answered.
pub async fn release(
    remote: &Remote,
    uid: &str,
    drain: Option<Duration>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let drain = drain.and_then(|drain| drain.try_into().ok());
    let mut gateway = remote.gateway();
    let released = gateway.release_session(remote.request(ReleaseSessionRequest {
        uid: uid.to_owned(),
        drain,
    }));
    let answer = remote.call("ReleaseSession", deadline, released).await;
    answer.map(|_response| ())
}

fn present(remote: &Remote, call: &str, session: Option<Session>) -> Result<Session, Failure> {
    session.ok_or_else(|| {
        let host = remote.host();
        Failure::new(
            Exit::Failed,
            format!(
                "the gateway {host} answered {call} without a session; it is not as it should be"
            ),
        )
    })
}
