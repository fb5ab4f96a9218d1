//! Our gateways with their control service, driven by what others wrote: upstream's way of calling
//! on grpcio, and a real OpenID provider where Globus Auth would be.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpf_tests::capability::Capability;
use bpf_tests::netns::{Netns, Place};
use bpf_tests::process::Process;
use bpf_tests::real::Parts;
use bpf_tests::real::issuer::Issuer;
use bpf_tests::real::pair::RANGES;
use bpf_tests::real::served::{Connected, Served, Setup, texts};
use bpf_tests::real::user::User;
use bpf_tests::{command, require};
use serde_json::{Value, json};

/// What takes longer than this on a busy machine has failed.
const PATIENCE: Duration = Duration::from_secs(120);

const SCOPE: &str = "https://auth.globus.org/scopes/c42c0dac-0a52-408e-a04f-5d31bfe0aef8/scistream";

fn gateways(user: &User, setup: &Setup, place: Place<'_>) -> Result<[Served; 2]> {
    let [producer, consumer] = RANGES;
    Ok([
        setup.serve(user, place, producer, "")?,
        setup.serve(user, place, consumer, "")?,
    ])
}

/// Nothing listens at an address that did.
fn refused(place: Place<'_>, listener: &str) -> Result<()> {
    let dialled = place.enter(|| TcpStream::connect(listener))?;
    let refused = dialled.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    ensure!(refused, "{listener} listens after its session was released");
    Ok(())
}

#[test]
fn a_hundred_sessions_of_an_old_caller_have_each_their_own_ports_and_bytes() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let (parts, user) = (Parts::find()?, User::new()?);
    let netns = Netns::new("hundred")?;
    let place = Place::from(&netns);
    let setup = Setup::new(&user)?;
    let [producer, consumer] = gateways(&user, &setup, place)?;
    let ca = setup.folder().join("ca.crt");
    let mut caller = parts.python(place, "caller.py")?;
    caller.args([
        "--producer",
        producer.control(),
        "--consumer",
        consumer.control(),
    ]);
    caller.args([
        "--sessions",
        "100",
        "--num_conn",
        "2",
        "--token",
        &setup.token()?,
    ]);
    let mut caller = Process::spawn({
        caller.arg("--ca").arg(ca);
        caller
    })?;
    caller.wait_for_success(PATIENCE)?;
    let out = caller.output().text();
    let report = out.lines().last().context("a report")?;
    let report: Value = serde_json::from_str(report)?;
    assert_eq!(report["sessions"].as_array().map(Vec::len), Some(100));
    Ok(())
}

#[test]
fn connect_uses_the_gateways_own_service_and_release_leaves_nothing() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let user = User::new()?;
    let netns = Netns::new("connect")?;
    let place = Place::from(&netns);
    let setup = Setup::new(&user)?;
    let [producer, consumer] = gateways(&user, &setup, place)?;
    let application = place.enter(|| std::net::TcpListener::bind("127.0.0.1:0"))??;
    let target = application.local_addr()?.to_string();

    let access = setup.access();
    let access: Vec<&str> = access.iter().map(String::as_str).collect();
    let mut events = user.command(place, "s2uc");
    events
        .args(["--json", "events", "--s2cs", consumer.control()])
        .args(&access);
    let events = Process::spawn(events)?;

    let both = [&producer, &consumer];
    let session = Connected::by(&user, place, both, &setup, &[target.clone()])?;
    assert_eq!(
        session.session["consumer"]["service"],
        "scistream.v1.Gateway"
    );
    let uid = session.uid()?;
    let shown = session.show(&user, place, &consumer, &setup)?.json()?;
    assert_eq!(shown["state"], "forwarding", "{shown}");
    assert_eq!(
        texts(&shown["targets"])?,
        texts(&session.session["producer"]["listeners"])?
    );

    // What the application says first arrives: it dialled through both.
    let listeners = session.listeners()?;
    let mut near = place.enter(|| TcpStream::connect(&listeners[0]))??;
    near.set_read_timeout(Some(PATIENCE))?;
    let (mut far, _) = application.accept()?;
    std::io::Write::write_all(&mut far, b"from behind")?;
    let mut word = [0; 11];
    near.read_exact(&mut word)?;
    assert_eq!(&word, b"from behind");

    let listed = [
        &["--json", "list", "--s2cs", consumer.control()][..],
        &access,
    ]
    .concat();
    let list = user.s2uc(place, &listed)?.json()?;
    assert_eq!(list["sessions"][0]["uid"], uid);
    assert_eq!(list["sessions"][0]["connections_open"], 1);

    let ends = [
        "--producer",
        producer.control(),
        "--consumer",
        consumer.control(),
    ];
    let release = [&["release", uid][..], &ends, &access].concat();
    assert_eq!(
        user.s2uc(place, &release)?.success()?,
        "Release completed\n"
    );
    refused(place, &listeners[0])?;
    refused(place, &texts(&session.session["producer"]["listeners"])?[0])?;
    let end = near.read(&mut word);
    ensure!(
        matches!(end, Ok(0) | Err(_)),
        "the connection goes on: {end:?}"
    );
    let told = |line: &str| (line.contains(uid) && line.contains("\"closed\"")).then_some(());
    events.wait_for_line(PATIENCE, told)
}

