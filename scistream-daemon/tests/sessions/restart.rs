//! Sessions that outlive the process: each test is two or more gateways, one after the other, on one
//! state file. What a kill leaves is a copy of the file, taken while the gateway runs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scistream_daemon::session::exchange::Terms;
use scistream_daemon::session::{CreateSession, Phase, Rate, Role, SavedSession, SessionError};
use scistream_daemon::sessions::{Sessions, SessionsConfig, StateFile};

use crate::rig::*;

/// A folder with a state file, removed at its end.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str) -> Self {
        let name = format!("s2cs-restart-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("sessions.json")
    }

    /// A gateway on this file; how many sessions came back.
    async fn start(&self, config: SessionsConfig) -> (Sessions, usize) {
        let sessions = start(config);
        let (file, saved) = StateFile::open(&self.file()).unwrap();
        let back = sessions.restore(file, saved).await;
        (sessions, back)
    }

    /// What a kill at this moment would leave, in a folder of its own.
    fn killed(&self, name: &str) -> Self {
        let left = Self::new(name);
        fs::copy(self.file(), left.file()).unwrap();
        fs::set_permissions(left.file(), fs::Permissions::from_mode(0o600)).unwrap();
        left
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A loopback address that no other test listens or dials on: ports are free from one run of the
/// gateway to the next.
fn here() -> SessionsConfig {
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 64 | (high & 63), low, 1 + (high >> 6));
    SessionsConfig {
        listen: vec![own.into()],
        ..config()
    }
}

/// Ends a gateway as SIGTERM does.
async fn end(sessions: Sessions) {
    sessions.stop(None);
    sessions.all_closed().await;
    sessions.all_saved().await;
    drop(sessions);
}

fn named_request(uid: &str, targets: &[SocketAddr]) -> CreateSession {
    CreateSession {
        id: Some(id(uid)),
        label: Some("my run".parse().unwrap()),
        submission: Some(uid.parse().unwrap()),
        ..forwarding(targets)
    }
}

