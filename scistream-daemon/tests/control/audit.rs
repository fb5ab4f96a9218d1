//! The record of control calls.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::rig::{PATIENCE, Rig, UID, by, release, req, session};

async fn audited() -> (Rig, PathBuf) {
    let mut file = PathBuf::new();
    let rig = Rig::with(|settings, folder| {
        file = folder.path().join("audit.jsonl");
        settings.audit.file = Some(file.clone());
    })
    .await;
    (rig, file)
}

/// The lines so far, once one of them is about this.
async fn lines_with(file: &PathBuf, text: &str) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let written = fs::read_to_string(file).unwrap();
        if written.contains(text) && written.ends_with('\n') {
            return written
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "no {text} in {written}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_leaves_a_line_with_who_what_which_result_and_whence() {
    let (rig, file) = audited().await;
    let mut old = rig.old().await;
    session(&old, "alice", UID, 1).await;
    old.release(by("bob", release(UID))).await.unwrap_err();
    old.release(release(UID)).await.unwrap_err();
    let lines = lines_with(&file, "UNAUTHENTICATED").await;
    let find = |call: &str, result: &str| {
        let found = lines
            .iter()
            .find(|line| line["call"] == call && line["result"] == result);
        found.unwrap_or_else(|| panic!("no {call} {result} in {lines:#?}"))
    };
    let made = find("scistream.Control/req", "OK");
    assert_eq!(
        (&made["who"], &made["uid"]),
        (&"token:alice".into(), &UID.into())
    );
    assert!(made["from"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(made["time"].as_str().unwrap().ends_with('Z'));
    assert!(
        lines.iter().all(|line| line["took_us"].is_u64()),
        "{lines:#?}"
    );
    assert_eq!(find("scistream.Control/hello", "OK")["who"], "token:alice");
    assert_eq!(
        find("scistream.Control/release", "PERMISSION_DENIED")["who"],
        "token:bob"
    );
    let stranger = find("scistream.Control/release", "UNAUTHENTICATED");
    assert_eq!(
        (&stranger["who"], stranger.get("uid")),
        (&Value::Null, None)
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("mallory"), "no token is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_writes_cannot_pass_for_another_line() {
    let (rig, file) = audited().await;
    let mut old = rig.old().await;
    let forged = "x\n{\"who\":\"root\"}\u{202e}\u{1b}[2K";
    old.req(by("alice", req(forged, "PROD", 1)))
        .await
        .unwrap_err();
    let lines = lines_with(&file, "INVALID_ARGUMENT").await;
    assert_eq!(lines.len(), 1);
    let uid = lines[0]["uid"].as_str().unwrap();
    assert_eq!(uid, "x\\u{a}{\"who\":\"root\"}\\u{202e}\\u{1b}[2K");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_is_on_record() {
    let (rig, file) = audited().await;
    let mut asking = rig.old().await;
    let waiting = tokio::spawn(async move { asking.req(by("alice", req(UID, "PROD", 1))).await });
    let alice = scistream_daemon::session::Caller::unlimited(
        scistream_daemon::session::Principal::new("token:alice"),
    );
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while rig.sessions.list(&alice).is_empty() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    waiting.abort();
    let lines = lines_with(&file, "CANCELLED").await;
    assert_eq!(lines[0]["uid"], UID);
}
