//! Our user side against a gateway as the reference's are, in Python on grpcio: upstream's commands
//! with their lines, `s2uc connect` with its fall-back to the old service, and what is left when
//! something fails.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpf_tests::netns::Place;
use bpf_tests::process::Process;
use bpf_tests::real::Parts;
use bpf_tests::real::reference::Reference;
use bpf_tests::real::user::{User, text};
use bpf_tests::traffic::{Pattern, Seed};
use serde_json::Value;

const HERE: Place<'static> = Place::Here;
const PATIENCE: Duration = Duration::from_secs(60);
const LENGTH: usize = 300_000;
const TOKEN: &str = "a-token-of-the-test";

/// Listens, and sends back what one connection says, until it has said all.
struct Echo {
    address: String,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Echo {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut all = Vec::new();
            stream.read_to_end(&mut all)?;
            stream.write_all(&all)
        });
        Ok(Self { address, thread })
    }

    /// Sends a pattern to `listener` and checks that it comes back from behind.
    fn check_by(self, listener: &str) -> Result<()> {
        let seed = Seed::from_env()?;
        println!("seed: {}", seed.replay());
        let mut sent = vec![0; LENGTH];
        Pattern::new(seed.derive()).fill(0, &mut sent);
        let mut stream =
            TcpStream::connect(listener).with_context(|| format!("{listener} does not listen"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&sent)?;
        stream.shutdown(Shutdown::Write)?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back)?;
        ensure!(
            back == sent,
            "{} bytes came back, not the {LENGTH} sent",
            back.len()
        );
        self.thread.join().expect("the echo does not panic")?;
        Ok(())
    }
}

/// Nothing listens at an address that did.
fn closed(listener: &str) -> Result<()> {
    let refused = TcpStream::connect(listener)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    ensure!(refused, "{listener} listens after its session was released");
    Ok(())
}

fn port_of(address: &str) -> Result<&str> {
    let (_, port) = address.rsplit_once(':').context("an address has a port")?;
    Ok(port)
}

/// The listeners in upstream's line `Listeners: ['…', '…']`.
fn listed(out: &str) -> Result<Vec<String>> {
    let line = out
        .lines()
        .find_map(|line| line.strip_prefix("Listeners: ["));
    let line = line.with_context(|| format!("no listeners in: {out}"))?;
    let items = line.trim_end_matches(']').split(", ");
    Ok(items
        .map(|item| item.trim_matches('\'').to_owned())
        .collect())
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().expect("a list");
    let text = |item: &Value| item.as_str().expect("a string").to_owned();
    items.iter().map(text).collect()
}

#[test]
fn upstreams_two_commands_set_a_session_up_with_upstreams_lines() -> Result<()> {
    let parts = Parts::find()?;
    let user = User::new()?;
    let tls = user.init("tls", &[])?;
    let ca = text(&tls.join("ca.crt"));
    let token = text(&user.home().write("token", TOKEN.as_bytes())?);
    let args = ["--token", TOKEN];
    let producer = Reference::start(&parts, HERE, Some(&tls), &args)?;
    let consumer = Reference::start(&parts, HERE, Some(&tls), &args)?;
    let echo = Echo::start()?;
    let common = [
        "--num_conn",
        "1",
        "--server_cert",
        &ca,
        "--token-file",
        &token,
    ];

    let at = producer.control();
    let ports = [
        "--remote_ip",
        "127.0.0.1",
        "--receiver_ports",
        port_of(&echo.address)?,
    ];
    let args = [&["inbound-request", "--s2cs", &at][..], &common, &ports].concat();
    let out = user.s2uc(HERE, &args)?.success()?;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "uid; s2cs; access_token; role");
    let words: Vec<&str> = lines[1].split(' ').collect();
    assert_eq!(words[1..], [at.as_str(), "hidden", "PROD"], "{out}");
    assert!(lines.contains(&"Hello message sent successfully"), "{out}");
    let inner = listed(&out)?;

    let at = consumer.control();
    let flow = ["outbound-request", "--s2cs", &at, words[0], &inner[0]];
    let out = user.s2uc(HERE, &[&flow[..], &common].concat())?.success()?;
    assert!(
        out.contains(&format!("{} {at} hidden CONS", words[0])),
        "{out}"
    );
    let outer = listed(&out)?;
    // Upstream's quirk: its hello to the consumer's gateway says PROD.
    assert_eq!(consumer.wait_for("hello")?, format!("{} PROD", words[0]));
    echo.check_by(&outer[0])?;

    for gateway in [&producer, &consumer] {
        let args = [
            "release",
            words[0],
            "--s2cs",
            &gateway.control(),
            "--ca",
            &ca,
        ];
        let args = [&args[..], &["--token-file", &token]].concat();
        assert_eq!(user.s2uc(HERE, &args)?.success()?, "Release completed\n");
    }
    closed(&inner[0])?;
    closed(&outer[0])
}

