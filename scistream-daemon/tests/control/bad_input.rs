//! Every field of every message with what does not belong in it.

use scistream_daemon::wire::gateway as own;
use tonic::{Code, Status};

use crate::rig::{Old, Rig, UID, by, hello, release, req, session, update};

/// Values that are no uid.
fn no_uids() -> Vec<String> {
    let huge = "x".repeat(1_000_000);
    [
        "",
        "../../etc/passwd",
        "/",
        ".",
        "a/b",
        "a b",
        "a\0b",
        "a\nb",
        "\u{202e}a",
        "é",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([huge])
    .collect()
}

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
async fn no_message_takes_a_uid_that_is_none() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    for uid in no_uids() {
        let targets = ["10.0.0.1:1".to_owned()];
        is_bad_field(
            &old.req(by("alice", req(&uid, "PROD", 1)))
                .await
                .unwrap_err(),
            "uid",
        );
        is_bad_field(
            &old.update(by("alice", update(&uid, "PROD", &targets)))
                .await
                .unwrap_err(),
            "uid",
        );
        is_bad_field(
            &old.hello(by("alice", hello(&uid, "PROD", &[])))
                .await
                .unwrap_err(),
            "uid",
        );
        is_bad_field(
            &old.release(by("alice", release(&uid))).await.unwrap_err(),
            "uid",
        );
    }
    still_answers(&old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_roles_that_cannot_be_are_refused() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    for num_conn in [0, -1, i32::MIN, 1_000_000_000, i32::MAX] {
        let refused = old
            .req(by("alice", req(UID, "PROD", num_conn)))
            .await
            .unwrap_err();
        assert!(
            matches!(
                refused.code(),
                Code::InvalidArgument | Code::ResourceExhausted
            ),
            "{refused:?}"
        );
    }
    for rate in [-1, i32::MIN] {
        let mut message = req(UID, "PROD", 1);
        message.rate = rate;
        is_bad_field(&old.req(by("alice", message)).await.unwrap_err(), "rate");
    }
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
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
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
async fn text_that_is_no_text_is_refused() {
    // Written out: tag and length of field 1, and two bytes that are not UTF-8.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Bytes {
        #[prost(bytes = "vec", tag = "1")]
        uid: Vec<u8>,
    }
    let rig = Rig::start().await;
    let mut raw = tonic::client::Grpc::new(rig.channel().await);
    raw.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/scistream.Control/release");
    let codec = tonic_prost::ProstCodec::<Bytes, Bytes>::default();
    let message = Bytes {
        uid: vec![0xff, 0xfe],
    };
    let refused = raw
        .unary(by("alice", message), path, codec)
        .await
        .unwrap_err();
    assert!(
        matches!(refused.code(), Code::Internal | Code::InvalidArgument),
        "{refused:?}"
    );
    still_answers(&rig.old().await).await;
}

fn lasting(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

fn good() -> own::CreateSessionRequest {
    own::CreateSessionRequest {
        role: own::Role::Producer.into(),
        ..own::CreateSessionRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_messages_are_looked_at_as_closely() {
    type Change = fn(&mut own::CreateSessionRequest);
    let rig = Rig::start().await;
    let mut own = rig.own().await;
    let bad: [(&str, Change); 8] = [
        ("role", |message| message.role = 0),
        ("role", |message| message.role = i32::MIN),
        ("uid", |message| message.uid = "../x".to_owned()),
        ("label", |message| message.label = "\u{1b}[2J".to_owned()),
        ("lifetime", |message| message.lifetime = lasting(-1, 0)),
        ("idle_timeout", |message| {
            message.idle_timeout = lasting(i64::MAX, 0)
        }),
        ("sources", |message| {
            message.sources = vec!["everyone".to_owned()]
        }),
        ("targets", |message| message.targets = vec!["x".to_owned()]),
    ];
    for (field, change) in bad {
        let mut message = good();
        change(&mut message);
        is_bad_field(
            &own.create_session(by("alice", message)).await.unwrap_err(),
            field,
        );
    }
    let mut many = good();
    many.listeners = u32::MAX;
    let refused = own.create_session(by("alice", many)).await.unwrap_err();
    assert!(
        matches!(
            refused.code(),
            Code::InvalidArgument | Code::ResourceExhausted
        ),
        "{refused:?}"
    );
    let drain = own::ReleaseSessionRequest {
        uid: "x".to_owned(),
        drain: lasting(0, -5),
    };
    is_bad_field(
        &own.release_session(by("alice", drain)).await.unwrap_err(),
        "drain",
    );
}
