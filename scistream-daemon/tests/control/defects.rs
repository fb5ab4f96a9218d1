//! The defects of the reference implementation (scistream-proto 1.2.1), and what shows that they are
//! not ours. Tests without a place are in this file.
//!
//! 1. Ten blocked `req` starve `hello`:
//!    `a_thousand_waiting_reqs_on_one_connection_do_not_keep_a_hello_waiting`; `sessions/calls.rs`:
//!    `thousands_of_requests_wait_and_their_hellos_are_answered`.
//! 2. Sessions share listeners, and a release hits the wrong one: `a_release_hits_its_own_session_alone`;
//!    `sessions/calls.rs`: `a_hundred_sessions_at_once_each_have_their_own_ports_and_bytes`.
//! 3. Ports are never freed, and a shortage is told as success:
//!    `a_shortage_is_an_error_and_says_when_to_come_again`,
//!    `one_port_lasts_for_any_number_of_sessions`; `registry/ending/tests.rs`:
//!    `a_small_pool_serves_any_number_of_sessions`; `sessions/calls.rs`:
//!    `ports_that_others_have_are_skipped_and_a_shortage_leaves_nothing_open`.
//! 4. A release leaves the tunnel open, connections hang once nobody reads the log, processes are left:
//!    `hundreds_of_connections_are_served_while_nobody_reads_the_log`,
//!    `a_gateway_is_one_process_and_its_end_leaves_nothing`; `sessions/ending.rs`:
//!    `a_release_resets_the_connections_of_its_session_and_of_no_other`.
//! 5. `rate` means nothing: `sessions/rates.rs`, `registry/opening/tests.rs`:
//!    `reservations_are_admitted_against_the_capacity_and_come_back`.
//! 6. Whoever comes gets in, keys can be guessed and are logged, listeners are bound everywhere:
//!    `listeners_are_where_listener_ip_says_and_nowhere_else`,
//!    `no_token_is_in_the_log_or_the_audit`; `sessions/traffic.rs`:
//!    `sources_that_may_not_connect_are_reset_and_reach_no_target`; `sessions/calls.rs`:
//!    `a_session_of_ours_has_a_uid_that_nobody_can_guess`.
//! 7. Anyone touches any session, uids can be probed and name files:
//!    `nobody_touches_the_sessions_of_others`, `without_a_token_uids_cannot_be_probed`; `bad_input.rs`:
//!    `no_message_takes_a_uid_that_is_none`.
//! 8. An empty update divides by zero, an unknown data server becomes a mock:
//!    `an_update_without_targets_is_refused_by_name`; `commands.rs`: `a_start_that_cannot_be_says_why`.
//! 9. The user copies uids and ports between two commands, pauses and hangs: `connect.rs`, and with the
//!    reference's own gateway `bpf-tests/tests/real_peers.rs`:
//!    `connect_falls_back_to_the_old_service_and_one_release_ends_both_sides`,
//!    `a_side_that_fails_leaves_nothing_on_the_other`.
//! 10. Callers are told `0.0.0.0`, there is no IPv6 and no name, quiet streams are cut:
//!     `callers_are_told_the_advertised_address_and_port`,
//!     `ipv6_and_names_are_as_good_as_addresses`,
//!     `quiet_streams_are_cut_only_when_somebody_asks_for_it`; `sessions/calls.rs`:
//!     `listeners_are_on_every_address_with_the_same_port`,
//!     `a_name_is_a_target_and_one_without_address_is_unavailable`.
//! 11. No status, list, metrics, events, persistence, restart survival: `own_protocol.rs`, `metrics.rs`,
//!     `restart.rs`; `sessions/restart.rs`, `registry/survival/tests.rs`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use scistream_daemon::auth::TokenDigest;
use scistream_daemon::config::Settings;
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt;

