//! The command `s2cs` with a state file: ended, killed, started again, and refusing what is not its.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use scistream_daemon::wire::gateway as own;
use serde_json::Value;

use crate::rig::{Folder, Own, PATIENCE, UID, by, connect, echo, round_trip};

/// A loopback address that no other test listens or dials on: ports are free from one run of the
/// gateway to the next.
fn here() -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{low}.{}", 64 | (high & 63), 8 + (high >> 6))
}

fn settings(folder: &Folder) -> std::path::PathBuf {
    let state = folder.path().join("sessions.json");
    let here = here();
    let text = format!(
        "[control]\nlistener_ip = \"{here}\"\nport = 0\nssl = false\n\
         [sessions]\nport_range = \"0\"\nstate = \"{}\"\n\
         [metrics]\nlisten = \"{here}:0\"\n\
         [data]\nplane = \"copy\"\ndrain_timeout = \"100ms\"\n",
        state.display()
    );
    folder.write("s2cs.toml", &text)
}

fn s2cs(settings: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s2cs"));
    command
        .env_remove("S2CS_LOG")
        .env_remove("S2CS_CONFIG")
        .args(["--log-format", "json", "--config"])
        .arg(settings)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// A running gateway, which ends with the test.
struct Gateway {
    child: Child,
    lines: Receiver<Value>,
    control: SocketAddr,
    metrics: SocketAddr,
}

impl Gateway {
    fn start(settings: &Path) -> Self {
        let mut child = s2cs(settings).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let _test_ended = sender.send(line);
            }
        });
        let mut gateway = Self {
            child,
            lines,
            control: ([0; 4], 0).into(),
            metrics: ([0; 4], 0).into(),
        };
        gateway.control = gateway.wait_for("control port ready");
        gateway.metrics = gateway.wait_for("metrics port ready");
        gateway
    }

    fn wait_for(&self, message: &str) -> SocketAddr {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            if line["message"] == message {
                return line["listen"].as_str().unwrap().parse().unwrap();
            }
        }
    }

    async fn own(&self) -> Own {
        Own::new(connect(self.control, None).await.unwrap())
    }

    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// Ends it, and answers its exit code.
    fn end(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to that: {what}");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_sigterm_and_sigkill_and_are_seen_in_metrics() {
    for (signal, code) in [(Signal::TERM, Some(0)), (Signal::KILL, None)] {
        let folder = Folder::new();
        let settings = settings(&folder);
        let gateway = Gateway::start(&settings);
        let request = own::CreateSessionRequest {
            uid: UID.to_owned(),
            role: own::Role::Producer.into(),
            listeners: 2,
            targets: vec![echo().to_string()],
            idempotency_key: "once".to_owned(),
            ..own::CreateSessionRequest::default()
        };
        let made = gateway
            .own()
            .await
            .create_session(by("any", request.clone()))
            .await;
        let before = made.unwrap().into_inner().session.unwrap();
        let _cut = round_trip(&before.listeners[0]);
        let file = folder.path().join("sessions.json");
        wait_until("the session is on the disk", || {
            fs::read_to_string(&file).is_ok_and(|text| text.contains(UID))
        });
        assert_eq!(gateway.end(signal), code);
        assert!(TcpStream::connect(&before.listeners[0]).is_err());

        let gateway = Gateway::start(&settings);
        let again = gateway.own().await.create_session(by("any", request)).await;
        let again = again.unwrap().into_inner();
        assert!(again.existed, "{signal:?}");
        let after = again.session.unwrap();
        assert_eq!(after.listeners, before.listeners);
        assert_eq!(after.targets, before.targets);
        assert_eq!(after.state(), own::State::Forwarding);
        for listener in &after.listeners {
            round_trip(listener);
        }
        let forwarding = "\nscistream_sessions{state=\"forwarding\"} 1\n";
        assert!(gateway.scrape().contains(forwarding));
        let release = own::ReleaseSessionRequest {
            uid: UID.to_owned(),
            drain: None,
        };
        gateway
            .own()
            .await
            .release_session(by("any", release))
            .await
            .unwrap();
        assert_eq!(gateway.end(Signal::TERM), Some(0));
        assert!(!fs::read_to_string(&file).unwrap().contains(UID));
    }
}

#[test]
fn a_state_file_that_cannot_be_trusted_keeps_the_gateway_from_starting() {
    for (text, mode, reason) in [
        ("{", 0o600, "is damaged"),
        (
            "{\"format\":\"s2cs sessions\",\"version\":9}",
            0o600,
            "is of version 9",
        ),
        (
            "{\"format\":\"s2cs sessions\",\"version\":1,\"sessions\":[]}",
            0o644,
            "is open to others (mode 0644)",
        ),
    ] {
        let folder = Folder::new();
        let settings = settings(&folder);
        let file = folder.write("sessions.json", text);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let output = s2cs(&settings).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(reason) && said.contains("move it away"),
            "{said}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "it is as it was");
    }
}
