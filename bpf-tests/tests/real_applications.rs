//! Applications that others wrote, through two gateways in a row and a
//! session that `s2uc connect` made, in a namespace of their own: what
//! they send arrives as it was sent, and they notice nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpf_tests::capability::Capability;
use bpf_tests::iperf::Sink;
use bpf_tests::netns::{Netns, Place};
use bpf_tests::process::Process;
use bpf_tests::real::Parts;
use bpf_tests::real::pair::{LOOPBACK, Pair, RANGES};
use bpf_tests::real::scratch::Scratch;
use bpf_tests::real::user::text;
use bpf_tests::{command, require};
use serde_json::Value;

/// What takes longer than this on a busy machine has failed.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for a line `NAME VALUE`.
fn said(process: &Process, name: &str) -> Result<String> {
    let prefix = format!("{name} ");
    process.wait_for_line(PATIENCE, |line| {
        line.strip_prefix(&prefix).map(str::to_owned)
    })
}

/// Starts a script that prints `port N`; gives where it listens.
fn listening(command: Command) -> Result<(Process, SocketAddr)> {
    let process = Process::spawn(command)?;
    let port = said(&process, "port")?.parse()?;
    Ok((process, SocketAddr::new(LOOPBACK, port)))
}

fn pair(place: Place<'_>, target: SocketAddr) -> Result<(Pair, SocketAddr)> {
    let pair = Pair::before(place, target)?;
    let listener = pair.listener()?;
    Ok((pair, listener))
}

#[test]
fn iperf3_runs_both_ways_and_with_many_streams() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let netns = Netns::new("iperf")?;
    let place = Place::from(&netns);
    let sink = Sink::start(place, LOOPBACK, Duration::from_secs(1), None)?;
    let (_pair, listener) = pair(place, sink.address())?;
    let port = listener.port().to_string();
    // --bidir tells its two connections apart by the order in which they arrive.
    for mode in [&[][..], &["-R"], &["--bidir"], &["-P", "32"]] {
        let mark = sink.mark();
        let mut load = place.command("iperf3");
        load.args([
            "-c",
            "127.0.0.1",
            "-p",
            &port,
            "-t",
            "2",
            "-J",
            "--connect-timeout",
            "30000",
        ]);
        let report = command::run(load.args(mode)).with_context(|| format!("iperf3 {mode:?}"))?;
        let report: Value = serde_json::from_str(&report)?;
        let bytes = |sum: &str| report["end"][sum]["bytes"].as_u64().unwrap_or_default();
        ensure!(bytes("sum_received") > 0, "{mode:?}: {report}");
        if mode == ["--bidir"] {
            ensure!(bytes("sum_received_bidir_reverse") > 0, "{report}");
        }
        let streams = report["end"]["streams"].as_array().map_or(0, Vec::len);
        let wanted = match mode {
            ["-P", count] => count.parse()?,
            ["--bidir"] => 2,
            _ => 1,
        };
        assert_eq!(streams, wanted, "{mode:?}");
        sink.wait_until_free(mark)?;
    }
    Ok(())
}

#[test]
fn epics_pvaccess_finds_its_variable_and_every_frame_is_whole() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let parts = Parts::find()?;
    let netns = Netns::new("pva")?;
    let place = Place::from(&netns);
    let mut serve = parts.python(place, "pva.py")?;
    serve.arg("serve");
    let (_serving, target) = listening(serve)?;
    // Whoever found a variable dials the port that its host told, at the address that was asked: the
    // consumer's gateway has to listen on the same port, as it would between real networks.
    let target = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), target.port());
    let same = format!("{0}-{0}", target.port());
    let pair = Pair::with_ranges(place, target, [RANGES[0], &same])?;
    let listener = pair.listener()?;
    let mut monitor = parts.python(place, "pva.py")?;
    monitor.args(["monitor", &listener.to_string(), "100"]);
    let mut monitor = Process::spawn(monitor)?;
    monitor.wait_for_success(PATIENCE)?;
    assert!(monitor.output().text().contains("frames 100"));
    // It went by the gateways: a quarter of a megabyte for each frame.
    let bytes = pair.bytes_back(place)?;
    ensure!(bytes > 100 * 512 * 512, "only {bytes} bytes went by");
    Ok(())
}

#[test]
fn zeromq_and_nng_get_every_message_in_order() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let parts = Parts::find()?;
    let netns = Netns::new("messages")?;
    let place = Place::from(&netns);
    for library in ["zmq", "nng"] {
        for (count, size) in [("2000", "100"), ("500", "16384"), ("40", "1000000")] {
            let mut listen = parts.python(place, "messages.py")?;
            listen.args([library, "listen", count, size]);
            let (mut listener, target) = listening(listen)?;
            let (_pair, front) = pair(place, target)?;
            let mut dial = parts.python(place, "messages.py")?;
            dial.args([library, "dial", &front.to_string(), count, size]);
            let mut dial = Process::spawn(dial)?;
            dial.wait_for_success(PATIENCE)?;
            assert_eq!(dial.output().text(), format!("seen {count}"), "{library}");
            listener.wait_for_success(PATIENCE)?;
        }
    }
    Ok(())
}