use crate::rig::{
    Folder, Old, PATIENCE, Rig, UID, by, codes, connect, echo, hello, release, req, round_trip,
    say_hello, session, update,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_waiting_reqs_on_one_connection_do_not_keep_a_hello_waiting() {
    const REQS: usize = 1_000;
    let rig = Rig::start().await;
    let old = rig.old().await;
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..REQS {
        let mut asking = old.clone();
        let request = by("alice", req(&format!("session-{number}"), "PROD", 1));
        waiting.spawn(async move { asking.req(request).await });
    }
    for number in (0..REQS).rev() {
        say_hello(&old, "alice", &format!("session-{number}")).await;
    }
    let mut ports = HashSet::new();
    while let Some(outcome) = waiting.join_next().await {
        ports.extend(outcome.unwrap().unwrap().into_inner().listeners);
    }
    assert_eq!(ports.len(), REQS, "each session has its own port");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_hits_its_own_session_alone() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    let targets = [echo().to_string()];
    let mut listeners = Vec::new();
    for uid in ["one", "two"] {
        session(&old, "alice", uid, 1).await;
        let updated = old
            .update(by("alice", update(uid, "PROD", &targets)))
            .await
            .unwrap();
        listeners.extend(updated.into_inner().listeners);
    }
    let mut in_one = round_trip(&listeners[0]);
    let _in_two = round_trip(&listeners[1]);
    old.release(by("alice", release("one"))).await.unwrap();
    in_one.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(
        in_one.read(&mut [0]).map_or(true, |length| length == 0),
        "its connection is cut"
    );
    assert!(
        TcpStream::connect(&listeners[0]).is_err(),
        "its listener is closed"
    );
    round_trip(&listeners[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shortage_is_an_error_and_says_when_to_come_again() {
    let rig = Rig::with(|settings, _| settings.sessions.max_sessions = 1).await;
    let mut old = rig.old().await;
    session(&old, "alice", "one", 1).await;
    let refused = old
        .req(by("alice", req("two", "PROD", 1)))
        .await
        .unwrap_err();
    assert_eq!(
        codes(&refused),
        (Code::ResourceExhausted, "NO_RESOURCE".to_owned())
    );
    assert!(refused.get_error_details().retry_info().is_some());
    old.release(by("alice", release("one"))).await.unwrap();
    session(&old, "alice", "two", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_touches_the_sessions_of_others() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    session(&old, "alice", UID, 1).await;
    let targets = [echo().to_string()];
    let denied = |status: tonic::Status| {
        assert_eq!(
            codes(&status),
            (Code::PermissionDenied, "AUTH_ERROR".to_owned())
        )
    };
    denied(
        old.update(by("bob", update(UID, "PROD", &targets)))
            .await
            .unwrap_err(),
    );
    denied(old.release(by("bob", release(UID))).await.unwrap_err());
    denied(
        old.hello(by("bob", hello(UID, "PROD", &["127.0.0.1:9"])))
            .await
            .unwrap_err(),
    );
    old.update(by("alice", update(UID, "PROD", &targets)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_uids_cannot_be_probed() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    session(&old, "alice", UID, 1).await;
    let mut answers = HashSet::new();
    for uid in [UID, "another", "", "../x"] {
        for token in [None, Some("wrong")] {
            let call = |token: Option<&str>| match token {
                Some(token) => by(token, release(uid)),
                None => tonic::Request::new(release(uid)),
            };
            let status = old.release(call(token)).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated);
            answers.insert(status.message().to_owned());
        }
    }
    assert_eq!(
        answers.len(),
        2,
        "one for no token, one for a wrong one: {answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_targets_is_refused_by_name() {
    let rig = Rig::start().await;
    let mut old = rig.old().await;
    session(&old, "alice", UID, 1).await;
    let refused = old
        .update(by("alice", update(UID, "PROD", &[])))
        .await
        .unwrap_err();
    assert_eq!(
        codes(&refused),
        (Code::InvalidArgument, "BAD_FORMAT".to_owned())
    );
    assert_eq!(
        refused
            .get_error_details()
            .bad_request()
            .unwrap()
            .field_violations[0]
            .field,
        "remote_listeners"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_the_advertised_address_and_port() {
    let rig = Rig::with(|settings, _| {
        settings.control.advertise = Some("gateway.example.org".parse().unwrap());
        settings.control.port_map = vec!["1-65535=1-65535".parse().unwrap()];
    })
    .await;
    let response = session(&rig.old().await, "alice", UID, 2).await;
    assert!(
        response
            .listeners
            .iter()
            .all(|listener| listener.starts_with("gateway.example.org:")),
        "{response:?}"
    );

    let rig = Rig::with(|settings, _| settings.control.listener_ip = [0, 0, 0, 0].into()).await;
    let here = connect(
        ([127, 0, 0, 1], rig.address.port()).into(),
        Some(rig.authority.callers_tls(None)),
    );
    let old = Old::new(here.await.unwrap());
    let response = session(&old, "alice", UID, 1).await;
    assert!(
        response.listeners[0].starts_with("127.0.0.1:"),
        "where the call arrived: {response:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_session() {
    let rig = Rig::start().await;
    let old = rig.old().await;
    let mut asking = rig.old().await;
    let waiting = tokio::spawn(async move { asking.req(by("alice", req(UID, "PROD", 1))).await });
    let admin = scistream_daemon::session::Caller::unlimited(
        scistream_daemon::session::Principal::new("token:alice"),
    );
    wait_until(|| !rig.sessions.list(&admin).is_empty()).await;
    waiting.abort();
    wait_until(|| rig.sessions.list(&admin).is_empty()).await;
    session(&old, "alice", UID, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_lasts_for_any_number_of_sessions() {
    // On an address of its own, where no other test binds or dials.
    let free = std::net::TcpListener::bind("127.0.71.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let rig = Rig::with(|settings, _| {
        settings.control.listener_ip = [127, 0, 71, 1].into();
        settings.sessions.port_range = format!("{port}-{port}").parse().unwrap();
        settings.sessions.port_cooldown = "0s".parse().unwrap();
    })
    .await;
    let mut old = rig.old().await;
    for number in 0..200 {
        let uid = format!("session-{number}");
        let response = session(&old, "alice", &uid, 1).await;
        assert_eq!(response.listeners, [format!("127.0.71.1:{port}")]);
        let refused = old.req(by("alice", req("too-many", "PROD", 1))).await;
        assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
        old.release(by("alice", release(&uid))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_where_listener_ip_says_and_nowhere_else() {
    let rig = Rig::with(|settings, _| settings.control.listener_ip = [127, 0, 0, 2].into()).await;
    let response = session(&rig.old().await, "alice", UID, 3).await;
    for listener in &response.listeners {
        let (host, port) = listener.rsplit_once(':').unwrap();
        assert_eq!(host, "127.0.0.2");
        TcpStream::connect(listener).unwrap();
        // On an address that no test uses: who has the port everywhere has it here.
        let elsewhere = std::net::TcpListener::bind(format!("127.0.72.9:{port}"));
        assert!(elsewhere.is_ok(), "{listener} is open elsewhere as well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_and_names_are_as_good_as_addresses() {
    let loopback = std::net::Ipv6Addr::LOCALHOST;
    let rig = Rig::with(|settings, _| settings.control.listener_ip = loopback.into()).await;
    let mut old = rig.old().await;
    let response = session(&old, "alice", UID, 1).await;
    assert!(response.listeners[0].starts_with("[::1]:"), "{response:?}");
    let target = [format!("localhost:{}", echo().port())];
    let updated = old
        .update(by("alice", update(UID, "PROD", &target)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(updated.prod_listeners, target);
    round_trip(&updated.listeners[0]);
}

async fn wait_until(holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it never came to hold"
        );
        tokio::task::yield_now().await;
    }
}

/// A gateway in a process of its own, in the clear on loopback, whose log nobody reads any more.
struct Unread {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: std::net::SocketAddr,
}

impl Unread {
    fn start(folder: &Folder, token: &str, more: &str) -> Self {
        let line = format!("alice {}\n", TokenDigest::of(token));
        let tokens = folder.write("tokens", &line);
        let text = format!(
            "[control]\nlistener_ip = \"127.0.0.1\"\nport = 0\nssl = false\n\
             [sessions]\nport_range = \"0\"\n[data]\nplane = \"splice\"\ndrain_timeout = \"0s\"\n\
             [auth.tokens]\nfile = \"{}\"\n{more}",
            tokens.display()
        );
        let settings = folder.write("s2cs.toml", &text);
        let mut child = Command::new(env!("CARGO_BIN_EXE_s2cs"))
            .env_remove("S2CS_CONFIG")
            .env("S2CS_LOG", "trace")
            .args(["--log-format", "json", "--config"])
            .arg(settings)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "control port ready" {
                break line["listen"].as_str().unwrap().parse().unwrap();
            }
        };
        Self {
            child,
            log,
            address,
        }
    }

    async fn old(&self) -> Old {
        Old::new(connect(self.address, None).await.unwrap())
    }

    /// Ends it, and gives the rest of its log.
    fn end(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        rest
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A session with one listener before an echo.
async fn forwarding(gateway: &Unread, token: &str) -> String {
    let mut old = gateway.old().await;
    session(&old, token, UID, 1).await;
    let updated = old
        .update(by(token, update(UID, "PROD", &[echo().to_string()])))
        .await;
    updated.unwrap().into_inner().listeners.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_connections_are_served_while_nobody_reads_the_log() {
    let folder = Folder::new();
    let gateway = Unread::start(&folder, "alice-token", "");
    let listener = forwarding(&gateway, "alice-token").await;
    // Several times what a pipe holds, at several lines for each connection.
    let served = tokio::task::spawn_blocking(move || {
        for _ in 0..500 {
            round_trip(&listener);
        }
    });
    served.await.unwrap();
    let mut old = gateway.old().await;
    old.release(by("alice-token", release(UID))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_one_process_and_its_end_leaves_nothing() {
    let folder = Folder::new();
    let gateway = Unread::start(&folder, "alice-token", "");
    let listener = forwarding(&gateway, "alice-token").await;
    let mut stream = round_trip(&listener);
    let tasks = format!("/proc/{}/task", gateway.child.id());
    for task in std::fs::read_dir(Path::new(&tasks)).unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children"));
        assert_eq!(children.unwrap_or_default(), "", "no data server beside it");
    }
    let ended = tokio::task::spawn_blocking(move || {
        gateway.end();
        stream.read(&mut [0]).map_or(true, |length| length == 0)
    });
    assert!(ended.await.unwrap(), "its connection is cut");
    assert!(TcpStream::connect(&listener).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_the_log_or_the_audit() {
    let folder = Folder::new();
    let file = folder.path().join("audit.jsonl");
    let more = format!("[audit]\nfile = \"{}\"\n", file.display());
    let gateway = Unread::start(&folder, "a-token-of-alice", &more);
    forwarding(&gateway, "a-token-of-alice").await;
    let mut old = gateway.old().await;
    for wrong in ["a-wrong-token", "Bearer a-wrong-token"] {
        old.release(by(wrong, release(UID))).await.unwrap_err();
    }
    old.release(by("a-token-of-alice", release(UID)))
        .await
        .unwrap();
    drop(old);
    let log = tokio::task::spawn_blocking(move || gateway.end())
        .await
        .unwrap();
    let audit = std::fs::read_to_string(&file).unwrap();
    assert!(audit.contains("UNAUTHENTICATED"), "{audit}");
    for text in [log, audit] {
        assert!(!text.contains("a-token-of-alice") && !text.contains("a-wrong-token"));
    }
}

#[test]
fn quiet_streams_are_cut_only_when_somebody_asks_for_it() {
    let settings = Settings::default();
    assert_eq!(settings.data.idle_timeout, None);
    assert_eq!(settings.sessions.idle_timeout, None);
    assert_eq!(settings.sessions.max_lifetime, None);
}
