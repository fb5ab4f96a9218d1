//! A real OpenID provider where Globus Auth would be: logging in, renewing and giving tokens back.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bpf_tests::command;
use bpf_tests::netns::Place;
use bpf_tests::real::Parts;
use bpf_tests::real::issuer::Issuer;
use bpf_tests::real::reference::Reference;
use bpf_tests::real::user::User;
use serde_json::Value;

const HERE: Place<'static> = Place::Here;

/// The scope that is taken for gateways on this host.
const SCOPE: &str = "c42c0dac-0a52-408e-a04f-5d31bfe0aef8";

/// Where the tokens are kept in a home.
const TOKENS: &str = ".local/state/scistream/tokens.json";

/// Logs in as a person does: opens the address that is printed, and pastes the code it ends at.
fn log_in(parts: &Parts, user: &User, issuer: &Issuer) -> Result<String> {
    let mut login = user.command(HERE, "s2uc");
    login.args(["login", "--issuer", issuer.url()]);
    let piped = login.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut login = piped.stderr(Stdio::piped()).spawn()?;
    let mut told = std::io::BufReader::new(login.stderr.take().context("a pipe")?);
    let url = loop {
        let mut line = String::new();
        let length = std::io::BufRead::read_line(&mut told, &mut line)?;
        anyhow::ensure!(length > 0, "no address was printed");
        if line.starts_with("http") {
            break line.trim().to_owned();
        }
    };
    let mut browser = parts.python(HERE, "browser.py")?;
    let code = command::run(browser.arg(&url))?;
    let mut terminal = login.stdin.take().context("a pipe")?;
    terminal.write_all(code.as_bytes())?;
    drop(terminal);
    let ended = login.wait_with_output()?;
    anyhow::ensure!(ended.status.success(), "login ended with {}", ended.status);
    Ok(String::from_utf8(ended.stdout)?)
}

fn kept(user: &User) -> Result<Value> {
    let text = std::fs::read(user.home().path().join(TOKENS))?;
    Ok(serde_json::from_slice(&text)?)
}

fn secret(user: &User, name: &str) -> Result<String> {
    let kept = kept(user)?;
    let text = kept[SCOPE][name].as_str();
    Ok(text
        .with_context(|| format!("no {name} is kept"))?
        .to_owned())
}

#[test]
fn a_login_serves_a_gateway_until_the_logout() -> Result<()> {
    let (parts, user) = (Parts::find()?, User::new()?);
    let issuer = Issuer::start(&parts, HERE)?;
    let out = log_in(&parts, &user, &issuer)?;
    assert!(
        out.starts_with(&format!("Logged in for the scope {SCOPE}")),
        "{out}"
    );
    let token = secret(&user, "access_token")?;
    let renewing = secret(&user, "refresh_token")?;

    let checked = user.s2uc(HERE, &["check-auth"])?.success()?;
    assert!(
        checked.starts_with(&format!("Access Token for scope '{SCOPE}': hidden\n")),
        "{checked}"
    );
    let checked = user
        .s2uc(HERE, &["check-auth", "--show-token"])?
        .success()?;
    assert!(checked.contains(&token), "{checked}");

    // The gateway gets the bare token, without any option: it is the one for gateways on this host.
    let gateway = Reference::start(&parts, HERE, None, &["--token", &token])?;
    let args = [
        "inbound-request",
        "--num_conn",
        "1",
        "--s2cs",
        &gateway.control(),
        "--plaintext",
    ];
    let out = user.s2uc(HERE, &args)?.success()?;
    assert!(
        out.contains(" hidden PROD") && !out.contains(&token),
        "{out}"
    );

    let again = user
        .s2uc(HERE, &["login", "--issuer", issuer.url()])?
        .success()?;
    assert!(again.contains("log out first"), "{again}");
    assert!(issuer.knows(&token)? && issuer.knows(&renewing)?);
    assert_eq!(
        user.s2uc(HERE, &["logout"])?.success()?,
        "Successfully logged out!\n"
    );
    assert!(!issuer.knows(&token)? && !issuer.knows(&renewing)?);
    assert_eq!(user.s2uc(HERE, &["check-auth"])?.code, Some(3));
    Ok(())
}

#[test]
fn a_token_that_has_run_out_is_renewed_unasked() -> Result<()> {
    let (parts, user) = (Parts::find()?, User::new()?);
    let mut issuer = Issuer::start(&parts, HERE)?;
    log_in(&parts, &user, &issuer)?;
    let old = secret(&user, "access_token")?;
    let mut entries = kept(&user)?;
    entries[SCOPE]["expires_at"] = 1.into();
    user.home().write(TOKENS, entries.to_string().as_bytes())?;
    user.s2uc(HERE, &["check-auth"])?.success()?;
    let fresh = secret(&user, "access_token")?;
    assert_ne!(fresh, old);
    assert!(issuer.knows(&fresh)?);

    // With the issuer gone it cannot be renewed again, and that is said.
    user.home().write(TOKENS, entries.to_string().as_bytes())?;
    issuer.stop()?;
    let failed = user.s2uc(HERE, &["check-auth"])?;
    assert_eq!(failed.code, Some(5), "{failed:?}");
    assert!(failed.err.contains("cannot be reached"), "{failed:?}");
    Ok(())
}

#[test]
fn an_issuer_that_does_not_answer_or_refuses_is_named() -> Result<()> {
    let (parts, user) = (Parts::find()?, User::new()?);
    let issuer = Issuer::start(&parts, HERE)?;
    issuer.slow_down(Duration::from_secs(600))?;
    let slow = user.s2uc(
        HERE,
        &["login", "--issuer", issuer.url(), "--timeout", "1s"],
    )?;
    assert_eq!(slow.code, Some(6), "{slow:?}");
    assert!(
        slow.err.contains("asking the token issuer 127.0.0.1:"),
        "{slow:?}"
    );

    issuer.slow_down(Duration::ZERO)?;
    let mut login = user.command(HERE, "s2uc");
    login.args(["login", "--issuer", issuer.url()]);
    let failed = command::run_with_input(&mut login, "no-such-code\n").unwrap_err();
    assert!(failed.to_string().contains("invalid_grant"), "{failed:#}");

    let bare = user.s2uc(HERE, &["login", "--issuer", "http://issuer.example"])?;
    assert_eq!(bare.code, Some(2), "{bare:?}");
    Ok(())
}
