//! What is written is read again, and what is not ours is refused with what to do.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::session::exchange::Terms;
use crate::session::{CreateSession, Greeting, Principal, Rate, Role};

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("s2cs-state-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("sessions.json")
    }

    fn put(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn saved(now: Instant) -> SavedSession {
    let targets = ["192.0.2.7:5201", "instrument.example.org:1"];
    let targets: Vec<crate::session::Target> = targets.map(|text| text.parse().unwrap()).to_vec();
    let request = CreateSession {
        id: Some("run_7".parse().unwrap()),
        listeners: 2,
        greeting: Greeting::Awaited(Some(Duration::from_nanos(1_500_000_001))),
        rate: Some(Rate::from_kilobytes(10_000)),
        reserved: Some(Rate::from_bytes(1)),
        max_rate: Some(Rate::from_bytes(u64::MAX)),
        targets: targets.clone(),
        label: Some("Größe \"7\"".parse().unwrap()),
        submission: Some("job-1".parse().unwrap()),
        lifetime: Some(Duration::from_nanos(3_600_000_000_007)),
        idle_timeout: Some(Duration::from_secs(60)),
        sources: vec!["2001:db8::/32".parse().unwrap()],
        max_connections: Some(9),
        ..CreateSession::plain(Role::Producer)
    };
    SavedSession {
        terms: Arc::new(Terms {
            id: "run_7".parse().unwrap(),
            listeners: 2,
            sources: vec!["192.0.2.0/24".parse().unwrap()],
            max_connections: Some(8),
            reserved: Rate::from_bytes(1),
            max_rate: None,
            lifetime: request.lifetime,
            idle_timeout: None,
        }),
        owner: Principal::new("urn:globus:auth:identity:\u{202e}x\""),
        request: Arc::new(request),
        ports: vec![5100, 65_535],
        targets: targets.clone(),
        announced: targets,
        created: now.checked_sub(Duration::from_secs(100)).unwrap(),
        active: now,
        expires: Some(now + Duration::from_secs(3_500)),
    }
}

/// Moments are kept to the millisecond, and read by another pair of clocks.
fn assert_close(one: Instant, other: Instant) {
    let apart = one.max(other) - one.min(other);
    assert!(apart < Duration::from_millis(200), "{apart:?} apart");
}

#[test]
fn what_is_written_is_read_again() {
    let folder = Folder::new();
    let (file, sessions) = StateFile::open(&folder.file()).unwrap();
    assert!(sessions.is_empty(), "there is no file yet");
    let written = saved(Instant::now());
    file.write(std::slice::from_ref(&written)).unwrap();
    let mode = fs::metadata(folder.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    drop(file);
    let (file, sessions) = StateFile::open(&folder.file()).unwrap();
    let read = &sessions[0];
    for (one, other) in [
        (read.created, written.created),
        (read.active, written.active),
        (read.expires.unwrap(), written.expires.unwrap()),
    ] {
        assert_close(one, other);
    }
    let same = SavedSession {
        created: written.created,
        active: written.active,
        expires: written.expires,
        ..read.clone()
    };
    assert_eq!(same, written);
    file.write(&[]).unwrap();
    drop(file);
    let (_file, sessions) = StateFile::open(&folder.file()).unwrap();
    assert!(sessions.is_empty());
    assert!(!beside(&folder.file(), ".partial").exists());
}

#[test]
fn a_file_that_others_can_read_or_write_is_refused() {
    let folder = Folder::new();
    let (file, _) = StateFile::open(&folder.file()).unwrap();
    file.write(&[]).unwrap();
    drop(file);
    for mode in [0o644, 0o602, 0o660] {
        fs::set_permissions(folder.file(), fs::Permissions::from_mode(mode)).unwrap();
        let error = StateFile::open(&folder.file()).unwrap_err();
        assert!(matches!(error, StateError::Exposed { .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let (file, _) = StateFile::open(&folder.file()).unwrap();
    file.write(&[saved(Instant::now())]).unwrap();
    drop(file);
    let whole = fs::read_to_string(folder.file()).unwrap();
    let changed = |from: &str, to: &str| {
        let text = whole.replace(from, to);
        assert_ne!(text, whole, "{from}");
        text
    };
    for text in [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        "[]".to_owned(),
        changed("s2cs sessions", "another program's"),
        changed("\"uid\":\"run_7\",\"owner\"", "\"uid\":\"../x\",\"owner\""),
        changed("[5100,65535]", "[5100]"),
        changed("[5100,65535]", "[0,65535]"),
        changed("192.0.2.7:5201", "0.0.0.0:1"),
        changed("\"owner\"", "\"colour\":1,\"owner\""),
    ] {
        folder.put(&text);
        let error = StateFile::open(&folder.file()).unwrap_err();
        assert!(
            matches!(error, StateError::Damaged { .. }),
            "{text}: {error}"
        );
        assert!(error.to_string().contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), text);
    }
}

#[test]
fn a_file_of_another_version_is_refused_whatever_else_it_holds() {
    let folder = Folder::new();
    folder.put("{\"format\":\"s2cs sessions\",\"version\":2,\"flows\":{}}");
    let error = StateFile::open(&folder.file()).unwrap_err();
    assert!(
        matches!(
            error,
            StateError::Version {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_is_no_file_is_refused_and_holds_nothing_up() {
    let folder = Folder::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.file(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let error = StateFile::open(&folder.file()).unwrap_err();
    assert!(matches!(error, StateError::Damaged { .. }), "{error}");
    let error = StateFile::open(&folder.0.join("nowhere/x.json")).unwrap_err();
    assert!(
        error.to_string().contains("see that its folder exists"),
        "{error}"
    );
}

#[test]
fn two_gateways_do_not_share_a_file() {
    let folder = Folder::new();
    let (file, _) = StateFile::open(&folder.file()).unwrap();
    let error = StateFile::open(&folder.file()).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
    drop(file);
    StateFile::open(&folder.file()).unwrap();
}

#[test]
fn a_write_that_fails_leaves_the_file_as_it_was() {
    let folder = Folder::new();
    let (file, _) = StateFile::open(&folder.file()).unwrap();
    file.write(&[saved(Instant::now())]).unwrap();
    let before = fs::read(folder.file()).unwrap();
    // Nothing can be written beside it.
    let partial = beside(&folder.file(), ".partial");
    fs::create_dir(&partial).unwrap();
    let error = file.write(&[]).unwrap_err();
    assert!(matches!(error, StateError::File { .. }), "{error}");
    assert_eq!(fs::read(folder.file()).unwrap(), before);
    fs::remove_dir(&partial).unwrap();
    file.write(&[]).unwrap();
}

#[test]
fn a_link_in_the_place_of_the_partial_file_is_not_followed() {
    let folder = Folder::new();
    let other = folder.0.join("another");
    fs::write(&other, "precious").unwrap();
    let (file, _) = StateFile::open(&folder.file()).unwrap();
    symlink(&other, beside(&folder.file(), ".partial")).unwrap();
    file.write(&[]).unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
}
