//! How callers come: with certificates, in the clear, or to a port that must not be open.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use scistream_daemon::config::CertificateSettings;
use scistream_daemon::control::{ControlError, TlsError};
use scistream_daemon::wire::gateway as own;
use tonic::Code;

use crate::rig::{Authority, Old, Own, PATIENCE, Rig, UID, connect, session};

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

/// The beginning of a handshake by a program that knows nothing newer than TLS 1.1, and has
/// everything else that is wanted.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut hello = vec![22, 3, 1, 0, 63, 1, 0, 0, 59, 3, 2];
    hello.extend([7; 32]);
    // No session, one cipher suite, no compression; signatures and groups as extensions.
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 16]);
    hello.extend([0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 0x17]);
    hello
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_the_oldest_that_is_spoken() {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    const PROTOCOL_VERSION: u8 = 70;
    let rig = Rig::start().await;
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(rig.authority.pem().as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut old = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    old.alpn_protocols = vec![b"h2".to_vec()];
    let channel = connect(rig.address, Some(Arc::new(old))).await.unwrap();
    session(&Old::new(channel), "alice", UID, 1).await;

    let mut older = TcpStream::connect(rig.address).unwrap();
    older.set_read_timeout(Some(PATIENCE)).unwrap();
    older.write_all(&hello_of_tls_1_1()).unwrap();
    let mut answer = Vec::new();
    older.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&ALERT), "{answer:?}");
    assert!(answer.ends_with(&[FATAL, PROTOCOL_VERSION]), "{answer:?}");
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