#[test]
fn connect_falls_back_to_the_old_service_and_one_release_ends_both_sides() -> Result<()> {
    let parts = Parts::find()?;
    let user = User::new()?;
    let tls = user.init("tls", &[])?;
    let ca = text(&tls.join("ca.crt"));
    // It listens everywhere, and says 0.0.0.0 to whoever asks where.
    let everywhere = ["--listener_ip", "0.0.0.0"];
    let producer = Reference::start(&parts, HERE, Some(&tls), &everywhere)?;
    let consumer = Reference::start(&parts, HERE, Some(&tls), &everywhere)?;
    let (producer_at, consumer_at) = (producer.control(), consumer.control());
    let echo = Echo::start()?;
    let both = [
        "--producer",
        &producer_at,
        "--consumer",
        &consumer_at,
        "--ca",
        &ca,
    ];

    let args = [&["--json", "connect", "--target", &echo.address][..], &both].concat();
    let session = user.s2uc(HERE, &args)?.json()?;
    assert_eq!(session["producer"]["service"], "scistream.Control");
    assert_eq!(
        session["producer"]["targets"],
        serde_json::json!([echo.address])
    );
    assert_eq!(
        session["consumer"]["targets"],
        session["producer"]["listeners"]
    );
    let listener = strings(&session["listeners"]).remove(0);
    assert!(listener.starts_with("127.0.0.1:"), "{session}");
    echo.check_by(&listener)?;

    let uid = session["uid"].as_str().context("a uid")?;
    let args = [&["release", uid][..], &both].concat();
    assert_eq!(user.s2uc(HERE, &args)?.success()?, "Release completed\n");
    closed(&listener)?;
    closed(&strings(&session["producer"]["listeners"])[0])?;
    // What is not there any more cannot be released twice.
    assert_eq!(user.s2uc(HERE, &args)?.code, Some(8));
    Ok(())
}

#[test]
fn a_side_that_fails_leaves_nothing_on_the_other() -> Result<()> {
    for (fault, code) in [
        (["--fail", "update"], 1),
        (["--fail", "req"], 1),
        (["--stall", "hello"], 6),
    ] {
        let parts = Parts::find()?;
        let user = User::new()?;
        let producer = Reference::start(&parts, HERE, None, &[])?;
        let consumer = Reference::start(&parts, HERE, None, &fault)?;
        let (producer_at, consumer_at) = (producer.control(), consumer.control());
        let both = ["--producer", &producer_at, "--consumer", &consumer_at];
        let rest = ["--target", "127.0.0.1:9", "--plaintext", "--timeout", "3s"];
        let outcome = user.s2uc(HERE, &[&["connect"][..], &both, &rest].concat())?;
        assert_eq!(outcome.code, Some(code), "{fault:?}: {outcome:?}");
        assert!(outcome.err.contains(&consumer_at), "{fault:?}: {outcome:?}");
        let uid = producer.wait_for("released")?;
        if fault != ["--fail", "req"] {
            assert_eq!(consumer.wait_for("released")?, uid, "{fault:?}");
        }
    }
    Ok(())
}

#[test]
fn a_session_that_was_there_before_is_not_released_by_a_failure() -> Result<()> {
    let parts = Parts::find()?;
    let user = User::new()?;
    let gateway = Reference::start(&parts, HERE, None, &[])?;
    let at = gateway.control();
    let args = [
        "inbound-request",
        "--mock",
        "True",
        "--s2cs",
        &at,
        "--plaintext",
    ];
    let listeners = listed(&user.s2uc(HERE, &args)?.success()?)?;
    assert_eq!(listeners.len(), 5);
    let again = user.s2uc(HERE, &args)?;
    assert_eq!(again.code, Some(9), "{again:?}");
    assert!(!gateway.said().contains("released"));
    TcpStream::connect(&listeners[0])?;
    Ok(())
}

