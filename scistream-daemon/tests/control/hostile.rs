//! Those who do not mean to call: silent, slow, many, or speaking something else.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use scistream_daemon::sys::rlimit::OpenFiles;

use crate::commands::Gateway;
use crate::rig::{Authority, Folder, Old, PATIENCE, Rig, UID, by, connect, release, session};

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
        Ok(channel) => Old::new(channel)
            .release(by("alice", release(UID)))
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

/// Says `beginning`, then `again` every now and then; true when the other end had enough.
fn is_closed_while_dripping(mut stream: impl Read + Write, beginning: &[u8], again: &[u8]) -> bool {
    let is_open = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
    };
    let deadline = Instant::now() + PATIENCE;
    let mut words = beginning;
    while Instant::now() < deadline {
        let said = stream.write_all(words).and_then(|()| stream.flush());
        // The pause between the words is what reading waits for.
        let heard = stream.read(&mut [0; 1_024]);
        let is_over = match &heard {
            Ok(length) => *length == 0,
            Err(error) => !is_open(error),
        };
        if is_over {
            return true;
        }
        match said {
            Ok(()) => words = again,
            // TLS is still shaking hands.
            Err(error) if is_open(&error) => {}
            Err(_closed) => return true,
        }
    }
    false
}

fn dripping(address: SocketAddr) -> TcpStream {
    let stream = dial(address);
    let pause = Duration::from_millis(20);
    stream.set_read_timeout(Some(pause)).unwrap();
    stream
}

/// What may be said for ever without a call being made: each a beginning, and what is repeated.
fn slow_words() -> [(Vec<u8>, Vec<u8>); 4] {
    let settings = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    let ping = vec![0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let begun = [PREFACE, &settings].concat();
    // Headers of a call that never end: the first without END_HEADERS, and continuations of one byte.
    let headers = [&begun[..], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat();
    let continuation = vec![0, 0, 1, 9, 0, 0, 0, 0, 1, 0x84];
    [
        (PREFACE[..3].to_vec(), Vec::new()),
        (begun.clone(), settings),
        (begun, ping),
        (headers, continuation),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_byte_now_and_then_is_closed_all_the_same() {
    let rig = impatient(false).await;
    for (beginning, again) in slow_words() {
        let stream = dripping(rig.address);
        let words = beginning.clone();
        let closed =
            tokio::task::spawn_blocking(move || is_closed_while_dripping(stream, &words, &again));
        assert!(closed.await.unwrap(), "{beginning:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_within_tls_or_with_it_is_closed_as_well() {
    let rig = impatient(true).await;
    // A record of a handshake that says it is long, and comes byte by byte.
    let stream = dripping(rig.address);
    let hello = [22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb];
    let closed =
        tokio::task::spawn_blocking(move || is_closed_while_dripping(stream, &hello, &[3]));
    assert!(closed.await.unwrap());
    for (beginning, again) in slow_words() {
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(rig.authority.callers_tls(None), name).unwrap();
        let address = rig.address;
        let words = beginning.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let stream = StreamOwned::new(tls, dripping(address));
            is_closed_while_dripping(stream, &words, &again)
        });
        assert!(closed.await.unwrap(), "{beginning:?}");
    }
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
async fn thousands_of_half_open_connections_leave_no_descriptor_behind() {
    const HALF_OPEN: usize = 5_000;
    // What the gateway may come to hold by itself meanwhile, such as another worker's pipe.
    const SLACK: usize = 16;
    let open_files = OpenFiles::raise_towards(1 << 16);
    assert!(
        open_files.soft > 3 * HALF_OPEN as u64,
        "raise the limit on open files: {open_files:?}"
    );
    let (folder, authority) = (Folder::new(), Authority::new());
    let (certificate, key) = authority.sign("localhost");
    let certificate = folder.write("server.crt", &certificate);
    let key = folder.write("server.key", &key);
    let files = [certificate, key].map(|path| path.to_str().unwrap().to_owned());
    let gateway = Gateway::start(&["--server_crt", &files[0], "--server_key", &files[1]]);
    let serve = async |uid: &str| {
        let tls = Some(authority.callers_tls(None));
        let mut old = Old::new(connect(gateway.address, tls).await.unwrap());
        session(&old, "INVALID_TOKEN", uid, 1).await;
        old.release(release(uid)).await.unwrap();
    };
    serve("before").await;
    let held_before = gateway.descriptors();
    let address = gateway.address;
    let half_open = tokio::task::spawn_blocking(move || {
        let begun = (0..HALF_OPEN).map(|number| {
            let mut stream = dial(address);
            // Who was closed meanwhile does not mind.
            let _sent = stream.write_all(&[22, 3, 1, 2, 0, 1][..number % 7]);
            stream
        });
        begun.collect::<Vec<_>>()
    });
    let half_open = half_open.await.unwrap();
    serve("meanwhile").await;
    drop(half_open);
    let deadline = Instant::now() + PATIENCE;
    while gateway.descriptors() > held_before + SLACK {
        let held = gateway.descriptors();
        assert!(Instant::now() < deadline, "{held}, not {held_before}");
        tokio::task::yield_now().await;
    }
    serve("after").await;
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
        .req(by("alice", crate::rig::req(UID, "PROD", 1)))
        .await
        .unwrap_err();
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded, "{late:?}");
}
