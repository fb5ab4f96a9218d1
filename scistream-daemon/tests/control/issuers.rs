//! Tokens that an issuer vouches for, and issuers that do not answer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use scistream_daemon::config::{JwtSettings, SignatureName};
use scistream_daemon::wire::gateway as own;
use tonic::Code;

use crate::issuer::{Issuer, now};
use crate::rig::{CLIENT_ID, Rig, by, codes, echo, round_trip};

fn create(targets: &[String]) -> own::CreateSessionRequest {
    own::CreateSessionRequest {
        role: own::Role::Producer.into(),
        targets: targets.to_vec(),
        ..own::CreateSessionRequest::default()
    }
}

async fn asking(issuer: &Issuer) -> Rig {
    Rig::with(|settings, _| settings.auth.introspection = Some(issuer.settings())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn globus_tokens_are_asked_about_and_judged() {
    let issuer = Issuer::like_globus();
    let rig = asking(&issuer).await;
    let mut own = rig.own().await;
    let created = own
        .create_session(by("valid", create(&[])))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(created.session.unwrap().owner, "urn:globus:auth:identity:7");
    let question = issuer.seen.lock().unwrap()[0].clone();
    assert!(
        question.starts_with("POST /v2/oauth2/token/introspect HTTP/1.1"),
        "{question}"
    );
    assert!(
        question
            .to_ascii_lowercase()
            .contains("authorization: basic dghllwdhdgv3yxk6ahvzaa=="),
        "{question}"
    );
    assert!(
        question.ends_with("token=valid&include=identity_set"),
        "{question}"
    );
    for token in ["expired", "early", "for-others", "unscoped", "revoked"] {
        let refused = own
            .create_session(by(token, create(&[])))
            .await
            .unwrap_err();
        assert_eq!(
            codes(&refused),
            (Code::Unauthenticated, "AUTH_ERROR".to_owned()),
            "{token}"
        );
        assert_eq!(
            refused.message(),
            format!("Authentication token is invalid for scope {CLIENT_ID}")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_question_serves_many_calls() {
    let issuer = Issuer::like_globus();
    let rig = asking(&issuer).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut own = rig.own().await;
        calls.spawn(async move {
            own.list_sessions(by("valid", own::ListSessionsRequest {}))
                .await
                .map(|_| ())
        });
    }
    while let Some(outcome) = calls.join_next().await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_does_not_answer_lets_nobody_in_and_is_named() {
    let broken = Issuer::start(|_, _| (500, "oops".to_owned(), Duration::ZERO));
    let senseless = Issuer::start(|_, _| (200, "<html>".to_owned(), Duration::ZERO));
    let slow = Issuer::start(|_, _| (200, "{}".to_owned(), Duration::from_secs(60)));
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (url, reason) in [
        (broken.url.clone(), "it answers 500"),
        (senseless.url.clone(), "its answer makes no sense"),
        (slow.url.clone(), "no answer in time"),
        (gone, "no connection"),
    ] {
        let rig = Rig::with(|settings, _| {
            let mut introspection = broken.settings();
            introspection.issuer = url.parse().unwrap();
            introspection.timeout = "300ms".parse().unwrap();
            settings.auth.introspection = Some(introspection);
        })
        .await;
        let mut own = rig.own().await;
        let created = own
            .create_session(by("alice", create(&[echo().to_string()])))
            .await
            .unwrap();
        let session = created.into_inner().session.unwrap();
        let refused = own
            .create_session(by("valid", create(&[])))
            .await
            .unwrap_err();
        assert_eq!(
            codes(&refused),
            (Code::Unavailable, "UNAVAILABLE".to_owned())
        );
        assert!(
            refused.message().contains(&url) && refused.message().contains(reason),
            "{refused:?}"
        );
        round_trip(&session.listeners[0]);
    }
}

/// A signer with one key, and the document that shows its other half.
struct Signer {
    key: EncodingKey,
    keys: String,
}

impl Signer {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("first".to_owned());
        let keys = serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap();
        Self { key, keys }
    }

    fn sign(&self, issuer: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut claims = serde_json::json!({
            "iss": issuer, "aud": "scistream", "sub": "42", "exp": now() + 60,
            "email": "dave@lab.org", "email_verified": true, "groups": ["staff"],
        });
        change(&mut claims);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("first".to_owned());
        encode(&header, &claims, &self.key).unwrap()
    }
}

/// An issuer that shows these keys, and a gateway that believes it.
async fn signed_by(signer: &Signer) -> (Issuer, Rig) {
    let keys = signer.keys.clone();
    let url = Arc::new(OnceLock::<String>::new());
    let own_url = Arc::clone(&url);
    let issuer = Issuer::start(move |path, _| {
        let url = own_url.get().unwrap();
        let body = match path {
            "/.well-known/openid-configuration" => {
                format!(r#"{{"issuer":"{url}","jwks_uri":"{url}/keys"}}"#)
            }
            _ => keys.clone(),
        };
        (200, body, Duration::ZERO)
    });
    url.set(issuer.url.clone()).unwrap();
    let settings = JwtSettings {
        issuer: issuer.url.parse().unwrap(),
        audience: "scistream".to_owned(),
        jwks_url: None,
        algorithms: vec![SignatureName::Es256],
        scope: None,
        ca: None,
        timeout: "5s".parse().unwrap(),
    };
    let rig = Rig::with(|all, _| all.auth.jwt = Some(settings)).await;
    (issuer, rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_is_checked_with_its_issuers_keys() {
    let signer = Signer::new();
    let (issuer, rig) = signed_by(&signer).await;
    let mut own = rig.own().await;
    for _ in 0..2 {
        let good = signer.sign(&issuer.url, |_| ());
        let created = own
            .create_session(by(&good, create(&[])))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(created.session.unwrap().owner, "oidc:42");
    }
    assert_eq!(
        issuer.asked.load(Ordering::SeqCst),
        2,
        "discovery and keys, once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_forged_or_for_others_is_refused() {
    let signer = Signer::new();
    let (issuer, rig) = signed_by(&signer).await;
    let mut own = rig.own().await;
    let good = signer.sign(&issuer.url, |_| ());
    let with = |name: &str, value: serde_json::Value| {
        signer.sign(&issuer.url, |claims| claims[name] = value)
    };
    for token in [
        Signer::new().sign(&issuer.url, |_| ()),
        unsigned(&good),
        symmetric(&signer, &issuer.url),
        with("exp", (now() - 10).into()),
        with("nbf", (now() + 60).into()),
        with("aud", "another".into()),
        with("iss", "https://another.org".into()),
        with("sub", "".into()),
        format!("{good}x"),
        "ey.ey.ey".to_owned(),
    ] {
        let refused = own
            .create_session(by(&token, create(&[])))
            .await
            .unwrap_err();
        assert_eq!(
            refused.code(),
            Code::Unauthenticated,
            "{token}: {refused:?}"
        );
    }
}

/// A token that is signed with the public key as if it were a secret.
fn symmetric(signer: &Signer, issuer: &str) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("first".to_owned());
    let claims =
        serde_json::json!({ "iss": issuer, "aud": "scistream", "sub": "42", "exp": now() + 60 });
    encode(
        &header,
        &claims,
        &EncodingKey::from_secret(signer.keys.as_bytes()),
    )
    .unwrap()
}

/// The token with the algorithm `none` and no signature.
fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    // {"alg":"none","typ":"JWT"}
    format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")
}