/// A gateway that asks the issuer about its callers' tokens.
fn asking(user: &User, setup: &Setup, place: Place<'_>, issuer: &Issuer) -> Result<Served> {
    let secret = user.home().write("client-secret", b"gateway-secret\n")?;
    let auth = format!(
        "[auth.introspection]\nissuer = \"{}\"\nclient_secret_file = \"{}\"\ntimeout = \"2s\"\n",
        issuer.url(),
        secret.display()
    );
    setup.serve(user, place, RANGES[0], &auth)
}

/// What a gateway says to whoever shows `token`: the exit code of `s2uc list`, and its words.
fn ask(
    user: &User,
    setup: &Setup,
    place: Place<'_>,
    at: &Served,
    token: &str,
) -> Result<(Option<i32>, String)> {
    let file = user.home().write("shown", token.as_bytes())?;
    let file = file.to_string_lossy().into_owned();
    let ca = setup.folder().join("ca.crt").to_string_lossy().into_owned();
    let args = [
        "list",
        "--s2cs",
        at.control(),
        "--ca",
        &ca,
        "--token-file",
        &file,
    ];
    let outcome = user.s2uc(place, &args)?;
    Ok((outcome.code, outcome.err))
}

#[test]
fn tokens_are_judged_as_their_issuer_says() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let (parts, user) = (Parts::find()?, User::new()?);
    let setup = Setup::new(&user)?;
    let place = Place::Here;
    let issuer = Issuer::start(&parts, place)?;
    let gateway = asking(&user, &setup, place, &issuer)?;

    let revoked = issuer.token(&json!({}))?;
    issuer.revoke(&revoked)?;
    let cases = [
        ("good", issuer.token(&json!({}))?, 0),
        (
            "not there yet",
            issuer.token(&json!({ "not_before": 4_000_000_000_u64 }))?,
            3,
        ),
        (
            "for another gateway",
            issuer.token(&json!({ "aud": ["somebody"] }))?,
            3,
        ),
        (
            "of another scope",
            issuer.token(&json!({ "scope": "openid" }))?,
            3,
        ),
        (
            "of a longer scope",
            issuer.token(&json!({ "scope": format!("{SCOPE}/more") }))?,
            3,
        ),
        ("revoked", revoked, 3),
        ("never given", "no-such-token".to_owned(), 3),
    ];
    for (kind, token, code) in cases {
        let (got, words) = ask(&user, &setup, place, &gateway, &token)?;
        assert_eq!(got, Some(code), "{kind}: {words}");
        assert!(!words.contains(&token), "{kind}: {words}");
    }
    // It lives for a second, and three more by the clock skew that is tolerated.
    let short = issuer.token(&json!({ "lifetime": 1 }))?;
    let mut introspect = std::process::Command::new("curl");
    let url = format!("{}/v2/oauth2/token/introspect", issuer.url());
    let retried = [
        "--silent",
        "--data-urlencode",
        &format!("token={short}"),
        "--user",
    ];
    introspect
        .args(retried)
        .arg("c42c0dac-0a52-408e-a04f-5d31bfe0aef8:gateway-secret")
        .arg(&url);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !command::run(&mut introspect)?.contains("\"active\":false") {
        ensure!(
            std::time::Instant::now() < deadline,
            "the token does not end"
        );
    }
    let (got, words) = ask(&user, &setup, place, &gateway, &short)?;
    assert_eq!(got, Some(3), "expired: {words}");
    Ok(())
}

#[test]
fn without_its_issuer_a_gateway_admits_nobody_and_sessions_go_on() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let (parts, user) = (Parts::find()?, User::new()?);
    let setup = Setup::new(&user)?;
    let place = Place::Here;
    let mut issuer = Issuer::start(&parts, place)?;
    let gateway = asking(&user, &setup, place, &issuer)?;
    let token = issuer.token(&json!({}))?;
    let named = issuer.url().trim_start_matches("http://").to_owned();

    // A session that is there before.
    let application = std::net::TcpListener::bind("127.0.0.1:0")?;
    let target = application.local_addr()?;
    let file = user.home().write("token", token.as_bytes())?;
    let file = file.to_string_lossy().into_owned();
    let ca = setup.folder().join("ca.crt").to_string_lossy().into_owned();
    let ports = target.port().to_string();
    let out = user.s2uc(
        place,
        &[
            "--json",
            "inbound-request",
            "--num_conn",
            "1",
            "--s2cs",
            gateway.control(),
            "--ca",
            &ca,
            "--token-file",
            &file,
            "--remote_ip",
            "127.0.0.1",
            "--receiver_ports",
            &ports,
        ],
    )?;
    let listener = texts(&out.json()?["listeners"])?.remove(0);

    issuer.slow_down(PATIENCE)?;
    let another = issuer.token(&json!({}))?;
    let (code, words) = ask(&user, &setup, place, &gateway, &another)?;
    assert_eq!(code, Some(5), "slow: {words}");
    assert!(words.contains(&named), "slow: {words}");

    issuer.stop()?;
    let (code, words) = ask(&user, &setup, place, &gateway, &another)?;
    assert_eq!(code, Some(5), "down: {words}");
    assert!(words.contains(&named), "down: {words}");
    TcpStream::connect(&listener)?;
    application.accept()?;
    Ok(())
}
