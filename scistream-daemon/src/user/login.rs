//! `s2uc login`, `logout` and `check-auth`: tokens are got, given back and looked at, and not
//! printed.

use std::io::{self, Write as _};

use serde_json::json;

use super::cli::{CheckAuthArgs, LoginArgs, LogoutArgs};
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::issuer::{self, Issuer};
use super::output::Output;
use super::token::{self, Store};

/// `s2uc login`.
///
/// # Errors
/// When the issuer refuses or cannot be reached, or the token cannot be kept.
pub async fn login(args: &LoginArgs, output: &Output) -> Result<(), Failure> {
    let LoginArgs {
        scope,
        issuer,
        timeout,
    } = args;
    let store = Store::open()?;
    let kept = store.read()?.remove(scope);
    if kept.is_some_and(|entry| !entry.is_due() || entry.refresh_token.is_some()) {
        output.line(&format!(
            "There is a token for the scope {scope}; to take another, log out first"
        ));
        output.json(&json!({ "scope": scope, "logged_in": true, "existed": true }));
        return Ok(());
    }
    let issuer = Issuer::find(issuer, Deadline::after(*timeout)).await?;
    let login = issuer.login(scope)?;
    let code = ask_for_code(&login.url()).await?;
    let entry = login.finish(&code, Deadline::after(*timeout)).await?;
    let left = entry.left();
    store.put(scope, entry)?;
    output.line(&format!(
        "Logged in for the scope {scope}, for {} minutes",
        left.as_secs() / 60
    ));
    output.json(&json!({ "scope": scope, "logged_in": true, "existed": false }));
    Ok(())
}

/// `s2uc logout`: everything is forgotten, also when the issuer cannot be told.
///
/// # Errors
/// When the issuer could not be told, or the file not removed.
pub async fn logout(args: &LogoutArgs, output: &Output) -> Result<(), Failure> {
    let store = Store::open()?;
    let entries = store.read()?;
    let mut failed = None;
    for entry in entries.values() {
        if let Err(failure) = issuer::revoke(entry, Deadline::after(args.timeout)).await {
            failed = Some(failure);
        }
    }
    store.remove()?;
    if let Some(failure) = failed {
        return Err(failure.and(
            "the tokens are forgotten here, but may serve whoever has a copy until they end",
        ));
    }
    output.line("Successfully logged out!");
    output.json(&json!({ "logged_in": false, "revoked": entries.len() }));
    Ok(())
}

/// `s2uc check-auth`.
///
/// # Errors
/// When there is no token.
pub async fn check_auth(args: &CheckAuthArgs, output: &Output) -> Result<(), Failure> {
    let CheckAuthArgs {
        ip,
        scope,
        show_token,
        timeout,
    } = args;
    // Upstream knows the scopes of a few hosts by heart; the one that is everyone's is loopback's.
    let scope = ip
        .as_ref()
        .map_or(scope.as_str(), |_ip| token::DEFAULT_SCOPE);
    let found = token::of_scope(scope, Deadline::after(*timeout), output).await?;
    let Some(token) = found else {
        return Err(Failure::new(
            Exit::Unauthenticated,
            format!(
                "there is no token for the scope {scope}; get one by `s2uc login --scope {scope}`"
            ),
        ));
    };
    let left = Store::open()?
        .read()?
        .get(scope)
        .map(|entry| entry.left().as_secs());
    let shown = token.shown(*show_token);
    output.line(&format!("Access Token for scope '{scope}': {shown}"));
    if let Some(left) = left {
        output.line(&format!("It serves for {} minutes more", left / 60));
    }
    output.json(&json!({ "scope": scope, "logged_in": true, "seconds_left": left }));
    Ok(())
}

/// Sends the user to the browser and waits for the code. This is said on standard error, so that a
/// pipe behind `--json` gets only the result.
async fn ask_for_code(url: &str) -> Result<String, Failure> {
    let mut terminal = io::stderr();
    let asked = write!(
        terminal,
        "Open this address in a browser, log in, and paste the code it shows:\n\n{url}\n\ncode: "
    );
    asked
        .and_then(|()| terminal.flush())
        .map_err(|error| no_code(&error.to_string()))?;
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_length| line)
    });
    let line = tokio::select! {
        line = read => line.map_err(|error| no_code(&error.to_string()))?,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::new(Exit::Interrupted, "stopped by Ctrl-C"));
        }
    };
    let line = line.map_err(|error| no_code(&error.to_string()))?;
    let code = line.trim().to_owned();
    if code.is_empty() {
        return Err(no_code("none was given"));
    }
    Ok(code)
}

fn no_code(why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("there is no code to log in by: {why}"))
}
