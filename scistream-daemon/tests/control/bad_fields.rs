//! Every field of every message of both services, with everything that does not belong in it. The
//! messages are good but for one field, which is written byte by byte.

use prost::Message;
use scistream_daemon::session::{Caller, Principal};
use scistream_daemon::wire::gateway as own;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::raw::{call, number, text};
use crate::rig::{Rig, UID, by, hello, release, req, session, update};

/// One field of one message.
struct Field {
    call: &'static str,
    tag: u32,
    name: &'static str,
    /// The message without it, or with a good one: the last one counts, and lists are joined.
    message: fn() -> Vec<u8>,
}

/// A repeated field keeps its good ones beside the bad one.
const fn field(
    call: &'static str,
    tag: u32,
    name: &'static str,
    message: fn() -> Vec<u8>,
) -> Field {
    Field {
        call,
        tag,
        name,
        message,
    }
}

const REQ: &str = "scistream.Control/req";
const UPDATE: &str = "scistream.Control/update";
const HELLO: &str = "scistream.Control/hello";
const RELEASE: &str = "scistream.Control/release";
const CREATE: &str = "scistream.v1.Gateway/CreateSession";
const AIM: &str = "scistream.v1.Gateway/UpdateTargets";
const GET: &str = "scistream.v1.Gateway/GetSession";
const WATCH: &str = "scistream.v1.Gateway/WatchEvents";
const END: &str = "scistream.v1.Gateway/ReleaseSession";
const DRAIN: &str = "scistream.v1.Gateway/Drain";

fn good_req() -> Vec<u8> {
    req(UID, "PROD", 1).encode_to_vec()
}

fn good_update() -> Vec<u8> {
    update(UID, "PROD", &["127.0.0.1:9".to_owned()]).encode_to_vec()
}

fn good_hello() -> Vec<u8> {
    hello(UID, "PROD", &["127.0.0.1:9"]).encode_to_vec()
}

fn good_create() -> Vec<u8> {
    let message = own::CreateSessionRequest {
        role: own::Role::Producer.into(),
        ..own::CreateSessionRequest::default()
    };
    message.encode_to_vec()
}

/// For the messages that begin with a uid and need nothing else.
fn only_uid() -> Vec<u8> {
    release(UID).encode_to_vec()
}

fn nothing() -> Vec<u8> {
    Vec::new()
}

/// The fields that hold text.
const TEXTS: [Field; 16] = [
    field(REQ, 1, "uid", good_req),
    field(REQ, 2, "role", good_req),
    field(UPDATE, 1, "uid", good_update),
    field(UPDATE, 2, "remote_listeners", good_update),
    field(UPDATE, 3, "role", good_update),
    field(HELLO, 1, "uid", good_hello),
    field(HELLO, 2, "prod_listeners", good_hello),
    field(HELLO, 3, "role", good_hello),
    field(RELEASE, 1, "uid", nothing),
    field(CREATE, 1, "uid", good_create),
    field(CREATE, 6, "targets", good_create),
    field(CREATE, 7, "label", good_create),
    field(CREATE, 10, "sources", good_create),
    field(CREATE, 11, "idempotency_key", good_create),
    field(AIM, 1, "uid", good_update),
    field(AIM, 2, "targets", good_update),
];

/// Those that hold a uid and nothing else.
const UIDS: [Field; 3] = [
    field(GET, 1, "uid", nothing),
    field(WATCH, 1, "uid", nothing),
    field(END, 1, "uid", nothing),
];

/// The fields where nothing stands for a choice of ours.
const OPTIONAL: [(&str, u32); 6] = [
    (UPDATE, 3),
    (HELLO, 3),
    (CREATE, 1),
    (CREATE, 7),
    (CREATE, 11),
    (WATCH, 1),
];

fn bad_texts(field: &Field) -> Vec<String> {
    let huge = "x".repeat(1_000_000);
    let mut bad = vec![huge, "a\0b".into(), "a\u{1b}[2Jb".into(), "a\nb".into()];
    bad.push("\u{202e}a".into());
    // A label is what people like to write.
    if field.name != "label" {
        bad.extend(["../../etc/passwd", "-1", "é", "a b", "%s%n", "'; --"].map(str::to_owned));
    }
    if !OPTIONAL.contains(&(field.call, field.tag)) {
        bad.push(String::new());
    }
    bad
}

