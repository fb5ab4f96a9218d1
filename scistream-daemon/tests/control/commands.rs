//! The command `s2cs`: what it prints, what it refuses, how it ends.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::rig::{Folder, Old, UID, connect, session, update};

fn s2cs() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s2cs"));
    command
        .env_remove("S2CS_LOG")
        .env_remove("S2CS_CONFIG")
        .stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    s2cs().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_example_file_is_good_and_the_schema_is_json() {
    let folder = Folder::new();
    let default = run(&["config", "default"]);
    let file = folder.write("s2cs.toml", &text(&default.stdout));
    let checked = run(&["config", "check", "--config", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let schema: Value = serde_json::from_slice(&run(&["config", "schema"]).stdout).unwrap();
    assert_eq!(
        schema["properties"]["control"]["properties"]["port"]["default"],
        5000
    );
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    let folder = Folder::new();
    let file = folder.write("s2cs.toml", "[control]\nprot = 1\n");
    let checked = run(&["config", "check", "--config", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    let error = text(&checked.stderr);
    assert!(
        error.contains("s2cs.toml line 2: there is no setting `control.prot`; is `port` meant?"),
        "{error}"
    );
    let missing = run(&["config", "check", "--config", "/nowhere/s2cs.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("cannot read /nowhere/s2cs.toml"));
}

#[test]
fn a_policy_explains_its_decisions() {
    let folder = Folder::new();
    let rules = "[[rules]]\nname = \"staff\"\nwho = [\"group:staff\"]\nroles = [\"producer\"]\ntargets = [\"10.0.0.0/8:*\"]\n";
    let file = folder.write("s2cs.toml", rules);
    let test = |args: &[&str]| {
        let mut all = vec!["policy", "test", "--config", file.to_str().unwrap()];
        all.extend(args);
        let output = run(&all);
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let (code, granted) = test(&["--as", "group:staff", "--target", "10.1.2.3:80"]);
    assert_eq!(
        (code, granted.as_str()),
        (Some(0), "  staff: yes\ngranted by staff\n")
    );
    let (code, denied) = test(&["--as", "group:staff", "--target", "192.0.2.1:80"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        denied,
        "  staff: no, it does not allow the target 192.0.2.1:80\ndenied: no rule grants it\n"
    );
    let (code, denied) = test(&["--as", "token:alice"]);
    assert_eq!(
        (code, denied.contains("no rule is for this caller")),
        (Some(1), true)
    );
    let (code, wrong) = test(&["--as", "alice"]);
    assert_eq!(
        (code, wrong.contains("--as holds `alice`")),
        (Some(1), true),
        "{wrong}"
    );
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let folder = Folder::new();
    let file = folder.write("s2cs.toml", "[auth]\nallow_anyone = true\n");
    for (args, code, reason) in [
        (vec!["--type", "Mock"], 2, "one of upstream's"),
        (vec!["--listner_ip", "::"], 2, "--listener-ip"),
        (
            vec!["--ssl", "False", "--port", "0"],
            1,
            "nobody is asked who they are",
        ),
        (vec!["--port", "ninety"], 1, "--port holds `ninety`"),
        (
            vec![
                "--listener_ip",
                "127.0.0.1",
                "--port",
                "0",
                "--server_crt",
                "/nowhere.crt",
            ],
            1,
            "/nowhere.crt",
        ),
        (
            vec!["--config", file.to_str().unwrap(), "--port_range", "9-1"],
            1,
            "--port_range holds `9-1`",
        ),
    ] {
        let output = run(&args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            text(&output.stderr)
        );
        assert!(
            text(&output.stderr).contains(reason),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
}

/// The lines of a log.
type Lines = std::iter::MapWhile<
    std::io::Lines<BufReader<ChildStderr>>,
    fn(std::io::Result<String>) -> Option<String>,
>;

/// A gateway in a process of its own, which ends with the test.
pub(crate) struct Gateway {
    running: Child,
    lines: Lines,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts one on loopback that asks nobody who they are, with ports that the kernel picks.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = s2cs();
        command.args(["--listener_ip", "127.0.0.1", "--port", "0"]);
        command.args(["--port_range", "0", "--type", "splice"]);
        command.args(["--log-format", "json"]).args(args);
        let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(running.stderr.take().unwrap());
        let whole: fn(std::io::Result<String>) -> Option<String> = Result::ok;
        let mut lines = log.lines().map_while(whole);
        let ready = lines.find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            (line["message"] == "control port ready").then_some(line)
        });
        let address = ready.unwrap()["listen"].as_str().unwrap().parse();
        Self {
            running,
            lines,
            address: address.unwrap(),
        }
    }

    /// How many descriptors it holds.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.running.id());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// Calls it in the clear.
    async fn old(&self) -> Old {
        Old::new(connect(self.address, None).await.unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.running.kill();
        let _reaped = self.running.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_serves_sessions_and_ends_with_sigterm() {
    let mut gateway = Gateway::start(&["--ssl", "False"]);
    let response = session(&gateway.old().await, "INVALID_TOKEN", UID, 3).await;
    assert_eq!(response.listeners.len(), 3);
    kill_process(Pid::from_child(&gateway.running), Signal::TERM).unwrap();
    let rest: Vec<String> = gateway.lines.by_ref().collect();
    assert_eq!(gateway.running.wait().unwrap().code(), Some(0), "{rest:#?}");
    assert!(std::net::TcpStream::connect(&response.listeners[0]).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_leads_back_by_what_callers_are_told_is_refused() {
    // Every port is told as another one, as NodePorts are.
    let rotated = ["1-32767=32768-65534", "32768-65534=1-32767"];
    for host in ["203.0.113.9", "localhost"] {
        let mut args = vec!["--ssl", "False", "--advertise", host];
        for map in rotated {
            args.extend(["--port_map", map]);
        }
        let gateway = Gateway::start(&args);
        let mut old = gateway.old().await;
        let response = session(&old, "INVALID_TOKEN", UID, 1).await;
        let told = response.listeners[0].clone();
        assert!(told.starts_with(&format!("{host}:")), "{told}");
        let (_, port) = told.rsplit_once(':').unwrap();
        // By the name, and by the address that the name has.
        let address = format!("{}:{port}", host.replace("localhost", "127.0.0.1"));
        for target in [told.clone(), address] {
            let refused = old
                .update(update(UID, "PROD", &[target]))
                .await
                .unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
            assert!(refused.message().contains("own listeners"), "{refused:?}");
        }
        let elsewhere = [format!("192.0.2.7:{port}")];
        old.update(update(UID, "PROD", &elsewhere)).await.unwrap();
    }
}
