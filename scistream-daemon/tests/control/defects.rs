//! The defects of the reference implementation (scistream-proto 1.2.1), as far as the control port
//! can have them.

use std::collections::HashSet;
use std::io::Read;
use std::net::TcpStream;

use tonic::Code;
use tonic_types::StatusExt;

use crate::rig::{
    PATIENCE, Rig, UID, by, codes, echo, hello, release, req, round_trip, say_hello, session,
    update,
};

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_waiting_reqs_do_not_keep_a_hello_waiting() {
    let rig = Rig::start().await;
    let old = rig.old().await;
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..300 {
        let mut asking = old.clone();
        let request = by("alice", req(&format!("session-{number}"), "PROD", 1));
        waiting.spawn(async move { asking.req(request).await });
    }
    for number in (0..300).rev() {
        say_hello(&old, "alice", &format!("session-{number}")).await;
    }
    let mut ports = HashSet::new();
    while let Some(outcome) = waiting.join_next().await {
        ports.extend(outcome.unwrap().unwrap().into_inner().listeners);
    }
    assert_eq!(ports.len(), 300, "each session has its own port");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_hits_its_own_session_alone() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    let targets = [echo().to_string()];
    let mut listeners = Vec::new();
    for uid in ["one", "two"] {
        session(&old, "alice", uid, 1).await;
        let updated = old
            .update(by("alice", update(uid, "PROD", &targets)))
            .await
            .unwrap();
        listeners.extend(updated.into_inner().listeners);
    }
    let mut in_one = round_trip(&listeners[0]);
    let _in_two = round_trip(&listeners[1]);
    old.release(by("alice", release("one"))).await.unwrap();
    in_one.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(
        in_one.read(&mut [0]).map_or(true, |length| length == 0),
        "its connection is cut"
    );
    assert!(
        TcpStream::connect(&listeners[0]).is_err(),
        "its listener is closed"
    );
    round_trip(&listeners[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shortage_is_an_error_and_says_when_to_come_again() {
    let rig = Rig::with(|settings, _| settings.sessions.max_sessions = 1).await;
    let mut old = rig.old().await;
    session(&old, "alice", "one", 1).await;
    let refused = old
        .req(by("alice", req("two", "PROD", 1)))
        .await
        .unwrap_err();
    assert_eq!(
        codes(&refused),
        (Code::ResourceExhausted, "NO_RESOURCE".to_owned())
    );
    assert!(refused.get_error_details().retry_info().is_some());
    old.release(by("alice", release("one"))).await.unwrap();
    session(&old, "alice", "two", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_touches_the_sessions_of_others() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    session(&old, "alice", UID, 1).await;
    let targets = [echo().to_string()];
    let denied = |status: tonic::Status| {
        assert_eq!(
            codes(&status),
            (Code::PermissionDenied, "AUTH_ERROR".to_owned())
        )
    };
    denied(
        old.update(by("bob", update(UID, "PROD", &targets)))
            .await
            .unwrap_err(),
    );
    denied(old.release(by("bob", release(UID))).await.unwrap_err());
    denied(
        old.hello(by("bob", hello(UID, "PROD", &["127.0.0.1:9"])))
            .await
            .unwrap_err(),
    );
    old.update(by("alice", update(UID, "PROD", &targets)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_uids_cannot_be_probed() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    session(&old, "alice", UID, 1).await;
    let mut answers = HashSet::new();
    for uid in [UID, "another", "", "../x"] {
        for token in [None, Some("wrong")] {
            let call = |token: Option<&str>| match token {
                Some(token) => by(token, release(uid)),
                None => tonic::Request::new(release(uid)),
            };
            let status = old.release(call(token)).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated);
            answers.insert(status.message().to_owned());
        }
    }
    assert_eq!(
        answers.len(),
        2,
        "one for no token, one for a wrong one: {answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_targets_is_refused_by_name() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    session(&old, "alice", UID, 1).await;
    let refused = old
        .update(by("alice", update(UID, "PROD", &[])))
        .await
        .unwrap_err();
    assert_eq!(
        codes(&refused),
        (Code::InvalidArgument, "BAD_FORMAT".to_owned())
    );
    assert_eq!(
        refused
            .get_error_details()
            .bad_request()
            .unwrap()
            .field_violations[0]
            .field,
        "remote_listeners"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_the_advertised_address_and_port() {
    let rig = Rig::with(|settings, _| {
        settings.control.advertise = Some("gateway.example.org".parse().unwrap());
        settings.control.port_map = vec!["1-65535=1-65535".parse().unwrap()];
    })
    .await;
    let response = session(&rig.old().await, "alice", UID, 2).await;
    assert!(
        response
            .listeners
            .iter()
            .all(|listener| listener.starts_with("gateway.example.org:")),
        "{response:?}"
    );

    let rig = Rig::with(|settings, _| settings.control.listener_ip = [0, 0, 0, 0].into()).await;
    let here = crate::rig::connect(
        ([127, 0, 0, 1], rig.address.port()).into(),
        Some(rig.authority.callers_tls(None)),
    );
    let old = crate::rig::Old::new(here.await.unwrap());
    let response = session(&old, "alice", UID, 1).await;
    assert!(
        response.listeners[0].starts_with("127.0.0.1:"),
        "where the call arrived: {response:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_session() {
    let rig = Rig::start().await;
    let old = rig.old().await;
    let mut asking = rig.old().await;
    let waiting = tokio::spawn(async move { asking.req(by("alice", req(UID, "PROD", 1))).await });
    let admin = scistream_daemon::session::Caller::unlimited(
        scistream_daemon::session::Principal::new("token:alice"),
    );
    wait_until(|| !rig.sessions.list(&admin).is_empty()).await;
    waiting.abort();
    wait_until(|| rig.sessions.list(&admin).is_empty()).await;
    session(&old, "alice", UID, 1).await;
}

async fn wait_until(holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it never came to hold"
        );
        tokio::task::yield_now().await;
    }
}
