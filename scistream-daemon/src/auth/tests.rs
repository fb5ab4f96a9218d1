//! Callers before any issuer is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::config::{CertificateSettings, TokenFileSettings};

/// A file of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str, mode: u32) -> Self {
        let path = std::env::temp_dir().join(format!("s2cs-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

fn with_tokens(file: &Scratch) -> AuthSettings {
    AuthSettings {
        tokens: Some(TokenFileSettings {
            file: file.0.clone(),
        }),
        ..AuthSettings::default()
    }
}

fn shown(authorization: &str) -> Credentials<'_> {
    Credentials {
        certificate: None,
        authorization: Some(authorization),
    }
}

#[tokio::test]
async fn a_raw_token_and_a_bearer_token_are_the_same() {
    let line = format!("alice {} staff\n", TokenDigest::of("s3cret"));
    let file = Scratch::new("bearer", &line, 0o600);
    let auth = Authentication::new(&with_tokens(&file)).unwrap();
    for authorization in [
        "s3cret",
        "Bearer s3cret",
        "bearer  s3cret ",
        "BEARER s3cret",
    ] {
        let subject = auth.identify(shown(authorization)).await.unwrap();
        assert_eq!(subject.id, "token:alice");
        assert_eq!(subject.groups, ["staff"]);
    }
}

#[tokio::test]
async fn refusals_have_upstreams_words_and_tell_nothing_more() {
    let file = Scratch::new(
        "refusals",
        &format!("alice {}\n", TokenDigest::of("s3cret")),
        0o600,
    );
    let settings = AuthSettings {
        client_id: "cid".to_owned(),
        ..with_tokens(&file)
    };
    let auth = Authentication::new(&settings).unwrap();
    for (authorization, text) in [
        (None, "Authentication token is missing for scope cid"),
        (Some(""), "Authentication token is missing for scope cid"),
        (
            Some("Bearer "),
            "Authentication token is missing for scope cid",
        ),
        (
            Some("INVALID_TOKEN"),
            "Authentication token is invalid for scope cid",
        ),
        (
            Some("S3cret"),
            "Authentication token is invalid for scope cid",
        ),
        (
            Some("s3cret2"),
            "Authentication token is invalid for scope cid",
        ),
    ] {
        let shown = Credentials {
            certificate: None,
            authorization,
        };
        let error = auth.identify(shown).await.unwrap_err();
        assert_eq!(error.to_string(), text, "{authorization:?}");
    }
}

#[tokio::test]
async fn without_any_way_to_tell_everyone_is_the_same_caller() {
    let auth = Authentication::new(&AuthSettings::default()).unwrap();
    let subject = auth.identify(Credentials::default()).await.unwrap();
    assert_eq!(subject, Subject::anonymous());
    let same = auth.identify(shown("INVALID_TOKEN")).await.unwrap();
    assert_eq!(same, subject);
}

#[tokio::test]
async fn where_only_certificates_count_a_token_does_not() {
    let settings = AuthSettings {
        certificates: Some(CertificateSettings {
            ca: "unused-here".into(),
        }),
        ..AuthSettings::default()
    };
    let auth = Authentication::new(&settings).unwrap();
    assert!(auth.identify(shown("anything")).await.is_err());
    let mut params = rcgen::CertificateParams::new(vec!["alice.lab.org".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "alice");
    let certificate = params
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap();
    let shown = Credentials {
        certificate: Some(certificate.der()),
        authorization: None,
    };
    let subject = auth.identify(shown).await.unwrap();
    assert_eq!(subject.id, "cert:alice");
    assert_eq!(subject.identities, ["cert:alice", "cert:alice.lab.org"]);
}

#[test]
fn a_token_file_that_everyone_may_read_is_refused() {
    let file = Scratch::new("exposed", "", 0o644);
    let error = Authentication::new(&with_tokens(&file)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("may be read by everyone (mode 0644)"),
        "{error}"
    );
    let file = Scratch::new("missing", "", 0o640);
    assert!(Authentication::new(&with_tokens(&file)).is_ok());
    fs::remove_file(&file.0).unwrap();
    assert!(Authentication::new(&with_tokens(&file)).is_err());
}
