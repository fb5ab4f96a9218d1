//! SciStream's own protocol, as its programs speak it.

use std::net::TcpStream;

use tonic::Code;

use crate::rig::{
    Rig, UID, by, codes, echo, hello, release, req, round_trip, say_hello, session, update,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_inbound_flow_goes_from_req_to_release() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    let mut asking = old.clone();
    let waiting = tokio::spawn(async move { asking.req(by("alice", req(UID, "PROD", 5))).await });
    say_hello(&old, "alice", UID).await;
    let response = waiting.await.unwrap().unwrap().into_inner();
    assert_eq!(response.listeners.len(), 5);
    assert!(
        response
            .listeners
            .iter()
            .all(|listener| listener.starts_with("127.0.0.1:")),
        "{response:?}"
    );
    assert_eq!(response.prod_listeners, ["127.0.0.1:9"]);

    let targets = [echo().to_string(), echo().to_string()];
    let updated = old
        .update(by("alice", update(UID, "PROD", &targets)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(updated.listeners, response.listeners);
    let [first, second] = &targets;
    assert_eq!(
        &updated.prod_listeners,
        &[first, second, first, second, first].map(Clone::clone)
    );
    for listener in &updated.listeners {
        round_trip(listener);
    }

    let released = old
        .release(by("alice", release(UID)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(released, Default::default());
    for listener in &response.listeners {
        assert!(
            TcpStream::connect(listener).is_err(),
            "{listener} is closed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbound_flow_takes_a_hello_of_the_wrong_role() {
    let rig = Rig::start().await;
    let old = rig.old().await;
    let mut asking = old.clone();
    let waiting = tokio::spawn(async move { asking.req(by("alice", req(UID, "CONS", 2))).await });
    // Upstream's outbound-request says PROD here.
    say_hello(&old, "alice", UID).await;
    let response = waiting.await.unwrap().unwrap().into_inner();
    assert_eq!(response.listeners.len(), 2);
    let targets = [echo().to_string()];
    let updated = old
        .clone()
        .update(by("alice", update(UID, "CONS", &targets)))
        .await
        .unwrap();
    round_trip(&updated.into_inner().listeners[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_has_upstreams_words_for_either_role() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    let response = session(&old, "alice", "first", 1).await;
    let told = old
        .hello(by("alice", hello("first", "PROD", &["127.0.0.1:9"])))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.message, "Sending Prod listeners...");
    assert!(told.listeners.is_empty());
    let told = old
        .hello(by("alice", hello("first", "CONS", &[])))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.message, "Sending listeners...");
    assert_eq!(told.listeners, response.listeners);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_upstreams_words_and_codes_that_programs_understand() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    let missing = old.clone().req(req(UID, "PROD", 1)).await.unwrap_err();
    assert_eq!(
        missing.message(),
        "Authentication token is missing for scope the-gateway"
    );
    assert_eq!(
        codes(&missing),
        (Code::Unauthenticated, "AUTH_ERROR".to_owned())
    );
    for token in ["INVALID_TOKEN", "mallory", "Bearer mallory"] {
        let invalid = old
            .clone()
            .req(by(token, req(UID, "PROD", 1)))
            .await
            .unwrap_err();
        assert_eq!(
            invalid.message(),
            "Authentication token is invalid for scope the-gateway"
        );
        assert_eq!(invalid.code(), Code::Unauthenticated);
    }
    session(&old, "Bearer alice", UID, 1).await;
    let twice = old.req(by("alice", req(UID, "PROD", 1))).await.unwrap_err();
    assert_eq!(
        codes(&twice),
        (Code::AlreadyExists, "INVALID_UID".to_owned())
    );
    let unknown = old
        .release(by("alice", release("another")))
        .await
        .unwrap_err();
    assert_eq!(codes(&unknown), (Code::NotFound, "INVALID_UID".to_owned()));
    old.release(by("alice", release(UID))).await.unwrap();
    let again = old.release(by("alice", release(UID))).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_req_without_hello_ends_with_its_time_and_gives_everything_back() {
    let rig =
        Rig::with(|settings, _| settings.sessions.hello_timeout = "50ms".parse().unwrap()).await;
    let mut old = rig.old().await;
    let late = old.req(by("alice", req(UID, "PROD", 1))).await.unwrap_err();
    assert_eq!(codes(&late), (Code::DeadlineExceeded, "TIMEOUT".to_owned()));
    // The uid is free again.
    let again = old.req(by("alice", req(UID, "PROD", 1))).await.unwrap_err();
    assert_eq!(again.code(), Code::DeadlineExceeded);
}