/// Refused by its name, in few words that no terminal is troubled by.
fn is_refused(status: &Status, field: &Field, what: &str) {
    let Field { call, name, .. } = field;
    let what: String = what.escape_debug().take(40).collect();
    let context = format!("{call} {name} = {what}: {status:?}");
    assert_eq!(status.code(), Code::InvalidArgument, "{context}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "BAD_FORMAT");
    let violations = &details.bad_request().expect(&context).field_violations;
    assert_eq!(violations[0].field, *name, "{context}");
    let begins = format!("{name} cannot be ");
    assert!(status.message().starts_with(&begins), "{context}");
    assert!(status.message().len() < 600, "{context}");
    assert!(!status.message().contains(char::is_control), "{context}");
}

async fn try_field(channel: &Channel, field: &Field, value: Vec<u8>, what: &str) {
    let mut message = (field.message)();
    message.extend(value);
    let refused = call(channel, "alice", field.call, message).await;
    is_refused(&refused.expect_err(field.call), field, what);
}

/// Nothing is left of what was refused, and others are served.
async fn nothing_came_of_it(rig: &Rig) {
    let mut everyone = Caller::unlimited(Principal::new("token:root"));
    everyone.admin = true;
    assert_eq!(rig.sessions.list(&everyone).len(), 0);
    let mut old = rig.old().await;
    session(&old, "bob", "still-there", 1).await;
    old.release(by("bob", release("still-there")))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_takes_text_that_does_not_belong_in_it() {
    let rig = Rig::start().await;
    let channel = rig.channel().await;
    for field in TEXTS.iter().chain(&UIDS) {
        for bad in bad_texts(field) {
            try_field(&channel, field, text(field.tag, bad.as_bytes()), &bad).await;
        }
    }
    nothing_came_of_it(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_takes_bytes_that_are_no_text() {
    let rig = Rig::start().await;
    let channel = rig.channel().await;
    for field in TEXTS.iter().chain(&UIDS) {
        for bytes in [
            &[0xff, 0xfe][..],
            b"\xc3\x28",
            b"\xed\xa0\x80",
            b"a\xf0\x9f",
        ] {
            let mut message = (field.message)();
            message.extend(text(field.tag, bytes));
            let refused = call(&channel, "alice", field.call, message).await;
            let refused = refused.expect_err(field.call);
            // The message cannot be read at all, which gRPC calls INTERNAL.
            assert_eq!(refused.code(), Code::Internal, "{refused:?}");
            assert!(refused.message().contains("not UTF-8"), "{refused:?}");
        }
    }
    nothing_came_of_it(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_none_are_refused_whatever_they_hold() {
    let rig = Rig::start().await;
    let channel = rig.channel().await;
    let calls = [REQ, UPDATE, HELLO, RELEASE, CREATE, AIM, GET, WATCH, END];
    for name in calls {
        for message in [
            // A number where text belongs, text that ends early, a group without end, a length
            // beyond all bounds, a field of the number 0.
            number(1, 7),
            vec![0x0a, 0x7f, b'x'],
            vec![0x0b, 0x0b, 0x0b],
            vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            vec![0x00, 0x00],
        ] {
            let refused = call(&channel, "alice", name, message).await;
            let refused = refused.expect_err(name);
            assert_eq!(refused.code(), Code::Internal, "{name}: {refused:?}");
        }
    }
    let unknown = call(&channel, "alice", "scistream.Control/own", nothing()).await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);
    nothing_came_of_it(&rig).await;
}

/// A `google.protobuf.Duration`.
fn duration(tag: u32, seconds: i64, nanos: i64) -> Vec<u8> {
    text(tag, &[number(1, seconds), number(2, nanos)].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_takes_a_number_that_cannot_be() {
    let rig = Rig::start().await;
    let channel = rig.channel().await;
    let least = i64::from(i32::MIN);
    let most = i64::from(i32::MAX);
    for (field, values) in [
        (
            field(REQ, 3, "num_conn", good_req),
            &[0, -1, 1_000_000_000, least, most][..],
        ),
        (field(REQ, 4, "rate", good_req), &[-1, least]),
        (field(CREATE, 2, "role", good_create), &[0, 3, -1, least]),
        (
            field(CREATE, 3, "listeners", good_create),
            &[65_536, 1_000_000_000, i64::from(u32::MAX)],
        ),
        (field(CREATE, 4, "reserved_rate_bps", good_create), &[1, 7]),
        (field(CREATE, 5, "max_rate_bps", good_create), &[1, 7]),
    ] {
        for value in values {
            let what = value.to_string();
            try_field(&channel, &field, number(field.tag, *value), &what).await;
        }
    }
    for field in [
        field(CREATE, 8, "lifetime", good_create),
        field(CREATE, 9, "idle_timeout", good_create),
        field(END, 2, "drain", only_uid),
        field(DRAIN, 1, "drain", nothing),
    ] {
        for (seconds, nanos) in [
            (-1, 0),
            (i64::MIN, 0),
            (i64::MAX, 0),
            (0, -1),
            (0, 1_000_000_000),
            (4_000_000_000, 0),
        ] {
            let what = format!("{seconds} s {nanos} ns");
            try_field(&channel, &field, duration(field.tag, seconds, nanos), &what).await;
        }
    }
    nothing_came_of_it(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_is_taken_that_is_too_long_and_none_that_must_not_be_empty() {
    let rig = Rig::start().await;
    let channel = rig.channel().await;
    for (field, item) in [
        (field(UPDATE, 2, "remote_listeners", only_uid), "10.0.0.1:1"),
        (field(HELLO, 2, "prod_listeners", only_uid), "10.0.0.1:1"),
        (field(CREATE, 6, "targets", good_create), "10.0.0.1:1"),
        (field(CREATE, 10, "sources", good_create), "10.0.0.0/8"),
        (field(AIM, 2, "targets", only_uid), "10.0.0.1:1"),
    ] {
        let items = text(field.tag, item.as_bytes()).repeat(100_000);
        try_field(&channel, &field, items, "100000 of them").await;
    }
    for field in [
        field(UPDATE, 2, "remote_listeners", only_uid),
        field(AIM, 2, "targets", only_uid),
    ] {
        try_field(&channel, &field, nothing(), "none").await;
    }
    nothing_came_of_it(&rig).await;
}