/// Opens the file once the last gateway has let go of it.
async fn until_free(kept: &Kept) {
    until("the file is free", || StateFile::open(&kept.file()).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_come_back_on_their_own_ports_and_move_bytes_again() {
    let kept = Kept::new("back");
    let (sessions, back) = kept.start(here()).await;
    assert_eq!(back, 0);
    let request = named_request("s", &[named(b'a'), named(b'b')]);
    let before = sessions
        .create(&alice(), request.clone())
        .await
        .unwrap()
        .session;
    let (stream, _) = greeted_by(before.listeners[0]).await;
    let waiting = sessions.clone();
    let waits = tokio::spawn(async move { waiting.create(&alice(), req("waits", 1)).await });
    until("it waits", || sessions.show(&alice(), &id("waits")).is_ok()).await;
    end(sessions).await;
    assert!(waits.await.unwrap().is_err());
    blocking(move || must_be_reset(stream)).await;
    assert!(before.listeners.iter().all(|listen| refuses(*listen)));
    until_free(&kept).await;

    let (sessions, back) = kept.start(here()).await;
    assert_eq!(back, 1);
    let after = sessions.show(&alice(), &id("s")).unwrap().session.session;
    assert_eq!(after.listeners, before.listeners);
    assert_eq!(after.targets, before.targets);
    assert_eq!(
        (after.phase, after.label),
        (Phase::Forwarding, before.label)
    );
    for (listen, name) in after.listeners.iter().zip(*b"ab") {
        let (mut stream, greeting) = greeted_by(*listen).await;
        assert_eq!(greeting, name);
        blocking(move || round_trip(&mut stream, b"after the restart")).await;
    }
    let again = sessions.create(&alice(), request).await.unwrap();
    assert!(again.existed, "its idempotency key is known");
    let denied = sessions.release(&mallory(), &id("s"), None).await;
    assert!(matches!(denied, Err(SessionError::NotOwner { .. })));
    sessions.release(&alice(), &id("s"), None).await.unwrap();
    end(sessions).await;
    until_free(&kept).await;
    let (sessions, back) = kept.start(here()).await;
    assert_eq!(back, 0, "a release is for good");
    drop(sessions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_has_its_sessions_on_the_disk() {
    let kept = Kept::new("killed");
    let (sessions, _) = kept.start(here()).await;
    let target = named(b'x');
    for uid in ["one", "two"] {
        sessions
            .create(&alice(), named_request(uid, &[target]))
            .await
            .unwrap();
    }
    sessions.release(&alice(), &id("one"), None).await.unwrap();
    sessions.all_saved().await;
    let left = kept.killed("killed-left");
    let before = sessions.show(&alice(), &id("two")).unwrap();
    end(sessions).await;

    let (sessions, back) = left.start(here()).await;
    assert_eq!(back, 1);
    let after = sessions.show(&alice(), &id("two")).unwrap();
    assert_eq!(
        after.session.session.listeners,
        before.session.session.listeners
    );
    let created = after.session.created.duration_since(before.session.created);
    let apart = created.unwrap_or_else(|error| error.duration());
    assert!(apart < Duration::from_secs(1), "made {apart:?} apart");
    drop(sessions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_port_another_program_has_is_lost_and_said_to_be() {
    let kept = Kept::new("lost");
    let (sessions, _) = kept.start(here()).await;
    let target = named(b'x');
    let mut listeners = Vec::new();
    for uid in ["lost", "kept"] {
        let created = sessions
            .create(&alice(), named_request(uid, &[target]))
            .await
            .unwrap();
        listeners.push(created.session.listeners[0]);
    }
    end(sessions).await;
    until_free(&kept).await;
    let holder = TcpListener::bind(listeners[0]).unwrap();

    let sessions = start(here());
    let mut events = sessions.watch(&alice(), None).unwrap();
    let (file, saved) = StateFile::open(&kept.file()).unwrap();
    assert_eq!(sessions.restore(file, saved).await, 1);
    let mut lost = None;
    while lost.is_none() {
        let next = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
        if let Some(scistream_daemon::sessions::Watched::Event(event)) = next
            && event.change.code.as_str() == "lost"
        {
            lost = Some(event);
        }
    }
    let change = &lost.unwrap().change;
    assert_eq!(change.session, id("lost"));
    let port = format!("port {}", listeners[0].port());
    assert!(change.sentence.contains(&port), "{}", change.sentence);
    until("nothing of it is left", || {
        sessions.list(&alice()).len() == 1
    })
    .await;
    let (_stream, greeting) = greeted_by(listeners[1]).await;
    assert_eq!(greeting, b'x');
    // Nor does it come back once the port is free.
    drop(holder);
    end(sessions).await;
    until_free(&kept).await;
    let (sessions, back) = kept.start(here()).await;
    assert_eq!(back, 1);
    drop(sessions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_while_the_gateway_drains_is_for_good() {
    let kept = Kept::new("released");
    let (sessions, _) = kept.start(here()).await;
    let created = sessions
        .create(&alice(), named_request("s", &[named(b'x')]))
        .await
        .unwrap();
    let (stream, _) = greeted_by(created.session.listeners[0]).await;
    sessions.stop(Some(PATIENCE));
    sessions.all_saved().await;
    assert!(
        fs::read_to_string(kept.file())
            .unwrap()
            .contains("\"uid\":\"s\"")
    );
    sessions.release(&alice(), &id("s"), None).await.unwrap();
    blocking(move || must_be_reset(stream)).await;
    sessions.all_saved().await;
    assert!(
        !fs::read_to_string(kept.file())
            .unwrap()
            .contains("\"uid\":\"s\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_name_has_no_address_yet_does_not_keep_its_session_away() {
    let kept = Kept::new("names");
    let (sessions, _) = kept.start(here()).await;
    let target = named(b'x');
    let by_name = format!("localhost:{}", target.port());
    let request = CreateSession {
        id: Some(id("s")),
        targets: vec![by_name.parse().unwrap()],
        ..CreateSession::plain(Role::Producer)
    };
    sessions.create(&alice(), request).await.unwrap();
    end(sessions).await;
    until_free(&kept).await;
    let text = fs::read_to_string(kept.file()).unwrap();
    fs::write(
        kept.file(),
        text.replace(&by_name, "no-such-host.invalid:80"),
    )
    .unwrap();
    let (sessions, back) = kept.start(here()).await;
    assert_eq!(back, 1);
    let shown = sessions.show(&alice(), &id("s")).unwrap().session.session;
    assert_eq!(shown.targets[0].to_string(), "no-such-host.invalid:80");
    assert!(!refuses(shown.listeners[0]), "it listens");
    // An update helps at once.
    sessions
        .update(&alice(), &id("s"), vec![target.into()])
        .await
        .unwrap();
    let (_stream, greeting) = greeted_by(shown.listeners[0]).await;
    assert_eq!(greeting, b'x');
}

/// The variable that names the file to the process that is killed.
const FILE: &str = "SCISTREAM_STATE_FILE";

/// The sizes of the states that it writes.
const SIZES: [usize; 3] = [0, 3, 400];

/// A state of `size` sessions, each of which says so.
fn state(size: usize) -> Vec<SavedSession> {
    let now = Instant::now();
    let session = |number: usize| {
        let uid = id(&format!("s{number}"));
        let request = CreateSession {
            id: Some(uid.clone()),
            label: Some(format!("one of {size}").parse().unwrap()),
            ..CreateSession::plain(Role::Consumer)
        };
        SavedSession {
            terms: Arc::new(Terms {
                id: uid,
                listeners: 1,
                sources: Vec::new(),
                max_connections: None,
                reserved: Rate::ZERO,
                max_rate: None,
                lifetime: None,
                idle_timeout: None,
            }),
            owner: alice().principal,
            request: Arc::new(request),
            ports: vec![1 + number as u16],
            targets: Vec::new(),
            announced: Vec::new(),
            created: now,
            active: now,
            expires: None,
        }
    };
    (0..size).map(session).collect()
}

fn write_until_killed(path: &std::path::Path) {
    let (file, _) = StateFile::open(path).unwrap();
    let states = SIZES.map(state);
    for state in states.iter().cycle() {
        file.write(state).unwrap();
    }
}

#[test]
fn a_kill_in_the_middle_of_a_write_leaves_a_whole_file() {
    if let Some(path) = std::env::var_os(FILE) {
        return write_until_killed(path.as_ref());
    }
    let kept = Kept::new("kills");
    let seed = bpf_tests::traffic::Seed::from_env().unwrap();
    println!("seed: {}", seed.replay());
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..40 {
        let before = fs::metadata(kept.file())
            .and_then(|file| file.modified())
            .ok();
        let mut writer = std::process::Command::new(std::env::current_exe().unwrap())
            .arg("--exact")
            .arg("restart::a_kill_in_the_middle_of_a_write_leaves_a_whole_file")
            .env(FILE, kept.file())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let begun = || {
            let now = fs::metadata(kept.file())
                .and_then(|file| file.modified())
                .ok();
            now != before
        };
        let deadline = Instant::now() + PATIENCE;
        while !begun() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        // Anywhere in the course of a few writes.
        std::thread::sleep(Duration::from_micros(seed.derive() % 20_000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let (_file, found) =
            StateFile::open(&kept.file()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(
            SIZES.contains(&found.len()),
            "round {round}: {}",
            found.len()
        );
        let whole = format!("one of {}", found.len());
        let says_so = |session: &SavedSession| {
            let label = session.request.label.as_ref();
            label.is_some_and(|label| label.as_str() == whole)
        };
        assert!(
            found.iter().all(says_so),
            "round {round}: parts of two states"
        );
        seen.insert(found.len());
    }
    assert!(seen.len() > 1, "kills came at different moments: {seen:?}");
}
