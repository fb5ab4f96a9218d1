//! How callers come: with certificates, in the clear, or to a port that must not be open.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use scistream_daemon::config::CertificateSettings;
use scistream_daemon::control::{ControlError, TlsError};
use scistream_daemon::wire::gateway as own;
use tonic::Code;

use crate::rig::{Authority, Own, Rig, UID, connect, session};

fn create() -> own::CreateSessionRequest {
    own::CreateSessionRequest {
        role: own::Role::Consumer.into(),
        ..own::CreateSessionRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_our_authority_signed_is_as_good_as_a_token() {
    let callers = Authority::new();
    let rig = Rig::with(|settings, folder| {
        let ca = folder.write("callers.crt", &callers.pem());
        settings.auth.certificates = Some(CertificateSettings { ca });
    })
    .await;
    let shown = rig.authority.callers_tls(Some(callers.sign("erin")));
    let mut own = Own::new(connect(rig.address, Some(shown)).await.unwrap());
    let created = own.create_session(create()).await.unwrap().into_inner();
    assert_eq!(created.session.unwrap().owner, "cert:erin");
    let without = rig.own().await.create_session(create()).await.unwrap_err();
    assert_eq!(without.code(), Code::Unauthenticated);
    rig.own()
        .await
        .create_session(crate::rig::by("alice", create()))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_callers_are_served_in_the_clear() {
    let rig = Rig::with(|settings, _| settings.control.ssl = false).await;
    session(&rig.old().await, "alice", UID, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_unasked_but_on_loopback_or_by_force() {
    let open = |address: [u8; 4], force: bool| {
        Rig::try_with(move |settings, _| {
            settings.auth.tokens = None;
            settings.auth.allow_anyone = force;
            settings.control.listener_ip = address.into();
        })
    };
    let on_loopback = open([127, 0, 0, 1], false).await.unwrap();
    let created = on_loopback
        .own()
        .await
        .create_session(create())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(created.session.unwrap().owner, "anonymous");
    assert!(matches!(
        open([0, 0, 0, 0], false).await,
        Err(ControlError::Anyone)
    ));
    assert!(open([0, 0, 0, 0], true).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_everyone_may_read_is_refused() {
    let refused = Rig::try_with(|settings, _| {
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(&settings.control.server_key, open).unwrap();
    });
    let error = refused.await.err().unwrap();
    assert!(
        matches!(error, ControlError::Tls(TlsError::Key(_))),
        "{error}"
    );
    assert!(error.to_string().contains("chmod o="), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_a_key_that_do_not_match_are_refused() {
    let refused = Rig::try_with(|settings, folder| {
        let (_certificate, key) = Authority::new().sign("localhost");
        settings.control.server_key = folder.write("other.key", &key);
    });
    let error = refused.await.err().unwrap();
    assert!(
        matches!(error, ControlError::Tls(TlsError::Pair { .. })),
        "{error}"
    );
}