#[test]
fn each_way_to_fail_has_its_exit_code_and_a_sentence() -> Result<()> {
    let parts = Parts::find()?;
    let user = User::new()?;
    let tls = user.init("tls", &[])?;
    let other = user.init("other", &[])?;
    let (ca, other) = (text(&tls.join("ca.crt")), text(&other.join("ca.crt")));
    let wrong = text(&user.home().write("wrong", b"another-token")?);
    let secured = Reference::start(&parts, HERE, Some(&tls), &["--token", TOKEN])?;
    let bare = Reference::start(&parts, HERE, None, &[])?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let (secured_at, bare_at) = (secured.control(), bare.control());
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent_at = silent.local_addr()?.to_string();

    let cases: [(&[&str], i32, &str); 9] = [
        (
            &["--s2cs", &secured_at, "--ca", &ca],
            3,
            "Authentication token is invalid",
        ),
        (
            &["--s2cs", &secured_at, "--ca", &ca, "--token-file", &wrong],
            3,
            "s2uc login",
        ),
        (&["--s2cs", &secured_at, "--ca", &other], 5, "--ca FILE"),
        (&["--s2cs", &secured_at, "--plaintext"], 5, "wants TLS"),
        (&["--s2cs", &bare_at, "--ca", &ca], 5, "--plaintext"),
        (&["--s2cs", &bare_at, "--plaintext"], 8, "entry not found"),
        (&["--s2cs", &nobody, "--ca", &ca], 5, "cannot be reached"),
        (
            &["--s2cs", &silent_at, "--ca", &ca, "--timeout", "1s"],
            6,
            "took longer than 1s",
        ),
        (
            &["--s2cs", &bare_at, "--plaintext", "--scope", "nobodys"],
            3,
            "s2uc login --scope nobodys",
        ),
    ];
    for (args, code, words) in cases {
        let outcome = user.s2uc(HERE, &[&["release", "no-such-session"], args].concat())?;
        assert_eq!(outcome.code, Some(code), "{args:?}: {outcome:?}");
        assert!(outcome.err.contains(words), "{args:?}: {outcome:?}");
        let as_json = user.s2uc(
            HERE,
            &[&["--json", "release", "no-such-session"], args].concat(),
        )?;
        let failure: Value = serde_json::from_str(&as_json.err)?;
        assert_eq!(failure["error"]["exit_code"], code, "{args:?}");
        assert_eq!(as_json.out, "");
    }
    let listed = user.s2uc(HERE, &["list", "--s2cs", &bare_at, "--plaintext"])?;
    assert_eq!(listed.code, Some(11), "{listed:?}");
    Ok(())
}

#[test]
fn an_application_says_hello_to_a_request_that_waits() -> Result<()> {
    let parts = Parts::find()?;
    let user = User::new()?;
    let gateway = Reference::start(&parts, HERE, None, &[])?;
    let at = gateway.control();
    let echo = Echo::start()?;

    let mut waiting = user.command(HERE, "s2uc");
    waiting.args(["prod-req", "--num_conn", "1", "--s2cs", &at, "--plaintext"]);
    let mut waiting = Process::spawn(waiting)?;
    let uid = gateway.wait_for("req")?;
    let uid = uid.split(' ').next().context("a uid")?;
    let args = [
        "hello",
        uid,
        "PROD",
        "--listener",
        &echo.address,
        "--s2cs",
        &at,
        "--plaintext",
    ];
    let said = user.run(HERE, "appctrl", &args)?.success()?;
    assert_eq!(said, "Hello message sent successfully\n");

    waiting.wait_for_success(PATIENCE)?;
    let out = waiting.output().text();
    assert!(
        out.contains(&format!("prod_listeners: \"{}\"", echo.address)),
        "{out}"
    );
    let last = out.lines().last().context("a last line")?;
    echo.check_by(last.trim_matches(['[', ']', '\'']))?;

    let unknown = user.run(
        HERE,
        "appctrl",
        &["hello", "nobody", "--s2cs", &at, "--plaintext"],
    )?;
    assert_eq!(unknown.code, Some(8), "{unknown:?}");
    Ok(())
}

#[test]
fn a_gateways_own_certificate_is_believed_as_the_tutorial_has_it() -> Result<()> {
    let parts = Parts::find()?;
    let user = User::new()?;
    let home = user.home().path();
    // As `openssl req -x509` makes it: an authority and a gateway's certificate in one, for a name
    // by which nobody dials it.
    let mut openssl = std::process::Command::new("openssl");
    openssl.current_dir(home).args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=gateway",
        "-keyout",
        "server.key",
        "-out",
        "server.crt",
    ]);
    bpf_tests::command::run(&mut openssl)?;
    let gateway = Reference::start(&parts, HERE, Some(home), &[])?;
    // No option: server.crt in the working directory is upstream's default.
    let args = [
        "inbound-request",
        "--num_conn",
        "2",
        "--s2cs",
        &gateway.control(),
    ];
    assert_eq!(listed(&user.s2uc(HERE, &args)?.success()?)?.len(), 2);
    Ok(())
}
