//! Calls that make no sense as a whole: roles that there are not, targets that lead nowhere or back,
//! messages and tokens beyond all measure. Single fields are in `bad_fields`.

use tonic::{Code, Status};

use crate::rig::{Old, Rig, UID, by, release, req, session, update};

fn is_bad_field(status: &Status, field: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(
        status.message().starts_with(&format!("{field} cannot be ")),
        "{status:?}"
    );
    assert!(status.message().len() < 600, "little of the value is shown");
}

async fn still_answers(old: &Old) {
    session(old, "bob", "still-there", 1).await;
    old.clone()
        .release(by("bob", release("still-there")))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_there_are_not_are_refused() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    for role in ["", "prod", "BOTH", "PROD\0", "\u{202e}"] {
        is_bad_field(
            &old.req(by("alice", req(UID, role, 1))).await.unwrap_err(),
            "role",
        );
    }
    still_answers(&old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_are_none_too_many_or_ourselves_are_refused() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    let response = session(&old, "alice", UID, 1).await;
    let many = vec!["10.0.0.1:1".to_owned(); 100_000];
    let one = |text: &str| vec![text.to_owned()];
    for targets in [
        Vec::new(),
        many,
        one(""),
        one(":"),
        one("10.0.0.1"),
        one("10.0.0.1:0"),
        one("10.0.0.1:-1"),
        one("10.0.0.1:99999"),
        one("0.0.0.0:80"),
        one("[::]:80"),
        one("224.0.0.1:80"),
        one("http://host:80"),
        one("host name:80"),
        one(&"x".repeat(1_000_000)),
    ] {
        let refused = old
            .update(by("alice", update(UID, "PROD", &targets)))
            .await
            .unwrap_err();
        is_bad_field(&refused, "remote_listeners");
    }
    // A session that fed itself would turn in circles for ever; one that fed the control port would
    // let its users call it from here.
    for own in [response.listeners[0].clone(), rig.address.to_string()] {
        let refused = old
            .update(by("alice", update(UID, "PROD", &[own])))
            .await
            .unwrap_err();
        is_bad_field(&refused, "remote_listeners");
        assert!(refused.message().contains("own listeners"), "{refused:?}");
    }
    still_answers(&old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_the_limit_is_refused_as_such() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    let refused = old
        .release(by("alice", release(&"x".repeat(6 << 20))))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    // Without a token none of it is read, and the answer is about the token.
    let stranger = old
        .release(release(&"x".repeat(6 << 20)))
        .await
        .unwrap_err();
    assert_eq!(stranger.code(), Code::Unauthenticated, "{stranger:?}");
    still_answers(&old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_beyond_all_measure_is_refused_and_others_are_served() {
    let rig = Rig::start().await;
    let old = rig.old().await;
    for length in [8_000, 12_000] {
        let token = "x".repeat(length);
        let refused = old.clone().release(by(&token, release(UID))).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    // More than the headers of a call may have: that call, or its connection, is over before anyone
    // looks at the token.
    let token = "x".repeat(1 << 20);
    let mut another = rig.old().await;
    let refused = another.release(by(&token, release(UID))).await.unwrap_err();
    assert_ne!(refused.code(), Code::Unauthenticated, "{refused:?}");
    still_answers(&old).await;
}
