//! Rules, as callers meet them.

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;

use scistream_daemon::config::{RuleSettings, Settings};
use scistream_daemon::wire::gateway as own;
use tonic::Code;

use crate::rig::{PATIENCE, Rig, by, codes, echo, req, round_trip, session, update};

/// The rules of a settings file.
pub(crate) fn rules(text: &str) -> Vec<RuleSettings> {
    Settings::from_toml(Path::new("rules.toml"), text)
        .unwrap()
        .rules
}

fn create(role: own::Role, targets: &[String]) -> own::CreateSessionRequest {
    own::CreateSessionRequest {
        role: role.into(),
        targets: targets.to_vec(),
        ..own::CreateSessionRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_grants_is_denied_and_the_reason_given() {
    let target = echo();
    let text = format!(
        "[[rules]]\nname = \"staff\"\nwho = [\"group:staff\"]\nroles = [\"producer\"]\n\
         targets = [\"127.0.0.0/8:{}\"]\nmax_listeners = 3\nmax_rate = \"100M\"\n",
        target.port()
    );
    let rig = Rig::with(|settings, _| settings.rules = rules(&text)).await;
    let mut own = rig.own().await;
    let allowed = [target.to_string()];
    let elsewhere = ["192.0.2.1:80".to_owned()];
    let named = [format!("localhost:{}", target.port())];
    own.create_session(by("alice", create(own::Role::Producer, &allowed)))
        .await
        .unwrap();
    own.create_session(by("alice", create(own::Role::Producer, &named)))
        .await
        .unwrap();
    let mut many = create(own::Role::Producer, &allowed);
    many.listeners = 4;
    let mut fast = create(own::Role::Producer, &allowed);
    fast.reserved_rate_bps = 100_000_008;
    for (token, request, reason) in [
        (
            "alice",
            create(own::Role::Producer, &elsewhere),
            "it does not allow the target 192.0.2.1:80",
        ),
        (
            "alice",
            create(own::Role::Consumer, &allowed),
            "it does not grant the role `consumer`",
        ),
        (
            "alice",
            many,
            "it allows at most 3 listeners in a session, not 4",
        ),
        (
            "alice",
            fast,
            "it allows at most 100000000 bit/s for a session, not 100000008",
        ),
        (
            "bob",
            create(own::Role::Producer, &allowed),
            "no rule is for this caller",
        ),
    ] {
        let denied = own.create_session(by(token, request)).await.unwrap_err();
        assert_eq!(
            codes(&denied),
            (Code::PermissionDenied, "AUTH_ERROR".to_owned())
        );
        assert!(denied.message().contains(reason), "{}", denied.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_judged_too_and_a_name_is_pinned_to_its_address() {
    let target = echo();
    let text = format!(
        "[[rules]]\nwho = [\"group:staff\"]\nroles = [\"producer\"]\ntargets = [\"127.0.0.0/8:{}\"]\n",
        target.port()
    );
    let rig = Rig::with(|settings, _| settings.rules = rules(&text)).await;
    let elsewhere = ["192.0.2.1:80".to_owned()];
    let named = [format!("localhost:{}", target.port())];
    let mut old = rig.old().await;
    let denied = old.req(by("bob", req("x", "PROD", 1))).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    session(&old, "alice", "late", 1).await;
    let denied = old
        .update(by("alice", update("late", "PROD", &elsewhere)))
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let updated = old
        .update(by("alice", update("late", "PROD", &named)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        updated.prod_listeners,
        [target.to_string()],
        "the name is pinned to its address"
    );
    round_trip(&updated.listeners[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_no_rule_lets_in_do_not_reach_the_target() {
    let rig = Rig::with(|settings, _| {
        settings.rules = rules(
            "[[rules]]\nwho = [\"any\"]\nroles = [\"producer\"]\nsources = [\"192.0.2.0/24\"]\n",
        );
    })
    .await;
    let mut own = rig.own().await;
    let created = own
        .create_session(by(
            "alice",
            create(own::Role::Producer, &[echo().to_string()]),
        ))
        .await
        .unwrap();
    let session = created.into_inner().session.unwrap();
    assert_eq!(session.sources, ["192.0.2.0/24"]);
    let mut stream = TcpStream::connect(&session.listeners[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(stream.read(&mut [0]).map_or(true, |length| length == 0));
    let mut wider = create(own::Role::Producer, &[]);
    wider.sources = vec!["0.0.0.0/0".to_owned()];
    let denied = own.create_session(by("alice", wider)).await.unwrap_err();
    assert!(
        denied
            .message()
            .contains("it does not let 0.0.0.0/0 connect"),
        "{denied}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_says_hello_to_sessions_of_others_and_does_no_more() {
    let rig = Rig::with(|settings, _| {
        settings.rules = rules(
            "[[rules]]\nwho = [\"token:alice\"]\nroles = [\"producer\"]\n[[rules]]\nwho = [\"token:bob\"]\nroles = [\"application\"]\n",
        );
    })
    .await;
    let mut old = rig.old().await;
    let mut asking = old.clone();
    let waiting = tokio::spawn(async move { asking.req(by("alice", req("x", "PROD", 1))).await });
    crate::rig::say_hello(&old, "bob", "x").await;
    waiting.await.unwrap().unwrap();
    let denied = old
        .update(by("bob", update("x", "PROD", &[echo().to_string()])))
        .await
        .unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_no_more_sessions_than_its_rule_grants() {
    let rig = Rig::with(|settings, _| {
        settings.rules =
            rules("[[rules]]\nwho = [\"any\"]\nroles = [\"producer\"]\nmax_sessions = 1\n");
    })
    .await;
    let mut own = rig.own().await;
    own.create_session(by("alice", create(own::Role::Producer, &[])))
        .await
        .unwrap();
    let refused = own
        .create_session(by("alice", create(own::Role::Producer, &[])))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    own.create_session(by("bob", create(own::Role::Producer, &[])))
        .await
        .unwrap();
}