#[test]
fn nanocat_gets_what_nanocat_and_nng_send() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let netns = Netns::new("nanomsg")?;
    let place = Place::from(&netns);
    let port = place.free_port(LOOPBACK)?;
    let mut replying = place.command("nanocat");
    let bound = format!("tcp://127.0.0.1:{port}");
    replying.args([
        "--rep",
        "--bind",
        &bound,
        "--data",
        "reply from behind",
        "--ascii",
    ]);
    let replying = Process::spawn(replying)?;
    let (_pair, front) = pair(place, SocketAddr::new(LOOPBACK, port))?;
    let front = format!("tcp://{front}");
    let mut asking = place.command("nanocat");
    asking.args([
        "--req",
        "--connect",
        &front,
        "--data",
        "question",
        "--ascii",
    ]);
    asking.args([
        "--send-timeout",
        "60",
        "--recv-timeout",
        "60",
        "--interval",
        "60",
    ]);
    let asking = Process::spawn(asking)?;
    replying.wait_for_line(PATIENCE, |line| line.contains("question").then_some(()))?;
    asking.wait_for_line(PATIENCE, |line| {
        line.contains("reply from behind").then_some(())
    })?;

    let parts = Parts::find()?;
    let mut pynng = parts.python(place, "ask_by_nng.py")?;
    pynng.args([&front, "another question"]);
    assert_eq!(command::run(&mut pynng)?.trim(), "reply from behind");
    replying.wait_for_line(PATIENCE, |line| line.contains("another").then_some(()))
}

#[test]
fn curl_gets_a_gibibyte_by_http_with_the_right_checksum() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let parts = Parts::find()?;
    let netns = Netns::new("http")?;
    let place = Place::from(&netns);
    let mut serve = parts.python(place, "big_file.py")?;
    serve.arg((1_u64 << 30).to_string());
    let (serving, target) = listening(serve)?;
    let wanted = said(&serving, "sha256")?;
    let (_pair, front) = pair(place, target)?;
    let mut curl = place.command("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--noproxy",
        "*",
        "--max-time",
        "170",
    ]);
    let mut curl = curl
        .arg(format!("http://{front}/"))
        .stdout(Stdio::piped())
        .spawn()?;
    let body = curl.stdout.take().context("a pipe")?;
    let digest = Command::new("sha256sum").stdin(body).output()?;
    let digest = String::from_utf8(digest.stdout)?;
    ensure!(curl.wait()?.success(), "curl failed");
    assert_eq!(digest.split(' ').next(), Some(wanted.as_str()));
    Ok(())
}

/// An sshd on loopback with keys of its own, for whoever runs the test.
struct Sshd {
    _process: Process,
    folder: Scratch,
    target: SocketAddr,
}

impl Sshd {
    fn start(place: Place<'_>) -> Result<Self> {
        let folder = Scratch::new()?;
        for name in ["host", "user"] {
            let key = text(&folder.path().join(name));
            let mut generate = Command::new("ssh-keygen");
            command::run(generate.args(["-q", "-t", "ed25519", "-N", "", "-f", &key]))?;
        }
        // Where sshd insists on an empty folder for itself; Debian's service makes the same one.
        std::fs::create_dir_all("/run/sshd")?;
        let port = place.free_port(LOOPBACK)?;
        let at = |name: &str| text(&folder.path().join(name));
        let settings = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n",
            at("host"),
            at("user.pub")
        );
        let settings = folder.write("sshd_config", settings.as_bytes())?;
        let sshd = command::find_program("sshd").context("sshd is not installed")?;
        let mut command = place.command(&text(&sshd));
        command.args(["-D", "-e", "-f", &text(&settings)]);
        let process = Process::spawn(command)?;
        process.wait_for_line(PATIENCE, |line| line.contains("listening").then_some(()))?;
        Ok(Self {
            _process: process,
            folder,
            target: SocketAddr::new(LOOPBACK, port),
        })
    }

    /// `ssh` to whoever listens at `front`, running `remote`.
    fn ssh(&self, place: Place<'_>, front: SocketAddr, remote: &str) -> Command {
        let mut ssh = place.command("ssh");
        let user = std::env::var("USER").unwrap_or_else(|_unset| "root".to_owned());
        ssh.args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "BatchMode=yes",
        ])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
        .arg("-i")
        .arg(self.folder.path().join("user"))
        .args(["-p", &front.port().to_string()])
        .arg(format!("{user}@127.0.0.1"))
        .arg(remote);
        ssh
    }
}

#[test]
fn ssh_runs_commands_and_moves_files() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let netns = Netns::new("ssh")?;
    let place = Place::from(&netns);
    let sshd = Sshd::start(place)?;
    let (_pair, front) = pair(place, sshd.target)?;
    let word = command::run(&mut sshd.ssh(place, front, "echo from behind; exit 0"))?;
    assert_eq!(word, "from behind\n");
    let failed = sshd.ssh(place, front, "exit 7").status()?;
    assert_eq!(failed.code(), Some(7));

    // There and back again: 50 MB in, its sum out.
    let line = "0123456789abcdef\n".repeat(3_000_000);
    let there = command::run_with_input(&mut sshd.ssh(place, front, "sha256sum"), &line)?;
    let here = command::run_with_input(&mut Command::new("sha256sum"), &line)?;
    assert_eq!(there, here);
    Ok(())
}
