//! `s2uc connect` beside gateways that answer late, not at all, or only to its second try: there is one
//! session in the end, or none.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use scistream_daemon::session::{Caller, Principal};
use scistream_daemon::sessions::Sessions;
use serde_json::Value;

use crate::rig::{Folder, Rig, echo, round_trip};

/// A way to a gateway that breaks just as its first answer about a session is due.
struct Breaking {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Breaking {
    /// Breaks the first `times` connections.
    fn before(gateway: &Rig, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (control, sessions) = (gateway.address, gateway.sessions.clone());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let breaks = counted.fetch_add(1, Ordering::SeqCst) < times;
                let far = TcpStream::connect(control).unwrap();
                let up = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || pass(up.0, up.1, || false));
                let sessions = sessions.clone();
                // The session is there before the answer is.
                thread::spawn(move || {
                    pass(far, near, || breaks && !of_alice(&sessions).is_empty())
                });
            }
        });
        Self {
            address,
            connections,
        }
    }
}

/// Passes bytes on until the end, or until `breaks` says so before something is passed on.
fn pass(mut from: TcpStream, mut to: TcpStream, breaks: impl Fn() -> bool) {
    let mut block = [0; 65_536];
    loop {
        let length = from.read(&mut block).unwrap_or(0);
        if length == 0 || breaks() || to.write_all(&block[..length]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // It may have gone by itself.
        let _gone = stream.shutdown(Shutdown::Both);
    }
}

fn of_alice(sessions: &Sessions) -> Vec<String> {
    let alice = Caller::unlimited(Principal::new("token:alice"));
    let all = sessions.list(&alice);
    all.iter().map(|view| view.session.id.to_string()).collect()
}

async fn gateway() -> Rig {
    Rig::with(|settings, _| settings.control.ssl = false).await
}

/// Runs `s2uc connect` as alice, with more options.
async fn connect(producer: SocketAddr, consumer: SocketAddr, more: &[&str]) -> Output {
    let folder = Folder::new();
    let token = folder.write("token", "alice");
    let target = echo().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_s2uc"));
    command
        .current_dir(folder.path())
        .args(["--json", "connect", "--plaintext", "--token-file"])
        .arg(token)
        .args(["--producer", &producer.to_string()])
        .args(["--consumer", &consumer.to_string()])
        .args(more)
        .stdin(Stdio::null());
    if !more.contains(&"--target") {
        command.args(["--target", &target]);
    }
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = run.await.unwrap();
    drop(folder);
    output
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_sent_again_and_makes_one_session() {
    let (producer, consumer) = (gateway().await, gateway().await);
    let way = Breaking::before(&producer, 1);
    let session = json(&connect(way.address, consumer.address, &[]).await);
    assert_eq!(way.connections.load(Ordering::SeqCst), 2);
    assert_eq!(session["producer"]["existed"], true, "{session}");
    assert_eq!(session["consumer"]["existed"], false, "{session}");
    let uid = session["uid"].as_str().unwrap();
    for gateway in [&producer, &consumer] {
        assert_eq!(of_alice(&gateway.sessions), [uid]);
    }
    let listener = session["listeners"][0].as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || round_trip(&listener))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_lost_answer_is_a_failure_that_leaves_nothing_on_the_other_side() {
    let (producer, consumer) = (gateway().await, gateway().await);
    let way = Breaking::before(&producer, usize::MAX);
    let output = connect(way.address, consumer.address, &[]).await;
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(of_alice(&consumer.sessions), [""; 0]);
    // Nothing could be told to the other one any more, and the sentence says how to.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let uid = of_alice(&producer.sessions).remove(0);
    assert!(said.contains(&format!("s2uc release {uid}")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_finds_the_same_session_and_another_key_makes_another() {
    let (producer, consumer) = (gateway().await, gateway().await);
    let target = echo().to_string();
    let run = async |key: &str| {
        let more = ["--target", &target, "--idempotency-key", key];
        json(&connect(producer.address, consumer.address, &more).await)
    };
    let (first, again, other) = (run("job-7").await, run("job-7").await, run("job-8").await);
    assert_eq!(first["uid"], again["uid"]);
    assert_eq!(first["listeners"], again["listeners"]);
    assert_eq!(again["producer"]["existed"], true, "{again}");
    assert_ne!(first["uid"], other["uid"]);
    assert_eq!(of_alice(&producer.sessions).len(), 2);
    assert_eq!(of_alice(&consumer.sessions).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_other_options_is_refused_and_its_session_stays() {
    let (producer, consumer) = (gateway().await, gateway().await);
    let key = ["--idempotency-key", "job-7"];
    let first = json(&connect(producer.address, consumer.address, &key).await);
    // Another target than before.
    let refused = connect(producer.address, consumer.address, &key).await;
    assert_eq!(refused.status.code(), Some(9), "{refused:?}");
    let uid = first["uid"].as_str().unwrap();
    for gateway in [&producer, &consumer] {
        assert_eq!(of_alice(&gateway.sessions), [uid]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_with_a_key_leaves_what_an_earlier_run_made() {
    let (producer, consumer) = (gateway().await, gateway().await);
    let target = echo().to_string();
    let key = ["--target", &target, "--idempotency-key", "job-7"];
    json(&connect(producer.address, consumer.address, &key).await);
    // The consumer's side is gone since, and its place is taken by somebody else's session.
    let uid = of_alice(&consumer.sessions).remove(0);
    let alice = Caller::unlimited(Principal::new("token:alice"));
    let bob = Caller::unlimited(Principal::new("token:bob"));
    let id: scistream_daemon::session::SessionId = uid.parse().unwrap();
    consumer.sessions.release(&alice, &id, None).await.unwrap();
    let request = scistream_daemon::session::CreateSession {
        id: Some(id),
        ..scistream_daemon::session::CreateSession::plain(scistream_daemon::session::Role::Consumer)
    };
    consumer.sessions.create(&bob, request).await.unwrap();
    let failed = connect(producer.address, consumer.address, &key).await;
    assert_eq!(failed.status.code(), Some(9), "{failed:?}");
    assert_eq!(
        of_alice(&producer.sessions),
        [uid],
        "an earlier run made it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uid_that_is_taken_on_both_sides_is_refused_and_nothing_is_released() {
    let (producer, consumer) = (gateway().await, gateway().await);
    let uid = ["--uid", "mine"];
    json(&connect(producer.address, consumer.address, &uid).await);
    for _ in 0..5 {
        let refused = connect(producer.address, consumer.address, &uid).await;
        assert_eq!(refused.status.code(), Some(9), "{refused:?}");
    }
    for gateway in [&producer, &consumer] {
        assert_eq!(of_alice(&gateway.sessions), ["mine"]);
    }
}
