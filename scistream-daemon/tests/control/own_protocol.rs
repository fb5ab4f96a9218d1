//! The gateway's own protocol.

use std::collections::HashMap;
use std::time::Instant;

use scistream_daemon::wire::gateway as own;
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::rig::{Own, PATIENCE, Rig, by, codes, echo, round_trip};

fn create(uid: &str, targets: &[String]) -> own::CreateSessionRequest {
    own::CreateSessionRequest {
        uid: uid.to_owned(),
        role: own::Role::Producer.into(),
        listeners: 2,
        targets: targets.to_vec(),
        label: "my run".to_owned(),
        ..own::CreateSessionRequest::default()
    }
}

fn get(uid: &str) -> own::GetSessionRequest {
    own::GetSessionRequest {
        uid: uid.to_owned(),
    }
}

/// Asks for a session until its first connection has moved as many bytes each way: a count is stored
/// after its bytes were moved.
async fn both_ways_counted(own: &mut Own, uid: &str, bytes: u64) -> own::GetSessionResponse {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = own.get_session(by("alice", get(uid))).await;
        let shown = shown.unwrap().into_inner();
        let connection = &shown.connections[0];
        let counts = [connection.to_upstream, connection.to_downstream];
        let total = shown.session.as_ref().unwrap();
        let totals = [total.bytes_to_upstream, total.bytes_to_downstream];
        if totals == [bytes; 2] && counts.map(|count| count.unwrap().bytes) == totals {
            return shown;
        }
        assert!(Instant::now() < deadline, "{bytes} each way: {shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_ready_when_create_answers() {
    let rig = Rig::start().await;
    let mut own = rig.own().await;
    let targets = [echo().to_string()];
    let created = own
        .create_session(by("alice", create("", &targets)))
        .await
        .unwrap()
        .into_inner();
    let session = created.session.unwrap();
    assert!(!created.existed);
    assert_eq!(session.state(), own::State::Forwarding);
    assert_eq!(session.owner, "token:alice");
    assert_eq!(session.label, "my run");
    assert_eq!(session.uid.len(), 36, "a uid of ours");
    let _open = round_trip(&session.listeners[1]);

    let shown = both_ways_counted(&mut own, &session.uid, 14).await;
    let connection = &shown.connections[0];
    assert_eq!(connection.listener, session.listeners[1]);
    assert_eq!(connection.upstream, targets[0]);
    assert_eq!(connection.to_upstream.unwrap().plane(), own::Plane::Copy);
    let total = shown.session.unwrap();
    assert_eq!(total.connections_open, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_create_makes_one_session() {
    let rig = Rig::start().await;
    let mut own = rig.own().await;
    let mut request = create("", &[]);
    request.idempotency_key = "once".to_owned();
    let first = own
        .create_session(by("alice", request.clone()))
        .await
        .unwrap()
        .into_inner();
    let second = own
        .create_session(by("alice", request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert!(second.existed);
    assert_eq!(first.session.unwrap().uid, second.session.unwrap().uid);
    let others = own
        .create_session(by("bob", request))
        .await
        .unwrap()
        .into_inner();
    assert!(!others.existed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_a_caller_its_own_sessions_and_an_admin_all() {
    let rig = Rig::with(|settings, _| settings.rules = crate::rules::rules(
        "[[rules]]\nwho = [\"any\"]\nroles = [\"producer\"]\n[[rules]]\nwho = [\"group:wheel\"]\nroles = [\"admin\"]\n",
    ))
    .await;
    let mut own = rig.own().await;
    for (token, uid) in [("alice", "a"), ("bob", "b")] {
        own.create_session(by(token, create(uid, &[])))
            .await
            .unwrap();
    }
    let mut seen = HashMap::new();
    for token in ["alice", "bob", "root"] {
        let listed = own
            .list_sessions(by(token, own::ListSessionsRequest {}))
            .await
            .unwrap()
            .into_inner();
        seen.insert(
            token,
            listed
                .sessions
                .into_iter()
                .map(|session| session.uid)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(seen["alice"], ["a"]);
    assert_eq!(seen["bob"], ["b"]);
    assert_eq!(seen["root"], ["a", "b"]);
    let denied = own.get_session(by("bob", get("a"))).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    own.get_session(by("root", get("a"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_told_what_happens_to_their_sessions() {
    let rig = Rig::start().await;
    let mut own = rig.own().await;
    let request = by("alice", own::WatchEventsRequest::default());
    let mut events = own.watch_events(request).await.unwrap().into_inner();
    own.create_session(by("bob", create("not-alices", &[])))
        .await
        .unwrap();
    own.create_session(by("alice", create("a", &[])))
        .await
        .unwrap();
    own.release_session(by(
        "alice",
        own::ReleaseSessionRequest {
            uid: "a".to_owned(),
            drain: None,
        },
    ))
    .await
    .unwrap();
    let mut codes = Vec::new();
    while codes.last().is_none_or(|code| code != "closed") {
        let event = events.message().await.unwrap().unwrap();
        assert_eq!(event.uid, "a");
        assert!(!event.message.is_empty());
        codes.push(event.code);
    }
    assert_eq!(
        codes.first().map(String::as_str),
        Some("created"),
        "{codes:?}"
    );
    assert!(codes.iter().any(|code| code == "released"), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_drains_and_then_no_session_is_made() {
    let rig = Rig::with(|settings, _| settings.rules = crate::rules::rules(
        "[[rules]]\nwho = [\"any\"]\nroles = [\"producer\"]\n[[rules]]\nwho = [\"group:wheel\"]\nroles = [\"admin\"]\n",
    ))
    .await;
    let mut own = rig.own().await;
    own.create_session(by("alice", create("a", &[])))
        .await
        .unwrap();
    let denied = own
        .drain(by("alice", own::DrainRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(
        codes(&denied),
        (Code::PermissionDenied, "AUTH_ERROR".to_owned())
    );
    let drained = own
        .drain(by("root", own::DrainRequest::default()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(drained.sessions, 1);
    let refused = own
        .create_session(by("alice", create("b", &[])))
        .await
        .unwrap_err();
    assert_eq!(
        codes(&refused),
        (Code::Unavailable, "UNAVAILABLE".to_owned())
    );
}

/// What reflection answers to these questions.
async fn reflected(rig: &Rig, asked: [MessageRequest; 2]) -> Vec<MessageResponse> {
    let mut reflection = ServerReflectionClient::new(rig.channel().await);
    let asked = asked.map(|asked| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(asked),
    });
    let answers = reflection.server_reflection_info(tokio_stream::iter(asked));
    let mut answers = answers.await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        told.extend(answer.message_response);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer_without_a_token() {
    use prost::Message as _;

    let rig = Rig::start().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(rig.channel().await);
    for service in ["", "scistream.Control", "scistream.v1.Gateway"] {
        let request = tonic_health::pb::HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(
            answer.status(),
            tonic_health::pb::health_check_response::ServingStatus::Serving
        );
    }
    let answers = reflected(
        &rig,
        [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned()),
        ],
    )
    .await;
    let [
        MessageResponse::ListServicesResponse(listed),
        MessageResponse::FileDescriptorResponse(_details_of_refusals),
    ] = answers.as_slice()
    else {
        panic!("{answers:?}");
    };
    let listed: Vec<&str> = listed.service.iter().map(|it| it.name.as_str()).collect();
    for service in [
        "grpc.health.v1.Health",
        "scistream.Control",
        "scistream.v1.Gateway",
    ] {
        assert!(listed.contains(&service), "{listed:?}");
    }
    let files =
        prost_types::FileDescriptorSet::decode(scistream_daemon::wire::DESCRIPTORS).unwrap();
    let services = files.file.iter().flat_map(|file| {
        file.service
            .iter()
            .map(|service| (file.package(), service.name()))
    });
    assert_eq!(
        services.collect::<Vec<_>>(),
        [("scistream", "Control"), ("scistream.v1", "Gateway")]
    );
}
