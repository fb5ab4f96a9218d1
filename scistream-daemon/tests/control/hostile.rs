//! Those who do not mean to call: silent, slow, many, or speaking something else.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use scistream_daemon::sys::rlimit::OpenFiles;

use crate::rig::{Authority, PATIENCE, Rig, UID, connect, session};

/// What begins every HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the other end closes.
fn read_to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    got
}

async fn impatient(is_tls: bool) -> Rig {
    Rig::with(|settings, _| {
        settings.control.ssl = is_tls;
        settings.control.handshake_timeout = "300ms".parse().unwrap();
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls_is_turned_away_and_others_are_served() {
    let rig = Rig::start().await;
    for words in [
        PREFACE,
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 4_096],
        &[0xff; 4_096],
        &[22, 3, 1, 0xff, 0xff],
    ] {
        let mut stream = dial(rig.address);
        stream.write_all(words).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = tokio::task::spawn_blocking(move || read_to_the_end(&mut stream))
            .await
            .unwrap();
        assert!(answer.len() < 16, "a TLS alert at most: {answer:?}");
    }
    session(&rig.old().await, "alice", UID, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trusts_others_or_shows_a_strangers_certificate_gets_nowhere() {
    let rig = Rig::with(|settings, folder| {
        let ca = folder.write("callers.crt", &Authority::new().pem());
        settings.auth.certificates = Some(scistream_daemon::config::CertificateSettings { ca });
    })
    .await;
    let strangers = Authority::new();
    assert!(
        connect(rig.address, Some(strangers.callers_tls(None)))
            .await
            .is_err()
    );
    let shown = rig.authority.callers_tls(Some(strangers.sign("mallory")));
    let refused = match connect(rig.address, Some(shown)).await {
        Err(_at_the_handshake) => true,
        Ok(channel) => crate::rig::Old::new(channel)
            .release(crate::rig::by("alice", crate::rig::release(UID)))
            .await
            .is_err(),
    };
    assert!(refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_too_little_is_closed_in_time() {
    for is_tls in [true, false] {
        let rig = impatient(is_tls).await;
        for beginning in [&b""[..], &[22, 3, 1], &PREFACE[..10]] {
            let mut stream = dial(rig.address);
            stream.write_all(beginning).unwrap();
            let end = tokio::task::spawn_blocking(move || read_to_the_end(&mut stream));
            end.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_byte_now_and_then_is_closed_all_the_same() {
    let rig = impatient(false).await;
    let mut stream = dial(rig.address);
    stream.write_all(PREFACE).unwrap();
    // Frames of settings, one by one: the connection is never silent, and no call is made.
    let settings_frame = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let closed = tokio::task::spawn_blocking(move || {
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let is_closed = stream.write_all(&settings_frame).is_err();
            let end = stream.read(&mut [0; 1_024]);
            let is_over = match &end {
                Ok(length) => *length == 0,
                Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            };
            if is_closed || is_over {
                return true;
            }
        }
        false
    });
    assert!(closed.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_who_open_and_say_nothing_do_not_keep_others_out() {
    const SILENT: usize = 5_000;
    let open_files = OpenFiles::raise_towards(1 << 16);
    assert!(
        open_files.soft > 2 * SILENT as u64 + 1_000,
        "raise the limit on open files: {open_files:?}"
    );
    // Fewer than come: those who are silent must push out each other.
    let rig = Rig::with(|settings, _| {
        settings.control.max_unproven = 64;
        settings.control.max_connections = 1_000;
    })
    .await;
    let proven = rig.old().await;
    session(&proven, "alice", "before", 1).await;
    let address = rig.address;
    let silent = tokio::task::spawn_blocking(move || {
        let mut silent = Vec::with_capacity(SILENT);
        for number in 0..SILENT {
            let mut stream = dial(address);
            if number % 2 == 0 {
                // Half a greeting; whoever was closed meanwhile does not mind.
                let _sent = stream.write_all(&[22, 3, 1, 2]);
            }
            silent.push(stream);
        }
        silent
    });
    let silent = silent.await.unwrap();
    session(&rig.old().await, "alice", UID, 1).await;
    session(&proven, "alice", "after", 1).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_waiting_call_outlives_its_idle_time() {
    let rig = Rig::with(|settings, _| {
        settings.control.handshake_timeout = "200ms".parse().unwrap();
        settings.control.idle_timeout = "200ms".parse().unwrap();
        settings.sessions.hello_timeout = "1s".parse().unwrap();
    })
    .await;
    let mut old = rig.old().await;
    let late = old
        .req(crate::rig::by("alice", crate::rig::req(UID, "PROD", 1)))
        .await
        .unwrap_err();
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded, "{late:?}");
}
